"""`harness leaderboard` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sample_runs import finished_run, flipped, latency

from harness.cli import run
from harness.errors import run_command

Said = tuple[int, str, str]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Said]:
    """Two seeds of one method and a control below runs/; returns (exit code, stdout, stderr) of a command line."""
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        finished_run(
            Path("runs", f"bc-s{seed}"), [1, 2], training_seed=seed, agent_hash=f"{seed}a" * 16, timed=latency(),
            return_mean=1.0 + seed,
        )  # fmt: skip
    finished_run(
        Path("runs/random"), [1, 2], agent="random", algorithm="random", training_seed=None, dataset=None
    )

    def command(line: str) -> Said:
        code = run_command(lambda: run(["leaderboard", *line.split()]))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_the_table_of_everything_below_runs(here: Callable[[str], Said]) -> None:
    code, out, err = here("")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "3m-v1 · smac-v1 · embedded-sc2/2"
    assert [line.split()[1] for line in lines[2:5]] == ["bc-meanflow", "bc-meanflow", "random"]
    assert [line.split()[2] for line in lines[-3:]] == ["runs/bc-s0", "runs/bc-s1", "runs/random"]
    assert here("runs")[1] == here("--runs runs")[1] == here("runs/bc-s0 runs")[1] == out


def test_some_runs_by_folder_map_and_agent(here: Callable[[str], Said]) -> None:
    assert here("runs/bc-s1")[1].count("bc-meanflow (fresh)") == 1
    assert here("--agent random --map 3m")[1].count("(fresh)") == 1
    code, out, err = here("--map 5m_vs_6m")
    assert (code, out) == (3, "") and "no finished run of map '5m_vs_6m' (there are: 3m)" in err
    code, _, err = here("runs nowhere")
    assert code == 3 and "no runs below nowhere; make one with: harness evaluate" in err


def test_every_format_holds_the_same_rows(here: Callable[[str], Said]) -> None:
    code, out, _ = here("--csv t.csv --json t.json --markdown t.md --latex t.tex --sort return")
    assert code == 0 and out.splitlines()[-4:] == [
        f"written to t.{end}" for end in ("csv", "json", "md", "tex")
    ]
    rows = json.loads(Path("t.json").read_text())["rows"]
    assert (
        [row["return_mean"] for row in rows]
        == pd.read_csv("t.csv")["return_mean"].tolist()
        == [2.0, 1.5, 1.0]
    )
    for name in ("t.md", "t.tex"):
        text = Path(name).read_text()
        assert text.index(" 2.00 ") < text.index(" 1.50 ") and text.count("not shown") == 3
    assert r"\begin{tabular}" in Path("t.tex").read_text() and r"\textbf" not in Path("t.tex").read_text()
    code, _, err = here("--csv nowhere/t.csv")
    assert code == 7 and "nowhere/t.csv" in err


def test_averages_are_refused_until_told(here: Callable[[str], Said]) -> None:
    code, out, _ = here("--average seeds --csv t.csv")
    averages = pd.read_csv("t.csv")
    assert code == 0 and "seeds" in out.splitlines()[1]
    assert averages["return_mean"].tolist() == [1.5, 1.5] and averages["n_seeds"].tolist()[0] == 2
    finished_run(Path("runs/bc-s2"), [1, 2, 3], training_seed=2, agent_hash="2a" * 16)
    code, out, err = here("--average seeds --csv u.csv")
    assert (code, out) == (4, "") and not Path("u.csv").exists()
    assert "differ in episodes: 2 in runs/bc-s0, runs/bc-s1 but 3 in runs/bc-s2" in err
    code, out, _ = here("--average seeds --mixed")
    assert code == 0 and "mixed: episodes" in out and "7 total" in out
    assert here("--mixed")[0] == 2 and "--mixed belongs to --average seeds" in here("--mixed")[2]


def test_a_repeated_run_is_said_to_count_once(here: Callable[[str], Said]) -> None:
    finished_run(Path("runs/copy"), [1, 2], training_seed=0, agent_hash="0a" * 16, return_mean=1.0)
    code, _, err = here("--average seeds")
    assert code == 0 and "counted once: runs/copy repeats a run of the same team on the same episodes" in err


def test_one_damaged_run_costs_neither_the_table_nor_the_exit_code(here: Callable[[str], Said]) -> None:
    broken = Path("runs/bc-s0/summary.json")
    broken.write_bytes(flipped(broken.read_bytes(), 300))
    finished_run(Path("runs/later"), [1], finish=False)
    code, out, err = here("--json t.json")
    assert code == 5 and out.count("bc-meanflow (fresh)") == 1 and "runs/bc-s1" in out
    assert "not in the table: runs/bc-s0/summary.json is damaged" in err
    assert "not in the table, unfinished: runs/later" in err
    table = json.loads(Path("t.json").read_text())
    assert list(table["damaged"]) == ["runs/bc-s0"] and table["unfinished"] == ["runs/later"]


def test_without_a_finished_run_the_table_is_empty_and_the_reason_said(here: Callable[[str], Said]) -> None:
    finished_run(Path("other/later"), [1], finish=False)
    code, out, err = here("other --csv t.csv")
    assert code == 0 and out == "no finished runs\n\nwritten to t.csv\n"
    assert err == "not in the table, unfinished: other/later\n"


def test_hostile_folder_names_print_harmlessly(here: Callable[[str], Said]) -> None:
    finished_run(Path("runs/\x1b[2Jnote"), [1], finish=False)
    _, _, err = here("")
    assert "\x1b" not in err and "[2Jnote" in err
