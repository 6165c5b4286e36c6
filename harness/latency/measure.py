"""The scenarios `batched` and `decentralized`, measured on the observations of recorded episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns

import numpy as np

from env_adapters.api import DoubleArray, TeamPolicy
from env_adapters.errors import InvalidValueError
from env_adapters.rollout import Episode
from harness.latency.protocol import MachineWatch, one_thread, quiet_collector, warm_up
from harness.latency.reports import NS_PER_US, make_report, team_report
from harness.schema import LatencyReport
from harness.team import Team

N_SAMPLES = 700
"""Timed joint actions; a promise about p99 needs 662."""
_N_STARTS = 21


class _Playback:
    """Recorded episodes shown to a policy, step after step and over and over."""

    def __init__(self, policy: TeamPolicy, episodes: Sequence[Episode]) -> None:
        if not episodes or not all(len(episode.observations) >= episode.length > 0 for episode in episodes):
            raise InvalidValueError("latency is measured on recorded observations; record the transitions")
        self._policy, self._episodes = policy, episodes
        self._episode, self._t, self._has_begun = 0, 0, False

    def step(self) -> int:
        """One joint action; returns its nanoseconds. The start of an episode comes before and is not timed.

        The action is an array of numbers, which it can only be once the device has finished.
        """
        if not self._has_begun:
            self._begin()
        episode, t = self._episodes[self._episode], self._t
        observations = episode.observations[t][None]
        masks = episode.available_actions[t][None] if episode.available_actions else None
        self._t += 1
        if self._t == episode.length:
            self._episode, self._has_begun = (self._episode + 1) % len(self._episodes), False
        started = perf_counter_ns()
        self._policy.act(observations, masks)
        return perf_counter_ns() - started

    def first_action(self) -> int:
        """Nanoseconds of an episode's start and its first joint action."""
        return self._begin() + self.step()

    def _begin(self) -> int:
        self._t, self._has_begun = 0, True
        seeds, games = np.array([self._episodes[self._episode].seed]), np.zeros(1, dtype=np.int64)
        started = perf_counter_ns()
        self._policy.begin(seeds, games)
        return perf_counter_ns() - started


def measure_batched(
    team: Team, episodes: Sequence[Episode], n_samples: int = N_SAMPLES
) -> tuple[LatencyReport, DoubleArray]:
    """Time joint actions of a team that chooses them in one call, one call after the other.

    From the observations being there, as arrays on the host, to the actions being there: conversion, masking,
    sampling and the device's work included. Torch works with one thread meanwhile.

    Args:
        team: who plays.
        episodes: with recorded transitions.
        n_samples: timed joint actions.

    Returns:
        The report, and the timed durations [n] in microseconds.

    Raises:
        InvalidValueError: no samples asked for, or episodes without recorded observations.
        HarnessError: as the team raises it.
    """
    _check(n_samples)
    watch = MachineWatch()
    playback = _Playback(team.vector(1), episodes)
    with one_thread():
        compile_ns = playback.step()
        n_warmup, settled = warm_up(playback.step)
        samples = _timed(playback.step, n_samples)
        starts = _timed(playback.first_action, _N_STARTS)
    report = make_report(
        "batched",
        samples,
        watch.look(),
        n_warmup=1 + n_warmup,
        settled=settled,
        compile_us=compile_ns / NS_PER_US,
        first_actions_us=starts,
    )
    return report, samples


def measure_decentralized(
    map_name: str,
    team: Team,
    episodes: Sequence[Episode],
    n_samples: int = N_SAMPLES,
    timeout_s: float = 60.0,
) -> tuple[LatencyReport, DoubleArray]:
    """Time joint actions of a team whose agents run in a process each, all asked at the same time.

    Every agent times itself, from its observation having arrived to its action being ready to be sent; a step takes
    as long as its slowest agent. Transport is what the team waited beyond that; where there are fewer cores than
    agents, it holds the time that agents wait for a core.

    Args:
        map_name: name of the scenario without version.
        team: who plays; every process loads its own from where this one came from.
        episodes: with recorded transitions.
        n_samples: timed joint actions.
        timeout_s: an agent that needs longer than this for one action has failed.

    Returns:
        The report, and durations [n, 1 + N] in microseconds: the team's wait, then every agent.

    Raises:
        InvalidValueError: no samples asked for, or episodes without recorded observations.
        HarnessError: as `harness.decentralized.DecentralizedTeam`.
    """
    from harness.decentralized import DecentralizedTeam  # which itself keeps times as this package does

    _check(n_samples)
    watch = MachineWatch()
    with DecentralizedTeam(map_name, team.source, team.spec, timeout_s=timeout_s) as apart:
        playback = _Playback(apart, episodes)

        def slowest() -> float:
            playback.step()
            return apart.times.last_ns

        slowest()
        n_warmup, settled = warm_up(slowest)
        apart.times.clear()
        _timed(playback.step, n_samples)
        samples = apart.times.samples_us()
        _timed(playback.first_action, _N_STARTS)
        surroundings = watch.look()
    report = team_report(
        "decentralized", samples, apart.times, surroundings, n_warmup=1 + n_warmup, settled=settled
    )
    return report, samples


def _check(n_samples: int) -> None:
    if n_samples < 1:
        raise InvalidValueError(f"latency needs at least one sample, got {n_samples}")


def _timed(step: Callable[[], int], n_samples: int) -> DoubleArray:
    """Durations [n] in microseconds, with a quiet garbage collector."""
    with quiet_collector():
        durations = [step() for _ in range(n_samples)]
    return np.array(durations, dtype=np.float64) / NS_PER_US
