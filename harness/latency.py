"""How long a call takes, with percentiles that promise not to flatter.

The estimator is the early-stopping rule of MLPerf Inference (single stream): with n samples, the percentile
p is reported as the t-th largest sample, t as large as the binomial distribution allows at 99 % confidence.
So a reported value is an upper confidence bound of the percentile, not its midpoint, and with too few
samples there is none: p50 needs 11 samples, p90 64, p99 662.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError
from harness.passport import load_average

_CONFIDENCE = 0.99


@dataclass(frozen=True)
class LatencySample:
    """Durations of n calls, summarised. A percentile is None where n is too small to promise it."""

    n: int
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    max_us: float
    """The slowest call; outliers are kept."""
    load_average: float | None
    """Runnable processes over the minute before; where it exceeds the cores, the scheduler is timed too."""


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


def summarize(durations_us: Sequence[float] | DoubleArray, load: float | None = None) -> LatencySample:
    """Percentiles of durations [n] in microseconds; InvalidValueError without any."""
    values = np.asarray(durations_us, dtype=np.float64)
    p50, p90, p99 = (percentile(values, fraction) for fraction in (0.50, 0.90, 0.99))
    return LatencySample(values.size, p50, p90, p99, float(values.max()), load)


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """No garbage collection inside; what exists already is set aside so that it costs nothing afterwards."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def measure(call: Callable[[int], object], n_warmup: int = 200, n_samples: int = 300) -> LatencySample:
    """Time single calls, one after the other (MLPerf's single stream).

    Args:
        call: takes the running index 0, 1, ... (warm-up included), so that it can use another input each
            time, and must not return before its result is ready: synchronise the device inside.
        n_warmup: calls that are not timed (compilation, caches, clocks); at least 200 by our protocol.
        n_samples: timed calls; 64 for p90, 662 for p99.

    Raises:
        InvalidValueError: no samples asked for, or a negative warm-up.
    """
    if n_warmup < 0 or n_samples < 1:
        raise InvalidValueError(
            f"latency needs n_warmup >= 0 and n_samples >= 1, got {n_warmup} and {n_samples}"
        )
    load = load_average()
    durations_ns = np.empty(n_samples, dtype=np.int64)
    for index in range(n_warmup):
        call(index)
    with _quiet_collector():
        for sample in range(n_samples):
            start = perf_counter_ns()
            call(n_warmup + sample)
            durations_ns[sample] = perf_counter_ns() - start
    return summarize(durations_ns / 1000.0, load)
