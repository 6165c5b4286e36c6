"""Tables over runs: nothing mixed, nothing hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sample_runs import PASSPORT, finished_run, flipped, latency

from env_adapters.errors import CorruptFileError, UnknownNameError
from harness.leaderboard import (
    COLUMNS,
    choose,
    format_table,
    leaderboard,
    passport_id,
    sort_rows,
    write_csv,
    write_json,
    write_latex,
    write_markdown,
)
from harness.leaderboard.reading import blocks, decentralized_in_short, decimals
from harness.sealed import seal

ROBOT: dict[str, Any] = dict(
    scenario="6halfcheetah-v1", engine="mujoco/3.3", layout="mamujoco-omiga-v2", wins=None, win_rate=None,
    win_rate_lower=None, win_rate_upper=None, training_seed=None, dataset=None, normalised_score=None,
    normalised_by=None,
)  # fmt: skip


def test_rows_hold_the_summaries_in_a_fixed_order(tmp_path: Path) -> None:
    runs = [
        finished_run(tmp_path / "c", [7], **ROBOT),
        finished_run(tmp_path / "b", [7], engine="sc2/5.0.12", agent="aardvark"),
        finished_run(
            tmp_path / "a", [7], agent="vgm2p", passport=PASSPORT, timed=latency(p99_us=800.0, flagged="busy")
        ),
        finished_run(tmp_path / "d", [7, 8], conditions={"drop_observation": 0.5, "swap_agent": ["0=noop"]}),
    ]
    frame = leaderboard(runs)
    assert tuple(frame.columns) == COLUMNS
    assert [Path(run).name for run in frame["run"]] == ["d", "a", "b", "c"], "engines are never interleaved"
    disturbed, timed, real, robot = (frame.iloc[place] for place in range(4))
    assert disturbed["conditions"] == "drop_observation=0.5, swap_agent=0=noop"
    assert (timed["conditions"], disturbed["episodes"], timed["episodes"]) == ("clean", 2, 1)
    assert (timed["agent_hash"], timed["training_seed"], timed["win_rate_upper"]) == ("abababababab", 0, 0.9)
    assert (timed["action_p50_us"], timed["action_p99_us"], timed["latency_flagged"]) == (
        123.4,
        800.0,
        "busy",
    )
    assert (timed["latency_scenario"], timed["n_seeds"], timed["interval"]) == ("batched", 1, "over episodes")
    assert (timed["project"], timed["packages"]) == ("0.1.0", "numpy 2.4.6, torch 2.12.0")
    for name in ("win_rate", "training_seed", "n_seeds", "action_p50_us", "latency_scenario"):
        assert pd.isna(robot[name]), name
    assert real["engine"] == "sc2/5.0.12"
    assert leaderboard([*runs[::-1], runs[0]]).equals(frame), "neither order nor repetition matters"


def test_passport_ids_forget_the_clock_and_nothing_else(tmp_path: Path) -> None:
    later = PASSPORT | {"recorded_at": "2030-01-01T00:00:00+00:00", "load_average": 9.0}
    assert passport_id(later) == passport_id(PASSPORT) and len(passport_id(PASSPORT)) == 12
    for change in ({"cpu": "another"}, {"version": "0.2.0"}, {"packages": {"numpy": "2.4.7"}}):
        assert passport_id(PASSPORT | change) != passport_id(PASSPORT)
    dirty = {"git": {"commit": "65b64b4c" * 5, "dirty": True}}
    frame = leaderboard(
        [
            finished_run(tmp_path / "a", [1], passport=PASSPORT),
            finished_run(tmp_path / "b", [1], passport=PASSPORT | dirty),
        ]
    )
    assert frame["passport_id"].nunique() == 2
    assert list(frame["project"]) == ["0.1.0", "0.1.0+65b64b4c changed"]


def test_unfinished_runs_are_listed_and_have_no_row(tmp_path: Path) -> None:
    runs = [finished_run(tmp_path / "done", [1]), finished_run(tmp_path / "running", [1], finish=False)]
    frame = leaderboard(runs)
    assert list(frame["run"]) == [str(tmp_path / "done")]
    assert frame.attrs["unfinished"] == [str(tmp_path / "running")]


def test_without_finished_runs_the_table_is_empty_and_still_a_table(tmp_path: Path) -> None:
    frame = leaderboard([finished_run(tmp_path / "running", [1], finish=False)])
    assert tuple(frame.columns) == COLUMNS and frame.empty
    write_csv(frame, tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert format_table(frame) == "no finished runs"
    for write in (write_json, write_markdown, write_latex):
        write(frame, tmp_path / "empty")


@pytest.mark.parametrize("name", ["summary.json", "manifest.json", "latency.json"])
def test_damage_is_named_and_can_be_left_out(tmp_path: Path, name: str) -> None:
    sound = finished_run(tmp_path / "sound", [1], timed=latency())
    broken = finished_run(tmp_path / "broken", [1], timed=latency())
    (broken / name).write_bytes(flipped((broken / name).read_bytes(), 300))
    with pytest.raises(CorruptFileError, match=rf"broken/{name}"):
        leaderboard([sound, broken])
    frame = leaderboard([sound, broken], skip_damaged=True)
    assert list(frame["run"]) == [str(sound)]
    assert name in frame.attrs["damaged"][str(broken)]


def test_the_summary_of_another_run_is_refused(tmp_path: Path) -> None:
    weak = finished_run(tmp_path / "weak", [1], agent_hash="cd" * 16)
    strong = finished_run(tmp_path / "strong", [1], return_mean=19.0)
    (weak / "summary.json").write_bytes((strong / "summary.json").read_bytes())
    with pytest.raises(CorruptFileError, match=r"weak/summary\.json is of another run: its agent_hash"):
        leaderboard([weak])


def test_a_latency_report_of_other_fields_is_damage(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", [1])
    (run / "latency.json").write_bytes(seal({"scenario": "batched", "speed": 3}))
    with pytest.raises(CorruptFileError, match=r"latency\.json is not the latency of a run"):
        leaderboard([run])


def test_worlds_stand_apart_and_name_layout_and_engine(tmp_path: Path) -> None:
    runs = [
        finished_run(tmp_path / "a", [1], layout="smac-v1-omiga"),
        finished_run(tmp_path / "b", [1]),
        finished_run(tmp_path / "c", [1], engine="sc2/5.0.12"),
        finished_run(tmp_path / "d", [1], layout="smac-v1-omiga"),
    ]
    titles = [block.title for block in blocks(leaderboard(runs))]
    assert titles == [
        "3m-v1 · smac-v1 · embedded-sc2/2", "3m-v1 · smac-v1 · sc2/5.0.12", "3m-v1 · smac-v1-omiga · embedded-sc2/2"
    ]  # fmt: skip
    assert [len(block.rows) for block in blocks(leaderboard(runs))] == [1, 1, 2]


@pytest.mark.parametrize(
    ("half_width", "expected"),
    [
        (354.0, 0),
        (35.0, 0),
        (3.6, 0),
        (3.4, 1),
        (0.95, 1),
        (0.14, 2),
        (0.05, 2),
        (0.012, 3),
        (1e-9, 3),
        (0.0, 3),
    ],
)
def test_decimals_follow_the_half_width(half_width: float, expected: int) -> None:
    assert decimals(half_width) == expected


def cells(frame: pd.DataFrame) -> dict[str, str | None]:
    (block,) = blocks(frame)
    return dict(zip(block.headers, block.rows[0], strict=True))


def test_cells_are_rounded_to_what_their_intervals_support(tmp_path: Path) -> None:
    row = cells(leaderboard([finished_run(tmp_path / "a", [1], timed=latency(p99_us=None))]))
    assert (row["return [95 %]"], row["win % [95 %]"], row["score"]) == (
        "1.50 [1.20, 1.80]",
        "50 [10, 90]",
        "8",
    )
    assert (row["batched µs"], row["decentralized"], row["seed"]) == ("123 / 457", "not shown", "0")
    robot = cells(
        leaderboard([finished_run(tmp_path / "b", [1], **ROBOT, return_lower=None, return_upper=None)])
    )
    assert robot["return [95 %]"] == "1.5" and robot["seed"] is None
    assert not {"win % [95 %]", "score", "dataset", "remarks"} & robot.keys(), "columns with nothing to say"
    zero = cells(leaderboard([finished_run(tmp_path / "z", [1], normalised_score=-0.2)]))
    assert zero["score"] == "0"


def test_crashes_conditions_and_stop_rules_are_seen_in_the_row(tmp_path: Path) -> None:
    runs = [
        finished_run(
            tmp_path / "hard",
            [1, 2],
            conditions={"delay_observation": 2},
            crashed=1,
            stop_rule="half-width 0.05",
        ),
        finished_run(tmp_path / "clean", [1, 2]),
    ]
    frame = leaderboard(runs)
    (block,) = blocks(frame)
    remarks = [row[block.headers.index("remarks")] for row in block.rows]
    assert remarks == [None, "delay_observation=2; 1 crashed (loss); stopped: half-width 0.05"]
    lines = format_table(frame).splitlines()
    assert lines[2].startswith("1 ") and lines[3].startswith("2* ") and lines[4] == f"2* {remarks[1]}"


def test_latency_scenarios_never_share_a_column_unlabelled(tmp_path: Path) -> None:
    runs = [
        finished_run(tmp_path / "a", [1], timed=latency()),
        finished_run(
            tmp_path / "b", [1], timed=latency(scenario="decentralized", flagged="machine was busy")
        ),
    ]
    (block,) = blocks(leaderboard(runs))
    batched, alone = block.headers.index("batched µs"), block.headers.index("decentralized µs")
    assert [(row[batched], row[alone]) for row in block.rows] == [("123 / 457", None), (None, "123 / 457!")]
    printed = format_table(leaderboard(runs))
    assert "123 / 457 bat" in printed and "123 / 457! dec" in printed
    assert "bat = batched, dec = decentralized" in printed and "!: machine was busy" in printed


@pytest.mark.parametrize(
    ("words", "short"),
    [
        (None, "not shown"),
        (" ", "not shown"),
        ("no: agent 2 saw the state", "no"),
        ("yes: on 64 states", "yes"),
    ],
)
def test_without_a_proof_the_row_says_so(words: str | None, short: str) -> None:
    assert decentralized_in_short(words) == short


def test_a_usual_table_fits_120_columns(tmp_path: Path) -> None:
    by = "0 = random 1.365 ± 0.046 (n=100), 100 = won battle 20"
    runs = [
        finished_run(
            tmp_path / str(seed),
            [1],
            scenario="5m_vs_6m-v1",
            dataset="5m_vs_6m-medium",
            training_seed=seed,
            return_mean=13.62,
            return_lower=12.2,
            return_upper=15.1,
            normalised_by=by,
            timed=latency(scenario=timed),
        )
        for seed, timed in enumerate(["batched", "decentralized"])
    ]
    frame = leaderboard(runs).assign(run="runs/5m_vs_6m--bc-meanflow-0aabbccd-s0")
    assert max(map(len, format_table(frame).splitlines())) <= 120


def test_rows_are_chosen_by_map_and_agent(tmp_path: Path) -> None:
    frame = leaderboard(
        [
            finished_run(tmp_path / "a", [1], agent="ppo-good", algorithm="ppo"),
            finished_run(tmp_path / "b", [1], scenario="3m_x-v1"),
        ]
    )
    for name, agent in (("3m", None), ("3m-v1", None), (None, "ppo"), (None, "ppo-good"), ("3m", "ppo")):
        assert list(choose(frame, name, agent)["agent"]) == ["ppo-good"]
    with pytest.raises(UnknownNameError, match=r"no finished run of map '5m' \(there are: 3m, 3m_x\)"):
        choose(frame, "5m")
    with pytest.raises(UnknownNameError, match="no finished run of agent 'vgm2p'"):
        choose(frame, "3m", "vgm2p")


def test_sorting_puts_the_best_first_within_its_world(tmp_path: Path) -> None:
    runs = [
        finished_run(tmp_path / name, [1], return_mean=mean, scenario=scenario, timed=latency(scenario=timed, p90_us=p90))
        for name, mean, scenario, timed, p90 in (
            ("a", 1.0, "3m-v1", "decentralized", 1.0),
            ("b", 3.0, "3m-v1", "batched", 9.0),
            ("c", 2.0, "3m-v1", "batched", 5.0),
            ("d", 9.0, "8m-v1", "batched", 1.0),
        )
    ]  # fmt: skip
    frame = leaderboard(runs)

    def order(key: str) -> str:
        return "".join(Path(run).name for run in sort_rows(frame, key)["run"])

    assert (order("return"), order("latency"), order("run"), order("engine")) == (
        "bcad",
        "cbad",
        "abcd",
        "abcd",
    )
    with pytest.raises(UnknownNameError, match=r"unknown key to sort by 'retrun': did you mean return"):
        sort_rows(frame, "retrun")
