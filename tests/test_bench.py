"""`harness bench`: the command through real processes, and that measurements of nonsense are refused or told apart."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import engine, fidelity_trace, fidelity_units, fidelity_variants, first_use, smax
from benchmarks.fidelity_play import Outcome, win_rate
from benchmarks.finding import mean_interval, reference
from benchmarks.random_actions import choose_actions
from benchmarks.throughput import BatchedPlay, SinglePlay, steps_per_second
from env_adapters import scenarios
from env_adapters.api import ActionArray, FloatArray, IntArray, VectorEnv, VectorStep
from env_adapters.errors import HarnessError
from env_adapters.starcraft import battle
from env_adapters.starcraft.stats import DAMAGE, PERIOD, SHIELD_GAIN, STEP_MAX, unit_stats
from env_adapters.starcraft.table import N_FIELDS
from env_adapters.starcraft.units import ROW
from env_adapters.vector import SingleEnv

PROJECT = Path(__file__).resolve().parents[1]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "bench", *arguments]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def report(*arguments: str) -> dict[str, Any]:
    answer = bench(*arguments, "--quick", "--json")
    assert answer.returncode == 0, answer.stderr
    data = json.loads(answer.stdout)
    assert data["benchmark"] == arguments[0] and data["quick"] is True
    assert data["passport"]["usable_cores"] >= 1 and "numba" in data["passport"]["packages"]
    assert {"load_average", "load_average_at_end"} <= set(data["passport"]) and data["notes"]
    assert isinstance(data, dict)
    return data


def test_engine_reports_speed_memory_and_start() -> None:
    rows = report("engine", "--maps", "3m", "terran_10_vs_10")["rows"]
    for row in rows:
        assert row["lowest"] <= row["median"] <= row["highest"]
        if row["target"] is not None:
            limit = row["unit"] != "env steps/s"
            reached = row["median"] <= row["target"] if limit else row["median"] >= row["target"]
            assert (row["verdict"] == "reached") is reached
    speeds = {row["what"]: row for row in rows if row["unit"] == "env steps/s" and "SMAX" not in row["what"]}
    assert [row["target"] for row in speeds.values()][:2] == [1_000_000, 150_000]
    assert all(row["n"] == 3 and row["median"] > 100 for row in speeds.values())
    assert [what for what in speeds if "Python interface" in what and "5m_vs_6m" in what]
    (size,) = [row for row in rows if row["unit"] == "bytes"]
    assert N_FIELDS * 8 * 20 < size["median"] < 65_536, "20 units on terran_10_vs_10"
    assert [row["unit"] for row in rows].count("s") == 1, "nothing is compiled afresh in a quick run"


def test_the_table_says_what_a_quick_run_is_worth() -> None:
    answer = bench("engine", "--maps", "3m", "--quick")
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"^what +unit +median +spread +n +target +verdict$", answer.stdout, re.MULTILINE)
    assert re.search(r"^QUICK", answer.stdout, re.MULTILINE)
    assert re.search(r"^machine: .+ cores usable$", answer.stdout, re.MULTILINE)


def test_fidelity_judges_every_row() -> None:
    rows = report("fidelity")["rows"]
    assert {row["verdict"] for row in rows} <= {"ok", "outside", "no reference", "recalled"}
    assert all(row["source"] and row["n"] >= 1 for row in rows)
    about = " | ".join(row["what"] for row in rows)
    for part in ("death 3", "halts", "Zealot", "burst", "heal", "walking", "random policy", "heuristic_ai"):
        assert part in about
    assert "lets the enemy recover" in about and "ladder numbers" in about
    paper = [row for row in rows if row["what"].startswith("heuristic_ai")]
    assert all(row["verdict"] == "recalled" and row["interval"] for row in paper)
    measured = [row for row in rows if "game data" in row["source"]]
    assert len(measured) == 11 and all(row["verdict"] == "ok" for row in measured)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name a benchmark: engine, mujoco, flavours, fidelity"),
        (("engin",), 3, "did you mean engine"),
        (("engine", "--maps", "3n"), 3, "unknown map '3n'"),
        (("engine", "--maps", "6halfcheetah"), 6, "no StarCraft map"),
        (("fidelity", "--maps", "3m"), 2, "'--maps' is unknown"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], code: int, said: str) -> None:
    answer = bench(*arguments)
    assert (answer.returncode, answer.stdout) == (code, "")
    assert said in answer.stderr and answer.stderr.count("\n") == 1


def test_help_names_the_benchmarks() -> None:
    assert re.search(
        r"^  engine +speed.*\n  mujoco .*\n  flavours .*\n  fidelity ", bench("--help").stdout, re.MULTILINE
    )
    assert "--quick" in bench("engine", "--help").stdout


class Bent(VectorEnv):
    """A real batch whose answers are bent in one way."""

    def __init__(self, fault: str) -> None:
        self._env = scenarios.make_vector("3m", 4)
        self.spec, self.n_games, self._fault = self._env.spec, 4, fault
        self._first: VectorStep | None = None

    def _bend(self, step: VectorStep) -> VectorStep:
        self._first = self._first or step
        if self._fault == "frozen":
            return self._first
        if self._fault == "unpaid":
            return step._replace(rewards=np.zeros(4))
        if self._fault == "blind":
            return step._replace(observations=self._first.observations)
        if self._fault == "nan":
            return step._replace(observations=step.observations * np.nan)
        if self._fault == "endless":
            never = np.zeros(4, dtype=np.bool_)
            steps = step.info["steps"] if self._first is step else self._count(step)
            return step._replace(terminated=never, truncated=never, info={"steps": steps})
        return step

    def _count(self, step: VectorStep) -> IntArray:
        self._steps = getattr(self, "_steps", np.zeros(4, dtype=np.int64)) + 1
        return self._steps

    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        return self._bend(self._env.reset(episode_seeds, games))

    def step(self, joint_actions: ActionArray) -> VectorStep:
        return self._bend(self._env.step(joint_actions))

    def state(self) -> FloatArray:
        return self._env.state()

    def snapshot(self) -> bytes:
        return self._env.snapshot()

    def restore(self, snapshot: bytes) -> VectorStep:
        return self._env.restore(snapshot)

    def state_hash(self, game: int) -> str:
        return self._env.state_hash(game)

    def render_state(self, game: int) -> Any:
        return self._env.render_state(game)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("frozen", "did not advance by one step"),
        ("endless", "has not ended within its 60 steps"),
        ("blind", "observations stay the same"),
        ("nan", "not finite"),
        ("unpaid", "no step paid a reward"),
    ],
)
def test_games_that_are_not_played_have_no_speed(fault: str, said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        BatchedPlay(Bent(fault)).warm_up()


def test_real_games_pass_the_same_checks() -> None:
    games = BatchedPlay(Bent("none"))
    games.warm_up()
    assert games.advance() == 4


def test_a_single_game_that_stands_still_has_no_speed() -> None:
    class Still(SingleEnv):
        def step(self, joint_action: ActionArray) -> Any:
            return self._unpack(self._vector.restore(self._vector.snapshot()))

    with pytest.raises(HarnessError, match="did not advance by one step"):
        SinglePlay(Still(scenarios.make_vector("3m", 1))).advance()


def test_rates_count_what_was_played() -> None:
    calls = []
    rates = steps_per_second(lambda: calls.append(1) or 50, repetitions=3, duration_s=0.01)  # type: ignore[func-returns-value]
    assert len(rates) == 3 and min(rates) > 0
    assert sum(rates) * 0.01 == pytest.approx(50 * len(calls), rel=0.2)


def test_random_actions_are_available_and_equally_likely() -> None:
    available = np.zeros((1, 2, 6), dtype=np.bool_)
    available[0, 0, [1, 3, 5]] = True
    available[0, 1, 0] = True
    out, generator = np.zeros((1, 2), dtype=np.int64), np.array([5], dtype=np.uint64)
    counts = np.zeros(6)
    for _ in range(3000):
        choose_actions(available, generator, out)
        counts[out[0, 0]] += 1
        assert out[0, 1] == 0
    assert counts[[0, 2, 4]].sum() == 0
    assert (
        (counts[[1, 3, 5]] - 1000) ** 2 / 1000
    ).sum() < 13.8  # chi-squared, 2 degrees of freedom, p = 0.001


@pytest.mark.parametrize(
    ("values", "target", "at_most", "verdict"),
    [
        ([3.0, 1.0, 2.0], 2.0, False, "reached"),
        ([1.0, 1.0, 9.0], 2.0, False, "50% of target"),
        ([5.0], 10.0, True, "reached"),
        ([0.0], 10.0, True, "reached"),
        ([15.0], 10.0, True, "1.50 x the limit"),
        ([15.0], None, True, "-"),
    ],
)
def test_verdicts_on_speed(values: list[float], target: float | None, at_most: bool, verdict: str) -> None:
    assert engine.Measurement("speed", "x", values, target, at_most).verdict == verdict


def test_memory_is_counted_in_full() -> None:
    state, seen = first_use.bytes_per_game("3m")
    with scenarios.make_vector("3m", 8) as env:
        assert isinstance(env, battle.BattleVectorEnv)
        arrays = [*env._arrays().values(), env._available]
        assert abs(state - sum(array.nbytes for array in arrays) / 8) <= 2
        assert seen == env._observations.nbytes // 8


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_many_games_make_a_process_grow() -> None:
    growth = first_use.growth_bytes("3m", 20_000)
    assert growth is not None and 20_000 * 1800 < growth < 2**30


def test_a_failing_child_is_an_error() -> None:
    with pytest.raises(HarnessError, match="child process 'memory' failed"):
        first_use.growth_bytes("no_such_map", 1)


def test_without_the_peer_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smax, "find_spec", lambda name: None)
    nothing = engine.Config(maps=(), quick=True)
    notes = engine.run(nothing, lambda line: None).notes
    assert sum("pip install jaxmarl" in note for note in notes) == 1


def test_the_references_are_those_of_the_recorded_trace() -> None:
    golden = json.loads((PROJECT / "tests" / "golden" / "stop_policy_3m.json").read_text())["rows"]
    trace = reference()["trace"]
    assert trace["enemy0"] == [[row["step"], *row["enemy0"]] for row in golden if row["enemy0"]]
    dead = [row["dead_allies"] for row in golden]
    assert trace["death_steps"] == [dead.index(n) + 1 for n in (1, 2, 3)]


def test_every_reference_says_where_it_is_from() -> None:
    for block in reference().values():
        assert block["source"] and isinstance(block["recalled"], bool)
    assert reference()["heuristic_win_rate"]["recalled"] is True


def test_a_recalled_number_decides_nothing() -> None:
    half = Outcome(np.zeros(100), np.ones(100), np.repeat([0.0, 1.0], 50))
    assert win_rate("x", half, 50.0, "paper", recalled=True).verdict == "recalled"
    assert win_rate("x", half, 50.0, "paper", recalled=False).verdict == "ok"
    assert win_rate("x", half, 90.0, "paper", recalled=False).verdict == "outside"
    assert win_rate("x", half, None, "paper", recalled=False).verdict == "no reference"
    assert "(differs)" in str(win_rate("x", half, 90.0, "paper", recalled=True).cells())


def test_intervals_of_means_cover_the_mean() -> None:
    rng = np.random.default_rng(3)
    intervals = [mean_interval(rng.normal(2.0, 1.0, 50)) for _ in range(1000)]
    covered = np.mean([low <= 2.0 <= high for low, high in intervals])
    assert 0.92 < covered < 0.97


PLANTS = [
    (PERIOD, "Marine", 0.9, "Marine: damage per game second"),
    (PERIOD, "Colossus", 1.05, "Colossus: damage"),
    (DAMAGE + ROW["Marine"], "Baneling", 1.1, "burst"),
    (DAMAGE + ROW["Marine"], "Zealot", 1.125, "Zealot: damage"),
    (STEP_MAX, "Medivac", 0.99, "walking speed"),
]


@pytest.mark.parametrize(("stat", "unit", "factor", "what"), PLANTS)
def test_a_wrong_unit_number_is_outside(
    stat: int, unit: str, factor: float, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = unit_stats()
    wrong[stat, ROW[unit]] *= factor
    monkeypatch.setattr(fidelity_units, "_STATS", wrong)
    found = list(fidelity_units.findings(windows=10))
    assert [row.what for row in found if row.verdict != "ok"] == [
        row.what for row in found if what in row.what
    ]


@pytest.mark.parametrize("late", [0, 2])
def test_a_fight_that_begins_late_is_outside(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = fidelity_trace.play_stop_policy(8)
    shifted = trace._replace(dead=np.roll(trace.dead, late, axis=0), enemy=np.roll(trace.enemy, late, axis=0))
    shifted.dead[:late] = 0
    monkeypatch.setattr(fidelity_trace, "play_stop_policy", lambda n_games: shifted)
    verdicts = [row.verdict for row in fidelity_trace.findings(8)]
    assert verdicts[:4] == (["outside"] * 4 if late else ["ok"] * 4)


def test_enemies_that_do_not_recover_are_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    case = fidelity_variants.RECOVERY[:1]
    assert [row.verdict for row in fidelity_variants.recovery(2, case)] == ["ok"]
    stiff = unit_stats()
    stiff[SHIELD_GAIN] = 0.0
    monkeypatch.setattr(battle, "unit_stats", lambda: stiff)
    assert [row.verdict for row in fidelity_variants.recovery(2, case)] == ["outside"]


def test_the_ladder_differs_in_stalker_and_colossus_only() -> None:
    liberty, ladder = unit_stats(), unit_stats(fidelity_variants.ladder_types())
    differing = np.flatnonzero((liberty != ladder).any(axis=0))
    assert set(differing) == {ROW["Stalker"], ROW["Colossus"]}
    assert (
        ladder[PERIOD, ROW["Colossus"]] == 24.0 and ladder[DAMAGE + ROW["Zergling"], ROW["Colossus"]] == 15.0
    )
