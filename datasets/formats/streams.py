"""Episodes out of one long stream of rows, which is how most offline datasets are stored.

Where a source keeps the observation after the last step, it is used. Where it does not, a terminated episode repeats
its last row instead, which no learner looks at, because nothing follows a terminal transition; a truncated episode
gives its last row for it and so loses one transition, because there learners do look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datasets.formats import source
from datasets.schema import Array
from env_adapters.rollout import Episode

if TYPE_CHECKING:
    from datasets.formats.findings import Findings

_BLOCK_BYTES = 1 << 23
"""Rows are read in blocks of about this many bytes."""


class Cut(NamedTuple):
    """Where one episode lies in a stream."""

    first: int
    """Its first row."""
    n_transitions: int
    terminated: bool
    """Truncated otherwise."""
    has_final_row: bool
    """Whether row `first + n_transitions` holds the observation after the last step."""

    @property
    def stop(self) -> int:
        """The row after its last one."""
        return self.first + self.n_transitions + self.has_final_row


class Cuts(NamedTuple):
    """All episodes of a stream."""

    episodes: list[Cut]
    n_left_out: int
    """Rows that begin no transition and serve no episode as its final moment."""
    n_shortened: int
    """Truncated episodes that lost their last transition."""


def cut_after_last_transitions(
    terminals: Array, truncations: Array, truncated_keep_all: bool = False
) -> Cuts:
    """Cut where an end is flagged at the last transition; flags bool[T], terminals first where both are set.

    With `truncated_keep_all` the source holds next observations, so that no transition is lost.
    """
    episodes, first, left_out, shortened = [], 0, 0, 0
    for last in np.flatnonzero(terminals | truncations).tolist():
        length, first_row = last + 1 - first, first
        first = last + 1
        if terminals[last] or truncated_keep_all:
            episodes.append(Cut(first_row, length, bool(terminals[last]), False))
        elif length > 1:
            episodes.append(Cut(first_row, length - 1, False, True))
            shortened += 1
        else:
            left_out += 1
    return Cuts(episodes, left_out + len(terminals) - first, shortened)


def cut_at_terminal_rows(terminals: Array, episode_limit: int) -> Cuts:
    """Cut where a flagged row holds the final observation and no transition (OMIGA's convention).

    Its flag does not tell ends from limits: an episode of `episode_limit` steps counts as truncated.
    """
    episodes, first, left_out = [], 0, 0
    for last in np.flatnonzero(terminals).tolist():
        if last > first:
            episodes.append(Cut(first, last - first, last - first < episode_limit, True))
        else:
            left_out += 1
        first = last + 1
    return Cuts(episodes, left_out + len(terminals) - first, 0)


@dataclass(frozen=True)
class Stream:
    """T rows of a source, to be read piecewise."""

    path: Path
    keys: Mapping[str, str]
    """Our names -> names in the source, for messages. Without `available_actions` there are no masks; `next_observations`
    and `next_states` are read where they are."""
    read: Callable[[str, int, int], Array]
    """read(our name, start, stop): rows of observations [B, N, D], states [B, S], actions [B, N] or [B, N, A], rewards
    [B] or [B, N], available_actions [B, N, A], in any numeric type."""
    n_actions: int | None
    """None for continuous actions."""
    keep_illegal: bool = False
    findings: Findings | None = None
    """Told of actions that are numbers."""

    def episodes(self, cuts: Sequence[Cut]) -> Iterator[Episode]:
        """Read the episodes in order, in blocks of whole episodes.

        Raises:
            CorruptFileError: a value is not finite, an action does not exist or was not available, or agents have
                different rewards; the message names file, key and row.
        """
        if not cuts:
            return
        sample = sum(self.read(name, 0, 1).nbytes for name in self.keys)
        n_rows = max(1, _BLOCK_BYTES // max(1, sample))
        start = 0
        while start < len(cuts):
            stop = start + 1
            while stop < len(cuts) and cuts[stop].stop - cuts[start].first <= n_rows:
                stop += 1
            yield from self._block(cuts[start:stop])
            start = stop

    def _block(self, cuts: Sequence[Cut]) -> Iterator[Episode]:
        base, stop = cuts[0].first, cuts[-1].stop
        rows: dict[str, Array] = {name: self.read(name, base, stop) for name in self.keys}
        for name in rows:
            if name == "available_actions":
                rows[name] = source.masks(self.path, self.keys[name], base, rows[name])
            elif name == "rewards":
                rows[name] = source.team(
                    self.path, self.keys[name], base, self._finite(name, base, rows[name])
                )
            elif name != "actions" or self.n_actions is None:
                rows[name] = self._finite(name, base, rows[name])
        source.check_size_of(self.path, self.keys["rewards"], base, rows["rewards"])
        if self.n_actions is not None:
            self._check_discrete(rows, base, cuts)
        else:
            self._check_continuous(rows["actions"], base, cuts)
        for cut in cuts:
            yield _episode(rows, cut, cut.first - base)

    def _finite(self, name: str, base: int, values: Array) -> Array:
        return source.finite(self.path, self.keys[name], base, values)

    def _check_discrete(self, rows: Mapping[str, Array], base: int, cuts: Sequence[Cut]) -> None:
        """Check the actions of transitions; those of final rows mean nothing."""
        assert self.n_actions is not None
        steps = _transitions(cuts)
        actions = rows["actions"][steps - base]

        def place(index: int) -> int:
            return int(steps[index])

        source.check_actions(self.path, self.keys["actions"], place, actions, self.n_actions)
        if "available_actions" in rows and not self.keep_illegal:
            masks = rows["available_actions"][steps - base]
            source.check_available(self.path, self.keys["actions"], place, actions, masks)

    def _check_continuous(self, actions: Array, base: int, cuts: Sequence[Cut]) -> None:
        source.check_size_of(self.path, self.keys["actions"], base, actions)
        if self.findings is not None:
            self.findings.continuous_actions(actions[_transitions(cuts) - base])


def _transitions(cuts: Sequence[Cut]) -> Array:
    """Numbers of the rows that are transitions."""
    return np.concatenate([np.arange(cut.first, cut.first + cut.n_transitions) for cut in cuts])


def _episode(rows: Mapping[str, Array], cut: Cut, first: int) -> Episode:
    last = first + cut.n_transitions

    def moments(name: str) -> list[Array]:
        if name not in rows:
            return []
        if cut.has_final_row:
            return list(rows[name][first : last + 1])
        final = rows.get(f"next_{name}", rows[name])[last - 1]
        return [*rows[name][first:last], final]

    return Episode(
        seed=source.UNKNOWN_SEED,
        rewards=rows["rewards"][first:last].tolist(),
        terminated=cut.terminated,
        truncated=not cut.terminated,
        observations=moments("observations"),
        available_actions=moments("available_actions"),
        states=moments("states"),
        actions=list(rows["actions"][first:last]),
    )
