"""What agents live through: recorded episodes as rows, the same with everything but some agents replaced, and playing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from env_adapters.api import BoolArray, FloatArray, IntArray, TeamPolicy
from env_adapters.rollout import Episode
from harness.leak.inside import asker

_MOST_SINGLE = 8
"""Teams up to this size have a run for every agent; larger ones a run for every half, see `keep_sets`."""
_TRIES = 8


@dataclass(frozen=True)
class History:
    """What the agents of G games see at T moments."""

    seeds: IntArray
    """[G]"""
    observations: FloatArray
    """[T, G, N, D]"""
    masks: BoolArray | None
    """[T, G, N, A]"""

    @staticmethod
    def of(episode: Episode) -> History:
        """The moments of a recorded episode at which somebody acted, as one game."""
        masks = np.stack(episode.available_actions[:-1])[:, None] if episode.available_actions else None
        seeds = np.array([episode.seed], dtype=np.int64)
        return History(seeds, np.stack(episode.observations[:-1])[:, None], masks)

    @property
    def length(self) -> int:
        """T."""
        return len(self.observations)

    def game(self, game: int) -> History:
        """One game alone."""
        masks = None if self.masks is None else self.masks[:, game : game + 1]
        return History(self.seeds[game : game + 1], self.observations[:, game : game + 1], masks)

    def repeated(self, n_games: int) -> History:
        """The only game, n times."""
        masks = None if self.masks is None else self.masks.repeat(n_games, axis=1)
        return History(self.seeds.repeat(n_games), self.observations.repeat(n_games, axis=1), masks)

    def open(self) -> History:
        """The same with every action available."""
        return History(
            self.seeds, self.observations, None if self.masks is None else np.ones_like(self.masks)
        )


@dataclass(frozen=True)
class Trace:
    """What the agents did."""

    actions: npt.NDArray[Any]
    """[T', G, N, …], bit patterns as int64 or uint32; T' < T where a policy failed."""
    inside: npt.NDArray[np.uint64] | None
    """[T', G, N], a digest of what was computed or remembered on the way, where it can be seen."""
    failure: str | None = None
    """Why it broke off."""

    def differs(self, other: Trace) -> tuple[BoolArray, BoolArray]:
        """Where actions differ and where insides do, each bool[T', G, N] over the moments that both have."""
        length = min(len(self.actions), len(other.actions))
        unequal = self.actions[:length] != other.actions[:length]
        acted = unequal.reshape(*unequal.shape[:3], -1).any(axis=-1)
        if self.inside is None or other.inside is None:
            return acted, np.zeros_like(acted)
        return acted, self.inside[:length] != other.inside[:length]


def bits(actions: npt.NDArray[Any]) -> npt.NDArray[np.int64] | npt.NDArray[np.uint32]:
    """Actions as something whose equality is that of every bit."""
    if np.issubdtype(actions.dtype, np.floating):
        return np.ascontiguousarray(actions, dtype=np.float32).view(np.uint32)
    return np.asarray(actions, dtype=np.int64)


def recorded(episode: Episode) -> Trace:
    """What the agents of a recorded episode did."""
    return Trace(bits(np.stack(episode.actions))[:, None], None)


Between = Callable[[int, FloatArray, BoolArray | None], None]
"""Called after the actions of a moment with its number and the arrays that were handed over."""


def trace(policy: TeamPolicy, history: History, between: Between | None = None) -> Trace:
    """Let a team, fresh or not, live through a history from its beginning. A policy that fails ends the trace."""
    n_games = len(history.seeds)
    actions, insides = [], []
    failure = None
    try:
        policy.begin(history.seeds, np.arange(n_games, dtype=np.int64))
        ask = asker(policy)
        for t in range(history.length):
            observations = history.observations[t].copy()
            masks = None if history.masks is None else history.masks[t].copy()
            acted, inside = ask(observations, masks)
            actions.append(bits(acted).copy())
            insides.append(inside)
            if between is not None:
                between(t, observations, masks)
    except (Exception, SystemExit) as error:  # somebody else's code, on rows it may never have seen
        failure = f"{type(error).__name__}: {error}"
    if not actions:
        nothing = np.zeros((0, n_games, history.observations.shape[2]), dtype=np.int64)
        return Trace(nothing, None, failure)
    seen = [inside for inside in insides if inside is not None]
    return Trace(np.stack(actions), np.stack(seen) if len(seen) == len(actions) else None, failure)


def joined(traces: Sequence[Trace]) -> Trace:
    """Traces of one game each as one, as long as the shortest."""
    length = min(len(trace.actions) for trace in traces)
    failures = [trace.failure for trace in traces if trace.failure is not None]
    actions = np.concatenate([trace.actions[:length] for trace in traces], axis=1)
    insides = [trace.inside[:length] for trace in traces if trace.inside is not None]
    inside = np.concatenate(insides, axis=1) if len(insides) == len(traces) else None
    return Trace(actions, inside, failures[0] if failures else None)


def keep_sets(n_agents: int) -> BoolArray:
    """Whose rows stay in each run [G, N]: every ordered pair of agents is separated by at least one run.

    Up to eight agents: one run each, with everybody else replaced. More: for every bit of the index those
    agents that have it and those that have not, so that the number of runs grows with the logarithm of N.
    """
    if n_agents <= _MOST_SINGLE:
        return np.eye(n_agents, dtype=np.bool_)
    index = np.arange(n_agents)
    places = range(int(n_agents - 1).bit_length())
    return np.stack([(index >> bit & 1) == value for bit in places for value in (0, 1)])


@dataclass(frozen=True)
class Pool:
    """Every row of the recorded episodes, from which teammates are given others than their own."""

    observations: FloatArray
    """[M, N, D]"""
    masks: BoolArray | None
    """[M, N, A]"""

    @staticmethod
    def of(episodes: Sequence[Episode]) -> Pool:
        """All moments of some episodes."""
        histories = [History.of(episode) for episode in episodes]
        masks = [history.masks[:, 0] for history in histories if history.masks is not None]
        observations = np.concatenate([history.observations[:, 0] for history in histories])
        return Pool(observations, np.concatenate(masks) if masks else None)

    def others(self, history: History, rng: np.random.Generator) -> History:
        """Each agent's own rows from other moments, different from what it sees now where it ever saw anything else."""
        shape = history.observations.shape[:3]
        agents = np.broadcast_to(np.arange(shape[2]), shape)
        chosen = rng.integers(len(self.observations), size=shape)
        for _ in range(_TRIES):
            same = (self.observations[chosen, agents] == history.observations).all(axis=-1)
            chosen[same] = rng.integers(len(self.observations), size=int(same.sum()))
        masks = None if self.masks is None else self.masks[chosen, agents]
        return History(history.seeds, self.observations[chosen, agents], masks)
