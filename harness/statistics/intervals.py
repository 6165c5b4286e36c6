"""Intervals of one rate or one mean. Every function is pure; randomness comes in as a Generator.

Which of them covers what it promises, measured: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, Generic, NamedTuple, TypeVar, overload

import numpy as np

from env_adapters.api import DoubleArray, IntArray
from harness.statistics.checks import check_resamples, counts, finite_values, tail_probability
from harness.statistics.special import beta_quantile, student_t_quantile

Bound = TypeVar("Bound", float, DoubleArray)

_BLOCK = 1 << 15
"""Resampled values held at once by a bootstrap: a quarter MiB of doubles, which stays in the cache."""


ROUNDING: Final = 1e-12
"""Relative size below which a difference of returns is the noise of adding up rewards in floating point."""


class Interval(NamedTuple, Generic[Bound]):
    """A confidence interval, both ends included."""

    lower: Bound
    upper: Bound


class MeanStd(NamedTuple):
    """A mean and the spread of the values around it."""

    mean: float
    std: float | None
    """Sample standard deviation (ddof = 1); None for a single value, which says nothing about spread."""


def _interval(lower: DoubleArray, upper: DoubleArray) -> Interval[float] | Interval[DoubleArray]:
    if lower.ndim == 0:
        return Interval(float(lower), float(upper))
    return Interval(lower, upper)


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
    exactly 0 or 1. It covers what it promises on average over rates; at single rates near 0 or 1 less.

    Args:
        successes: count of successes, or an array of counts.
        n: count of trials, at least 1; broadcast against `successes`.
        confidence: two-sided coverage.

    Returns:
        Floats for two ints, arrays of the broadcast shape otherwise.

    Raises:
        InvalidValueError: no trials, successes outside 0..n, or a confidence outside (0, 1).
    """
    z = NormalDist().inv_cdf(1.0 - tail_probability(confidence))
    hits, trials = (array.astype(np.float64) for array in counts(successes, n))
    centre = (hits + z * z / 2.0) / (trials + z * z)
    half = z / (trials + z * z) * np.sqrt(hits * (trials - hits) / trials + z * z / 4.0)
    return _interval(np.where(hits == 0, 0.0, centre - half), np.where(hits == trials, 1.0, centre + half))


@overload
def clopper_pearson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval[float]: ...
@overload
def clopper_pearson_interval(
    successes: IntArray, n: int | IntArray, confidence: float = 0.95
) -> Interval[DoubleArray]: ...
def clopper_pearson_interval(
    successes: int | IntArray, n: int | IntArray, confidence: float = 0.95
) -> Interval[float] | Interval[DoubleArray]:
    """Exact interval of a proportion: covers at least `confidence` at every rate and every n, usually more.

    C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934),
    pp. 404-413, in the form with quantiles of the beta distribution.

    Args, returns and errors: as `wilson_interval`.
    """
    tail = tail_probability(confidence)
    hits, trials = counts(successes, n)
    lower = beta_quantile(tail, np.maximum(hits, 1), trials - hits + 1.0)
    upper = beta_quantile(1.0 - tail, hits + 1.0, np.maximum(trials - hits, 1))
    return _interval(np.where(hits == 0, 0.0, lower), np.where(hits == trials, 1.0, upper))


def mean_std(values: Sequence[float] | DoubleArray) -> MeanStd:
    """Mean and sample standard deviation (divisor n - 1, ddof = 1) of values [n].

    Raises:
        InvalidValueError: no values, or one that is not finite.
    """
    array = finite_values(values, at_least=1)
    std = float(array.std(ddof=1)) if array.size > 1 else None
    return MeanStd(float(array.mean()), std)


def mean_interval(values: Sequence[float] | DoubleArray, confidence: float = 0.95) -> Interval[float] | None:
    """Student's t interval of a mean: the one to report for returns, and it needs no random numbers.

    "Student" (W. S. Gosset), "The probable error of a mean", Biometrika 6 (1908), pp. 1-25. Exact for normal
    values. Where a few rare values decide the mean (one lost battle in twenty), small samples mostly miss
    them, and no interval made from the sample alone covers.

    Returns:
        None where the values tell nothing about spread: a single value, or all values equal up to the noise of
        adding up rewards (`ROUNDING` of their size).

    Raises:
        InvalidValueError: no values, one that is not finite, or a confidence outside (0, 1).
    """
    tail = tail_probability(confidence)
    mean, std = mean_std(values)
    if not std or np.ptp(values) <= ROUNDING * np.abs(values).max():
        return None
    half = student_t_quantile(1.0 - tail, len(values) - 1) * std / np.sqrt(len(values))
    return Interval(float(mean - half), float(mean + half))


def _resampled_means(
    array: DoubleArray, rng: np.random.Generator, n_resamples: int
) -> tuple[DoubleArray, DoubleArray]:
    """Mean and standard deviation (ddof = 1) of every bootstrap sample."""
    rows = max(1, _BLOCK // array.size)
    means, stds = np.empty(n_resamples), np.empty(n_resamples)
    for start in range(0, n_resamples, rows):
        block = means[start : start + rows]
        drawn = array[rng.integers(array.size, size=(block.size, array.size))]
        block[:] = drawn.mean(axis=1)
        squares = ((drawn - block[:, None]) ** 2).sum(axis=1)
        stds[start : start + rows] = np.sqrt(squares / (array.size - 1))
        stds[start : start + rows][np.ptp(drawn, axis=1) == 0.0] = 0.0
    return means, stds


def bootstrap_mean_interval(
    values: Sequence[float] | DoubleArray,
    rng: np.random.Generator,
    n_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval[float] | None:
    """Percentile bootstrap interval of the mean of values [n]; too narrow for small n (85 % at n = 5).

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3. Prefer
    `mean_interval` or `bootstrap_t_interval`; this is here because the literature reports it.

    Args:
        values: at least two finite values.
        rng: consumed in an amount that depends on n and `n_resamples` only.
        n_resamples: bootstrap samples, at least 1.
        confidence: two-sided coverage.

    Returns:
        None where all values are equal: a width of zero would claim certainty.

    Raises:
        InvalidValueError: fewer than two values (one has no spread to resample), a value that is not
            finite, no resamples, or a confidence outside (0, 1).
    """
    array = finite_values(values, at_least=2)
    tail = tail_probability(confidence)
    check_resamples(n_resamples)
    if np.ptp(array) == 0.0:
        return None
    means, _ = _resampled_means(array, rng, n_resamples)
    lower, upper = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(lower), float(upper))


def bootstrap_t_interval(
    values: Sequence[float] | DoubleArray,
    rng: np.random.Generator,
    n_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval[float] | None:
    """Studentised bootstrap interval of the mean of values [n]: follows skewed values, and covers at small n.

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap" (1993), section 12.5. Arguments and errors
    as `bootstrap_mean_interval`.

    Returns:
        None where all values are equal, or where so few differ that the resamples give no finite bound.
    """
    array = finite_values(values, at_least=2)
    tail = tail_probability(confidence)
    check_resamples(n_resamples)
    if np.ptp(array) == 0.0:
        return None
    means, stds = _resampled_means(array, rng, n_resamples)
    centre, std = array.mean(), array.std(ddof=1)
    away = means - centre
    with np.errstate(divide="ignore", invalid="ignore"):
        studentised = np.where(stds > 0.0, away / stds, np.sign(away) * np.inf)
    studentised[away == 0.0] = 0.0
    low, high = np.quantile(studentised, [tail, 1.0 - tail], method="inverted_cdf") * std
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return Interval(float(centre - high), float(centre - low))
