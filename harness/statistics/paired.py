"""Two sides that met the same episodes: what differs is the side, not the luck of the draw."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError
from harness.statistics.checks import finite_values, same_length, tail_probability
from harness.statistics.intervals import ROUNDING, Interval, bootstrap_t_interval
from harness.statistics.special import beta_cdf, log_choose


def sign_test(wins: int, losses: int, mid_p: bool = False) -> float:
    """Two-sided p value of "as often better as worse", from the exact binomial distribution; ties are left out.

    On pairs of won and lost episodes this is McNemar's exact test, with wins and losses counting the episodes
    that only one side won: Q. McNemar, Psychometrika 12 (1947), pp. 153-157.

    Args:
        wins: pairs in which the first side is better.
        losses: pairs in which it is worse.
        mid_p: count the observed split half: less conservative, and not a guarantee any more (M. Fagerland
            et al., BMC Medical Research Methodology 13:91, 2013).

    Raises:
        InvalidValueError: a negative count.
    """
    if min(wins, losses) < 0:
        raise InvalidValueError(f"a sign test needs counts, got {wins} wins and {losses} losses")
    n, fewer = wins + losses, min(wins, losses)
    tail = 1.0 if n == 0 else float(beta_cdf(0.5, n - fewer, fewer + 1.0))
    if mid_p:
        tail -= 0.5 * float(np.exp(log_choose(n, fewer) - n * np.log(2.0)))
    return min(1.0, 2.0 * tail)


def count_signs(
    ours: Sequence[float] | DoubleArray, theirs: Sequence[float] | DoubleArray
) -> tuple[int, int]:
    """Pairs in which ours is greater, and pairs in which it is smaller.

    Raises:
        InvalidValueError: another number of values on either side, none, or one that is not finite.
    """
    difference = differences(ours, theirs)
    return int((difference > 0.0).sum()), int((difference < 0.0).sum())


def differences(
    ours: Sequence[float] | DoubleArray, theirs: Sequence[float] | DoubleArray, at_least: int = 1
) -> DoubleArray:
    """Ours - theirs, [n], where what is only the noise of adding up rewards (`ROUNDING`) counts as no difference.

    Raises:
        InvalidValueError: another number of values on either side, fewer than `at_least`, or one that is not finite.
    """
    same_length(ours, theirs)
    first, second = finite_values(ours, at_least), finite_values(theirs, at_least)
    difference = first - second
    return np.where(
        np.abs(difference) <= ROUNDING * np.maximum(np.abs(first), np.abs(second)), 0.0, difference
    )


def paired_bootstrap_interval(
    ours: Sequence[float] | DoubleArray,
    theirs: Sequence[float] | DoubleArray,
    rng: np.random.Generator,
    n_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval[float] | None:
    """Studentised bootstrap interval of the mean difference ours - theirs, pairs drawn together.

    Arguments, None and errors as `bootstrap_t_interval`.

    Raises:
        InvalidValueError: also where the two sides have another number of values.
    """
    return bootstrap_t_interval(differences(ours, theirs, 2), rng, n_resamples, confidence)


def paired_rate_interval(wins: int, losses: int, n: int, confidence: float = 0.95) -> Interval[float]:
    """Interval of the difference of two rates over the same n episodes; never without width.

    D. Bonett and R. Price, "Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data", J. Educational and Behavioral Statistics 37 (2012), pp. 479-488.

    Args:
        wins: episodes that only the first side won.
        losses: episodes that only the second side won.
        n: episodes in all.
        confidence: two-sided coverage.

    Raises:
        InvalidValueError: no episodes, more flips than episodes, or a confidence outside (0, 1).
    """
    z = NormalDist().inv_cdf(1.0 - tail_probability(confidence))
    if n < 1 or min(wins, losses) < 0 or wins + losses > n:
        raise InvalidValueError(f"{wins} and {losses} flipped episodes do not fit into {n} episodes")
    first, second = (wins + 1.0) / (n + 2.0), (losses + 1.0) / (n + 2.0)
    difference = first - second
    half = z * np.sqrt((first + second - difference**2) / (n + 2.0))
    return Interval(max(-1.0, float(difference - half)), min(1.0, float(difference + half)))


def _p_values(p_values: Sequence[float] | DoubleArray) -> DoubleArray:
    values = finite_values(p_values, at_least=1)
    if values.min() < 0.0 or values.max() > 1.0:
        raise InvalidValueError(f"p values lie between 0 and 1, got {values.min():g} to {values.max():g}")
    return values


def holm(p_values: Sequence[float] | DoubleArray) -> DoubleArray:
    """Adjusted p values: rejecting those at most alpha keeps the chance of any false rejection below alpha.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979), pp. 65-70.

    Raises:
        InvalidValueError: no values, or one outside [0, 1].
    """
    values = _p_values(p_values)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float] | DoubleArray) -> DoubleArray:
    """Adjusted p values: rejecting those at most alpha keeps the expected share of false rejections below alpha.

    Y. Benjamini and Y. Hochberg, J. Royal Statistical Society B 57 (1995), pp. 289-300; for independent or
    positively dependent tests.

    Raises:
        InvalidValueError: no values, or one outside [0, 1].
    """
    values = _p_values(p_values)
    order = np.argsort(values, kind="stable")[::-1]
    steps = np.minimum.accumulate(values[order] * values.size / np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
