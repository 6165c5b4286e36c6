"""Means and ratios of means over rows that come in clusters, such as the steps of episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, IntArray
from env_adapters.errors import InvalidValueError
from harness.statistics.aggregates import resampled_weights
from harness.statistics.checks import check_resamples, tail_probability
from harness.statistics.intervals import Interval


@dataclass(frozen=True, eq=False)
class Resampled:
    """A statistic, and what it would have been on every bootstrap sample."""

    mean: float
    values: DoubleArray
    """[n_resamples]; not finite where a sample holds nothing to average."""

    def ratio(self, to: Resampled) -> Resampled | None:
        """This statistic divided by another; None where that one is zero.

        Two statistics of the same `ClusterBootstrap` are resampled together, so that what they share cancels.
        """
        if to.mean == 0.0:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            return Resampled(self.mean / to.mean, self.values / to.values)

    def interval(self, confidence: float = 0.95) -> Interval[float] | None:
        """Percentile interval; None where it would have no width, or where a bootstrap sample has no value."""
        tail = tail_probability(confidence)
        if not np.isfinite(self.values).all() or np.ptp(self.values) == 0.0:
            return None
        lower, upper = np.quantile(self.values, [tail, 1.0 - tail])
        return Interval(float(lower), float(upper))


class ClusterBootstrap:
    """Draws whole clusters with replacement, because rows of one cluster are alike.

    A. Davison and D. Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8. Percentile intervals are too
    narrow with few clusters (below about 20).

    Args:
        clusters: [M], whole numbers, which cluster each row is of.
        rng: consumed in an amount that depends on the number of clusters and `n_resamples` only.
        n_resamples: bootstrap samples, at least 1.

    Raises:
        InvalidValueError: no rows or no resamples.
    """

    def __init__(self, clusters: IntArray, rng: np.random.Generator, n_resamples: int = 2_000) -> None:
        check_resamples(n_resamples)
        if not len(clusters):
            raise InvalidValueError("a bootstrap of clusters needs at least one row")
        self._names, self._place = np.unique(clusters, return_inverse=True)
        self._weights = resampled_weights((self.n_clusters, 1), rng, n_resamples)

    @property
    def n_clusters(self) -> int:
        """How many different clusters there are."""
        return len(self._names)

    def mean(self, values: DoubleArray, counted: BoolArray | None = None) -> Resampled:
        """Mean of values [M, ...] where they are counted (default: everywhere), every one weighing the same.

        Raises:
            InvalidValueError: nothing is counted.
        """
        mask = np.ones(values.shape, dtype=np.bool_) if counted is None else counted
        rows = np.where(mask, values, 0.0).reshape(len(values), -1).sum(axis=1)
        size = mask.reshape(len(values), -1).sum(axis=1)
        if not size.any():
            raise InvalidValueError("a bootstrap of clusters has no value to average")
        sums = np.bincount(self._place, weights=rows, minlength=self.n_clusters)
        sizes = np.bincount(self._place, weights=size, minlength=self.n_clusters)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = (self._weights @ sums) / (self._weights @ sizes)
        return Resampled(float(sums.sum() / sizes.sum()), drawn)
