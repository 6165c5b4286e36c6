"""One number over runs and tasks (scores [K, M]) with a stratified bootstrap interval.

Definitions: R. Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice",
NeurIPS 2021, sections 4.1 and 4.3. Statistics take scores [..., K, M] and return [...]; a list of episode
returns is scores [E, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from env_adapters.api import DoubleArray
from harness.statistics.checks import check_resamples, finite_scores, tail_probability
from harness.statistics.intervals import _BLOCK, Interval

Statistic = Callable[[DoubleArray], DoubleArray]
"""Scores [..., K, M] -> values [...]."""


def _flat(scores: DoubleArray) -> DoubleArray:
    return scores.reshape(*scores.shape[:-2], -1)


def mean(scores: DoubleArray) -> DoubleArray:
    """Mean over runs and tasks of scores [..., K, M]."""
    return np.asarray(_flat(scores).mean(axis=-1))


def median(scores: DoubleArray) -> DoubleArray:
    """Median over tasks of the mean over runs of scores [..., K, M]."""
    return np.asarray(np.median(scores.mean(axis=-2), axis=-1))


def iqm(scores: DoubleArray) -> DoubleArray:
    """Interquartile mean: the mean of scores [..., K, M] without floor(K M / 4) at either end."""
    ordered = np.sort(_flat(scores), axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


def optimality_gap(scores: DoubleArray, goal: float = 1.0) -> DoubleArray:
    """How far scores [..., K, M] fall short of `goal` on average; what lies above it does not compensate."""
    return np.asarray(goal - np.minimum(_flat(scores), goal).mean(axis=-1))


def stratified_bootstrap(
    scores: Any, statistic: Statistic, rng: np.random.Generator, n_resamples: int = 10_000
) -> DoubleArray:
    """Values [n_resamples] of a statistic, runs drawn with replacement within each task independently.

    Args:
        scores: [K, M], finite.
        statistic: `mean`, `median`, `iqm`, `optimality_gap` or another function of that form.
        rng: the only source of randomness; n_resamples x K x M numbers are drawn.
        n_resamples: at least 1.

    Raises:
        InvalidValueError: ragged or empty scores, one that is not finite, or no resamples.
    """
    table = finite_scores(scores)
    check_resamples(n_resamples)
    n_runs, n_tasks = table.shape
    flat, column = table.ravel(), np.arange(n_tasks, dtype=np.uint32)
    rows = max(1, _BLOCK // table.size)
    values = np.empty(n_resamples)
    for start in range(0, n_resamples, rows):
        block = values[start : start + rows]
        place = rng.integers(n_runs, size=(block.size, n_runs, n_tasks), dtype=np.uint32)
        place *= np.uint32(n_tasks)
        place += column
        block[:] = statistic(flat.take(place))
    return values


def stratified_bootstrap_interval(
    scores: Any,
    statistic: Statistic,
    rng: np.random.Generator,
    n_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval[float] | None:
    """Percentile interval of `stratified_bootstrap`; with few runs (K below 10) it is narrower than it says.

    Returns:
        None where it would have no width: a single run, or runs that agree in every task.

    Raises:
        InvalidValueError: as `stratified_bootstrap`, or a confidence outside (0, 1).
    """
    tail = tail_probability(confidence)
    values = stratified_bootstrap(scores, statistic, rng, n_resamples)
    lower, upper = np.quantile(values, [tail, 1.0 - tail])
    return Interval(float(lower), float(upper)) if upper > lower else None


def resampled_weights(shape: tuple[int, int], rng: np.random.Generator, n_resamples: int) -> DoubleArray:
    """How often each of K x M scores is drawn, [n_resamples, K M], when runs are drawn within each task."""
    n_runs, n_tasks = shape
    size = n_runs * n_tasks
    weights = np.empty((n_resamples, size))
    rows = max(1, _BLOCK // size)
    for start in range(0, n_resamples, rows):
        block = weights[start : start + rows]
        drawn = rng.integers(n_runs, size=(len(block), n_runs, n_tasks), dtype=np.uint32).astype(np.int64)
        drawn *= n_tasks
        drawn += np.arange(n_tasks)
        drawn += size * np.arange(len(block))[:, None, None]
        block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(block.shape)
    return weights
