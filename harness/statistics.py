"""Intervals and means. Every function is pure; randomness comes in as a Generator."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Generic, NamedTuple, TypeVar, overload

import numpy as np

from env_adapters.api import DoubleArray, IntArray
from env_adapters.errors import InvalidValueError

Bound = TypeVar("Bound", float, DoubleArray)

_BLOCK = 1 << 21
"""Resampled values held in memory at once by the bootstrap (16 MiB of doubles)."""


class Interval(NamedTuple, Generic[Bound]):
    """A confidence interval, both ends included."""

    lower: Bound
    upper: Bound


class MeanStd(NamedTuple):
    """A mean and the spread of the values around it."""

    mean: float
    std: float | None
    """Sample standard deviation (ddof = 1); None for a single value, which says nothing about spread."""


def _tail_probability(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise InvalidValueError(f"confidence is {confidence}; give a number between 0 and 1, such as 0.95")
    return (1.0 - confidence) / 2.0


def _finite_values(values: Sequence[float] | DoubleArray, at_least: int) -> DoubleArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < at_least:
        raise InvalidValueError(
            f"statistics need a list of at least {at_least} values, got shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise InvalidValueError(f"value {int(np.argmin(np.isfinite(array)))} of {array.size} is not finite")
    return array


@overload
def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval[float]: ...
@overload
def wilson_interval(
    successes: IntArray, n: int | IntArray, confidence: float = 0.95
) -> Interval[DoubleArray]: ...
def wilson_interval(
    successes: int | IntArray, n: int | IntArray, confidence: float = 0.95
) -> Interval[float] | Interval[DoubleArray]:
    """Score interval of a proportion, without continuity correction.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927),
    pp. 209-212. Unlike the normal interval it keeps its width at 0 and n successes, where its outer end is
    exactly 0 or 1.

    Args:
        successes: count of successes, or an array of counts.
        n: count of trials, at least 1; broadcast against `successes`.
        confidence: two-sided coverage.

    Returns:
        Floats for two ints, arrays of the broadcast shape otherwise.

    Raises:
        InvalidValueError: no trials, successes outside 0..n, or a confidence outside (0, 1).
    """
    z = NormalDist().inv_cdf(1.0 - _tail_probability(confidence))
    hits, trials = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(n, np.float64))
    impossible = (trials < 1) | (hits < 0) | (hits > trials)
    if impossible.any():
        got = f"{hits[impossible][0]:g} of {trials[impossible][0]:g}"
        raise InvalidValueError(f"a win rate needs at least one episode and wins among them, got {got}")
    centre = (hits + z * z / 2.0) / (trials + z * z)
    half = z / (trials + z * z) * np.sqrt(hits * (trials - hits) / trials + z * z / 4.0)
    lower = np.where(hits == 0, 0.0, centre - half)
    upper = np.where(hits == trials, 1.0, centre + half)
    if lower.ndim == 0:
        return Interval(float(lower), float(upper))
    return Interval(lower, upper)


def mean_std(values: Sequence[float] | DoubleArray) -> MeanStd:
    """Mean and sample standard deviation (divisor n - 1, ddof = 1) of values [n].

    Raises:
        InvalidValueError: no values, or one that is not finite.
    """
    array = _finite_values(values, at_least=1)
    std = float(array.std(ddof=1)) if array.size > 1 else None
    return MeanStd(float(array.mean()), std)


def bootstrap_mean_interval(
    values: Sequence[float] | DoubleArray,
    rng: np.random.Generator,
    n_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval[float]:
    """Percentile bootstrap interval of the mean of values [n].

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3. A sample whose
    values are all equal gives an interval of width zero: for wins and losses use `wilson_interval`.

    Args:
        values: at least two finite values.
        rng: consumed in an amount that depends on n and `n_resamples` only.
        n_resamples: bootstrap samples, at least 1.
        confidence: two-sided coverage.

    Raises:
        InvalidValueError: fewer than two values (one has no spread to resample), a value that is not
            finite, no resamples, or a confidence outside (0, 1).
    """
    array = _finite_values(values, at_least=2)
    tail = _tail_probability(confidence)
    if n_resamples < 1:
        raise InvalidValueError(f"n_resamples is {n_resamples}; give at least 1")
    rows = max(1, _BLOCK // array.size)
    means = np.empty(n_resamples)
    for start in range(0, n_resamples, rows):
        block = means[start : start + rows]
        block[:] = array[rng.integers(array.size, size=(block.size, array.size))].mean(axis=1)
    lower, upper = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(lower), float(upper))
