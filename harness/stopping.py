"""When to stop an evaluation that runs until it knows enough.

The rule looks at the outcomes in the order of their seeds, never in the order in which they arrived, so that the
number of episodes does not depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.schema import EpisodeRecord
from harness.statistics.sequential import (
    first_better,
    first_precise,
    mean_sequence,
    precise_at,
    proportion_sequence,
)


@dataclass(frozen=True)
class UntilPrecise:
    """Stop when win rate, or mean return, is known to within a half-width."""

    half_width: float
    alpha: float
    has_win: bool

    def first(self, records: Sequence[EpisodeRecord]) -> int | None:
        """The first number of episodes that is enough, or None."""
        return first_precise(_outcomes(records, self.has_win), self.half_width, self.alpha, self.has_win)

    def intervals(self, records: Sequence[EpisodeRecord]) -> dict[str, float]:
        """The intervals of the summary, valid although it was the outcomes that decided when to stop."""
        tuning = {"best_at": precise_at(self.half_width, self.alpha)} if self.has_win else {}
        return _intervals(records, self.has_win, self.alpha, tuning)

    def __str__(self) -> str:
        what = "win rate" if self.has_win else "mean return"
        return f"{what} known to ±{self.half_width:g} (anytime-valid, {1.0 - self.alpha:.0%})"


@dataclass(frozen=True)
class UntilBetter:
    """Stop when this team is shown to do better than another one on the same episodes."""

    than: str
    theirs: Mapping[int, EpisodeRecord]
    """The other team's records by seed."""
    alpha: float
    has_win: bool

    def first(self, records: Sequence[EpisodeRecord]) -> int | None:
        """The first number of episodes that is enough, or None."""
        ours = _outcomes(records, self.has_win)
        theirs = _outcomes([self.theirs[record.episode_seed] for record in records], self.has_win)
        return first_better(ours, theirs, self.alpha)

    def __str__(self) -> str:
        return f"better than {self.than} (anytime-valid, alpha {self.alpha:g})"

    def intervals(self, records: Sequence[EpisodeRecord]) -> dict[str, float]:
        """The intervals of the summary, valid although it was the outcomes that decided when to stop."""
        return _intervals(records, self.has_win, 0.05, {})


StopRule = UntilPrecise | UntilBetter


class Prefix:
    """The records of the first seeds, as far as they are there without a gap.

    Args:
        seeds: in the order requested.
        finished: records by seed; may grow meanwhile.
        stop: when there are enough, or None for all.
    """

    def __init__(
        self, seeds: Sequence[int], finished: Mapping[int, EpisodeRecord], stop: StopRule | None
    ) -> None:
        self._seeds, self._finished, self._stop = seeds, finished, stop
        self._records: list[EpisodeRecord] = []
        self._looked_at = 0

    def _extend(self) -> None:
        while len(self._records) < len(self._seeds):
            record = self._finished.get(self._seeds[len(self._records)])
            if record is None:
                return
            self._records.append(record)

    def is_enough(self) -> bool:
        """Whether nothing more needs to be played. The rule is asked when the prefix has grown by some percent."""
        self._extend()
        n = len(self._records)
        if n == len(self._seeds):
            return True
        if self._stop is None or n < self._looked_at + max(4, self._looked_at // 50):
            return False
        self._looked_at = n
        return self._stop.first(self._records) is not None

    def result(self) -> tuple[list[EpisodeRecord], str | None]:
        """The records that count, and why there are so many."""
        self._extend()
        if self._stop is None:
            return self._records, None
        n = self._stop.first(self._records)
        if n is None:
            return self._records, f"not reached: {self._stop}"
        return self._records[:n], f"reached: {self._stop}"


def _intervals(
    records: Sequence[EpisodeRecord], has_win: bool, alpha: float, tuning: dict[str, int]
) -> dict[str, float]:
    """Ends of the anytime-valid 1 - alpha interval of win rate or mean return, as fields of a `Summary`."""
    outcomes = _outcomes(records, has_win)
    if not has_win:
        lower, upper = mean_sequence(outcomes, alpha, **tuning)
        return {"return_lower": float(lower[-1]), "return_upper": float(upper[-1])}
    lower, upper = proportion_sequence(int(outcomes.sum()), len(outcomes), alpha, **tuning)
    return {"win_rate_lower": float(lower), "win_rate_upper": float(upper)}


def _outcomes(records: Sequence[EpisodeRecord], has_win: bool) -> np.ndarray:
    """Wins as 0 and 1, or returns, float64[n]."""
    values = [bool(record.won) if has_win else record.episode_return for record in records]
    return np.array(values, dtype=np.float64)
