"""Environment steps per second under random available actions, and proof that the games were really played.

One step includes everything a learner needs: actions chosen, observations, masks and reward, the global state once,
and the reset of every game that has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from benchmarks.random_actions import choose_actions
from env_adapters.api import DecentralizedEnv, FloatArray, VectorEnv
from env_adapters.errors import HarnessError


def _refuse(scenario: str, finding: str) -> HarnessError:
    return HarnessError(f"benchmark of {scenario} stopped: {finding}; a speed measured so would mean nothing")


class BatchedPlay:
    """B games under the random policy, each reset as soon as it ends.

    Args:
        env: the games; they are reset here.
        seed: first word of the actions' generator. Episode seeds count up from 0.
    """

    def __init__(self, env: VectorEnv, seed: int = 0) -> None:
        self._env = env
        self._generator = np.array([seed], dtype=np.uint64)
        self._actions = np.zeros((env.n_games, env.spec.n_agents), dtype=np.int64)
        self._step = env.reset(np.arange(env.n_games, dtype=np.int64))
        self._next_seed = env.n_games
        self._steps = np.zeros(env.n_games, dtype=np.int64)
        self._has_ended = np.zeros(env.n_games, dtype=np.bool_)

    def advance(self) -> int:
        """Play one step of every game; returns the environment steps played.

        Raises:
            HarnessError: a game did not advance by exactly one step.
        """
        assert self._step.available_actions is not None
        choose_actions(self._step.available_actions, self._generator, self._actions)
        self._step = self._env.step(self._actions)
        self._env.state()
        self._steps += 1
        if not np.array_equal(self._step.info["steps"], self._steps):
            raise _refuse(self._env.spec.scenario, "a game did not advance by one step")
        self._reset_ended()
        return self._env.n_games

    def _reset_ended(self) -> None:
        ended = np.flatnonzero(self._step.ended)
        if len(ended) == 0:
            return
        seeds = np.arange(self._next_seed, self._next_seed + len(ended), dtype=np.int64)
        self._next_seed += len(ended)
        self._has_ended[ended] = True
        self._steps[ended] = 0
        self._step = self._env.reset(seeds, ended)

    def warm_up(self) -> None:
        """Play until every game has ended once, so that episodes are out of step as in long training.

        Raises:
            HarnessError: games do not advance, end, change or pay any reward, or features are not finite.
        """
        scenario, limit = self._env.spec.scenario, self._env.spec.episode_limit
        first = self._step.observations
        paid, changed = False, False
        for _ in range(limit):
            self.advance()
            paid = paid or bool(self._step.rewards.any())
            changed = changed or not np.array_equal(self._step.observations, first)
            if self._has_ended.all():
                break
        self._check_warm(scenario, limit, paid, changed, self._step.observations)

    def _check_warm(
        self, scenario: str, limit: int, paid: bool, changed: bool, observations: FloatArray
    ) -> None:
        if not self._has_ended.all():
            raise _refuse(scenario, f"a game has not ended within its {limit} steps")
        if not changed or not np.isfinite(observations).all():
            raise _refuse(scenario, "observations stay the same or are not finite")
        if not paid:
            raise _refuse(scenario, "no step paid a reward")


class SinglePlay:
    """One game under the random policy through the interface of single worlds.

    Args:
        env: the game; it is reset here.
        seed: first word of the actions' generator. Episode seeds count up from 0.
    """

    def __init__(self, env: DecentralizedEnv, seed: int = 0) -> None:
        self._env = env
        self._generator = np.array([seed], dtype=np.uint64)
        self._actions = np.zeros((1, env.spec.n_agents), dtype=np.int64)
        self._masks = np.zeros((1, env.spec.n_agents, env.spec.action_size), dtype=np.bool_)
        self._step = env.reset(0)
        self._next_seed = 1
        self._steps = 0

    def advance(self) -> int:
        """Play one step; returns 1. Raises HarnessError where the game did not advance by exactly one."""
        for view in self._step.views:
            self._masks[0, view.agent_index] = view.available_actions
        choose_actions(self._masks, self._generator, self._actions)
        self._step = self._env.step(self._actions[0])
        self._env.state()
        self._steps += 1
        if self._step.info["steps"] != self._steps:
            raise _refuse(self._env.spec.scenario, "the game did not advance by one step")
        if self._step.terminated or self._step.truncated:
            self._step = self._env.reset(self._next_seed)
            self._next_seed += 1
            self._steps = 0
        return 1

    def warm_up(self) -> None:
        """Play until the game has ended once; HarnessError where it does not end within its limit."""
        for _ in range(self._env.spec.episode_limit):
            self.advance()
            if self._next_seed > 1:
                return
        raise _refuse(self._env.spec.scenario, "the game has not ended within its limit")


def steps_per_second(advance: Callable[[], int], repetitions: int, duration_s: float) -> list[float]:
    """Environment steps per second of each repetition.

    Args:
        advance: plays and returns how many environment steps it played.
        repetitions: how many rates to measure.
        duration_s: wall-clock time of each, at least; it ends with a whole call.
    """
    rates = []
    for _ in range(repetitions):
        played, start, elapsed = 0, perf_counter(), 0.0
        while elapsed < duration_s:
            played += advance()
            elapsed = perf_counter() - start
        rates.append(played / elapsed)
    return rates
