"""Tables over runs: nothing mixed, nothing hidden, nothing a spreadsheet would execute."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_adapters.errors import CorruptFileError, OutputError
from harness.leaderboard import COLUMNS, format_table, is_leaderboard, leaderboard, write_csv
from harness.records import EpisodeRecord, RunDirectory, Summary


def write_run(path: Path, finished: bool = True, **changes: Any) -> Path:
    values: dict[str, Any] = dict(
        scenario="3m-v1", agent="bc", agent_hash="0123456789abcdef" * 2, dataset="3m-good", training_seed=3,
        engine="embedded-sc2/1", layout="smac-v1", act_mode="batched", episodes=1, return_mean=12.3456,
        return_std=4.0, wins=1, win_rate=0.5, win_rate_lower=0.25, win_rate_upper=0.75, mean_length=30.0,
        latency_scenario="batched", action_p50_us=123.4, action_p90_us=456.7, latency_n=300,
        videos=["videos/1.mp4"],
    )  # fmt: skip
    with RunDirectory.open(path, {"config": {"episode_seeds": [7]}, "passport": {}}) as run:
        run.append(EpisodeRecord(7, 1.0, 1, True, True, False, [1.0], "00"))
        if finished:
            run.finish(Summary(**{**values, **changes}))
    return path


NO_WINNER: dict[str, Any] = dict(
    scenario="6halfcheetah-v1", wins=None, win_rate=None, win_rate_lower=None, win_rate_upper=None,
    training_seed=None, dataset=None, return_std=None, latency_scenario=None, action_p50_us=None,
    action_p90_us=None, latency_n=0, engine="mujoco/3.3",
)  # fmt: skip


def test_rows_hold_the_summaries_in_a_fixed_order(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "c", **NO_WINNER),
        write_run(tmp_path / "b", engine="sc2/5.0.12", agent="aardvark"),
        write_run(tmp_path / "a", agent="vgm2p"),
        write_run(tmp_path / "d"),
    ]
    frame = leaderboard(runs)
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    assert {"wins", "mean_length", "latency_n", "videos", "decentralized"} < set(frame.columns)
    assert [Path(run).name for run in frame["run"]] == ["d", "a", "b", "c"], "engines are never interleaved"
    assert list(frame["engine"].unique()) == ["embedded-sc2/1", "sc2/5.0.12", "mujoco/3.3"]
    first = frame.iloc[0]
    assert (first["checkpoint"], first["training_seed"], first["win_rate_upper"]) == ("0123456789ab", 3, 0.75)
    assert pd.isna(frame.iloc[3]["win_rate"]) and pd.isna(frame.iloc[3]["training_seed"])
    assert leaderboard(runs[::-1]).equals(frame), "the order of the arguments does not matter"


def test_results_of_two_layouts_are_two_rows_that_say_so(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, layout=layout, return_mean=mean)
        for name, layout, mean in (
            ("a", "smac-v1-omiga", 1.0),
            ("b", "smac-v1", 2.0),
            ("c", "smac-v1-omiga", 3.0),
        )
    ]
    frame = leaderboard(runs)
    assert list(zip(frame["layout"], frame["return_mean"], strict=True)) == [
        ("smac-v1", 2.0), ("smac-v1-omiga", 1.0), ("smac-v1-omiga", 3.0)
    ]  # fmt: skip
    header, *rows = format_table(frame).splitlines()
    assert header.split()[:2] == ["scenario", "layout"]
    assert [row.split()[1] for row in rows] == list(frame["layout"])


def test_unfinished_runs_are_listed_and_have_no_row(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "done"), write_run(tmp_path / "running", finished=False)]
    frame = leaderboard(runs)
    assert list(frame["run"]) == [str(tmp_path / "done")]
    assert frame.attrs["unfinished"] == [str(tmp_path / "running")]


def test_without_finished_runs_the_table_is_empty_and_still_a_table(tmp_path: Path) -> None:
    frame = leaderboard([write_run(tmp_path / "running", finished=False)])
    assert tuple(frame.columns) == COLUMNS and frame.empty
    write_csv(frame, tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert format_table(frame).startswith("scenario")


def test_damaged_summary_is_named_not_skipped(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    text = (run / "summary.json").read_text()
    (run / "summary.json").write_text(text.replace("12.3456", "99.3456"))
    with pytest.raises(CorruptFileError, match=r"run/summary\.json"):
        leaderboard([run])


def test_csv_reads_back_with_every_digit(tmp_path: Path) -> None:
    frame = leaderboard(
        [write_run(tmp_path / "a", return_mean=0.1 + 0.2), write_run(tmp_path / "b", **NO_WINNER)]
    )
    write_csv(frame, tmp_path / "board.csv")
    rows = list(csv.DictReader((tmp_path / "board.csv").open(newline="")))
    assert float(rows[0]["return_mean"]) == 0.1 + 0.2
    assert (rows[0]["training_seed"], rows[0]["episodes"]) == ("3", "1"), (
        "integers stay integers beside blanks"
    )
    assert (rows[1]["training_seed"], rows[1]["win_rate"], rows[1]["dataset"]) == ("", "", "")


@settings(max_examples=100)
@given(st.text(max_size=8), st.sampled_from(["", "=", "+", "-", "@", "\t", "\r"]))
def test_no_text_cell_is_a_formula(tmp_path_factory: pytest.TempPathFactory, text: str, start: str) -> None:
    path = tmp_path_factory.getbasetemp() / "formula.csv"
    write_csv(pd.DataFrame({"agent": [start + text], "@return": [-1.5]}), path)
    header, row = list(csv.reader(path.open(newline="", encoding="utf-8")))
    assert header == ["agent", "'@return"]
    assert not row[0].lstrip().startswith(("=", "+", "-", "@")) and not row[0].startswith(("\t", "\r"))
    assert row[1] == "-1.5", "numbers are left alone"


def test_formulas_get_an_apostrophe_and_harmless_text_does_not(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"agent": ["=HYPERLINK(1)", "bc=2", "a\r=1\n", " +1", None]}), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines()[1:5] == ["'=HYPERLINK(1)", "bc=2", "a =1 ", "' +1"]
    with pytest.raises(OutputError, match=r"board\.csv"):
        write_csv(pd.DataFrame({"a": [1]}), tmp_path / "missing" / "board.csv")


def test_terminal_table_rounds_to_what_the_numbers_support(tmp_path: Path) -> None:
    frame = leaderboard([write_run(tmp_path / "a"), write_run(tmp_path / "b", **NO_WINNER)])
    frame["episodes"] = 100
    header, starcraft, robot = format_table(frame).splitlines()
    assert "return ± std" in header and "win rate [95 %]" in header
    assert "12.3 ± 4.0" in starcraft, "standard error 0.4 supports one decimal"
    assert "50 % [25, 75]" in starcraft and "123 / 457 (batched)" in starcraft
    assert "nan" not in robot.lower() and "<NA>" not in robot and "None" not in robot
    assert robot.split()[4:6] == ["-", "-"], "no dataset, no training seed"
    assert "12.3 " in robot and "±" not in robot


def test_a_foreign_leaderboard_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    assert is_leaderboard(path)
    path.write_text("precious,data\n1,2\n")
    assert not is_leaderboard(path)
    path.unlink()
    write_csv(leaderboard([]), path)
    assert is_leaderboard(path), "our own table may be replaced"
