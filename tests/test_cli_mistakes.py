"""What a wrong command line gets: its own exit code and one line that says what was wrong and what to do.

Mistakes that are found without loading torch are made in processes of their own. The others go through the same
entry point in this process, which is ten times as fast.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sample_runs import finished_run, flipped

from agents.checkpoints import initial, save_checkpoint
from agents.vgm2p import Vgm2pConfig
from env_adapters import scenarios
from harness import cli
from harness.commands.parsing import reworded
from harness.errors import run_command

PROJECT = Path(__file__).resolve().parents[1]


def check_one_line(err: str, words: str) -> None:
    """Progress may come first; then exactly one line of ours, which says what `words` asks for."""
    *progress, last = err.splitlines()
    assert last.startswith("harness: error: "), err
    assert not any(line.startswith("harness:") for line in progress)
    assert "Traceback" not in err and "unexpected" not in last
    assert re.search(words, last), last
    assert len(last) < 400 and "│" not in last and "  " not in last


def run_here(arguments: Sequence[str]) -> int:
    return run_command(lambda: cli.run(list(arguments)))


CHEAP = [
    (2, "frobnicate", r"unknown command 'frobnicate'.*harness --help"),
    (2, "evaluat --map 3m", r"unknown command 'evaluat': did you mean evaluate\?"),
    (2, "evaluate", r"evaluate: --map is missing \(help: harness evaluate --help\)"),
    (2, "evaluate 3m", r"--map is missing, and '3m' is unknown"),
    (2, "evaluate --map", r"--map needs a value"),
    (2, "evaluate --map 3m --epsiodes 4", r"'--epsiodes' is unknown; did you mean --episodes\?"),
    (2, "evaluate --map 3m --bogus 1", r"'--bogus' is unknown \(help: harness evaluate --help\)"),
    (2, "evaluate --map 3m --episodes many", r"--episodes is 'many', expected INT"),
    (2, "evaluate --map 3m --episodes 1.5", r"--episodes is '1.5', expected INT"),
    (2, "evaluate --map 3m --map 8m", r"--map is given twice"),
    (2, "ls", r"\{maps,agents,behaviours,recipes,datasets,runs\} is missing"),
    (2, "ls map", r"'map', expected 'maps', 'agents', 'behaviours', 'recipes', 'datasets', 'runs'"),
    (2, "datasets show", r"NAME\|FILE is missing"),
    (2, "datasets descrive a.h5", r"unknown action 'descrive': did you mean describe"),
    (3, "datasets describe a.h5", r"there is no dataset file a\.h5"),
    (2, "doctor now", r"'now' is unknown"),
    (2, "train", r"--agent is missing"),
    (2, "train --agent", r"--agent needs a value"),
    (3, "evaluate --map 5m_vs_7m", r"unknown map '5m_vs_7m': did you mean 5m_vs_6m.*harness ls maps"),
    (3, "evaluate --map halfcheetah", r"did you mean 6halfcheetah"),
    (3, "train --agent vgmp", r"unknown agent 'vgmp': did you mean vgm2p.*harness ls agents"),
    (3, "leaderboard --runs nowhere", r"no runs below nowhere; make one with: harness evaluate"),
    (3, "datasets show none.h5", r"there is no dataset file none\.h5"),
    (3, "datasets show .", r"is a folder; name the dataset file"),
    (
        3,
        "collect --map 3m --quality bad",
        r"'bad' ships for map '3m' in layout smac-v1 \(shipped: .*--checkpoint",
    ),
    (5, "datasets show text.h5", r"text\.h5 is not a dataset file"),
    (6, "evaluate --map 3m --episodes 0", r"--episodes is 0; give a number from 1 to 1000000"),
    (6, "evaluate --map 3m --seed -1", r"--seed is -1; give at least 0"),
    (6, "evaluate --map 3m --video -1", r"--video is -1; give at least 0"),
    (6, "evaluate --map 3m --n-games 0", r"--n-games is 0; give a number from 1 to 16384"),
    (6, "collect --map 3m --transitions 0", r"--transitions is 0; give at least 1"),
    (6, "collect --map 3m --agent random --quality good", r"--quality and --agent both name who plays"),
    (6, "collect --map 3m --checkpoint", r"--checkpoint names no file"),
    (6, "train --agent random", r"'random' is a control.*trainable: vgm2p"),
    (7, "collect --map 3m --out .", r"--out \. is a folder; name the file"),
]


@pytest.mark.parametrize(("code", "line", "words"), CHEAP, ids=[line for _, line, _ in CHEAP])
def test_mistakes_in_a_process_of_their_own(code: int, line: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no data\n" * 2000)
    command = [sys.executable, "-m", "harness", *line.split()]
    answer = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True
    )
    assert answer.returncode == code, answer.stderr
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    check_one_line(answer.stderr, words)
    assert [path.name for path in tmp_path.iterdir()] == ["text.h5"], "a mistake leaves nothing behind"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset and a checkpoint of 3m, damaged copies of both, a file and a finished run."""
    folder = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = "collect --map 3m --agent random --transitions 60 --n-games 4 --out 3m.h5"
        assert run_here(command.split()) == 0
    with scenarios.make_vector("3m", 1) as env:
        team = initial("vgm2p", Vgm2pConfig(hidden=(8,)), env.spec, 0)
    save_checkpoint(folder / "3m.safetensors", team.agent, team.params, {})
    for name in ("3m.h5", "3m.safetensors"):
        whole = (folder / name).read_bytes()
        (folder / f"cut-{name}").write_bytes(whole[: len(whole) // 2])
        (folder / f"flipped-{name}").write_bytes(flipped(whole, 8 * (len(whole) - len(whole) // 4)))
    (folder / "file").write_text("")
    finished_run(folder / "runs" / "old", [1, 2])
    return folder


TRAIN = "train --agent vgm2p --dataset 3m.h5 --steps 2 --hidden 8"
COSTLY = [
    (3, "evaluate --map 3m --agent vgm3p", r"unknown agent 'vgm3p': did you mean vgm2p"),
    (3, "evaluate --map 3m --checkpoint none.safetensors", r"no checkpoint at none\.safetensors.*harness ls agents"),
    (3, "evaluate --map 3m --checkpoint runs", r"no checkpoint at runs"),
    (3, "evaluate --map 3m --agent random --act-mode loud", r"no act mode 'loud'; it has: sample"),
    (3, "collect --map 3m --agent random --act-mode loud", r"no act mode 'loud'; it has: sample"),
    (3, "train --agent vgm2p --dataset 3n.h5", r"there is no dataset file 3n\.h5: did you mean 3m\.h5"),
    (3, f"{TRAIN} --map 33m", r"unknown map '33m': did you mean"),
    (4, "evaluate --map 8m --checkpoint 3m.safetensors", r"'3m-v1'.*'8m-v1'; choose .* or --map 3m"),
    (4, "collect --map 8m --checkpoint 3m.safetensors", r"'3m-v1'.*'8m-v1'"),
    (4, f"{TRAIN} --map 8m", r"3m\.h5 was recorded on 3m-v1, not on --map 8m; leave --map away"),
    (5, "evaluate --map 3m --checkpoint cut-3m.safetensors", r"cut-3m\.safetensors.*fetch or train it again"),
    (5, "evaluate --map 3m --checkpoint flipped-3m.safetensors", r"flipped-3m\.safetensors was altered"),
    (5, "evaluate --map 3m --checkpoint 3m.h5", r"3m\.h5 cannot be read"),
    (5, "evaluate --map 3m --checkpoint file", r"file cannot be read"),
    (5, "datasets show cut-3m.h5", r"cut-3m\.h5"),
    (5, "datasets describe flipped-3m.h5", r"flipped-3m\.h5"),
    (5, "datasets verify flipped-3m.h5", r"flipped-3m\.h5"),
    (5, "train --agent vgm2p --dataset cut-3m.h5", r"cut-3m\.h5"),
    (5, "train --agent bc-meanflow --dataset flipped-3m.h5", r"flipped-3m\.h5"),
    (6, "evaluate --map 3m --agent random --checkpoint 3m.safetensors", r"either --agent or --checkpoint"),
    (6, "train --agent vgm2p", r"learns from a dataset; give one with --dataset \(harness collect"),
    (6, f"{TRAIN} --seed -1", r"--seed is -1; give at least 0"),
    (6, f"{TRAIN} --batch-size 0", r"batch_size is 0; give at least 1"),
    (6, f"{TRAIN} --flow-steps 0", r"flow_steps is 0; give at least 1"),
    (6, f"{TRAIN} --discount nan", r"discount is nan; give a number from 0 to 1"),
    (6, f"{TRAIN} --tau 7", r"tau is 7.0; give a number from 0 to 1"),
    (6, f"{TRAIN} --guidance inf", r"--guidance is inf; give a finite number"),
    (6, "train --agent vgm2p --dataset 3m.h5 --hidden 8 0", r"--hidden is 0; give at least 1"),
    (6, "train --agent vgm2p --dataset 3m.h5 --hidden", r"--hidden has no value"),
    (6, "train --agent ppo", r"trains in the simulator; give a scenario with --map"),
    (6, "train --agent ppo --map 3m --dataset 3m.h5", r"leave --dataset away"),
    (6, "train --agent ppo --map 3m --steps 0", r"--steps is 0; give at least 1"),
    (6, "train --agent ppo --map 3m --checkpoint-every 0", r"--checkpoint-every is 0; give at least 1"),
    (7, "evaluate --map 3m --agent random --out file", r"cannot write file: .*another folder"),
    (7, "evaluate --map 3m --agent random --out file/run", r"cannot write file/run: .*another folder"),
    (7, "collect --map 3m --agent random --transitions 9 --out file/a.h5", r"cannot write file/a\.h5"),
    (7, f"{TRAIN} --out file", r"cannot write file"),
    (7, "train --agent ppo --map 3m --out file/below", r"cannot write file/below"),
    (7, "leaderboard --csv nowhere/table.csv", r"cannot write nowhere/table\.csv.*another folder"),
    (11, "evaluate --map 3m --agent random --out runs/old", r"runs/old holds another run .*--fresh"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "line", "words"), COSTLY, ids=[line for _, line, _ in COSTLY])
def test_mistakes_about_files_and_teams(
    code: int,
    line: str,
    words: str,
    sound: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(sound)
    before = {path: path.read_bytes() for path in sound.rglob("*") if path.is_file()}
    assert run_here(line.split()) == code
    check_one_line(capsys.readouterr().err, words)
    assert {path: path.read_bytes() for path in sound.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_without_rights(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(["evaluate", "--map", "3m", "--agent", "random", "--out", "/proc/run"]) == 7
    check_one_line(capsys.readouterr().err, r"cannot write /proc/run")


def test_cuda_that_is_not_there(
    sound: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sound)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run_here(f"{TRAIN} --device cuda".split()) == 6
    check_one_line(capsys.readouterr().err, r"no CUDA device here; use --device cpu or auto")
    assert run_here(["train", "--agent", "ppo", "--map", "3m", "--device", "cuda"]) == 6
    check_one_line(capsys.readouterr().err, r"trains on the CPU; leave --device away")
    assert run_here(f"{TRAIN} --device tpu".split()) == 2
    check_one_line(capsys.readouterr().err, r"--device is 'tpu', expected 'auto', 'cpu', 'cuda'")


def test_a_training_folder_keeps_its_configuration(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sound)
    assert run_here(f"{TRAIN} --out {tmp_path}".split()) == 0
    capsys.readouterr()
    assert run_here(f"{TRAIN} --out {tmp_path} --tau 0.1".split()) == 11
    check_one_line(capsys.readouterr().err, r"another agent, dataset or configuration; choose another --out")


def test_a_damaged_neighbour_does_not_cost_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    damaged = finished_run(tmp_path / "runs" / "old", [1, 2]) / "summary.json"
    damaged.write_bytes(flipped(damaged.read_bytes(), 200))
    assert run_here(["evaluate", "--map", "3m", "--agent", "random", "--episodes", "1", "--video", "0"]) == 0
    out, err = capsys.readouterr()
    assert "not in the leaderboard: " in err and "runs/old/summary.json" in err
    assert "leaderboard  runs/leaderboard.csv" in out
    assert len(Path("runs/leaderboard.csv").read_text().splitlines()) == 2
    assert run_here(["ls", "runs"]) == 0
    assert "left out: " in capsys.readouterr().err
    assert run_here(["leaderboard"]) == 5
    check_one_line(capsys.readouterr().err, r"runs/old/summary\.json is damaged")


def test_only_neighbours_enter_the_leaderboard_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --out in a crowded place, nothing below its other folders is searched."""
    monkeypatch.chdir(tmp_path)
    finished_run(tmp_path / "deep" / "down" / "old", [1, 2])
    assert (
        run_here(
            [
                "evaluate",
                "--map",
                "3m",
                "--agent",
                "random",
                "--episodes",
                "1",
                "--video",
                "0",
                "--out",
                "here",
            ]
        )
        == 0
    )
    assert len((tmp_path / "leaderboard.csv").read_text().splitlines()) == 2
    assert "next: harness leaderboard --runs ." in capsys.readouterr().out


def test_a_leaderboard_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "leaderboard.csv").mkdir(parents=True)
    assert run_here(["evaluate", "--map", "3m", "--agent", "random", "--episodes", "1", "--video", "0"]) == 0
    out, err = capsys.readouterr()
    assert "no leaderboard: runs/leaderboard.csv is another file" in err and "\nleaderboard  " not in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_ctrl_c_says_what_is_left_behind(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    module = __import__(f"harness.commands.{cli.COMMANDS[name].module}", fromlist=["main"])
    monkeypatch.setattr(module, "main", interrupted)
    assert run_here([name]) == 130
    err = capsys.readouterr().err
    assert err == f"harness: interrupted; {cli.COMMANDS[name].interrupted}\n"
    if name in ("evaluate", "train"):
        assert "the same command continues" in err
    if name == "collect":
        assert "no dataset was written" in err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_on_standard_output(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here([name, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: harness {name} ") and err == ""
    assert "None" not in out


@pytest.mark.parametrize(
    ("agent", "option"),
    [("vgm2p", "--guidance FLOAT"), ("bc-meanflow", "--flow-steps"), ("ppo", "--horizon")],
)
def test_help_of_an_agent_shows_its_options(
    agent: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(["train", "--agent", agent, "--help"]) == 0
    out = capsys.readouterr().out
    assert option in out and "--steps INT" in out and "--agent STR" in out


def test_a_complaint_of_an_unknown_form_stays_on_one_line() -> None:
    panel = "╭─ Strange ──╮\n│ Something   │\n│ new.        │\n│ ─────────── │\n│ For full helptext, run x │\n╰────╯\n"
    assert reworded(panel) == "Strange Something new."
    assert reworded("") == ""
