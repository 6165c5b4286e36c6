"""Percentiles that promise not to flatter.

The estimator is the early-stopping rule of MLPerf Inference (single stream): with n samples, the percentile
p is reported as the t-th largest sample, t as large as the binomial distribution allows at 99 % confidence.
So a reported value is an upper confidence bound of the percentile, not its midpoint, and with too few
samples there is none: p50 needs 11 samples, p90 64, p99 662.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError

_CONFIDENCE = 0.99
_BINS_PER_DECADE = 10


def samples_above(n: int, fraction: float) -> int:
    """How many of n samples may exceed the estimate of a percentile: t of the early-stopping rule.

    The largest t with P(Binomial(n, 1 - fraction) <= t) <= 0.01: that so few of n samples lie above the
    true percentile is then less than 1 % likely. The estimate is the t-th largest sample (t - 1 are
    dropped). Below 1 there are too few samples for an estimate.

    Args:
        n: number of samples, at least 1.
        fraction: the percentile as a fraction, in (0, 1).

    Raises:
        InvalidValueError: n or fraction out of range.
    """
    if n < 1 or not 0.0 < fraction < 1.0:
        raise InvalidValueError(
            f"a percentile needs samples and a fraction in (0, 1), got {n} and {fraction}"
        )
    above = np.arange(1, n + 1)
    log_ratio = np.log((n - above + 1) / above) + math.log((1.0 - fraction) / fraction)
    log_pmf = n * math.log(fraction) + np.concatenate([[0.0], np.cumsum(log_ratio)])
    cumulative = np.cumsum(np.exp(log_pmf))
    return int(np.searchsorted(cumulative, 1.0 - _CONFIDENCE, side="right")) - 1


def percentile(durations: Sequence[float] | DoubleArray, fraction: float) -> float | None:
    """Upper 99 % confidence bound of a percentile of durations [n]; None where n is too small for one.

    Raises:
        InvalidValueError: no durations, or a fraction outside (0, 1).
    """
    ordered = np.sort(np.asarray(durations, dtype=np.float64))
    t = samples_above(ordered.size, fraction)
    return float(ordered[-t]) if t >= 1 else None


def histogram(durations_us: Sequence[float] | DoubleArray) -> list[tuple[float, int]]:
    """Upper edges (inclusive) in steps of a tenth of a decade, and counts; empty bins are left out.

    Args:
        durations_us: positive durations [n] in microseconds.
    """
    steps = np.ceil(np.log10(np.asarray(durations_us, dtype=np.float64)) * _BINS_PER_DECADE - 1e-9)
    bins, counts = np.unique(steps, return_counts=True)
    edges = 10.0 ** (bins / _BINS_PER_DECADE)
    return [(float(f"{edge:.6g}"), int(count)) for edge, count in zip(edges, counts, strict=True)]
