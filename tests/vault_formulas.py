"""Values of the recorded vault, by formula, so that they need no second file to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np

N_AGENTS, OBSERVATION_SIZE, STATE_SIZE, N_ACTIONS = 3, 30, 48, 9
LENGTHS = (10, 12, 13)
"""Rows of the whole episodes."""
N_ROWS = 39
ENDS = (9, 21, 34)


def rows() -> dict[str, np.ndarray[Any, Any]]:
    """The arrays [T, ...] by the vault's names, in the types of OG-MARL's wrapper."""
    t = np.arange(N_ROWS)
    n, d, s, a = (np.arange(size) for size in (N_AGENTS, OBSERVATION_SIZE, STATE_SIZE, N_ACTIONS))
    actions = (t[:, None] * 7 + n * 3) % N_ACTIONS
    ended = np.zeros((N_ROWS, N_AGENTS), dtype=np.bool_)
    ended[list(ENDS)] = True
    legals = (a + t[:, None, None] + n[:, None]) % 3 > 0
    return {
        "observations.": (t[:, None, None] + n[:, None] / 8 + d / 64).astype(np.float32),
        "actions.": actions.astype(np.int32),
        "rewards.": np.repeat((t[:, None] % 5) / 4, N_AGENTS, axis=1).astype(np.float32),
        "terminals.": ended,
        "truncations.": np.zeros_like(ended),
        "infos.state.": (-t[:, None] - s / 64).astype(np.float32),
        "infos.legals.": (legals | (a == actions[..., None])).astype(np.float32),
    }
