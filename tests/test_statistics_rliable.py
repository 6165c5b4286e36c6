"""Aggregates, intervals and profiles against recorded outputs of rliable (tests/golden_statistics)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.statistics.aggregates import (
    Statistic,
    iqm,
    mean,
    median,
    optimality_gap,
    stratified_bootstrap_interval,
)
from harness.statistics.profiles import performance_profile
from harness.statistics.unpaired import probability_of_improvement, probability_of_improvement_interval

GOLDEN = json.loads((Path(__file__).parent / "golden_statistics/rliable.json").read_text())
CASES = GOLDEN["cases"]
SPREAD = [case for case in CASES if "interval" in case]
STATISTICS: dict[str, Statistic] = {
    "mean": mean,
    "median": median,
    "iqm": iqm,
    "optimality_gap": optimality_gap,
}


def name(case: dict[str, Any]) -> str:
    return "x".join(map(str, np.shape(case["x"])))


def test_the_recording_is_of_rliable_and_has_many_shapes() -> None:
    assert GOLDEN["versions"]["rliable"] == "1.2.0"
    assert len(CASES) == 7 and len(SPREAD) == 6


@pytest.mark.parametrize("case", CASES, ids=name)
def test_point_values_equal_rliable(case: dict[str, Any]) -> None:
    x, y = np.array(case["x"]), np.array(case["y"])
    for key, statistic in STATISTICS.items():
        assert float(statistic(x)) == pytest.approx(case[key], abs=1e-12), key
    assert float(optimality_gap(x, 0.5)) == pytest.approx(case["optimality_gap_2"], abs=1e-12)
    assert probability_of_improvement(x, y) == pytest.approx(case["probability_of_improvement"], abs=1e-12)
    profile = performance_profile(x, case["taus"], np.random.default_rng(0), 10)
    np.testing.assert_allclose(profile.share, case["profile"], atol=1e-12)


@pytest.mark.parametrize("case", SPREAD, ids=name)
def test_intervals_equal_rliable_within_the_noise_of_resampling(case: dict[str, Any]) -> None:
    x = np.array(case["x"])
    for key, statistic in STATISTICS.items():
        low, high = case["interval"][key]
        ours = stratified_bootstrap_interval(x, statistic, np.random.default_rng(1), 20_000)
        assert ours is not None
        assert ours == pytest.approx((low, high), abs=0.05 * (high - low)), key


@pytest.mark.parametrize(
    "case", [case for case in SPREAD if "probability_of_improvement" in case["interval"]], ids=name
)
def test_the_interval_of_the_probability_of_improvement_equals_rliable(case: dict[str, Any]) -> None:
    low, high = case["interval"]["probability_of_improvement"]
    ours = probability_of_improvement_interval(case["x"], case["y"], np.random.default_rng(1), 4_000)
    if ours is None:
        assert low == high, "where one side is always better rliable gives an interval of no width"
    else:
        assert ours == pytest.approx((low, high), abs=0.1 * (high - low))


@pytest.mark.parametrize("case", SPREAD, ids=name)
def test_profile_bands_equal_rliable_within_the_noise_of_resampling(case: dict[str, Any]) -> None:
    profile = performance_profile(case["x"], case["taus"], np.random.default_rng(1), 5_000)
    for ours, theirs in ((profile.lower, case["profile_lower"]), (profile.upper, case["profile_upper"])):
        step = 1.01 / np.size(case["x"])  # the share moves in steps of one run
        np.testing.assert_allclose(ours, theirs, atol=step)
