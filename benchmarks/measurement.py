"""One quantity measured several times, as the rows of reports show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from harness.commands.bench import Report

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


def make_report(benchmark: str, quick: bool, rows: Sequence[Measurement], notes: list[str]) -> Report:
    """The report of a benchmark whose rows are all measurements; arguments as the fields of `Report`."""
    cells = [row.cells() for row in rows]
    return Report(benchmark, quick, _HEADERS, cells, [row.row() for row in rows], notes)
