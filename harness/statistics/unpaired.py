"""Two sides that met different episodes or tasks in different runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError
from harness.statistics.aggregates import resampled_weights
from harness.statistics.checks import check_resamples, counts, finite_scores, tail_probability
from harness.statistics.intervals import Interval, wilson_interval
from harness.statistics.special import log_choose


def fisher_exact(wins: int, n: int, other_wins: int, other_n: int) -> float:
    """Two-sided p value of "both rates are equal": all tables with these totals that are no more likely.

    R. A. Fisher, "Statistical Methods for Research Workers", 5th edition (1934), section 21.02.

    Raises:
        InvalidValueError: no episodes on a side, or wins that are not among them.
    """
    counts([wins, other_wins], [n, other_n])
    total = wins + other_wins
    possible = np.arange(max(0, total - other_n), min(n, total) + 1)
    logarithms = log_choose(n, possible) + log_choose(other_n, total - possible)
    here = logarithms[wins - int(possible[0])]
    weights = np.exp(logarithms - logarithms.max())
    return min(1.0, float(weights[logarithms <= here + 1e-7].sum() / weights.sum()))


def rate_difference_interval(
    wins: int, n: int, other_wins: int, other_n: int, confidence: float = 0.95
) -> Interval[float]:
    """Interval of the difference of two independent rates, first minus second; never without width.

    R. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17 (1998), pp. 873-890, method 10: the Wilson intervals combined.

    Raises:
        InvalidValueError: as `wilson_interval`.
    """
    first, second = wins / max(n, 1), other_wins / max(other_n, 1)
    ours, theirs = wilson_interval(wins, n, confidence), wilson_interval(other_wins, other_n, confidence)
    down = np.hypot(first - ours.lower, theirs.upper - second)
    up = np.hypot(ours.upper - first, second - theirs.lower)
    return Interval(float(first - second - down), float(first - second + up))


def _comparisons(ours: Any, theirs: Any) -> DoubleArray:
    """1 where run i of ours is above run j of theirs, 1/2 where equal, [Ki, Kj, M]."""
    first, second = finite_scores(ours), finite_scores(theirs)
    if first.shape[1] != second.shape[1]:
        raise InvalidValueError(f"both sides need the same tasks, got {first.shape[1]} and {second.shape[1]}")
    return (np.sign(first[:, None, :] - second[None, :, :]) + 1.0) / 2.0


def probability_of_improvement(ours: Any, theirs: Any) -> float:
    """Chance that a run of ours beats a run of theirs, averaged over tasks; ties count half.

    R. Agarwal et al. (NeurIPS 2021), section 4.3: the Mann-Whitney U statistic over the number of pairs.

    Args:
        ours: scores [K, M].
        theirs: scores [K', M] on the same tasks.

    Raises:
        InvalidValueError: ragged or empty scores, other tasks, or a score that is not finite.
    """
    return float(_comparisons(ours, theirs).mean())


def probability_of_improvement_interval(
    ours: Any, theirs: Any, rng: np.random.Generator, n_resamples: int = 2_000, confidence: float = 0.95
) -> Interval[float] | None:
    """Percentile bootstrap interval of `probability_of_improvement`, both sides drawn within each task.

    Returns:
        None where it would have no width: one run a side, or one side always better.

    Raises:
        InvalidValueError: as `probability_of_improvement`, no resamples, or a confidence outside (0, 1).
    """
    tail = tail_probability(confidence)
    check_resamples(n_resamples)
    table = _comparisons(ours, theirs)
    n_ours, n_theirs, n_tasks = table.shape
    first = resampled_weights((n_ours, n_tasks), rng, n_resamples).reshape(n_resamples, n_ours, n_tasks)
    second = resampled_weights((n_theirs, n_tasks), rng, n_resamples).reshape(n_resamples, n_theirs, n_tasks)
    values = np.zeros(n_resamples)
    for task in range(n_tasks):
        values += ((first[:, :, task] @ table[:, :, task]) * second[:, :, task]).sum(axis=1)
    lower, upper = np.quantile(values / table.size, [tail, 1.0 - tail])
    return Interval(float(lower), float(upper)) if upper > lower else None
