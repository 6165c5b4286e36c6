"""Claims about a run that a script can check: `win_rate.lower > 0.6 and episodes >= 320`.

claim  = term ("and" term)*
term   = METRIC [".lower" | ".upper"] OP NUMBER
METRIC = win_rate | return | iqm | episodes | crashed
OP     = > | >= | < | <= | == | !=
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from env_adapters.errors import InvalidValueError, MismatchError, UsageError
from harness.pairing import Side
from harness.schema import Run
from harness.statistics.aggregates import iqm, stratified_bootstrap_interval
from harness.statistics.checks import check_probability
from harness.statistics.intervals import Interval, mean_interval, wilson_interval

METRICS: Final = {
    "win_rate": "share of battles won, 0 to 1; bounds by Wilson",
    "return": "mean return; bounds by Student's t",
    "iqm": "interquartile mean of the returns; bounds by bootstrap",
    "episodes": "finished episodes; no bounds",
    "crashed": "episodes that broke off with an error; no bounds",
}
"""Metric -> what it is."""
_COUNTS: Final = ("episodes", "crashed")
_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_TERM: Final = re.compile(r"\s*([\w-]+)(?:\.([\w-]+))?\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")
_N_RESAMPLES: Final = 10_000


@dataclass(frozen=True)
class Term:
    """One comparison of a claim."""

    metric: str
    bound: str | None
    """lower, upper, or None for the value itself."""
    sign: str
    number: float

    @property
    def name(self) -> str:
        """As written: `win_rate.lower`."""
        return self.metric if self.bound is None else f"{self.metric}.{self.bound}"


@dataclass(frozen=True)
class Finding:
    """One term with what the run says."""

    term: Term
    value: float | None
    """None where there is no such bound: a single episode, or returns that are all equal."""
    holds: bool
    """False where there is no value."""


def parse_claim(text: str) -> list[Term]:
    """Read a claim.

    Raises:
        UsageError: it does not follow the grammar; the message says which part and what is allowed.
    """
    return [_parse_term(part) for part in re.split(r"\band\b", text)]


def _parse_term(part: str) -> Term:
    match = _TERM.fullmatch(part)
    if match is None:
        raise UsageError(
            f"cannot read '{part.strip()}': a claim is METRIC[.lower|.upper] OP NUMBER, joined by 'and', such "
            f'as "win_rate.lower > 0.6"; METRIC is {", ".join(METRICS)}; OP is {" ".join(_OPERATORS)}'
        )
    metric, bound, sign, number = match.groups()
    if metric not in METRICS:
        raise UsageError(f"unknown metric '{metric}' in '{part.strip()}'; choose from {', '.join(METRICS)}")
    if bound not in (None, "lower", "upper") or (bound and metric in _COUNTS):
        bounds = "no bounds" if metric in _COUNTS else "the bounds .lower and .upper"
        raise UsageError(f"unknown bound '.{bound}' in '{part.strip()}'; {metric} has {bounds}")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"'{number}' in '{part.strip()}' is no number; write a win rate of 60 % as 0.6")
    return Term(metric, bound, sign, value)


def check_claim(run: Run, terms: Sequence[Term], confidence: float = 0.95) -> list[Finding]:
    """Compare every term with the run.

    Raises:
        InvalidValueError: the run has no episodes, or a confidence outside (0, 1).
        MismatchError: a win rate is asked of a scenario without a winner.
    """
    check_probability("--confidence", confidence)
    if not run.episodes:
        raise InvalidValueError(f"{run.path} has no finished episode yet")
    findings = []
    for term in terms:
        value = _value(run, term, confidence)
        holds = value is not None and _OPERATORS[term.sign](value, term.number)
        findings.append(Finding(term, value, holds))
    return findings


def _value(run: Run, term: Term, confidence: float) -> float | None:
    side = Side(str(run.path), (run,))
    (returns,), (wins,) = side.returns(), side.wins()
    if term.metric == "episodes":
        return float(len(run.episodes))
    if term.metric == "crashed":
        return float(sum(record.error is not None for record in run.episodes))
    interval: Interval[float] | None
    if term.metric == "win_rate":
        if all(record.won is None for record in run.episodes):
            raise MismatchError(f"{run.path} has no winner and no win rate; assert its return instead")
        value, interval = float(wins.mean()), wilson_interval(int(wins.sum()), wins.size, confidence)
    elif term.metric == "return":
        value, interval = float(returns.mean()), mean_interval(returns, confidence)
    else:
        rng = np.random.Generator(np.random.Philox(0))
        table = returns[:, None]
        value = float(iqm(table))
        interval = stratified_bootstrap_interval(table, iqm, rng, _N_RESAMPLES, confidence)
    if term.bound is None:
        return value
    return None if interval is None else float(getattr(interval, term.bound))
