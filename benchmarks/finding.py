"""One line of the fidelity table, and the numbers of the real game that it is held against."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from env_adapters.api import DoubleArray
from harness.statistics import Interval

Verdict = Literal["ok", "outside", "no reference", "recalled"]
"""`recalled`: compared with a number that was quoted from memory and not seen in a file; it decides nothing."""

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Finding:
    """What the real game does, what the engine does, and whether they agree."""

    what: str
    reference: str
    here: str
    inside: bool | None
    """Whether the two agree by the rule that `reference` states; None without a reference."""
    source: str
    """Where the reference is from."""
    n: int
    """Episodes, attacks or units behind `here`."""
    value: float
    interval: Interval[float] | None = None
    """95 % confidence interval of `value`."""
    recalled: bool = False

    @property
    def verdict(self) -> Verdict:
        """The verdict as one of four words."""
        if self.inside is None:
            return "no reference"
        if self.recalled:
            return "recalled"
        return "ok" if self.inside else "outside"

    def row(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self) | {"verdict": self.verdict}

    def cells(self) -> tuple[object, ...]:
        """The row of the printed table; behind `recalled` stands which way it points."""
        told = {True: " (agrees)", False: " (differs)", None: ""}[self.inside] if self.recalled else ""
        return (self.what, self.reference, self.here, self.n, self.verdict + told, self.source)


@cache
def reference() -> dict[str, Any]:
    """Numbers of the real game; every block of the file says where they are from and whether they are recalled."""
    text = Path(__file__).with_name("reference.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def mean_interval(values: DoubleArray) -> Interval[float]:
    """95 % confidence interval of the mean of many values [n], by the normal approximation."""
    centre, half = float(values.mean()), _Z * float(values.std(ddof=1)) / sqrt(len(values))
    return Interval(centre - half, centre + half)


def within(interval: Interval[float], value: float) -> bool:
    """Whether a value lies in an interval."""
    return interval.lower <= value <= interval.upper


def spread(values: DoubleArray, digits: int = 2) -> str:
    """Mean and standard deviation of values [n] as text."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
