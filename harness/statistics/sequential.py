"""Intervals and evidence that may be looked at after every episode: they hold at all times at once.

Everything here is a function of the ordered outcomes alone, never of when somebody looked, so that the same
episodes stop at the same place however they were played.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError
from harness.statistics.checks import check_probability, counts, finite_values, same_length
from harness.statistics.intervals import Interval
from harness.statistics.paired import differences
from harness.statistics.special import log_beta, log_beta_cdf

FIRST_LOOK: Final = 100
"""Episodes before a mean may stop an evaluation: the central limit theorem behind `mean_sequence` needs some."""
BEST_AT: Final = 500
"""Number of episodes at which an interval is narrowest unless told otherwise."""
_CHUNK: Final = 4096


def _tuning(alpha: float) -> float:
    """N / pseudo-count at which a mixture boundary is narrowest at n; Waudby-Smith et al. (2024), section 2."""
    return float(-2.0 * np.log(alpha) + np.log(-2.0 * np.log(alpha)) + 1.0)


def _check_tuning(alpha: float, best_at: int) -> None:
    check_probability("alpha", alpha)
    if not alpha <= 0.5:
        raise InvalidValueError(f"alpha is {alpha}; give a chance of being wrong of at most 0.5")
    if best_at < 1:
        raise InvalidValueError(f"best_at is {best_at}; give at least 1 episode")


def proportion_sequence(
    successes: Any, n: Any, alpha: float = 0.05, best_at: int = BEST_AT
) -> Interval[DoubleArray]:
    """Confidence sequence of a rate: with probability 1 - alpha it holds the rate at every n at once.

    For each rate p the likelihood ratio of Beta(r p, r (1 - p)) mixed rates to p is a martingale from 1 under
    p; p is left out where it has reached 1 / alpha (J. Ville, 1939; H. Robbins, Annals of Mathematical
    Statistics 41, 1970; S. Howard et al., Annals of Statistics 49, 2021, beta-binomial mixture).

    Args:
        successes: counts after n episodes, any shape; a scalar looks at one n.
        n: counts of episodes, at least 1.
        alpha: chance that it is ever wrong, at most 0.5.
        best_at: n at which it is narrowest; must not depend on the outcomes.

    Raises:
        InvalidValueError: no trials, successes outside 0..n, alpha outside (0, 0.5], or best_at below 1.
    """
    _check_tuning(alpha, best_at)
    hits, trials = (array.astype(np.float64) for array in counts(successes, n))
    prior = best_at / _tuning(alpha)
    lower = _edge(hits, trials, prior, -np.log(alpha))
    upper = 1.0 - _edge(trials - hits, trials, prior, -np.log(alpha))
    return Interval(lower, upper)


def _edge(hits: DoubleArray, trials: DoubleArray, prior: float, limit: float) -> DoubleArray:
    """Lower end by bisection, taken from outside, so that rounding never makes the interval narrower."""
    outside, inside = np.zeros_like(hits), hits / trials
    misses = trials - hits
    for _ in range(40):
        rate = 0.5 * (outside + inside)
        with np.errstate(divide="ignore", invalid="ignore"):
            mixed = log_beta(hits + prior * rate, misses + prior * (1.0 - rate))
            ratio = mixed - log_beta(prior * rate, prior * (1.0 - rate))
            evidence = ratio - hits * np.log(rate) - misses * np.log1p(-rate)
        excluded = evidence >= limit
        outside, inside = np.where(excluded, rate, outside), np.where(excluded, inside, rate)
    return np.where(hits == 0, 0.0, outside)


def mean_sequence(
    values: Sequence[float] | DoubleArray, alpha: float = 0.05, best_at: int = BEST_AT
) -> Interval[DoubleArray]:
    """ASYMPTOTIC confidence sequence of a mean, after each of values [n]: holds from large n on, not from the first.

    I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, "Time-uniform central limit theory and
    asymptotic confidence sequences", Annals of Statistics 52 (2024), theorem 2.2. Where rare values decide
    the mean it fails even late: docs/statistics.md.

    Returns:
        Bounds [n]; infinite while all values so far are equal, for these tell nothing about spread.

    Raises:
        InvalidValueError: no values, one that is not finite, alpha outside (0, 0.5], or best_at below 1.
    """
    _check_tuning(alpha, best_at)
    array = finite_values(values, at_least=1)
    n = np.arange(1, array.size + 1)
    from_first = array - array[0]  # not from the mean, which would let later values touch earlier bounds
    sums, squares = np.cumsum(from_first), np.cumsum(from_first**2)
    spread = np.maximum(squares - sums**2 / n, 0.0) / np.maximum(n - 1, 1)
    grown = n * _tuning(alpha) / best_at + 1.0
    half = np.sqrt(spread * 2.0 * grown / (n * (grown - 1.0)) * np.log(np.sqrt(grown) / alpha))
    half = np.where(np.logical_or.accumulate(from_first != 0.0), half, np.inf)
    mean = array[0] + sums / n
    return Interval(mean - half, mean + half)


def better_evidence(wins: Any, losses: Any) -> DoubleArray:
    """Natural logarithm of the e-value against "not more often better than worse", elementwise over counts.

    The likelihood ratio to p = 1/2 averaged over p uniform in (1/2, 1]. Under every p <= 1/2 it is a
    supermartingale from 1, so that it ever reaches 1 / alpha with probability at most alpha, however often one
    looks (J. Ville, 1939; A. Ramdas et al., Statistical Science 38, 2023). Count only episodes in which the
    two sides differ; correlation between the sides does not matter.

    Args:
        wins: counts of episodes in which ours is better so far.
        losses: counts in which it is worse.

    Raises:
        InvalidValueError: a negative count.
    """
    up, down = np.asarray(wins, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if (up < 0).any() or (down < 0).any():
        raise InvalidValueError("evidence needs counts of wins and losses, got a negative one")
    above_half = log_beta_cdf(0.5, down + 1.0, up + 1.0)
    return np.asarray((up + down + 1.0) * np.log(2.0) + log_beta(up + 1.0, down + 1.0) + above_half)


def first_better(
    ours: Sequence[float] | DoubleArray, theirs: Sequence[float] | DoubleArray, alpha: float = 0.05
) -> int | None:
    """Number of episodes after which ours is shown to be better more often than worse, looking after each.

    Args:
        ours: outcomes in order, 0 and 1 for lost and won, or returns.
        theirs: outcomes of the same episodes.
        alpha: chance of ever saying so when it is not true.

    Returns:
        None where the evidence does not suffice.

    Raises:
        InvalidValueError: two lengths, an outcome that is not finite, or alpha outside (0, 1).
    """
    check_probability("alpha", alpha)
    same_length(ours, theirs)
    if not len(ours):
        return None
    difference = differences(ours, theirs)
    evidence = better_evidence(np.cumsum(difference > 0.0), np.cumsum(difference < 0.0))
    return _first(evidence >= -np.log(alpha))


def _first(reached: Any) -> int | None:
    return int(np.argmax(reached)) + 1 if np.any(reached) else None


def precise_at(half_width: float, alpha: float = 0.05) -> int:
    """Episodes after which a rate near one half is known to plus or minus `half_width`; other rates need fewer.

    Raises:
        InvalidValueError: a half-width outside (0, 1) or alpha outside (0, 0.5].
    """
    check_probability("half_width", half_width)
    _check_tuning(alpha, BEST_AT)
    tuning = _tuning(alpha)
    return int(np.ceil((1.0 + 1.0 / tuning) * np.log(np.sqrt(1.0 + tuning) / alpha) / (2.0 * half_width**2)))


def first_precise(
    outcomes: Sequence[float] | DoubleArray, half_width: float, alpha: float = 0.05, is_rate: bool = True
) -> int | None:
    """Number of episodes after which the anytime-valid interval is no wider than plus or minus `half_width`.

    Args:
        outcomes: in order; 0 and 1 for a rate, returns else.
        half_width: half the width aimed at, in the unit of the outcomes (0.03 is three points of win rate).
        alpha: chance that the interval is ever wrong; for returns in the limit only, see `mean_sequence`.
        is_rate: choose `proportion_sequence`, narrowest at `precise_at`; else `mean_sequence`, from
            `FIRST_LOOK` episodes on.

    Returns:
        None where it never gets that narrow.

    Raises:
        InvalidValueError: an outcome that is not finite or, for a rate, not 0 or 1; a half-width that is not
            positive (below 1 for a rate); alpha outside (0, 0.5].
    """
    best_at = precise_at(half_width, alpha) if is_rate else BEST_AT
    if not 0.0 < half_width < np.inf:
        raise InvalidValueError(f"half_width is {half_width}; give a positive number in units of return")
    if not len(outcomes):
        return None
    array = finite_values(outcomes, at_least=1)
    if not is_rate:
        lower, upper = mean_sequence(array, alpha, best_at)
        reached = upper - lower <= 2.0 * half_width
        reached[: FIRST_LOOK - 1] = False
        return _first(reached)
    if not np.isin(array, (0.0, 1.0)).all():
        raise InvalidValueError("a rate needs outcomes that are 0 or 1; set is_rate=False for returns")
    wins = np.cumsum(array)
    for start in range(0, array.size, _CHUNK):
        n = np.arange(start + 1, min(start + _CHUNK, array.size) + 1)
        lower, upper = proportion_sequence(wins[n - 1], n, alpha, best_at)
        found = _first(upper - lower <= 2.0 * half_width)
        if found is not None:
            return start + found
    return None
