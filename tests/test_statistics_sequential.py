"""Rules that may be looked at after every episode: exact error rates, and simulated ones as a user would run them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.errors import InvalidValueError
from harness.statistics.intervals import wilson_interval
from harness.statistics.sequential import (
    FIRST_LOOK,
    better_evidence,
    first_better,
    first_precise,
    mean_sequence,
    precise_at,
    proportion_sequence,
)

N_RUNS, N_EPISODES = 10_000, 1_000


def ever_rejected(p: float, n_episodes: int, alpha: float = 0.05) -> float:
    """Exact probability that a fair or losing side is ever called better: all paths of the walk at once."""
    alive, rejected = np.ones(1), 0.0
    for n in range(1, n_episodes + 1):
        reached = np.zeros(n + 1)
        reached[:-1] += alive * (1.0 - p)
        reached[1:] += alive * p
        stop = better_evidence(np.arange(n + 1), n - np.arange(n + 1)) >= np.log(1.0 / alpha)
        rejected += float(reached[stop].sum())
        alive = np.where(stop, 0.0, reached)
    return rejected


def ever_outside(p: float, n_episodes: int, best_at: int, alpha: float = 0.05) -> float:
    """Exact probability that the confidence sequence ever leaves out the true rate."""
    alive, missed = np.ones(1), 0.0
    every, counts = np.arange(1, n_episodes + 1)[:, None], np.arange(n_episodes + 1)
    lower, upper = proportion_sequence(np.minimum(counts, every), every, alpha, best_at)
    for n in range(1, n_episodes + 1):
        reached = np.zeros(n + 1)
        reached[:-1] += alive * (1.0 - p)
        reached[1:] += alive * p
        outside = (p < lower[n - 1, : n + 1]) | (p > upper[n - 1, : n + 1])
        missed += float(reached[outside].sum())
        alive = np.where(outside, 0.0, reached)
    return missed


@pytest.mark.parametrize(("p", "alpha"), [(0.5, 0.05), (0.5, 0.01), (0.45, 0.05), (0.0, 0.05)])
def test_a_side_that_is_not_better_is_rarely_ever_called_better(p: float, alpha: float) -> None:
    assert ever_rejected(p, 300, alpha) <= alpha
    assert ever_rejected(0.5, 300) > 0.02, "a rule that never speaks would pass too"


@pytest.mark.parametrize(("p", "best_at"), [(0.5, 100), (0.1, 100), (0.02, 500), (0.99, 30)])
def test_the_confidence_sequence_holds_at_all_times(p: float, best_at: int) -> None:
    assert 0.001 < ever_outside(p, 150, best_at) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.001, 0.02, 0.1, 0.5, 0.8, 0.97])
def test_the_confidence_sequence_holds_over_a_thousand_episodes(p: float) -> None:
    assert ever_outside(p, 1000, precise_at(0.05)) <= 0.05
    assert ever_rejected(0.5, 3000) <= 0.05


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [(0.5, 0.5, 0.0), (0.5, 0.5, 0.8), (0.1, 0.1, 0.0), (0.95, 0.95, 0.5), (0.4, 0.45, 0.3)],
)
def test_ten_thousand_null_runs_stop_in_at_most_five_percent(ours: float, theirs: float, same: float) -> None:
    """Pairs of battles, looked at after each; with probability `same` both sides share their luck."""
    rng = np.random.default_rng(17)
    wins, losses = np.zeros(N_RUNS, np.int64), np.zeros(N_RUNS, np.int64)
    stopped = np.zeros(N_RUNS, np.bool_)
    first, second = (np.empty((20, N_EPISODES)) for _ in range(2))
    table = evidence_table()
    for episode in range(N_EPISODES):
        luck, other = rng.random((2, N_RUNS))
        won, their_won = luck < ours, np.where(rng.random(N_RUNS) < same, luck, other) < theirs
        first[:, episode], second[:, episode] = won[:20], their_won[:20]
        wins += won & ~their_won
        losses += their_won & ~won
        stopped |= table[wins, losses]
    assert stopped.mean() <= 0.05
    said = [first_better(a, b) is not None for a, b in zip(first, second, strict=True)]
    assert said == stopped[:20].tolist(), "the function itself says the same of the first runs"


@cache
def evidence_table() -> BoolArray:
    """Whether counts [wins, losses] suffice at alpha = 0.05; far corners cannot be reached."""
    counts = np.arange(701)
    table = np.zeros((N_EPISODES + 1, N_EPISODES + 1), np.bool_)
    table[:701, :701] = better_evidence(counts[:, None], counts) >= np.log(20.0)
    return table


@pytest.mark.parametrize("half_width", [0.1, 0.2])
def test_the_rate_is_inside_when_an_evaluation_stops_for_precision(half_width: float) -> None:
    """10,000 evaluations for each rate, stopped by the rule; the interval at that moment holds the rate."""
    rng, most = np.random.default_rng(3), precise_at(half_width)
    n, rows = np.arange(1, most + 1), np.arange(N_RUNS)
    lower, upper = proportion_sequence(np.minimum(np.arange(most + 1), n[:, None]), n[:, None], 0.05, most)
    precise = upper - lower <= 2 * half_width
    for p in (0.0, 0.03, 0.5, 0.8, 1.0):
        outcomes = rng.random((N_RUNS, most)) < p
        wins = np.cumsum(outcomes, axis=1, dtype=np.int16)
        reached = precise[n - 1, wins]
        assert reached.any(axis=1).all(), "precise_at is the most that any rate needs"
        stop = reached.argmax(axis=1)
        at = wins[rows, stop]
        assert ((lower[stop, at] <= p) & (p <= upper[stop, at])).mean() >= 0.95
        for row in range(3):
            assert first_precise(outcomes[row].astype(float), half_width) == stop[row] + 1


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (0, 1), (9, 2), (2, 9), (60, 40)])
def test_evidence_is_the_mixed_likelihood_ratio(wins: int, losses: int) -> None:
    def ratio(p: float) -> float:
        return float(2.0 * p**wins * (1.0 - p) ** losses * 2.0 ** (wins + losses))

    wanted, _ = scipy.integrate.quad(ratio, 0.5, 1.0)
    assert float(better_evidence(wins, losses)) == pytest.approx(np.log(wanted), rel=1e-8, abs=1e-10)


def test_evidence_of_a_long_series_does_not_overflow() -> None:
    assert float(better_evidence(100_000, 0)) == pytest.approx(
        100_001 * np.log(2) - np.log(100_001), rel=1e-9
    )
    assert float(better_evidence(0, 100_000)) < -5.0


def test_the_ends_of_the_sequence_are_where_the_likelihood_ratio_crosses() -> None:
    prior = 500 / float(-2 * np.log(0.05) + np.log(-2 * np.log(0.05)) + 1)
    for hits, n in ((3, 10), (50, 100), (990, 1000)):
        for rate in proportion_sequence(hits, n):
            p = float(rate)
            mixed = scipy.stats.betabinom.logpmf(hits, n, prior * p, prior * (1 - p))
            assert mixed - scipy.stats.binom.logpmf(hits, n, p) == pytest.approx(np.log(20.0), abs=1e-6)


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(1, 2000), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_set_of_rates_is_one_interval_and_mirrors(n: int, best_at: int, alpha: float) -> None:
    lower, upper = proportion_sequence(np.arange(n + 1), n, alpha, best_at)
    assert (lower <= np.arange(n + 1) / n).all() and (np.arange(n + 1) / n <= upper).all()
    assert (np.diff(lower) >= 0.0).all() and lower[0] == 0.0 and upper[-1] == 1.0
    np.testing.assert_allclose(lower, 1.0 - upper[::-1], atol=1e-9)
    assert (upper - lower > 0.0).all()


def test_looking_at_any_time_costs_width() -> None:
    lower, upper = proportion_sequence(50, 100)
    fixed = wilson_interval(50, 100)
    assert lower < fixed.lower < fixed.upper < upper
    assert precise_at(0.03) == 2560


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=300), st.integers(0, 300))
def test_the_stopping_point_is_decided_by_what_came_before(outcomes: list[float], more: int) -> None:
    """Later episodes, and where somebody looked before, change nothing."""
    stop = first_precise(outcomes, 0.1)
    assert first_precise([*outcomes, *[1.0, 0.0, 0.0] * more], 0.1) == stop or stop is None
    if stop is not None:
        assert first_precise(outcomes[:stop], 0.1) == stop
        assert first_precise(outcomes[: stop - 1], 0.1) is None
    theirs = [0.0, 1.0] * len(outcomes)
    better = first_better(outcomes, theirs[: len(outcomes)])
    if better is not None:
        assert first_better(outcomes[:better], theirs[:better]) == better


def returns(rng: np.random.Generator, shape: tuple[int, int]) -> DoubleArray:
    return np.where(rng.random(shape) < 0.5, 20.0, rng.normal(9.0, 2.0, shape))


def test_the_sequence_of_a_mean_mostly_holds_from_the_first_look_on() -> None:
    values = returns(np.random.default_rng(4), (1000, 800))
    missed = []
    for row in values:
        lower, upper = mean_sequence(row)
        missed.append(((lower > 14.5) | (upper < 14.5))[FIRST_LOOK - 1 :].any())
    assert 0.0 < np.mean(missed) <= 0.06


def test_the_sequence_of_a_mean_is_the_formula() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 50)
    lower, upper = mean_sequence(values, 0.05, 50)
    rho2 = (-2 * np.log(0.05) + np.log(-2 * np.log(0.05)) + 1) / 50
    half = values.std(ddof=1) * np.sqrt(
        2 * (50 * rho2 + 1) / (50**2 * rho2) * np.log(np.sqrt(50 * rho2 + 1) / 0.05)
    )
    assert (lower[-1], upper[-1]) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-12)


def test_equal_returns_are_never_precise() -> None:
    lower, upper = mean_sequence([20.0] * 500)
    assert np.isneginf(lower).all() and np.isposinf(upper).all()
    assert first_precise([20.0] * 500, 1.0, is_rate=False) is None
    spread = [20.0, 19.0] * 250
    assert (first_precise(spread, 0.5, is_rate=False) or 0) >= FIRST_LOOK
    assert first_precise([], 0.1) is None and first_better([], []) is None


def test_later_returns_do_not_touch_earlier_bounds() -> None:
    values = np.random.default_rng(1).normal(1e6, 1.0, 200)
    whole, part = mean_sequence(values), mean_sequence(values[:120])
    np.testing.assert_array_equal(whole.lower[:120], part.lower)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: first_precise([0.0, 0.5], 0.1), "0 or 1"),
        (lambda: first_precise([0.0, float("nan")], 0.1), "value 1 of 2"),
        (lambda: first_precise([1.0], 0.0), "half_width"),
        (lambda: first_precise([1.0], -1.0, is_rate=False), "half_width"),
        (lambda: first_better([1.0], [1.0, 0.0]), "equally long"),
        (lambda: first_better([1.0], [0.0], 0.0), "alpha"),
        (lambda: proportion_sequence(3, 2), "3 of 2"),
        (lambda: better_evidence(-1, 2), "negative"),
        (lambda: mean_sequence([1.0], best_at=0), "best_at"),
    ],
)
def test_nonsense_is_refused(call: object, said: str) -> None:
    assert callable(call)
    with pytest.raises(InvalidValueError, match=said):
        call()
