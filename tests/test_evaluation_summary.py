"""What a finished evaluation says: which episodes are filmed, and every number of its summary."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.errors import SimulatorError
from harness.evaluate import summarise
from harness.jobs import Job
from harness.look import Look
from harness.options import EvaluateConfig
from harness.plan import Plan
from harness.replay import pick_films
from harness.schema import EpisodeRecord
from harness.team import Team, TeamSource, load_team


@pytest.fixture(scope="module")
def spec() -> TeamSpec:
    with scenarios.make_vector("3m", 1) as env:
        return env.spec


def record(seed: int, won: bool | None, rewards: tuple[float, ...] = (1.0,)) -> EpisodeRecord:
    return EpisodeRecord(seed, sum(rewards), len(rewards), won, True, False, list(rewards), "00")


@pytest.mark.parametrize(
    ("outcomes", "n", "films"),
    [
        ("WWLLW", 5, [0, 2, 1, 4, 3]),
        ("LLW", 2, [2, 0]),
        ("LLW", 1, [2]),
        ("LL", 1, [0]),
        ("WWW", 2, [0, 1]),
        ("??", 1, [0]),
        ("WL", 9, [0, 1]),
        ("WL", 0, []),
    ],
)
def test_films_show_a_won_and_a_lost_episode_first(outcomes: str, n: int, films: list[int]) -> None:
    meaning = {"W": True, "L": False, "?": None}
    assert pick_films([record(seed, meaning[letter]) for seed, letter in enumerate(outcomes)], n) == films


def plan(spec: TeamSpec, team: Team, on_crash: str = "loss") -> Plan:
    job = Job("3m", None, team.source)
    config = EvaluateConfig("3m", on_crash=on_crash)  # type: ignore[arg-type]
    return Plan(job, scenarios.find("3m"), team, spec, [0, 1, 2], None, Path("run"), 0, "none", config)


def test_summary_by_hand(spec: TeamSpec) -> None:
    team = load_team("3m", spec, TeamSource("ppo-good"))
    team = replace(team, provenance={"dataset_name": "3m-good", "dataset": "ff" * 32, "seed": 5})
    records = [record(0, True, (2.0, 4.0)), record(1, False, (1.0,)), record(2, False, (2.0, 0.0, 0.0))]
    found = Look(decentralized="yes (3 views)", videos=["videos/a.mp4"])
    made = summarise(plan(spec, team), records, None, found)
    assert (made.episodes, made.wins, made.win_rate, made.crashed) == (3, 1, 1 / 3, 0)
    assert (made.return_mean, made.return_iqm, made.mean_length) == (3.0, 3.0, 2.0)
    assert made.return_std == pytest.approx(math.sqrt(7.0))  # deviations 3, -2, -1; divisor 2
    z, n, p = 1.959963984540054, 3, 1 / 3
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert made.win_rate_lower == pytest.approx(centre - half)
    assert made.win_rate_upper == pytest.approx(centre + half)
    t = 4.302652729911275  # 97.5 % quantile of Student's t with 2 degrees of freedom
    assert made.return_upper == pytest.approx(3.0 + t * math.sqrt(7.0 / 3.0))
    assert (made.dataset, made.training_seed, made.agent_hash) == ("3m-good", 5, team.weights_hash)
    assert made.normalised_score == pytest.approx(100 * (3.0 - 1.374) / (20.0 - 1.374), abs=0.01)
    assert (made.engine, made.layout, made.videos) == (spec.engine, spec.layout, ["videos/a.mp4"])
    assert (made.decentralized, made.stop_rule, made.conditions) == ("yes (3 views)", None, {})
    json.dumps(asdict(made), allow_nan=False)


def test_summary_of_a_world_without_winner_and_of_a_single_episode(spec: TeamSpec) -> None:
    control = load_team("3m", spec, TeamSource("random"))
    made = summarise(plan(replace(spec, has_win=False), control), [record(0, None)], None, Look())
    assert (made.wins, made.win_rate, made.win_rate_lower, made.win_rate_upper) == (None,) * 4
    assert (made.return_mean, made.return_std, made.return_lower, made.return_upper) == (
        1.0,
        None,
        None,
        None,
    )
    assert (made.dataset, made.training_seed, made.config_hash) == (None, None, None), (
        "nobody trained a control"
    )


def test_episodes_that_broke_off_count_as_lost_or_not_at_all(spec: TeamSpec) -> None:
    team = load_team("3m", spec, TeamSource("random"))
    records = [record(0, True, (6.0,)), EpisodeRecord.broken(1, "agent: a bug"), record(2, True, (3.0,))]
    lost = summarise(plan(spec, team), records, None, Look())
    assert (lost.episodes, lost.crashed, lost.wins, lost.return_mean) == (3, 1, 2, 3.0)
    assert lost.win_rate == 2 / 3
    excluded = summarise(plan(spec, team, "exclude"), records, None, Look())
    assert (excluded.episodes, excluded.crashed, excluded.wins, excluded.return_mean) == (3, 1, 2, 4.5)
    assert excluded.win_rate == 1.0
    with pytest.raises(SimulatorError, match="every one of 1 episodes broke off"):
        summarise(plan(spec, team, "exclude"), records[1:2], None, Look())
