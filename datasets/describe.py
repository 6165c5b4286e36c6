"""What is in a dataset: returns, lengths, actions, coverage, and a check of masks and terminal flags.

Everything is recomputed from the arrays in one pass, episode by episode; the card is only quoted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from datasets.card import DatasetCard, ReturnStatistics
from datasets.schema import Array, Dataset, StoredEpisode
from env_adapters.api import BoolArray, DoubleArray, IntArray

N_BINS = 10
"""Bars of each histogram, at most; never more than there are distinct values."""
MAX_LISTED = 5
"""Offending rows that are listed; the rest is only counted."""


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
        """Whether every action is legal and every episode ends as it should."""
        return not self.n_illegal and not self.n_terminal_problems


@dataclass
class _Findings:
    """What one pass over the episodes adds up."""

    action_size: int
    action_sums: DoubleArray = field(init=False)
    illegal: list[IllegalAction] = field(default_factory=list)
    n_illegal: int = 0
    terminal: list[TerminalProblem] = field(default_factory=list)
    originals: dict[bytes, int] = field(default_factory=dict)
    duplicates: list[Duplicate] = field(default_factory=list)
    state_pairs: set[bytes] = field(default_factory=set)
    observation_pairs: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.action_sums = np.zeros(self.action_size)

    def add(self, index: int, first: int, episode: StoredEpisode) -> None:
        """Take in episode `index`, whose first transition is `first`."""
        self.action_sums += _action_sums(episode.actions, self.action_size)
        illegal = np.argwhere(~_legal(episode))
        self.n_illegal += len(illegal)
        for step, agent in illegal[: MAX_LISTED - len(self.illegal)].tolist():
            action = episode.actions[step, agent].tolist()
            self.illegal.append(IllegalAction(index, first + step, agent, action))
        self.terminal += [
            TerminalProblem(index, first + step, text) for step, text in _terminal_problems(episode)
        ]
        original = self.originals.setdefault(_episode_hash(episode), index)
        if original != index:
            self.duplicates.append(Duplicate(index, original))
        self.state_pairs.update(_pair_hashes(episode.states[:-1], episode.actions))
        self.observation_pairs.update(_pair_hashes(episode.observations[:-1], episode.actions))


def describe(dataset: Dataset) -> Description:
    """Read a dataset once and report what is in it; memory grows by some 200 bytes per transition."""
    found = _Findings(dataset.card.action_size)
    for index in range(dataset.n_episodes):
        found.add(index, int(dataset.episode_offsets[index]), dataset.episode(index))
    returns = dataset.episode_returns()
    n_actions = dataset.n_transitions * dataset.card.n_agents
    return Description(
        card=dataset.card,
        returns=ReturnStatistics.of(returns),
        return_histogram=_histogram(returns),
        length_histogram=_histogram(np.diff(dataset.episode_offsets)),
        win_rate=float(np.mean(dataset.won)) if np.all(dataset.won >= 0) else None,
        action_usage=found.action_sums / n_actions,
        n_actions=n_actions,
        n_illegal=found.n_illegal,
        illegal=tuple(found.illegal),
        n_terminal_problems=len(found.terminal),
        terminal_problems=tuple(found.terminal[:MAX_LISTED]),
        n_duplicates=len(found.duplicates),
        duplicates=tuple(found.duplicates[:MAX_LISTED]),
        state_coverage=len(found.state_pairs) / dataset.n_transitions,
        observation_coverage=len(found.observation_pairs) / dataset.n_transitions,
    )


def _histogram(values: npt.NDArray[np.float64] | IntArray) -> Histogram:
    counts, edges = np.histogram(values, bins=min(N_BINS, len(np.unique(values))))
    return Histogram(edges, counts)


def _action_sums(actions: Array, action_size: int) -> DoubleArray:
    """[A]: how often each discrete action occurs, or the summed magnitudes of each component."""
    if actions.dtype.kind == "f":
        return np.asarray(np.abs(actions).sum(axis=(0, 1), dtype=np.float64))
    return np.bincount(actions.ravel(), minlength=action_size).astype(np.float64)


def _legal(episode: StoredEpisode) -> BoolArray:
    """[L, N]: whether the action was available (discrete) or within [-1, 1] (continuous)."""
    actions = episode.actions
    if actions.dtype.kind == "f":
        return np.asarray((np.abs(actions) <= 1.0).all(axis=2))
    if episode.available_actions is None:
        return np.ones(actions.shape, dtype=np.bool_)
    chosen = actions[..., None].astype(np.int64)
    return np.asarray(np.take_along_axis(episode.available_actions[:-1], chosen, axis=2)[..., 0])


def _terminal_problems(episode: StoredEpisode) -> Iterator[tuple[int, str]]:
    """Steps whose flags are wrong, with the reason."""
    ended = episode.terminated | episode.truncated
    for step in np.flatnonzero(ended[:-1]).tolist():
        yield step, "flagged as an end, but the episode goes on"
    last = episode.length - 1
    if not ended[last]:
        yield last, "last transition is neither terminated nor truncated"
    if episode.terminated[last] and episode.truncated[last]:
        yield last, "last transition is both terminated and truncated"


def _episode_hash(episode: StoredEpisode) -> bytes:
    hasher = hashlib.blake2b(digest_size=16)
    for array in (episode.observations, episode.states, episode.actions, episode.rewards):
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.digest()


def _pair_hashes(situations: Array, actions: Array) -> Iterator[bytes]:
    """128-bit digests of each row's (situation, joint action) bytes; a collision is out of the question."""
    for situation, action in zip(situations, actions, strict=True):
        yield hashlib.blake2b(situation.tobytes() + action.tobytes(), digest_size=16).digest()


def format_description(description: Description) -> str:
    """The description as plain text of several lines, at most about 100 columns wide."""
    sections = [
        _format_card(description.card),
        _format_returns(description),
        _format_histogram("episode returns", description.return_histogram),
        _format_histogram("episode lengths (steps)", description.length_histogram),
        _format_actions(description),
        _format_checks(description),
    ]
    return "\n\n".join("\n".join(line.rstrip() for line in lines) for lines in sections)


def _format_card(card: DatasetCard) -> list[str]:
    lines = [
        f"{card.scenario}  layout {card.layout}  engine {card.engine}",
        f"{card.n_transitions} transitions in {card.n_episodes} episodes, seed {card.seed}",
        f"{card.n_agents} agents, observation {card.observation_size}, state {card.state_size}, "
        f"{card.action_kind} actions {card.action_size}"
        + ("" if card.has_available_actions else ", no masks"),
    ]
    for behaviour, share in zip(card.behaviours, card.shares, strict=True):
        lines.append(
            f"behaviour {behaviour.name}: {share:.1%} of episodes, {behaviour.act_mode}, "
            f"weights {behaviour.weights_hash}"
        )
    lines += [f"source {card.source}"] if card.source else []
    lines += [f"note: {note}" for note in card.notes]
    return [*lines, f"sha256 {card.sha256}, written by version {card.created_with}"]


def _format_returns(description: Description) -> list[str]:
    returns = description.returns
    lines = [
        f"return {returns.mean:.3f} ± {returns.std:.3f} (std)",
        f"  min {returns.min:.3f}  quartiles {returns.lower_quartile:.3f} {returns.median:.3f} "
        f"{returns.upper_quartile:.3f}  max {returns.max:.3f}",
    ]
    if description.win_rate is not None:
        lines.append(f"win rate {description.win_rate:.1%}")
    return lines


def _format_histogram(title: str, histogram: Histogram) -> list[str]:
    lines = [title]
    largest = int(histogram.counts.max())
    for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        lines.append(f"  {low:9.2f} to {high:9.2f} {count:8d} {_bar(count / largest)}")
    return lines


def _bar(share: float) -> str:
    """Up to 40 characters; anything above zero shows at least one."""
    return "#" * (max(1, round(40 * share)) if share > 0 else 0)


def _format_actions(description: Description) -> list[str]:
    continuous = description.card.action_kind == "continuous"
    title = "mean magnitude of each action component" if continuous else "share of each action"
    usage = description.action_usage
    return [
        title,
        *(f"  {index:4d} {share:7.4f} {_bar(share)}" for index, share in enumerate(usage.tolist())),
    ]


def _format_checks(description: Description) -> list[str]:
    lines = [f"legal actions {description.legal_share:.4%} ({description.n_illegal} illegal)"]
    for illegal in description.illegal:
        lines.append(
            f"  transition {illegal.transition} (episode {illegal.episode}), agent {illegal.agent}: action {illegal.action}"
        )
    lines.append(f"terminal flags: {description.n_terminal_problems} problems")
    for found in description.terminal_problems:
        lines.append(f"  transition {found.transition} (episode {found.episode}): {found.problem}")
    lines.append(f"duplicate episodes: {description.n_duplicates}")
    for duplicate in description.duplicates:
        lines.append(f"  episode {duplicate.episode} repeats episode {duplicate.original}")
    lines.append(
        f"coverage (distinct pairs / transitions): state-action {description.state_coverage:.4f}, "
        f"observation-action {description.observation_coverage:.4f}"
    )
    return lines
