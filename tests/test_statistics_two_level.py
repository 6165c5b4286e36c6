"""Episodes within training seeds: variances told apart, intervals that cover, differences of methods."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from env_adapters.errors import InvalidValueError
from harness.statistics.two_level import (
    crossed_difference,
    nested_difference,
    two_level,
    two_level_bootstrap,
)


def groups(
    rng: np.random.Generator, sizes: list[int], seed_std: float, episode_std: float
) -> list[list[float]]:
    return [list(rng.normal() * seed_std + rng.normal(size=n) * episode_std) for n in sizes]


def test_variances_are_told_apart_on_average_even_with_ragged_seeds() -> None:
    rng = np.random.default_rng(0)
    found = [two_level(groups(rng, [10, 20, 30, 40, 50], 2.0, 6.0)) for _ in range(600)]
    assert np.mean([f.episode_std**2 for f in found if f.episode_std]) == pytest.approx(36.0, rel=0.05)
    assert np.mean([f.seed_std**2 for f in found if f.seed_std is not None]) == pytest.approx(4.0, rel=0.12)


@pytest.mark.parametrize(("seed_std", "episode_std"), [(1.0, 1.0), (0.0, 1.0), (3.0, 0.5)])
def test_the_interval_over_training_seeds_covers(seed_std: float, episode_std: float) -> None:
    rng = np.random.default_rng(1)
    found = [two_level(groups(rng, [16] * 5, seed_std, episode_std)).interval for _ in range(2000)]
    assert 0.93 <= np.mean([i is not None and i.lower <= 0.0 <= i.upper for i in found]) <= 0.97


def test_the_advice_says_what_to_buy() -> None:
    rng = np.random.default_rng(0)
    assert two_level(groups(rng, [200] * 6, 5.0, 1.0)).advice.startswith("train more seeds")
    assert two_level(groups(rng, [4] * 6, 0.01, 5.0)).advice.startswith("play more episodes")
    single = two_level([[1.0, 2.0, 3.0]])
    assert single.interval is None and single.seed_std is None and "one training seed" in single.advice
    once = two_level([[1.0], [2.0]])
    assert once.episode_std is None and once.seed_share is None and once.interval is not None
    equal = two_level([[1.0, 1.0], [1.0, 1.0]])
    assert equal.interval is None and equal.seed_share is None
    with pytest.raises(InvalidValueError, match="training seed 1 of 2: value 0 of 2 is not finite"):
        two_level([[1.0], [float("nan"), 1.0]])
    with pytest.raises(InvalidValueError, match="training seed 1 of 2"):
        two_level([[1.0], []])
    with pytest.raises(InvalidValueError, match="at least one training seed"):
        two_level([])


def test_the_two_level_bootstrap_has_the_variance_of_both_levels() -> None:
    data = groups(np.random.default_rng(2), [30, 50, 40, 20, 60, 30, 30, 40], 2.0, 3.0)
    means = np.array([np.mean(group) for group in data])
    within = np.mean([np.var(group) / len(group) for group in data])
    wanted = (means.var() + within) / len(data)  # exact for drawing seeds, then episodes
    values = two_level_bootstrap(data, np.random.default_rng(0), 20_000)
    assert values.var() == pytest.approx(wanted, rel=0.04)
    assert values.mean() == pytest.approx(means.mean(), abs=0.02)


def test_one_run_a_side_is_the_paired_t_test() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 30))
    ours = crossed_difference([first], [second])
    theirs = scipy.stats.ttest_rel(first, second)
    low, high = theirs.confidence_interval()
    assert ours.interval == pytest.approx((low, high)) and ours.p_value == pytest.approx(theirs.pvalue)
    assert not ours.covers_training
    assert crossed_difference([first], [first]).interval is None


def test_separate_episodes_are_welchs_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=30), 3 * rng.normal(size=12)
    theirs = scipy.stats.ttest_ind(first, second, equal_var=False)
    ours = nested_difference([first], [second])
    low, high = theirs.confidence_interval()
    assert ours.interval == pytest.approx((low, high)) and ours.p_value == pytest.approx(theirs.pvalue)
    many = nested_difference([[1.0, 2.0], [3.0, 4.0], [8.0]], [[0.0], [1.0, 2.0]])
    theirs = scipy.stats.ttest_ind([1.5, 3.5, 8.0], [0.0, 1.5], equal_var=False)
    assert many.p_value == pytest.approx(theirs.pvalue) and many.covers_training


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("stds", [(1.0, 1.0, 3.0), (0.0, 1.0, 1.0), (2.0, 0.5, 1.0), (0.2, 2.0, 1.0)])
def test_the_crossed_interval_covers(n_seeds: int, stds: tuple[float, float, float]) -> None:
    """Spread of training seeds, of how an episode suits a method, of single episodes; 32 shared episodes."""
    assert 0.93 <= crossed_coverage(n_seeds, stds, 2000) <= 0.995


def test_the_crossed_interval_covers_where_episodes_suit_one_method_and_where_seeds_differ() -> None:
    assert crossed_coverage(3, (0.2, 2.0, 1.0), 200) >= 0.91, "Welch's t over seeds alone: 72 %"
    assert crossed_coverage(3, (2.0, 0.5, 1.0), 200) >= 0.91, "t over episodes alone: far below"


def crossed_coverage(n_seeds: int, stds: tuple[float, float, float], n_experiments: int) -> float:
    rng, covered = np.random.default_rng(1), []
    for _ in range(n_experiments):
        luck = rng.normal(size=32) * 2.0
        sides = [
            luck
            + rng.normal(size=(n_seeds, 1)) * stds[0]
            + rng.normal(size=32) * stds[1]
            + rng.normal(size=(n_seeds, 32)) * stds[2]
            for _ in range(2)
        ]
        interval = crossed_difference(*sides).interval
        covered.append(interval is not None and interval.lower <= 0.0 <= interval.upper)
    return float(np.mean(covered))
