"""Intervals against scipy, against their promised coverage, and at the edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError
from harness.statistics import (
    Interval,
    bootstrap_mean_interval,
    bootstrap_t_interval,
    clopper_pearson_interval,
    mean_interval,
    mean_std,
    wilson_interval,
)
from harness.statistics.paired import count_signs
from harness.statistics.sequential import first_better
from harness.statistics.special import (
    beta_cdf,
    beta_quantile,
    log_beta_cdf,
    log_gamma,
    student_t_quantile,
    student_t_tail,
)

GRID_N = (5, 10, 20, 32, 50, 100, 320, 1000)
GRID_P = (0.0, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.99, 1.0)


def known(interval: Interval[float] | None) -> Interval[float]:
    assert interval is not None
    return interval


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
    ours = known(bootstrap_mean_interval(values, np.random.default_rng(0), 40_000))
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
        interval = known(bootstrap_mean_interval(values, rng, 400))
        hits += interval.lower <= 0.0 <= interval.upper
    assert 0.92 <= hits / 2000 <= 0.97


def test_bootstrap_memory_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.0, 1.0, 5.0]
    whole = bootstrap_mean_interval(values, np.random.default_rng(0), 1000)
    monkeypatch.setattr("harness.statistics.intervals._BLOCK", 100)
    assert bootstrap_mean_interval(values, np.random.default_rng(0), 1000) == whole


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")]])
def test_bootstrap_refuses_samples_without_spread(values: list[float]) -> None:
    with pytest.raises(InvalidValueError):
        bootstrap_mean_interval(values, np.random.default_rng(0))


def test_special_functions_equal_scipy() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random(500) * 20, 10 ** rng.uniform(-6, 7, 500)])
    np.testing.assert_allclose(log_gamma(x), scipy.special.gammaln(x), rtol=1e-13, atol=1e-13)
    a, b = 10 ** rng.uniform(-1, 3, (2, 1000))
    q = scipy.special.betaincinv(a, b, rng.random(1000))
    np.testing.assert_allclose(beta_cdf(q, a, b), scipy.special.betainc(a, b, q), atol=1e-11)
    np.testing.assert_allclose(beta_quantile(beta_cdf(0.3, 3.0, 5.0), 3.0, 5.0), 0.3, atol=1e-12)
    np.testing.assert_allclose(beta_cdf([0.0, 1.0], 2.0, 3.0), [0.0, 1.0])
    big = 10 ** rng.uniform(5, 6, (2, 20))
    mean = big[0] / big.sum(axis=0)
    np.testing.assert_allclose(beta_cdf(mean, *big), scipy.special.betainc(*big, mean), atol=1e-8)
    assert float(log_beta_cdf(0.5, 2000.0, 1.0)) == pytest.approx(2000 * np.log(0.5), rel=1e-12)


@pytest.mark.parametrize("df", [1, 2, 2.5, 7, 30, 1e3, 1e6])
def test_students_t_equals_scipy(df: float) -> None:
    for probability in (0.5, 0.51, 0.9, 0.975, 0.9999):
        wanted = scipy.stats.t.ppf(probability, df)
        assert student_t_quantile(probability, df) == pytest.approx(wanted, rel=1e-8, abs=1e-9)
    for t in (0.0, 0.3, 2.0, -9.0):
        assert student_t_tail(t, df) == pytest.approx(2 * scipy.stats.t.sf(abs(t), df), rel=1e-8)


@settings(max_examples=40)
@given(
    st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999)
)
def test_clopper_pearson_equals_scipy(counts: tuple[int, int], confidence: float) -> None:
    successes, n = counts
    theirs = scipy.stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson_interval(successes, n, confidence) == pytest.approx(
        (theirs.low, theirs.high), abs=1e-10
    )


@pytest.mark.parametrize("n", [1, 2, 5, 32, 100])
def test_clopper_pearson_covers_at_every_rate(n: int) -> None:
    """Coverage summed exactly over the binomial distribution, at 999 true win rates."""
    rates = np.linspace(0.001, 0.999, 999)
    interval = clopper_pearson_interval(np.arange(n + 1), n)
    probability = scipy.stats.binom.pmf(np.arange(n + 1), n, rates[:, None])
    inside = (interval.lower <= rates[:, None]) & (rates[:, None] <= interval.upper)
    assert float((probability * inside).sum(axis=1).min()) >= 0.95


def rate_coverage(n: int) -> tuple[dict[float, float], dict[float, float]]:
    """Coverage of both intervals of a rate in 2,000 experiments for each true rate."""
    rng = np.random.default_rng(n)
    wilson, exact = wilson_interval(np.arange(n + 1), n), clopper_pearson_interval(np.arange(n + 1), n)
    covers: tuple[dict[float, float], dict[float, float]] = ({}, {})
    for p in GRID_P:
        wins = rng.binomial(n, p, size=2000)
        for found, interval in zip(covers, (wilson, exact), strict=True):
            found[p] = float(((interval.lower[wins] <= p) & (p <= interval.upper[wins])).mean())
    return covers


@pytest.mark.parametrize("n", GRID_N)
def test_intervals_of_a_rate_cover_in_two_thousand_experiments_per_cell(n: int) -> None:
    wilson, exact = rate_coverage(n)
    assert min(exact.values()) >= 0.935, "95 % or more, less three standard errors of 2,000 experiments"
    assert 0.93 <= np.mean([wilson[p] for p in GRID_P if 0.0 < p < 1.0]) <= 0.975
    assert min(wilson.values()) >= 0.85 and wilson[0.0] == wilson[1.0] == 1.0


@settings(max_examples=40)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.floats(0.5, 0.999))
def test_the_interval_of_a_mean_equals_scipy(values: list[float], confidence: float) -> None:
    ours, std = mean_interval(values, confidence), np.std(values, ddof=1)
    if np.ptp(values) == 0.0:
        assert ours is None
    elif std > 1e-9 * max(np.abs(values)):
        wanted = scipy.stats.t.interval(confidence, len(values) - 1, np.mean(values), scipy.stats.sem(values))
        assert ours == pytest.approx(wanted, rel=1e-7, abs=1e-7 * std)


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0], [0.1] * 3, [1e300] * 4])
def test_a_mean_without_spread_has_no_interval(values: list[float]) -> None:
    assert mean_interval(values) is None
    if len(values) > 1:
        assert bootstrap_mean_interval(values, np.random.default_rng(0)) is None
        assert bootstrap_t_interval(values, np.random.default_rng(0)) is None


@pytest.mark.parametrize("position", [0, 2])
def test_a_value_that_is_not_finite_is_named(position: int) -> None:
    values = [1.0, 2.0, 3.0]
    values[position] = float("nan")
    with pytest.raises(InvalidValueError, match=f"value {position} of 3 is not finite"):
        mean_interval(values)


MEANS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], DoubleArray], float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
    "half of the battles won": (lambda rng, shape: battle_returns(rng, shape, 0.5), 14.5),
}


def battle_returns(rng: np.random.Generator, shape: tuple[int, int], win_rate: float) -> DoubleArray:
    """20 for a win, 9 on average for a defeat."""
    return np.where(rng.random(shape) < win_rate, 20.0, rng.normal(9.0, 2.0, shape))


@pytest.mark.parametrize("n", [5, 10, 32, 100, 1000])
@pytest.mark.parametrize("name", MEANS)
def test_students_interval_covers_in_two_thousand_experiments(name: str, n: int) -> None:
    draw, mean = MEANS[name]
    values = draw(np.random.default_rng(n), (2000, n))
    half = student_t_quantile(0.975, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
    first = known(mean_interval(values[0]))
    assert first == pytest.approx((values[0].mean() - half[0], values[0].mean() + half[0]), rel=1e-12)
    covered = float((np.abs(values.mean(axis=1) - mean) <= half).mean())
    assert (0.90 if name != "normal" and n < 10 else 0.93) <= covered <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 32, 100])
@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_the_studentised_bootstrap_covers_in_two_thousand_experiments(name: str, n: int) -> None:
    draw, mean = MEANS[name]
    rng = np.random.default_rng(n)
    intervals = [known(bootstrap_t_interval(values, rng, 999)) for values in draw(rng, (2000, n))]
    most = 0.985 if name == "uniform" else 0.975  # wider than need be on short tails
    assert 0.93 <= np.mean([low <= mean <= high for low, high in intervals]) <= most


def test_the_studentised_bootstrap_follows_a_skewed_sample() -> None:
    """On exponential values of 5 the t interval misses more often; both run on the same samples."""
    rng = np.random.default_rng(5)
    samples = rng.exponential(size=(2000, 5))
    boot = [known(bootstrap_t_interval(values, rng, 400)) for values in samples]
    student = [known(mean_interval(values)) for values in samples]
    covered = [np.mean([low <= 1.0 <= high for low, high in found]) for found in (boot, student)]
    assert covered[0] > 0.90 > covered[1] + 0.01


def test_the_studentised_bootstrap_of_normal_values_is_students_t() -> None:
    values = np.random.default_rng(0).normal(size=400)
    boot = known(bootstrap_t_interval(values, np.random.default_rng(1), 40_000))
    assert boot == pytest.approx(known(mean_interval(values)), abs=0.01)


def test_the_studentised_bootstrap_gives_no_bound_where_most_resamples_are_constant() -> None:
    assert bootstrap_t_interval([0.0, 1.0], np.random.default_rng(0)) is None


def test_returns_that_differ_only_by_rounding_tell_nothing_about_spread() -> None:
    """Twenty won battles return 20 up to the last bits; an interval of width 1e-15 would be a false claim."""
    assert mean_interval([20.0] * 19 + [np.nextafter(20.0, 21.0)]) is None
    assert mean_interval([20.0] * 19 + [20.0 + 1e-6]) is not None


def test_rounding_noise_is_no_difference_between_pairs() -> None:
    above = float(np.nextafter(20.0, 21.0))
    assert count_signs([20.0, above, 20.0, 3.0], [above, 20.0, 20.0, 2.0]) == (1, 0)
    assert first_better([above] * 50, [20.0] * 50) is None
    assert first_better([20.1] * 50, [20.0] * 50) is not None
