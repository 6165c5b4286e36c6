"""Performance profiles: the share of runs above each score, whole distributions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from env_adapters.api import BoolArray, DoubleArray
from harness.statistics.aggregates import resampled_weights
from harness.statistics.checks import check_resamples, finite_scores, finite_values, tail_probability


class Profile(NamedTuple):
    """A profile over T thresholds with a band that holds at each threshold alone, not at all of them at once."""

    thresholds: DoubleArray
    """[T]"""
    share: DoubleArray
    """[T], share of runs above the threshold, every task weighing the same."""
    lower: DoubleArray
    """[T]"""
    upper: DoubleArray
    """[T]"""
    unknown: BoolArray
    """[T], where all runs of every task agree (so at both ends): the band has no width there and says nothing."""


def performance_profile(
    scores: Any,
    thresholds: Sequence[float] | DoubleArray,
    rng: np.random.Generator,
    n_resamples: int = 2_000,
    confidence: float = 0.95,
) -> Profile:
    """Share of scores [K, M] above each threshold, with a stratified percentile bootstrap band.

    R. Agarwal et al. (NeurIPS 2021), section 4.2, "score distributions": strictly above counts.

    Raises:
        InvalidValueError: ragged or empty scores, a score or threshold that is not finite, no resamples, or
            a confidence outside (0, 1).
    """
    table, taus = finite_scores(scores), finite_values(thresholds, at_least=1)
    tail = tail_probability(confidence)
    check_resamples(n_resamples)
    above = (table.reshape(-1, 1) > taus).astype(np.float64)
    shares = resampled_weights((table.shape[0], table.shape[1]), rng, n_resamples) @ above / table.size
    lower, upper = np.quantile(shares, [tail, 1.0 - tail], axis=0)
    by_task = above.reshape(*table.shape, taus.size).mean(axis=0)
    unknown = ((by_task == 0.0) | (by_task == 1.0)).all(axis=0)
    return Profile(taus, above.mean(axis=0), lower, upper, unknown)
