"""The dataset in memory: memory-mapped arrays, the batches drawn from them, and the card.

Rows. A dataset has E episodes and T transitions. Episode e owns the transitions
`episode_offsets[e] <= t < episode_offsets[e + 1]`. It shows one moment more than it has transitions, because
the observation after its last step is kept too; so transition t of episode e starts at moment t + e and
ends at moment t + e + 1, and there are T + E moments. Nothing is shared between episodes.

    array              rows   shape of a row      on disk        in batches
    observations       T + E  [N, D]              float32
    available_actions  T + E  [N, A]              bool           absent where every action is available
    states             T + E  [S]                 float32
    actions            T      [N] or [N, A]       int8 or int16  int64 (discrete); float32 (continuous)
    rewards            T                          float32        team reward
    terminated         T                          bool
    truncated          T                          bool
    episode_offsets    E + 1                      int64          first transition of each episode, then T
    episode_seeds      E                          int64          -1 where a converted source does not say it
    won                E                          int8           -1 no winner here, 0 lost, 1 won
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from datasets.card import BehaviourRecord, DatasetCard, ReturnStatistics
from env_adapters.api import ActionArray, BoolArray, DoubleArray, FloatArray, IntArray, TeamSpec
from env_adapters.errors import MismatchError
from env_adapters.layouts import observation_layout

__all__ = [
    "BehaviourRecord",
    "Column",
    "Dataset",
    "DatasetCard",
    "ReturnStatistics",
    "Rows",
    "StoredEpisode",
    "TransitionBatch",
    "columns",
    "row_counts",
]

Array = npt.NDArray[Any]
Rows = Literal["moments", "transitions", "episodes", "borders"]
"""What the rows of an array stand for: borders are the E + 1 places where episodes begin or end."""


class Column(NamedTuple):
    """How one array is stored."""

    rows: Rows
    """`row_counts` says how many there are."""
    shape: tuple[int, ...]
    """Shape of a row."""
    dtype: np.dtype[Any]


def columns(sizes: TeamSpec | DatasetCard, has_available_actions: bool) -> dict[str, Column]:
    """Every array of a dataset, by name, in storage order (the table at the top of this module)."""
    discrete = sizes.action_kind == "discrete"
    action_dtype = "<f4" if not discrete else "i1" if sizes.action_size <= 128 else "<i2"
    action_shape = (sizes.n_agents,) if discrete else (sizes.n_agents, sizes.action_size)
    table = {
        "observations": Column("moments", (sizes.n_agents, sizes.observation_size), np.dtype("<f4")),
        "available_actions": Column("moments", (sizes.n_agents, sizes.action_size), np.dtype("?")),
        "states": Column("moments", (sizes.state_size,), np.dtype("<f4")),
        "actions": Column("transitions", action_shape, np.dtype(action_dtype)),
        "rewards": Column("transitions", (), np.dtype("<f4")),
        "terminated": Column("transitions", (), np.dtype("?")),
        "truncated": Column("transitions", (), np.dtype("?")),
        "episode_offsets": Column("borders", (), np.dtype("<i8")),
        "episode_seeds": Column("episodes", (), np.dtype("<i8")),
        "won": Column("episodes", (), np.dtype("i1")),
    }
    if not has_available_actions:
        del table["available_actions"]
    return table


def row_counts(n_episodes: int, n_transitions: int) -> dict[Rows, int]:
    """How many rows a column of each kind has."""
    return {
        "moments": n_transitions + n_episodes,
        "transitions": n_transitions,
        "episodes": n_episodes,
        "borders": n_episodes + 1,
    }


@dataclass(frozen=True, eq=False)
class TransitionBatch:
    """B transitions of any episodes. The arrays are copies and belong to the caller."""

    observations: FloatArray
    """[B, N, D]"""
    actions: ActionArray
    """int64[B, N] or float32[B, N, A]"""
    rewards: FloatArray
    """[B]"""
    next_observations: FloatArray
    """[B, N, D]"""
    terminated: BoolArray
    """[B]"""
    truncated: BoolArray
    """[B]"""
    available_actions: BoolArray | None
    """[B, N, A]"""
    next_available_actions: BoolArray | None
    """[B, N, A]"""
    states: FloatArray
    """[B, S]"""
    next_states: FloatArray
    """[B, S]"""


@dataclass(frozen=True, eq=False)
class StoredEpisode:
    """One episode of L transitions, as read-only views into the file."""

    seed: int
    won: bool | None
    """None where the scenario has no winner."""
    observations: FloatArray
    """[L + 1, N, D]"""
    available_actions: BoolArray | None
    """[L + 1, N, A]"""
    states: FloatArray
    """[L + 1, S]"""
    actions: Array
    """[L, N] small integers or float32[L, N, A], as stored."""
    rewards: FloatArray
    """[L]"""
    terminated: BoolArray
    """[L]"""
    truncated: BoolArray
    """[L]"""

    @property
    def length(self) -> int:
        """L."""
        return len(self.rewards)

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of the stored rewards, added up in double precision."""
        return float(np.sum(self.rewards, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Recorded episodes. Arrays are read-only memory maps laid out as this module's table says."""

    card: DatasetCard
    observations: FloatArray
    states: FloatArray
    actions: Array
    rewards: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    episode_offsets: IntArray
    episode_seeds: IntArray
    won: npt.NDArray[np.int8]
    available_actions: BoolArray | None = None

    @property
    def n_episodes(self) -> int:
        """E."""
        return len(self.episode_seeds)

    @property
    def n_transitions(self) -> int:
        """T."""
        return len(self.rewards)

    def arrays(self) -> Mapping[str, Array]:
        """The stored arrays by name, without copying; `available_actions` only where masks exist."""
        names = columns(self.card, self.available_actions is not None)
        return {name: getattr(self, name) for name in names}

    def transitions(self, indices: IntArray) -> TransitionBatch:
        """Copy the transitions of these indices [B], in this order; repeats are allowed.

        Raises:
            IndexError: an index is negative or not below T.
        """
        if len(indices) and (indices.min() < 0 or indices.max() >= self.n_transitions):
            raise IndexError(f"transition indices must be from 0 to {self.n_transitions - 1}")
        rows = indices + np.searchsorted(self.episode_offsets, indices, side="right") - 1
        following = rows + 1
        masks = self.available_actions
        actions = self.actions.take(indices, axis=0)  # `take` copies rows twice as fast as indexing
        return TransitionBatch(
            observations=self.observations.take(rows, axis=0),
            actions=actions.astype(np.int64) if self.card.action_kind == "discrete" else actions,
            rewards=self.rewards.take(indices),
            next_observations=self.observations.take(following, axis=0),
            terminated=self.terminated.take(indices),
            truncated=self.truncated.take(indices),
            available_actions=None if masks is None else masks.take(rows, axis=0),
            next_available_actions=None if masks is None else masks.take(following, axis=0),
            states=self.states.take(rows, axis=0),
            next_states=self.states.take(following, axis=0),
        )

    def episode(self, episode: int) -> StoredEpisode:
        """The whole episode of this index.

        Raises:
            IndexError: the index is negative or not below E.
        """
        if not 0 <= episode < self.n_episodes:
            raise IndexError(f"episode indices must be from 0 to {self.n_episodes - 1}, not {episode}")
        first, last = (int(offset) for offset in self.episode_offsets[episode : episode + 2])
        moments = slice(first + episode, last + episode + 1)
        won = int(self.won[episode])
        return StoredEpisode(
            seed=int(self.episode_seeds[episode]),
            won=None if won < 0 else bool(won),
            observations=self.observations[moments],
            available_actions=None if self.available_actions is None else self.available_actions[moments],
            states=self.states[moments],
            actions=self.actions[first:last],
            rewards=self.rewards[first:last],
            terminated=self.terminated[first:last],
            truncated=self.truncated[first:last],
        )

    def episode_returns(self) -> DoubleArray:
        """Undiscounted returns [E]."""
        return np.array([self.episode(e).episode_return for e in range(self.n_episodes)])

    def check_matches(self, spec: TeamSpec) -> None:
        """Make sure that agents of this world can learn from this dataset.

        The engine may differ: learning from the real game and playing in the embedded one is legitimate. So may states
        (see `observation_layout`) if the specification has their size, because nobody acts on them.

        Raises:
            MismatchError: scenario, layout or a size differs; the message names both sides.
        """
        keys = (
            "scenario",
            "layout",
            "n_agents",
            "observation_size",
            "state_size",
            "action_kind",
            "action_size",
        )
        for key in keys:
            stored, wanted = getattr(self.card, key), getattr(spec, key)
            alike = stored == wanted
            if key == "layout":
                alike = observation_layout(stored) == observation_layout(wanted)
            if not alike:
                raise MismatchError(
                    f"dataset of {self.card.scenario} has {key} {stored}, but {spec.scenario} needs {key} {wanted}; "
                    "use a dataset collected in this scenario"
                )
