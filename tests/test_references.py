"""What counts as 0 and 100: the shipped file, the formula, and the benchmark that makes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import references as bench
from env_adapters import scenarios
from env_adapters.errors import CorruptFileError, InvalidValueError
from env_adapters.mamujoco.robots import DATASET_TEAMS
from env_adapters.rollout import play
from harness.references import (
    FILE,
    WON_BATTLE,
    References,
    Score,
    describe,
    find_references,
    load_references,
    normalised,
    write_references,
)
from harness.team import TeamSource, load_team

LOW = Score("random", -10.0, 0.5, 100, "0" * 12)
SAMPLE = References("x-v1", "a", "engine/1", LOW, Score("ppo-expert", 40.0, 1.25, 100, "f" * 12))


@pytest.mark.parametrize(
    ("score", "expected"), [(-10.0, 0.0), (40.0, 100.0), (15.0, 50.0), (65.0, 150.0), (-60, -100)]
)
def test_the_formula(score: float, expected: float) -> None:
    assert normalised(score, SAMPLE) == expected


def test_the_description_names_both_teams_with_their_uncertainty() -> None:
    assert describe(SAMPLE) == "0 = random -10 ± 0.5 (n=100), 100 = ppo-expert 40 ± 1.2 (n=100)"
    battle = References("x-v1", "a", "engine/1", LOW, WON_BATTLE)
    assert describe(battle) == "0 = random -10 ± 0.5 (n=100), 100 = won battle 20"


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_references_that_make_no_scale_are_refused(low: float, high: float) -> None:
    with pytest.raises(InvalidValueError, match="references of x-v1"):
        References("x-v1", "a", "e", Score("random", low), Score("ppo-expert", high))


def test_a_written_file_reads_back_equal_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    other = References("a-v1", "b", "engine/1", Score("random", 0.1 + 0.2, 0.1, 100, "0" * 12), WON_BATTLE)
    write_references(path, [SAMPLE, other])
    assert load_references(path) == [SAMPLE, other]
    assert path.read_text().count("\n") == 8, "one line per entry"
    for text in (
        "",
        "[]",
        '{"schema_version": 2, "references": []}',
        '{"schema_version": 1, "references": [{}]}',
    ):
        path.write_text(text)
        with pytest.raises(CorruptFileError, match=r"references\.json"):
            load_references(path)


def test_every_map_with_a_shipped_policy_and_every_smac_v1_map_has_references() -> None:
    shipped = {(r.scenario, r.layout) for r in load_references(FILE)}
    for name, scenario in scenarios.SCENARIOS.items():
        if scenario.family == "smac-v1":
            assert {(scenario.id, layout) for layout in scenario.layouts} <= shipped
        if name in DATASET_TEAMS:
            assert (scenario.id, scenario.layouts[0]) in shipped
    for entry in load_references(FILE):
        assert entry.random.episodes == 100 and entry.random.standard_error and entry.random.agent_hash
        assert entry.strong == WON_BATTLE or entry.strong.episodes == 100


def test_references_are_of_the_engine_that_plays() -> None:
    """A new build of the embedded engine needs new references: harness bench references --out harness/references.json."""
    with scenarios.make_vector("3m", 1) as env:
        spec = env.spec
    found = find_references(spec.scenario, spec.layout, spec.engine)
    assert found is not None and found.strong.mean == 20.0
    assert find_references(spec.scenario, spec.layout, "sc2/5.0.12") is None
    assert find_references("terran_5_vs_5-v1", spec.layout, spec.engine) is None


def test_a_won_battle_returns_twenty_where_nothing_heals() -> None:
    with scenarios.make_vector("3m", 8) as env:
        team = load_team("3m", env.spec, TeamSource("ppo-good"))
        won = [e.episode_return for e in play(env, team.vector(8), list(range(8))) if e.won]
    assert len(won) >= 3 and won == pytest.approx([20.0] * len(won))


def test_random_measured_again_gives_the_stored_digits() -> None:
    report = bench.run(bench.Config(maps=("3m",)), lambda line: None)
    assert [row["stored"] for row in report.rows] == ["equal", "equal"], "both layouts"
    assert report.rows[0]["random"]["episodes"] == 100


def test_the_benchmark_says_where_a_file_differs_and_keeps_other_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "references.json"
    write_references(path, [SAMPLE])
    wrong = References(
        "3m-v1", "smac-v1", "embedded-sc2/2", Score("random", 0.0, 0.1, 2, "0" * 12), WON_BATTLE
    )
    known = {(wrong.scenario, wrong.layout, wrong.engine): wrong}
    monkeypatch.setattr(bench, "find_references", lambda *key: known.get(key))
    report = bench.run(bench.Config(maps=("3m-v1",), episodes=2, out=path), lambda line: None)
    assert report.rows[0]["stored"] == "DIFFERS"
    assert report.rows[1]["stored"] == "has no entry of this engine in references.json"
    stored = load_references(path)
    assert SAMPLE in stored and len(stored) == 3
    assert json.loads(path.read_text())["made_by"].startswith("harness bench references")
    again = bench.run(bench.Config(maps=("3m",), episodes=3, out=path), lambda line: None)
    assert again.rows[0]["stored"] == "has 2 episodes" and len(load_references(path)) == 3


def test_mistakes() -> None:
    def silent(line: str) -> None:
        pass

    with pytest.raises(InvalidValueError, match="terran_5_vs_5 has no strong reference"):
        bench.run(bench.Config(maps=("terran_5_vs_5",)), silent)
    with pytest.raises(InvalidValueError, match="--quick measures nothing"):
        bench.run(bench.Config(maps=("3m",), quick=True, out=Path("x.json")), silent)
    with pytest.raises(InvalidValueError, match="--episodes"):
        bench.run(bench.Config(maps=("3m",), episodes=1), silent)


@pytest.mark.slow
def test_experts_measured_again_give_the_stored_digits() -> None:
    pytest.importorskip("mujoco")
    report = bench.run(bench.Config(maps=tuple(DATASET_TEAMS)), lambda line: None)
    stored = {row["stored"] for row in report.rows}
    assert stored == {"equal"} or all("no entry of this engine" in word for word in stored)
