"""What is in a dataset: returns, lengths, actions, coverage, and a check of masks, terminal flags and features.

Everything is recomputed from the arrays in one pass, some thousand transitions at a time; the card is only quoted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from datasets.card import DatasetCard, ReturnStatistics
from datasets.schema import Array, Dataset
from env_adapters.api import BoolArray, DoubleArray, IntArray

N_BINS = 10
"""Bars of each histogram, at most; never more than there are distinct values."""
MAX_LISTED = 5
"""Offending rows that are listed; the rest is only counted."""
_BLOCK = 10_000
"""Transitions that are looked at together, rounded to whole episodes."""
_DIGEST_BYTES = 16
"""A collision is out of the question."""


class Histogram(NamedTuple):
    """Counts between edges; the last bin includes its upper edge."""

    edges: DoubleArray
    """[bins + 1]"""
    counts: IntArray
    """[bins]"""


class IllegalAction(NamedTuple):
    """A stored action that was not available, or a continuous one outside [-1, 1]."""

    episode: int
    transition: int
    agent: int
    action: int | list[float]


class TerminalProblem(NamedTuple):
    """An episode whose flags do not say that it ends once, at its last transition, in exactly one way."""

    episode: int
    transition: int
    problem: str


class Duplicate(NamedTuple):
    """An episode that repeats an earlier one bit for bit: observations, states, actions and rewards."""

    episode: int
    original: int


@dataclass(frozen=True, eq=False)
class Description:
    """The findings. Lists hold the first MAX_LISTED findings, the numbers beside them count all."""

    card: DatasetCard
    returns: ReturnStatistics
    episode_returns: DoubleArray
    """[E]"""
    episode_lengths: IntArray
    """[E], steps"""
    return_histogram: Histogram
    length_histogram: Histogram
    win_rate: float | None
    """None where an episode has no winner."""
    action_usage: DoubleArray
    """[A], over all agents: share of each discrete action, or mean magnitude of each continuous component."""
    n_actions: int
    """Stored actions: transitions times agents."""
    n_illegal: int
    illegal: tuple[IllegalAction, ...]
    n_terminal_problems: int
    terminal_problems: tuple[TerminalProblem, ...]
    n_duplicates: int
    duplicates: tuple[Duplicate, ...]
    n_duplicate_transitions: int
    """Transitions that repeat an earlier one bit for bit: observations, state, actions, reward and next observations."""
    n_not_finite: int
    """Numbers among observations, states and rewards that are infinite or not a number."""
    constant_features: tuple[int, ...]
    """Observation features that have one value at every moment, for all agents."""
    state_coverage: float
    """Joint SACo as OG-MARL publishes it: distinct (state, joint action) pairs / transitions."""
    observation_coverage: float
    """The same with joint observations, which is what the agents see."""

    @property
    def legal_share(self) -> float:
        """Share of the stored actions that were legal."""
        return 1.0 - self.n_illegal / self.n_actions

    @property
    def is_sound(self) -> bool:
        """Whether every action is legal, every episode ends as it should, and all numbers are finite."""
        return not (self.n_illegal or self.n_terminal_problems or self.n_not_finite)


class _Block(NamedTuple):
    """Whole episodes `first_episode` to `stop_episode` of a dataset."""

    first_episode: int
    stop_episode: int
    first: int
    """Its first transition; its first moment is that plus `first_episode`."""
    stop: int

    @property
    def moments(self) -> slice:
        """Its moments in the dataset."""
        return slice(self.first + self.first_episode, self.stop + self.stop_episode)


def _blocks(dataset: Dataset) -> Iterator[_Block]:
    offsets, start = dataset.episode_offsets, 0
    while start < dataset.n_episodes:
        wanted = int(np.searchsorted(offsets, offsets[start] + _BLOCK, side="right")) - 1
        stop = max(start + 1, wanted)
        yield _Block(start, stop, int(offsets[start]), int(offsets[stop]))
        start = stop


@dataclass
class _Findings:
    """What one pass over the blocks adds up."""

    dataset: Dataset
    action_sums: DoubleArray = field(init=False)
    lowest: Array = field(init=False)
    highest: Array = field(init=False)
    n_not_finite: int = 0
    n_illegal: int = 0
    illegal: list[IllegalAction] = field(default_factory=list)
    terminal: list[TerminalProblem] = field(default_factory=list)
    originals: dict[bytes, int] = field(default_factory=dict)
    duplicates: list[Duplicate] = field(default_factory=list)
    state_pairs: bytearray = field(default_factory=bytearray)
    observation_pairs: bytearray = field(default_factory=bytearray)
    transitions: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        card = self.dataset.card
        self.action_sums = np.zeros(card.action_size)
        self.lowest = np.full(card.observation_size, np.inf, np.float32)
        self.highest = -self.lowest

    def add(self, block: _Block) -> None:
        """Take in some episodes."""
        data, steps = self.dataset, slice(block.first, block.stop)
        lengths = np.diff(data.episode_offsets[block.first_episode : block.stop_episode + 1])
        episodes = np.repeat(np.arange(block.first_episode, block.stop_episode), lengths)
        rows = np.arange(block.first, block.stop) + episodes - block.moments.start
        observations, states = data.observations[block.moments], data.states[block.moments]
        actions, rewards = data.actions[steps], data.rewards[steps]
        masks = None if data.available_actions is None else data.available_actions[block.moments][rows]
        self.action_sums += _action_sums(actions, len(self.action_sums))
        self._check_actions(block, episodes, actions, masks)
        self._check_flags(block, episodes, lengths)
        for values in (observations, states, rewards):
            self.n_not_finite += int(np.count_nonzero(~np.isfinite(values)))
        self.lowest = np.minimum(self.lowest, observations.min(axis=(0, 1)))
        self.highest = np.maximum(self.highest, observations.max(axis=(0, 1)))
        self._hash(block, rows, observations, states, actions, rewards)

    def _check_actions(
        self, block: _Block, episodes: IntArray, actions: Array, masks: BoolArray | None
    ) -> None:
        illegal = np.argwhere(~_legal(actions, masks))
        self.n_illegal += len(illegal)
        for row, agent in illegal[: MAX_LISTED - len(self.illegal)].tolist():
            action = actions[row, agent].tolist()
            self.illegal.append(IllegalAction(int(episodes[row]), block.first + row, agent, action))

    def _check_flags(self, block: _Block, episodes: IntArray, lengths: IntArray) -> None:
        terminated = self.dataset.terminated[block.first : block.stop]
        truncated = self.dataset.truncated[block.first : block.stop]
        last = np.zeros(len(terminated), np.bool_)
        last[np.cumsum(lengths) - 1] = True
        ended = terminated | truncated
        problems = {
            "flagged as an end, but the episode goes on": ended & ~last,
            "last transition is neither terminated nor truncated": last & ~ended,
            "last transition is both terminated and truncated": last & terminated & truncated,
        }
        found = [(row, text) for text, wrong in problems.items() for row in np.flatnonzero(wrong).tolist()]
        self.terminal += [
            TerminalProblem(int(episodes[row]), block.first + row, text) for row, text in sorted(found)
        ]

    def _hash(
        self,
        block: _Block,
        rows: IntArray,
        observations: Array,
        states: Array,
        actions: Array,
        rewards: Array,
    ) -> None:
        """Digests of pairs, transitions and episodes."""
        seen, world, chosen, paid = (_digests(a) for a in (observations, states, actions, rewards))
        for step, row in enumerate(rows.tolist()):
            self.state_pairs += _digest(world[row] + chosen[step])
            self.observation_pairs += _digest(seen[row] + chosen[step])
            whole = seen[row] + world[row] + chosen[step] + paid[step] + seen[row + 1]
            self.transitions += _digest(whole)
        offsets = self.dataset.episode_offsets
        for episode in range(block.first_episode, block.stop_episode):
            first, stop = (int(offset) - block.first for offset in offsets[episode : episode + 2])
            shift = episode - block.first_episode
            moments = slice(first + shift, stop + shift + 1)
            parts = (*seen[moments], *world[moments], *chosen[first:stop], *paid[first:stop])
            original = self.originals.setdefault(_digest(b"".join(parts)), episode)
            if original != episode:
                self.duplicates.append(Duplicate(episode, original))


def describe(dataset: Dataset) -> Description:
    """Read a dataset once and report what is in it; memory grows by some 100 bytes per transition."""
    found = _Findings(dataset)
    for block in _blocks(dataset):
        found.add(block)
    returns, lengths = dataset.episode_returns(), np.diff(dataset.episode_offsets)
    n_actions = dataset.n_transitions * dataset.card.n_agents
    return Description(
        card=dataset.card,
        returns=ReturnStatistics.of(returns),
        episode_returns=returns,
        episode_lengths=lengths,
        return_histogram=_histogram(returns),
        length_histogram=_histogram(lengths),
        win_rate=float(np.mean(dataset.won)) if np.all(dataset.won >= 0) else None,
        action_usage=found.action_sums / n_actions,
        n_actions=n_actions,
        n_illegal=found.n_illegal,
        illegal=tuple(found.illegal),
        n_terminal_problems=len(found.terminal),
        terminal_problems=tuple(found.terminal[:MAX_LISTED]),
        n_duplicates=len(found.duplicates),
        duplicates=tuple(found.duplicates[:MAX_LISTED]),
        n_duplicate_transitions=dataset.n_transitions - _n_distinct(found.transitions),
        n_not_finite=found.n_not_finite,
        constant_features=tuple(np.flatnonzero(found.lowest == found.highest).tolist()),
        state_coverage=_n_distinct(found.state_pairs) / dataset.n_transitions,
        observation_coverage=_n_distinct(found.observation_pairs) / dataset.n_transitions,
    )


def _histogram(values: npt.NDArray[np.float64] | IntArray) -> Histogram:
    n_distinct = len(np.unique(np.round(values, 6)))  # equal returns differ by rounding
    counts, edges = np.histogram(values, bins=min(N_BINS, n_distinct))
    return Histogram(edges, counts)


def _action_sums(actions: Array, action_size: int) -> DoubleArray:
    """[A]: how often each discrete action occurs, or the summed magnitudes of each component."""
    if actions.dtype.kind == "f":
        return np.asarray(np.abs(actions).sum(axis=(0, 1), dtype=np.float64))
    return np.bincount(actions.ravel(), minlength=action_size).astype(np.float64)


def _legal(actions: Array, masks: BoolArray | None) -> BoolArray:
    """[T, N]: whether the action was available (discrete) or within [-1, 1] (continuous)."""
    if actions.dtype.kind == "f":
        return np.asarray((np.abs(actions) <= 1.0).all(axis=2))
    if masks is None:
        return np.ones(actions.shape, dtype=np.bool_)
    return np.asarray(np.take_along_axis(masks, actions[..., None].astype(np.int64), axis=2)[..., 0])


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _digests(rows: Array) -> list[bytes]:
    """Of the bytes of each row; short rows are their own digest."""
    content = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
    size = len(content) // len(rows)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return [bytes(piece) if size <= _DIGEST_BYTES else _digest(piece) for piece in pieces]


def _n_distinct(digests: bytearray) -> int:
    """How many of the digests, one after the other, differ from all before."""
    halves = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
    ordered = halves[np.lexsort((halves[:, 1], halves[:, 0]))]
    return 1 + int(np.count_nonzero((ordered[1:] != ordered[:-1]).any(axis=1)))
