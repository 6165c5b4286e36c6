"""What cutting and reading a source found: lengths and ends of its episodes, what was left out, actions out of range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.formats import layout, source
from datasets.formats.streams import Cut, Cuts
from datasets.schema import Array


@dataclass
class Findings:
    """Counts of one source; every reader fills one and hands its notes over."""

    path: Path
    key: str
    """Where the source flags ends."""
    scenario: str
    terminals: str = "auto"
    """See `Reading.terminals`."""
    default_limit: int | None = None
    """Of scenarios that are not known."""
    _lengths: list[int] = field(default_factory=list)
    _n_terminated: int = 0
    _n_shortened: int = 0
    _n_lost: int = 0
    _n_short: int = 0
    _n_left_out: int = 0
    _n_outside: int = 0
    _largest: float = 1.0

    @property
    def limit(self) -> int | None:
        """Steps after which the scenario stops an episode; None where it is not known."""
        known = layout.known_scenario(self.scenario)
        return self.default_limit if known is None else known.episode_limit

    @property
    def _is_starcraft(self) -> bool:
        known = layout.known_scenario(self.scenario)
        return known is not None and known.family.startswith("smac")

    def cut_path(
        self, length: int, flagged: bool, first: int = 0, has_final_row: bool = False, place: int | str = ""
    ) -> Cut:
        """Cut an episode that the source keeps apart from others, and count it.

        Args:
            length: its steps, as stored.
            flagged: whether the source flags an end at the last of them.
            first: its first row.
            has_final_row: whether the observation after the last step follows.
            place: row, or file and episode, for the message.

        Raises:
            CorruptFileError: it is longer than the scenario allows.
        """
        by_length = self.terminals == "path" and length != self.limit
        terminated = flagged or by_length
        lost = not terminated and not has_final_row
        self.episode(length, terminated, lost, place)
        return Cut(first, length - lost, terminated, has_final_row or lost)

    def episode(self, length: int, terminated: bool, lost: bool, place: int | str = "") -> None:
        """Count an episode of `length` stored steps; CorruptFileError where it is longer than the scenario allows."""
        limit = self.limit
        # Who reads flagged final rows as transitions has one more in each episode.
        if limit is not None and length > limit + (self.terminals == "transition"):
            raise source.corrupt(
                self.path,
                self.key,
                f"makes an episode of {length} steps, but {self.scenario} ends after {limit} "
                "(if no end is flagged: --terminals path)",
                None if place == "" else place,
            )
        self._lengths.append(length)
        self._n_terminated += terminated
        self._n_shortened += lost
        self._n_lost += lost and length == 1
        self._n_short += not terminated and self._is_starcraft and limit is not None and length < limit

    def stream(self, cuts: Cuts) -> None:
        """Count the episodes of a stream that was cut at its flags; errors as `episode` raises them."""
        for cut in cuts.episodes:
            lost = bool(cuts.n_shortened) and cut.has_final_row
            self.episode(cut.n_transitions + lost, cut.terminated, lost, cut.stop - 1)
        self._n_left_out += cuts.n_left_out

    def continuous_actions(self, values: Array) -> None:
        """Count the transitions [B, N, A] in which an action lies outside [-1, 1]."""
        sizes = np.abs(values.reshape(len(values), -1)).max(axis=1, initial=0.0)
        self._n_outside += int((sizes > 1.0 + 1e-6).sum())
        self._largest = max(self._largest, float(sizes.max(initial=0.0)))

    def check_ends(self) -> None:
        """Refuse a source that flags no end although its episodes do not look like ones that a time limit ended.

        On a StarCraft map those are shorter than the map's limit; elsewhere their lengths differ. The last episode may be
        one that the recording cut.

        Raises:
            CorruptFileError: so it is, and the user does not say that paths end where their rows do.
        """
        if self._n_terminated or self.terminals == "path" or not self._lengths:
            return
        limit = self.limit if self._is_starcraft else self._lengths[0]
        before = self._lengths[:-1] or self._lengths
        odd = [length for length in before if length != limit]
        if odd and limit is not None:
            what = f"the map's limit is {limit}" if self._is_starcraft else f"others have {limit}"
            raise source.corrupt(
                self.path,
                self.key,
                f"flags no end of any episode, but {len(odd)} of {len(self._lengths)} are no result of a time limit "
                f"(one has {odd[0]} steps, {what}); --terminals path takes the ends of the rows for ends of the episodes",
            )

    def notes(self) -> Iterator[str]:
        """What the user should know, one sentence each."""
        if self.terminals == "path":
            yield f"--terminals path was followed: {self._n_terminated} episodes count as terminated where their rows end"
        if self._n_left_out:
            yield f"{self._n_left_out} rows outside whole episodes were left out"
        if self._n_shortened:
            gone = f"; {self._n_lost} of them had no other row and are gone" if self._n_lost else ""
            yield (
                f"{self._n_shortened} truncated episodes gave their last row for the observation after the last step, "
                f"which the source does not store: {self._n_shortened} transitions fewer{gone}"
            )
        if self._n_short and self.terminals != "path":
            yield (
                f"{self._n_short} episodes shorter than the limit of {self.limit} steps have no end flagged and count as "
                "truncated"
            )
        if self._n_outside:
            yield (
                f"{self._n_outside} transitions have actions outside [-1, 1], up to {self._largest:.3g}: they are kept as "
                "they are; simulators clip them"
            )
