"""What a finished evaluation says: which episodes are filmed, and every number of its summary."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest

from agents.bc import BcConfig
from agents.checkpoints import initial
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from harness.evaluate import summarise
from harness.latency import LatencySample
from harness.records import EpisodeRecord
from harness.replay import pick_films

LATENCY = LatencySample(n=300, p50_us=100.0, p90_us=200.0, p99_us=None, max_us=900.0, load_average=0.5)


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


def test_summary_by_hand(spec: TeamSpec) -> None:
    team = initial("bc-meanflow", BcConfig(hidden=(4,)), spec, seed=5)
    team = replace(team, provenance={"dataset_name": "3m-good", "dataset": "ff" * 32, "seed": 5})
    records = [record(0, True, (2.0, 4.0)), record(1, False, (1.0,)), record(2, False, (2.0, 0.0, 0.0))]
    made = summarise(spec, team, "fresh", records, LATENCY, ["videos/a.mp4"])
    assert (made.episodes, made.wins, made.win_rate) == (3, 1, 1 / 3)
    assert (made.return_mean, made.mean_length) == (3.0, 2.0)
    assert made.return_std == pytest.approx(math.sqrt(7.0))  # deviations 3, -2, -1; divisor 2
    z, n, p = 1.959963984540054, 3, 1 / 3
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert made.win_rate_lower == pytest.approx(centre - half)
    assert made.win_rate_upper == pytest.approx(centre + half)
    assert (made.dataset, made.training_seed, made.agent_hash) == ("3m-good", 5, team.weights_hash)
    assert (made.action_p50_us, made.action_p90_us, made.latency_n) == (100.0, 200.0, 300)
    assert (made.engine, made.layout, made.videos) == (spec.engine, spec.layout, ["videos/a.mp4"])
    json.dumps(asdict(made), allow_nan=False)


def test_summary_of_a_world_without_winner_and_of_a_single_episode(spec: TeamSpec) -> None:
    control = initial("random", None, spec, 0)
    made = summarise(replace(spec, has_win=False), control, "sample", [record(0, None)], LATENCY, [])
    assert (made.wins, made.win_rate, made.win_rate_lower, made.win_rate_upper) == (None,) * 4
    assert (made.return_mean, made.return_std) == (1.0, None)
    assert (made.dataset, made.training_seed) == (None, None), "nobody trained a control"
