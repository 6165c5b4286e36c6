"""Intervals against scipy, against their promised coverage, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from env_adapters.errors import InvalidValueError
from harness.statistics import bootstrap_mean_interval, mean_std, wilson_interval


@given(
    st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999)
)
def test_wilson_equals_scipy(counts: tuple[int, int], confidence: float) -> None:
    successes, n = counts
    theirs = scipy.stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    ours = wilson_interval(successes, n, confidence)
    assert ours.lower == pytest.approx(theirs.low, abs=1e-12)
    assert ours.upper == pytest.approx(theirs.high, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 32, 1000, 10**9])
def test_wilson_is_exact_at_no_and_all_wins(n: int) -> None:
    assert wilson_interval(0, n).lower == 0.0
    assert wilson_interval(n, n).upper == 1.0
    assert 0.0 < wilson_interval(0, n).upper < 1.0
    assert 0.0 < wilson_interval(n, n).lower < 1.0


def test_wilson_of_32_wins_in_32_episodes_is_the_published_example() -> None:
    assert wilson_interval(32, 32).lower == pytest.approx(0.893, abs=5e-4)


def test_wilson_arrays_equal_scalars() -> None:
    successes, n = np.arange(33), 32
    together = wilson_interval(successes, n)
    alone = [wilson_interval(int(k), n) for k in successes]
    np.testing.assert_array_equal(together.lower, [interval.lower for interval in alone])
    np.testing.assert_array_equal(together.upper, [interval.upper for interval in alone])
    assert wilson_interval(np.array([[1], [2]]), np.array([4, 8, 16])).lower.shape == (2, 3)


@pytest.mark.parametrize("n", [5, 10, 32, 100, 1000])
def test_wilson_covers_what_it_promises(n: int) -> None:
    """Coverage summed exactly over the binomial distribution, averaged over true win rates."""
    rates = np.linspace(0.001, 0.999, 999)
    interval = wilson_interval(np.arange(n + 1), n)
    probability = scipy.stats.binom.pmf(np.arange(n + 1), n, rates[:, None])
    inside = (interval.lower <= rates[:, None]) & (rates[:, None] <= interval.upper)
    assert 0.93 <= float((probability * inside).sum(axis=1).mean()) <= 0.97


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(InvalidValueError, match=f"got {successes} of {n}"):
        wilson_interval(successes, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_confidence_must_be_a_fraction(confidence: float) -> None:
    with pytest.raises(InvalidValueError, match="confidence"):
        wilson_interval(1, 2, confidence)


def test_mean_std_divides_by_n_minus_one() -> None:
    assert mean_std([1.0, 3.0]) == (2.0, pytest.approx(np.sqrt(2.0)))
    assert mean_std([7.0]) == (7.0, None)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")], [[1.0, 2.0]]])
def test_mean_std_refuses_what_has_no_mean(values: list[float]) -> None:
    with pytest.raises(InvalidValueError):
        mean_std(values)


def test_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=60)
    ours = bootstrap_mean_interval(values, np.random.default_rng(0), 40_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.lower == pytest.approx(theirs.low, abs=0.01)
    assert ours.upper == pytest.approx(theirs.high, abs=0.01)


def test_bootstrap_is_decided_by_its_generator_alone() -> None:
    values = list(np.random.default_rng(3).normal(size=20))
    first, again, other = (bootstrap_mean_interval(values, np.random.default_rng(s), 500) for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_bootstrap_covers_what_it_promises() -> None:
    """2000 experiments of 50 normal values; the percentile bootstrap is known to fall slightly short."""
    rng = np.random.default_rng(11)
    hits = 0
    for values in rng.normal(size=(2000, 50)):
        interval = bootstrap_mean_interval(values, rng, 400)
        hits += interval.lower <= 0.0 <= interval.upper
    assert 0.92 <= hits / 2000 <= 0.97


def test_bootstrap_memory_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.0, 1.0, 5.0]
    whole = bootstrap_mean_interval(values, np.random.default_rng(0), 1000)
    monkeypatch.setattr("harness.statistics._BLOCK", 100)
    assert bootstrap_mean_interval(values, np.random.default_rng(0), 1000) == whole


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")]])
def test_bootstrap_refuses_samples_without_spread(values: list[float]) -> None:
    with pytest.raises(InvalidValueError):
        bootstrap_mean_interval(values, np.random.default_rng(0))
