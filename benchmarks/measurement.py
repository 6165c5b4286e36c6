"""Quantities measured several times and in turns, and the rows of reports that show them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from harness.commands.bench import Report

TURN_S: Final = 0.5
"""How long each contender runs before the next one's turn."""
Steps = Callable[[int], None]
"""Makes so many steps, and waits until they are made."""
Clock = Callable[[], float]
"""Seconds."""
_HEADERS: Final = ("what", "unit", "median", "spread", "n", "target", "verdict")


@dataclass(frozen=True)
class Measurement:
    """One row: a quantity measured `n` times."""

    what: str
    unit: str
    values: Sequence[float]
    target: float | None = None
    at_most: bool = False
    """Whether the target is an upper limit."""

    @property
    def value(self) -> float:
        """Median of the repetitions."""
        return median(self.values)

    @property
    def verdict(self) -> str:
        """`reached`, or how far the target is; `-` without a target."""
        if self.target is None:
            return "-"
        if self.value <= self.target if self.at_most else self.value >= self.target:
            return "reached"
        if self.at_most:
            return f"{self.value / self.target:.2f} x the limit"
        return f"{math.floor(100 * self.value / self.target)}% of target"

    def row(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "what": self.what,
            "unit": self.unit,
            "median": self.value,
            "lowest": min(self.values),
            "highest": max(self.values),
            "n": len(self.values),
            "target": self.target,
            "verdict": self.verdict,
        }

    def cells(self) -> tuple[object, ...]:
        """The row of the printed table."""
        target = "-" if self.target is None else _number(self.target)
        spread = f"{_number(min(self.values))} .. {_number(max(self.values))}"
        return (self.what, self.unit, _number(self.value), spread, len(self.values), target, self.verdict)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def in_turns(
    contenders: Mapping[str, Steps], repetitions: int, turn_s: float, clock: Clock = time.process_time
) -> dict[str, list[float]]:
    """Seconds per step of each contender, in turns of about `turn_s` (at least one step), so that all meet the same load."""
    lengths = {name: _length(steps, turn_s, clock) for name, steps in contenders.items()}
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, steps in contenders.items():
            found[name].append(_timed(steps, lengths[name], clock))
    return found


def _length(steps: Steps, duration_s: float, clock: Clock) -> int:
    """Number of steps that take about so long, after a first one that does not count."""
    _timed(steps, 1, clock)
    return max(1, int(duration_s / max(_timed(steps, 1, clock), 1e-6)))


def _timed(steps: Steps, n: int, clock: Clock) -> float:
    """Seconds of each of n steps."""
    start = clock()
    steps(n)
    return (clock() - start) / n


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours in units of theirs, turn by turn."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def percent(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours in percent of theirs, turn by turn."""
    return [100.0 * ratio for ratio in ratios(ours, theirs)]


def make_report(benchmark: str, quick: bool, rows: Sequence[Measurement], notes: list[str]) -> Report:
    """The report of a benchmark whose rows are all measurements; arguments as the fields of `Report`."""
    cells = [row.cells() for row in rows]
    return Report(benchmark, quick, _HEADERS, cells, [row.row() for row in rows], notes)
