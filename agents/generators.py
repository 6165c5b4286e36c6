"""Where the randomness of acting comes from: one generator per episode and agent, derived from the seed."""

from __future__ import annotations

from typing import Final

import numpy as np

_ACT_STREAM: Final = 1


def episode_generator(episode_seed: int, agent_index: int) -> np.random.Generator:
    """The random generator of one agent in one episode."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([episode_seed, _ACT_STREAM, agent_index]))
    )
