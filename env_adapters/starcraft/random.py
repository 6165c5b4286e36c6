"""The games' random numbers: SplitMix64 generators whose whole state is one 64-bit word per game.

Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014). A word fits a snapshot, and a
kernel can draw without the interpreter.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from env_adapters.api import IntArray
from env_adapters.jit import kernel

_DOMAIN: Final = 0x5C2E46494E45  # keeps these streams apart from those that agents draw their noise from


@kernel
def next_word(generator: np.ndarray) -> int:
    """The next 64 random bits of `generator` (uint64[1]), as np.uint64."""
    generator[0] += np.uint64(0x9E3779B97F4A7C15)
    z = generator[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def next_uniform(generator: np.ndarray) -> float:
    """Uniform number in [0, 1), 53 bits, from `generator` (uint64[1])."""
    return float(next_word(generator) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def _spread(generators: np.ndarray, games: IntArray, seeds: IntArray, start: int) -> None:
    for k in range(len(games)):
        generator = generators[games[k]]
        generator[0] = np.uint64(start)
        generator[0] = next_word(generator) + np.uint64(seeds[k])
        generator[0] = next_word(generator)


def seed_games(generators: np.ndarray, games: IntArray, episode_seeds: IntArray, stream: int) -> None:
    """Seed the generators [B, 1] of `games`, one episode seed each; near seeds and streams are unrelated."""
    _spread(generators, games, episode_seeds, _DOMAIN + stream)
