"""Claims of a paper, put to the test: a difference of scores, its interval, and a plain verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError
from harness.statistics.intervals import Interval
from harness.statistics.two_level import nested_difference
from harness.study.scores import Scores

MARGIN: Final = 5.0
"""Points of normalised score that count as no difference."""
_POOLED: Final = "all together"


@dataclass(frozen=True)
class Finding:
    """A claim on one dataset, or on all together."""

    claim: str
    dataset: str
    ours: str
    theirs: str
    difference: float
    """Of mean scores, ours minus theirs."""
    interval: Interval[float] | None
    """95 % (Welch's t over training seeds); None where seeds do not vary."""
    verdict: str


def test(scores: Scores, claims: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Every claim on every dataset that it names, and on all of them together.

    A claim has a `text`, a variant `ours` and others `theirs`, and perhaps `datasets` (default: all of the study).
    It says that ours is at least as good, or with `same = true` that there is no difference. Datasets of maps without
    references have no scores to compare.

    Raises:
        InvalidValueError: a key is missing, or unknown.
    """
    found = []
    for claim in claims:
        unknown = set(claim) - {"text", "ours", "theirs", "datasets", "same"}
        missing = {"text", "ours", "theirs"} - set(claim)
        if unknown or missing:
            raise InvalidValueError(
                f"claim {claim.get('text')!r}: {', '.join(sorted(unknown | missing))} unknown or missing"
            )
        for theirs in claim["theirs"]:
            found += _test_pair(scores, claim, theirs)
    return found


def _test_pair(scores: Scores, claim: Mapping[str, Any], theirs: str) -> list[Finding]:
    pairs: dict[str, tuple[DoubleArray, DoubleArray]] = {}
    for dataset in claim.get("datasets", scores.study.datasets):
        sides = [scores.find(dataset, name) for name in (claim["ours"], theirs)]
        if sides[0] is not None and sides[1] is not None and scores.references[dataset] is not None:
            pairs[dataset] = (sides[0].scores(), sides[1].scores())
    if len(pairs) > 1:
        first, second = ([pair[side] for pair in pairs.values()] for side in (0, 1))
        pairs[_POOLED] = (np.mean(first, axis=0), np.mean(second, axis=0))
    return [_finding(claim, dataset, theirs, ours, others) for dataset, (ours, others) in pairs.items()]


def _finding(
    claim: Mapping[str, Any], dataset: str, theirs: str, ours: DoubleArray, others: DoubleArray
) -> Finding:
    found = nested_difference([[x] for x in ours], [[x] for x in others])
    judge = _same if claim.get("same") else _at_least
    verdict = "undecided: seeds do not vary" if found.interval is None else judge(found.interval)
    return Finding(claim["text"], dataset, claim["ours"], theirs, found.estimate, found.interval, verdict)


def _at_least(interval: Interval[float]) -> str:
    low, high = interval.lower, interval.upper
    if low > 0.0:
        return "holds: better"
    if low >= -MARGIN:
        return f"holds: not worse by {MARGIN:g} points"
    if high < 0.0:
        return "does not hold: worse"
    return "undecided"


def _same(interval: Interval[float]) -> str:
    low, high = interval.lower, interval.upper
    if low >= -MARGIN and high <= MARGIN:
        return f"holds: within {MARGIN:g} points"
    if low > 0.0 or high < 0.0:
        return "does not hold: " + ("better" if low > 0.0 else "worse")
    return "undecided"
