"""Averages over training seeds: of equals only, every team once, with the uncertainty of both levels."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sample_runs import PASSPORT, finished_run, latency
from scipy import stats

from env_adapters.errors import InvalidValueError, MismatchError
from harness.leaderboard import AVERAGE_COLUMNS, average, format_table, leaderboard
from harness.leaderboard.two_levels import wider_interval
from harness.statistics import wilson_interval


def team(path: Path, seed: int | None, n: int = 4, first: int = 0, **changes: Any) -> Path:
    """A run of the team of this training seed over n episodes; its wins and spread follow from what is given."""
    values: dict[str, Any] = dict(
        training_seed=seed, agent_hash=f"{seed or 0:02x}" * 16, wins=2, win_rate=2 / n
    )
    values["passport"] = PASSPORT | changes.pop("passport", {})
    return finished_run(path, list(range(first, first + n)), **{**values, **changes})


def test_the_mean_is_that_of_the_teams_and_the_interval_student_s(tmp_path: Path) -> None:
    means = [10.0, 12.0, 17.0]
    runs = [team(tmp_path / str(seed), seed, return_mean=mean, crashed=1) for seed, mean in enumerate(means)]
    (row,) = average(leaderboard(runs)).to_dict("records")
    half = stats.t.ppf(0.975, 2) * np.std(means, ddof=1) / math.sqrt(3)
    assert (row["return_mean"], row["return_std_seeds"]) == (13.0, pytest.approx(np.std(means, ddof=1)))
    assert (row["return_lower"], row["return_upper"]) == pytest.approx((13.0 - half, 13.0 + half))
    assert (row["n_seeds"], row["episodes"], row["episodes_total"], row["crashed"]) == (3, 4, 12, 3)
    assert (row["interval"], row["training_seeds"]) == ("over 3 seeds", "0 1 2")
    assert row["runs"] == "; ".join(map(str, runs)) and row["mixed"] is None
    assert tuple(average(leaderboard(runs)).columns) == AVERAGE_COLUMNS


def test_seeds_that_agree_by_chance_keep_the_uncertainty_of_their_episodes(tmp_path: Path) -> None:
    runs = [
        team(tmp_path / str(seed), seed, n=16, wins=16, win_rate=1.0, return_std=4.0) for seed in range(2)
    ]
    (row,) = average(leaderboard(runs)).to_dict("records")
    half = NormalDist().inv_cdf(0.975) * 4.0 / math.sqrt(32)
    assert (row["return_lower"], row["return_upper"]) == pytest.approx((1.5 - half, 1.5 + half))
    pooled = wilson_interval(32, 32)
    assert (row["win_rate_lower"], row["win_rate_upper"]) == (pooled.lower, 1.0)


def test_win_rates_are_averaged_over_seeds_and_stay_between_0_and_1(tmp_path: Path) -> None:
    runs = [
        team(tmp_path / str(seed), seed, n=10, wins=wins, win_rate=wins / 10)
        for seed, wins in enumerate((0, 9))
    ]
    (row,) = average(leaderboard(runs)).to_dict("records")
    assert (row["win_rate"], row["win_rate_lower"], row["win_rate_upper"]) == (0.45, 0.0, 1.0)
    assert row["win_rate_std_seeds"] == pytest.approx(np.std([0.0, 0.9], ddof=1))


def test_agreeing_win_rates_keep_wilson_s_interval_of_all_episodes(tmp_path: Path) -> None:
    wins = [16, 16, 16, 17]
    runs = [team(tmp_path / str(s), s, n=32, wins=won, win_rate=won / 32) for s, won in enumerate(wins)]
    (row,) = average(leaderboard(runs)).to_dict("records")
    assert (row["win_rate_lower"], row["win_rate_upper"]) == wilson_interval(65, 128)


@pytest.mark.parametrize("n_teams", [2, 3, 4, 5, 10, 31])
def test_intervals_cover_the_method_as_often_as_they_say(n_teams: int) -> None:
    """Teams drawn around a true mean, twenty episodes each: at least 95 % cover, up to the error of 2 000 draws."""
    rng = np.random.default_rng(n_teams)
    covered = 0
    for _ in range(2000):
        episodes = rng.normal(0, 1, n_teams)[:, None] + rng.normal(0, 2, (n_teams, 20))
        error = math.sqrt(sum(episodes.var(axis=1, ddof=1) / 20)) / n_teams
        interval = wider_interval(episodes.mean(axis=1).tolist(), error)
        assert interval is not None
        covered += interval[0] <= 0.0 <= interval[1]
    assert covered / 2000 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 2000)


def test_without_any_spread_there_is_no_interval() -> None:
    assert wider_interval([3.0], 0.0) is None and wider_interval([3.0, 3.0], 0.0) is None


def test_one_seed_keeps_the_interval_of_its_run(tmp_path: Path) -> None:
    (row,) = average(leaderboard([team(tmp_path / "a", 3)])).to_dict("records")
    assert (row["return_lower"], row["return_upper"], row["interval"]) == (1.2, 1.8, "over episodes")
    assert (row["n_seeds"], row["training_seeds"]) == (1, "3")
    assert pd.isna(row["return_std_seeds"])


KEPT_APART = [
    "scenario",
    "layout",
    "engine",
    "agent",
    "algorithm",
    "dataset",
    "config_hash",
    "act_mode",
    "conditions",
]


@pytest.mark.parametrize("key", KEPT_APART)
def test_methods_and_worlds_stay_apart_whatever_is_said(tmp_path: Path, key: str) -> None:
    other: Any = {"drop_observation": 0.5} if key == "conditions" else "another"
    frame = leaderboard([team(tmp_path / "a", 0), team(tmp_path / "b", 1)])
    frame.loc[1, key] = str(other)
    for mixed in (False, True):
        assert len(average(frame, mixed=mixed)) == 2


UNEQUAL: list[tuple[str, dict[str, Any]]] = [
    ("episodes", dict(n=8)),
    ("episode_seeds_id", dict(first=100)),
    ("on_crash", dict(on_crash="exclude")),
    ("stop_rule", dict(stop_rule="half-width below 0.05")),
    ("project", dict(passport={"version": "0.2.0"})),
    ("packages", dict(passport={"packages": {"numpy": "2.0.0"}})),
    ("normalised_by", dict(normalised_by="other references")),
]


@pytest.mark.parametrize(("key", "changes"), UNEQUAL, ids=[key for key, _ in UNEQUAL])
def test_unequal_protocols_are_refused_unless_told(tmp_path: Path, key: str, changes: dict[str, Any]) -> None:
    runs = [team(tmp_path / "a", 0), team(tmp_path / "b", 1), team(tmp_path / "odd", 2, **changes)]
    frame = leaderboard(runs)
    with pytest.raises(MismatchError) as caught:
        average(frame)
    said = str(caught.value)
    assert said.startswith(f"bc-meanflow on 3m-v1 cannot be averaged over seeds, its runs differ in {key}: ")
    assert f"in {tmp_path / 'a'}, {tmp_path / 'b'} but " in said and f"in {tmp_path / 'odd'}. " in said
    assert said.endswith("or accept it with --mixed (mixed=True)") and "\n" not in said
    (row,) = average(frame, mixed=True).to_dict("records")
    assert row["mixed"] == key and row["n_seeds"] == 3
    assert pd.isna(row["normalised_score"]) == (key == "normalised_by")
    assert pd.isna(row[key]) or row[key] == "several" if key != "episode_seeds_id" else True
    assert f"mixed: {key}" in format_table(average(frame, mixed=True))
    assert len(average(frame[frame["run"] != str(tmp_path / "odd")])) == 1


def test_the_clock_and_the_machine_are_no_part_of_the_protocol(tmp_path: Path) -> None:
    runs = [
        team(tmp_path / "a", 0, timed=latency()),
        team(tmp_path / "b", 1, timed=latency(), passport={"cpu": "another", "recorded_at": "2030"}),
    ]
    (row,) = average(leaderboard(runs)).to_dict("records")
    assert (row["n_seeds"], row["passport_id"], row["project"]) == (2, "several", "0.1.0")
    assert pd.isna(row["action_p50_us"]), "times of two machines say nothing together"


def test_the_same_team_on_the_same_episodes_counts_once(tmp_path: Path) -> None:
    runs = [team(tmp_path / "a", 0, return_mean=1.0), team(tmp_path / "b", 1, return_mean=2.0)]
    again = team(tmp_path / "again", 0, return_mean=1.0)
    averages = average(leaderboard([*runs, again]))
    (row,) = averages.to_dict("records")
    assert (row["n_seeds"], row["return_mean"], row["episodes_total"]) == (2, 1.5, 8)
    assert averages.attrs["merged"] == [str(again)]
    (alone,) = average(leaderboard([runs[0], again])).to_dict("records")
    assert (alone["n_seeds"], alone["interval"]) == (1, "over episodes")


def test_one_team_with_two_results_on_the_same_episodes_is_refused(tmp_path: Path) -> None:
    runs = [team(tmp_path / "a", 0, return_mean=1.0), team(tmp_path / "b", 0, return_mean=1.1)]
    with pytest.raises(
        MismatchError, match=r"results of team 000000000000 on the same episodes: 1\.0 in .*/a but"
    ):
        average(leaderboard(runs))
    (row,) = average(leaderboard(runs), mixed=True).to_dict("records")
    assert (row["n_seeds"], row["return_mean"]) == (1, pytest.approx(1.05)), "still one team"


def test_one_team_on_other_episodes_is_pooled_when_told_and_is_still_one_seed(tmp_path: Path) -> None:
    runs = [
        team(tmp_path / "a", 0, n=4, return_mean=1.0, return_std=2.0),
        team(tmp_path / "b", 0, n=12, first=50, return_mean=3.0, return_std=2.0),
    ]
    with pytest.raises(MismatchError, match="episodes: 4 in"):
        average(leaderboard(runs))
    (row,) = average(leaderboard(runs), mixed=True).to_dict("records")
    assert (row["n_seeds"], row["return_mean"], row["episodes_total"], row["win_rate"]) == (1, 2.5, 16, 0.25)
    half = NormalDist().inv_cdf(0.975) * 2.0 / 4.0
    assert row["return_upper"] - row["return_mean"] == pytest.approx(half)


def test_two_teams_of_one_training_seed_are_refused(tmp_path: Path) -> None:
    runs = [team(tmp_path / "a", 0), team(tmp_path / "b", 0, agent_hash="ee" * 16)]
    with pytest.raises(
        MismatchError, match=r"teams of training seed 0: 000000000000 in .*/a but eeeeeeeeeeee in"
    ):
        average(leaderboard(runs))


def test_teams_that_were_not_trained_are_no_seeds_of_each_other(tmp_path: Path) -> None:
    runs = [
        team(tmp_path / "a", None, agent="mine.py:make", agent_hash="aa" * 16),
        team(tmp_path / "b", None, agent="mine.py:make", agent_hash="bb" * 16),
    ]
    averages = average(leaderboard(runs))
    assert len(averages) == 2 and averages["n_seeds"].isna().all() and averages["training_seeds"].isna().all()


def test_latency_is_that_of_the_slowest_team(tmp_path: Path) -> None:
    runs = [
        team(tmp_path / "a", 0, timed=latency(p50_us=100.0, n=500)),
        team(tmp_path / "b", 1, timed=latency(p50_us=200.0, flagged="busy")),
    ]
    (row,) = average(leaderboard(runs)).to_dict("records")
    assert (row["action_p50_us"], row["latency_n"], row["latency_flagged"]) == (200.0, 300, "busy")
    assert pd.isna(row["action_p99_us"])
    runs[1] = team(tmp_path / "c", 1, timed=latency(scenario="decentralized"))
    (row,) = average(leaderboard(runs)).to_dict("records")
    assert row["latency_scenario"] == "several" and pd.isna(row["action_p50_us"])


def test_a_proof_must_hold_for_every_team(tmp_path: Path) -> None:
    words = ["yes: on 64 states", "yes: on 64 states", None, "no: agent 1 saw the state"]
    frame = leaderboard([team(tmp_path / str(s), s, decentralized=word) for s, word in enumerate(words)])
    shown = [average(frame.iloc[:n])["decentralized"].iloc[0] for n in (2, 3, 4)]
    assert shown[0] == "yes: on 64 states" and pd.isna(shown[1]) and shown[2] == "no: agent 1 saw the state"


def test_pandas_in_and_pandas_out(tmp_path: Path) -> None:
    frame = leaderboard([team(tmp_path / str(seed), seed, return_mean=float(seed)) for seed in range(3)])
    frame["note"] = "mine"
    before = frame.copy()
    averages = average(frame[frame["return_mean"] > 0.5])
    pd.testing.assert_frame_equal(frame, before)
    assert averages["return_mean"].tolist() == [1.5] and str(averages["n_seeds"].dtype) == "Int64"
    with pytest.raises(InvalidValueError, match="cannot average a table without scenario, layout, engine"):
        average(pd.DataFrame({"agent": ["a"]}))
    with pytest.raises(InvalidValueError, match="not over 'runs'"):
        average(frame, over="runs")  # type: ignore[arg-type]
    assert average(frame.iloc[:0]).empty
