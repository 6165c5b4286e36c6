"""Runs x tasks, and two sides of a comparison."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from env_adapters.errors import InvalidValueError
from harness.statistics import aggregates
from harness.statistics.aggregates import (
    iqm,
    mean,
    optimality_gap,
    stratified_bootstrap,
    stratified_bootstrap_interval,
)
from harness.statistics.paired import (
    benjamini_hochberg,
    holm,
    paired_bootstrap_interval,
    paired_rate_interval,
    sign_test,
)
from harness.statistics.profiles import performance_profile
from harness.statistics.unpaired import (
    fisher_exact,
    probability_of_improvement,
    probability_of_improvement_interval,
    rate_difference_interval,
)

TABLES = st.tuples(st.integers(1, 6), st.integers(1, 5)).flatmap(
    lambda shape: st.lists(
        st.lists(st.floats(-100, 100), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


@given(TABLES)
def test_iqm_equals_scipys_trimmed_mean(table: list[list[float]]) -> None:
    scores = np.array(table)
    kept = scores.copy()
    assert float(iqm(scores)) == pytest.approx(scipy.stats.trim_mean(scores, 0.25, axis=None), abs=1e-9)
    np.testing.assert_array_equal(scores, kept)
    assert scores.min() - 1e-9 <= float(iqm(scores)) <= scores.max() + 1e-9


def test_statistics_of_a_stack_are_those_of_each_table() -> None:
    stack = np.random.default_rng(0).normal(size=(4, 5, 3))
    for statistic in (iqm, mean, optimality_gap, aggregates.median):
        np.testing.assert_allclose(statistic(stack), [statistic(table) for table in stack])


def test_the_stratified_bootstrap_of_one_task_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=40)
    ours = stratified_bootstrap_interval(values[:, None], iqm, np.random.default_rng(0), 20_000)
    theirs = scipy.stats.bootstrap(
        (values,), lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis), n_resamples=20_000,
        method="percentile", vectorized=True, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_runs_are_drawn_within_each_task() -> None:
    """Tasks lie far apart: a resample across tasks would vary wildly."""
    scores = np.array([[0.0, 1000.0], [1.0, 1001.0]])
    values = stratified_bootstrap(scores, mean, np.random.default_rng(0), 4000)
    assert set(np.round(values, 6)) == {500.0, 500.25, 500.5, 500.75, 501.0}
    counts = [np.mean(np.isclose(values, v)) for v in (500.0, 500.25, 500.5, 500.75, 501.0)]
    assert counts == pytest.approx([1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16], abs=0.03)


def test_the_bootstrap_is_decided_by_its_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).normal(size=(5, 3))
    whole = stratified_bootstrap(scores, iqm, np.random.Generator(np.random.Philox(1)), 999)
    monkeypatch.setattr(aggregates, "_BLOCK", 70)
    np.testing.assert_array_equal(
        stratified_bootstrap(scores, iqm, np.random.Generator(np.random.Philox(1)), 999), whole
    )
    assert (stratified_bootstrap(scores, iqm, np.random.Generator(np.random.Philox(2)), 999) != whole).any()


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([[1.0, float("nan")], [1.0, 2.0]], r"score \[run, task\] \[0, 1\] is not finite"),
        ([[1.0], [1.0, 2.0]], "do not form a table"),
        ([1.0, 2.0], "shape"),
        ([[]], "shape"),
    ],
)
def test_broken_tables_are_refused(scores: object, said: str) -> None:
    for call in (
        lambda: stratified_bootstrap(scores, mean, np.random.default_rng(0), 10),
        lambda: performance_profile(scores, [0.0], np.random.default_rng(0), 10),
        lambda: probability_of_improvement(scores, [[1.0, 2.0]]),
    ):
        with pytest.raises(InvalidValueError, match=said):
            call()


def test_one_run_or_equal_runs_have_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert stratified_bootstrap_interval([[1.0, 2.0, 3.0]], iqm, rng, 100) is None
    assert stratified_bootstrap_interval([[1.0], [1.0]], mean, rng, 100) is None
    assert probability_of_improvement_interval([[1.0], [2.0]], [[0.0], [0.5]], rng, 100) is None
    profile = performance_profile([[0.0, 1.0], [1.0, 1.0]], [-1.0, 0.5, 2.0], rng, 200)
    assert profile.unknown.tolist() == [True, False, True]
    assert profile.share.tolist() == [1.0, 0.75, 0.0]
    assert profile.lower[1] < profile.upper[1]


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8), st.lists(st.integers(0, 5), min_size=1, max_size=8)
)
def test_probability_of_improvement_is_mann_whitneys_u(ours: list[int], theirs: list[int]) -> None:
    wanted = scipy.stats.mannwhitneyu(ours, theirs).statistic / (len(ours) * len(theirs))
    first, second = (np.array(side, dtype=float)[:, None] for side in (ours, theirs))
    assert probability_of_improvement(first, second) == pytest.approx(wanted)
    assert probability_of_improvement(second, first) == pytest.approx(1.0 - wanted)


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_sign_test_equals_scipy(wins: int, losses: int) -> None:
    wanted = scipy.stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(wanted, rel=1e-8)
    assert sign_test(wins, losses, mid_p=True) <= sign_test(wins, losses)


def test_mid_p_counts_the_observed_split_half() -> None:
    assert sign_test(1, 9, mid_p=True) == pytest.approx(2 * (11 / 1024 - 10 / 2048))
    assert sign_test(5, 5, mid_p=True) == pytest.approx(1.0)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_fishers_test_equals_scipy(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    wanted = scipy.stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
    assert fisher_exact(a, n, b, m) == pytest.approx(wanted, rel=1e-7)


def test_newcombes_published_example() -> None:
    """R. Newcombe (1998), table II, method 10, example (a): 56/70 - 48/80."""
    assert rate_difference_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("n", [10, 50, 320])
@pytest.mark.parametrize(("up", "down"), [(0.0, 0.0), (0.1, 0.1), (0.3, 0.05), (0.02, 0.0), (0.5, 0.5)])
def test_the_interval_of_paired_rates_covers(n: int, up: float, down: float) -> None:
    """2,000 experiments; never without width."""
    table = np.random.default_rng(n).multinomial(n, [up, down, 1.0 - up - down], size=2000)
    intervals = [paired_rate_interval(int(wins), int(losses), n) for wins, losses, _ in table]
    assert np.mean([low <= up - down <= high for low, high in intervals]) >= (0.88 if n < 50 else 0.93)
    assert all(high - low > 0.0 for low, high in intervals)


def test_the_paired_bootstrap_sees_what_pairs_share() -> None:
    rng = np.random.default_rng(0)
    luck = rng.normal(size=100) * 10
    ours, theirs = luck + 1.0 + rng.normal(size=100), luck + rng.normal(size=100)
    interval = paired_bootstrap_interval(ours, theirs, np.random.default_rng(1))
    assert interval is not None and 0.0 < interval.lower < 1.0 < interval.upper < 2.0
    wanted = scipy.stats.ttest_rel(ours, theirs).confidence_interval()
    assert interval == pytest.approx((wanted.low, wanted.high), abs=0.1)
    with pytest.raises(InvalidValueError, match="equally long"):
        paired_bootstrap_interval([1.0, 2.0], [1.0], rng)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_bonferroni_procedure(p_values: list[float]) -> None:
    indices = range(len(p_values))
    sets = [s for k in indices for s in itertools.combinations(indices, k + 1)]
    wanted = [
        max(min(1.0, len(s) * min(p_values[i] for i in s)) for s in sets if one in s) for one in indices
    ]
    assert holm(p_values) == pytest.approx(wanted)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_equals_scipy(p_values: list[float]) -> None:
    np.testing.assert_allclose(benjamini_hochberg(p_values), scipy.stats.false_discovery_control(p_values))


def test_holm_keeps_the_chance_of_any_false_rejection() -> None:
    p_values = np.random.default_rng(0).random((4000, 6))
    assert np.mean([holm(row).min() <= 0.05 for row in p_values]) == pytest.approx(0.05, abs=0.012)
    assert np.mean(p_values.min(axis=1) <= 0.05) > 0.2, "without correction"
    for wrong in ([], [1.5], [float("nan")]):
        with pytest.raises(InvalidValueError):
            holm(wrong)
