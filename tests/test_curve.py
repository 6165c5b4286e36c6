"""`harness curve`: one team under growing difficulty."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from env_adapters.errors import InvalidValueError
from harness.cli import run
from harness.curve import curve
from harness.options import EvaluateConfig
from harness.records import load_run

QUESTION = ["curve", "--map", "3m", "--agent", "nearest", "--episodes", "6", "--workers", "0"]


def test_points_share_their_episodes_and_are_runs_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*QUESTION, "--axis", "drop-observation", "--values", "0.5", "1", "--csv", "curve.csv"]
    assert run(command) == 0
    first = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "curve.csv").open(encoding="utf-8")))
    assert [row["drop_observation"] for row in rows] == ["", "0.5", "1.0"]
    runs = [load_run(tmp_path / row["run"]) for row in rows]
    seeds = [[record.episode_seed for record in each.episodes] for each in runs]
    assert seeds[0] == seeds[1] == seeds[2] and len(seeds[0]) == 6
    assert [each.manifest["config"]["conditions"] for each in runs] == [
        {},
        {"drop_observation": 0.5},
        {"drop_observation": 1.0},
    ]
    returns = [float(row["return_mean"]) for row in rows]
    assert returns[0] > returns[2], "an agent that never sees anything new plays worse"
    assert run(command) == 0
    assert capsys.readouterr().out == first, "nothing is played twice"


def test_a_deadline_that_nobody_can_keep_makes_actions_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = EvaluateConfig("3m", agent="nearest", episodes=2, workers=0, video=0, latency="none")
    undisturbed, hopeless = curve(config, "deadline-ms", [0.001], lambda line: None)
    assert hopeless.evaluation.latency is not None and hopeless.evaluation.latency.scenario == "deadline"
    late = hopeless.evaluation.latency.late_share
    assert late is not None and late > 0.8, "all but what happens to lie there when the team looks"
    assert hopeless.evaluation.summary.wins == 0
    assert undisturbed.evaluation.latency is None
    assert hopeless.evaluation.summary.conditions == {"execution": "decentralized", "deadline_ms": 0.001}


@pytest.mark.parametrize(
    ("axis", "values", "words"),
    [
        ("drop-observation", [], "give at least one"),
        ("drop-observation", [0.5, 0.5], "each once"),
        ("delay-observation", [1.5], "whole steps"),
    ],
)
def test_values_that_make_no_sense_are_refused_before_anything_is_played(
    axis: str, values: list[float], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValueError, match=words):
        curve(EvaluateConfig("3m"), axis, values, lambda line: None)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
