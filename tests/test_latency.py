"""The percentile rule against its published minima and its promise; the timer against known sleeps."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
import scipy.stats

from env_adapters.errors import InvalidValueError
from harness.latency import measure, percentile, samples_above, summarize


@pytest.mark.parametrize(
    ("fraction", "minimum"), [(0.5, 11), (0.9, 64), (0.95, 130), (0.99, 662), (0.999, 6636)]
)
def test_smallest_samples_are_the_published_ones(fraction: float, minimum: int) -> None:
    assert samples_above(minimum - 1, fraction) < 1
    assert samples_above(minimum, fraction) == 1
    assert percentile(np.arange(minimum - 1), fraction) is None
    assert percentile(np.arange(minimum), fraction) == minimum - 1


@pytest.mark.parametrize(("fraction", "minimum"), [(0.9, 127), (0.95, 259), (0.99, 1307), (0.999, 13105)])
def test_smallest_samples_with_four_dropped_are_the_published_ones(fraction: float, minimum: int) -> None:
    assert samples_above(minimum - 1, fraction) == 4
    assert samples_above(minimum, fraction) == 5
    assert percentile(np.arange(minimum), fraction) == minimum - 5


@pytest.mark.parametrize("n", [1, 10, 300, 5000, 200_000])
@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.99])
def test_rule_agrees_with_scipy(n: int, fraction: float) -> None:
    t = samples_above(n, fraction)
    tail = scipy.stats.binom(n, 1.0 - fraction).cdf
    assert t == -1 or tail(t) <= 0.01
    assert tail(t + 1) > 0.01


@pytest.mark.parametrize(("n", "fraction"), [(64, 0.9), (300, 0.5), (300, 0.9), (700, 0.99)])
def test_estimate_flatters_in_less_than_one_percent_of_measurements(n: int, fraction: float) -> None:
    rng = np.random.default_rng(1)
    truth = -np.log(1.0 - fraction)
    estimates = [percentile(row, fraction) for row in rng.exponential(size=(3000, n))]
    assert all(estimate is not None for estimate in estimates)
    assert np.mean(np.array(estimates) < truth) <= 0.012
    plain = np.quantile(rng.exponential(size=(3000, n)), fraction, axis=1)
    assert np.mean(plain < truth) > 0.3, "the plain percentile fails the same check"


def test_summary_keeps_outliers_and_refuses_what_it_cannot_promise() -> None:
    sample = summarize([1.0] * 299 + [9000.0], load=0.5)
    assert (sample.n, sample.p50_us, sample.p90_us, sample.p99_us) == (300, 1.0, 1.0, None)
    assert (sample.max_us, sample.load_average) == (9000.0, 0.5)
    assert summarize([1.0] * 10).p50_us is None


@pytest.mark.parametrize("bad", [(0, 0.5), (10, 0.0), (10, 1.0), (10, 90.0)])
def test_impossible_percentiles_are_refused(bad: tuple[int, float]) -> None:
    with pytest.raises(InvalidValueError):
        samples_above(*bad)


def test_measure_times_the_call_and_nothing_else() -> None:
    seen: list[int] = []
    collecting: list[bool] = []

    def call(index: int) -> None:
        seen.append(index)
        collecting.append(gc.isenabled())
        time.sleep(0.002 if index >= 5 else 0.0)

    sample = measure(call, n_warmup=5, n_samples=20)
    assert seen == list(range(25))
    assert collecting == [True] * 5 + [False] * 20
    assert sample.n == 20
    assert sample.p50_us is not None and 2000.0 <= sample.p50_us <= sample.max_us
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_collector_is_restored_when_the_call_fails() -> None:
    def call(index: int) -> None:
        raise RuntimeError("agent failed")

    with pytest.raises(RuntimeError, match="agent failed"):
        measure(call, n_warmup=0)
    assert gc.isenabled()


def test_measure_refuses_empty_plans() -> None:
    with pytest.raises(InvalidValueError, match="n_samples"):
        measure(lambda index: None, n_samples=0)
    with pytest.raises(InvalidValueError, match="n_warmup"):
        measure(lambda index: None, n_warmup=-1)
