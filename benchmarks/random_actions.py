"""Random available actions, chosen fast enough not to show beside the engine."""

from __future__ import annotations

import numpy as np

from env_adapters.api import BoolArray, IntArray
from env_adapters.jit import kernel
from env_adapters.starcraft.random import next_word


@kernel
def choose_actions(available: BoolArray, generator: np.ndarray, out: IntArray) -> None:
    """Draw one available action per agent, all equally likely.

    Args:
        available: masks [B, N, A]; at least one action of each agent is available.
        generator: uint64[1], consumed once per agent.
        out: int64[B, N], filled.
    """
    n_games, n_agents, n_actions = available.shape
    for b in range(n_games):
        for a in range(n_agents):
            n_available = 0
            for action in range(n_actions):
                n_available += int(available[b, a, action])
            rank = int(next_word(generator) % np.uint64(n_available))
            for action in range(n_actions):
                if available[b, a, action]:
                    if rank == 0:
                        out[b, a] = action
                        break
                    rank -= 1
