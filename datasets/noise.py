"""Exploration noise around a team of policies, for behaviours of datasets.

Every random number is a hash of (episode seed, agent, step), evaluated for the whole batch at once: no batch
size, order or neighbouring game can enter.
"""

from __future__ import annotations

from typing import Final, cast

import numpy as np
import numpy.typing as npt

from env_adapters.api import ActionArray, BoolArray, DoubleArray, FloatArray, IntArray, TeamPolicy, TeamSpec

_Words = npt.NDArray[np.uint64]

_DOMAIN: Final = 0x6E6F6973
"""Keeps the noise apart from whatever else is derived from an episode's seed ("nois")."""
_WEYL: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: the increment of SplitMix64 (Steele, Lea, Flood 2014)."""
_FACTORS: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
"""Multipliers of SplitMix64's finaliser (variant 13 of Stafford)."""


def _mixed(words: _Words) -> _Words:
    """SplitMix64's finaliser, a bijection of 64-bit words; arithmetic is modulo 2^64."""
    words = (words ^ (words >> np.uint64(30))) * _FACTORS[0]
    words = (words ^ (words >> np.uint64(27))) * _FACTORS[1]
    return words ^ (words >> np.uint64(31))


def _uniform(words: _Words) -> DoubleArray:
    """Words to numbers in [0, 1) with 53 random bits."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


class NoisyTeam:
    """A `TeamPolicy` whose actions are sometimes replaced (discrete) or shaken (continuous).

    Args:
        team: who acts otherwise; it is asked at every step, and the actions it gives are not told to it again.
        spec: the world's specification.
        n_games: B.
        epsilon: discrete actions: each agent, at each step, independently, plays with this probability a uniformly
            random available action.
        sigma: continuous actions: standard deviation of the Gaussian noise added to every component; the sum is
            clipped to [-1, 1].
    """

    def __init__(
        self, team: TeamPolicy, spec: TeamSpec, n_games: int, epsilon: float = 0.0, sigma: float = 0.0
    ) -> None:
        self._team, self._spec = team, spec
        self._epsilon, self._sigma = epsilon, sigma
        self._keys = np.zeros((n_games, 1, 1), dtype=np.uint64)
        self._steps = np.zeros((n_games, 1, 1), dtype=np.uint64)
        lanes = 2 if spec.action_kind == "discrete" else 2 * spec.action_size
        self._lanes = np.arange(spec.n_agents * lanes, dtype=np.uint64).reshape(spec.n_agents, lanes)

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Start episodes; their noise follows from their seeds."""
        self._team.begin(episode_seeds, games)
        for seed, game in zip(episode_seeds.tolist(), games.tolist(), strict=True):
            sequence = np.random.SeedSequence([seed, _DOMAIN])
            self._keys[game] = sequence.generate_state(1, np.uint64)[0]
            self._steps[game] = 0

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """[B, N, D] and [B, N, A] to int64[B, N] or float32[B, N, A]."""
        actions = self._team.act(observations, available_actions)
        words = self._words()
        if self._spec.action_kind == "continuous":
            shaken = actions + self._sigma * _gaussian(words)
            return np.clip(shaken, -1.0, 1.0).astype(np.float32)
        if available_actions is None:
            available_actions = np.ones((*actions.shape, self._spec.action_size), dtype=np.bool_)
        explores = _uniform(words[..., 0]) < self._epsilon
        chosen = np.where(explores, _random_available(words[..., 1], available_actions), actions)
        return cast(ActionArray, chosen)

    def _words(self) -> _Words:
        """Random words [B, N, lanes] of this step."""
        counters = self._steps * np.uint64(self._lanes.size) + self._lanes
        self._steps += np.uint64(1)
        return _mixed(self._keys + _mixed(counters * _WEYL))


def _random_available(words: _Words, available: BoolArray) -> IntArray:
    """Words [B, N] and masks [B, N, A] to an available action [B, N], all equally likely (to 1 in 2^32 / A)."""
    ranks = available.cumsum(axis=-1, dtype=np.int64)
    n_available = ranks[..., -1].astype(np.uint64)
    wanted = (((words >> np.uint64(32)) * n_available) >> np.uint64(32)).astype(np.int64) + 1
    return cast(IntArray, (ranks == wanted[..., None]).argmax(axis=-1))


def _gaussian(words: _Words) -> DoubleArray:
    """Words [..., 2 A] to standard normals [..., A] (Box and Muller 1958)."""
    half = words.shape[-1] // 2
    radius = np.sqrt(-2.0 * np.log1p(-_uniform(words[..., :half])))
    return cast(DoubleArray, radius * np.cos(2.0 * np.pi * _uniform(words[..., half:])))
