"""`harness train` from a dataset, through real processes: several seeds, signals, kills, locks and what goes wrong."""

from __future__ import annotations

import csv
import importlib.util
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents.checkpoints import load_checkpoint
from harness import cli
from harness.errors import run_command
from harness.run_directory import lock_folder

PROJECT = Path(__file__).resolve().parents[1]
TRAIN = "train --agent vgm2p --dataset d.h5 --hidden 16 16 --log-every 100 --save-every 20 --seeds 2"
N_STEPS = 400


def start(folder: Path, line: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *shlex.split(line)],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def harness(folder: Path, line: str, code: int = 0) -> tuple[str, str]:
    process = start(folder, line)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    return out, err


def one_line(err: str, said: str) -> None:
    assert said in err and err.count("harness: error: ") == 1 and "Traceback" not in err
    assert err.splitlines()[-1].startswith("harness: error: ")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    harness(folder, "collect --map 3m --agent random --transitions 400 --out d.h5")
    return folder


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """Two seeds without interruption, with evaluations."""
    out, err = harness(place, f"{TRAIN} --steps 4e2 --out whole --evaluate-every 2e2 --evaluate-episodes 3")
    assert out.splitlines()[:2] == [f"whole/seed-{seed}/checkpoint.safetensors" for seed in (0, 1)]
    assert "step 400/400  2 seeds" in err and "min left" in err and "return" in err
    return place / "whole"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("seed-*/checkpoint.safetensors")
    }


def test_the_curve_says_what_an_evaluation_says(whole: Path, place: Path) -> None:
    with (whole / "seed-1" / "curve.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    assert [row["step"] for row in curve] == ["100", "200", "300", "400"]
    assert [bool(row["return"]) for row in curve] == [False, True, False, True]
    harness(
        place,
        "evaluate --map 3m --checkpoint whole/seed-1/checkpoint.safetensors --episodes 3 --video 0 "
        "--latency none --workers 0 --out runs/played",
    )
    harness(place, "leaderboard --csv board.csv")
    with (place / "board.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["return_mean"]) == pytest.approx(float(curve[-1]["return"]), abs=1e-9)
    assert float(row["win_rate"]) == float(curve[-1]["win_rate"]) and row["training_seed"] == "1"


def test_one_of_two_seeds_is_what_it_is_alone(whole: Path, place: Path) -> None:
    harness(place, f"{TRAIN.replace('--seeds 2', '--seed 1')} --steps 400 --out alone")
    alone = (place / "alone" / "checkpoint.safetensors").read_bytes()
    assert alone == files(whole)["seed-1/checkpoint.safetensors"]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_saves_and_says_how_to_go_on(number: signal.Signals, whole: Path, place: Path) -> None:
    line = f"{TRAIN} --steps {N_STEPS} --out cut-{number.name}"
    folder = place / f"cut-{number.name}"
    process = start(place, line)
    while not (folder / "training.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Ctrl-C again stops at once" in said
    assert f" of {N_STEPS} is saved; continue with: harness {line}" in said and not files(folder)
    _, said = harness(place, shlex.join(shlex.split(said.rpartition("continue with: ")[2])[1:]))
    assert f"continuing cut-{number.name} at step " in said
    assert files(folder) == files(whole)


@pytest.mark.slow
def test_killed_at_any_moment_the_last_bits_are_the_same(whole: Path, place: Path) -> None:
    line, moments, kills = f"{TRAIN} --steps {N_STEPS} --out killed", random.Random(7), 0
    state = place / "killed" / "training.safetensors"
    for _ in range(6):
        process = start(place, line)
        before = state.stat().st_mtime_ns if state.exists() else 0
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, 0.5))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
    assert kills >= 2, "every run finished before it could be killed"
    harness(place, line)
    assert files(place / "killed") == files(whole)
    assert (
        not list((place / "killed").rglob(".*.tmp")) or kills
    )  # a kill may leave one, never under a final name


def test_a_folder_in_use_is_one_line(place: Path) -> None:
    (place / "busy").mkdir()
    lock = lock_folder(place / "busy")
    if lock is None:
        pytest.skip("no locks here")
    try:
        _, err = harness(place, f"{TRAIN} --steps 2 --out busy", code=11)
    finally:
        os.close(lock)
    one_line(err, "another process is writing to busy; wait for it or use another --out")


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ("--hidden 3000000 3000000", 6, "out of memory on cpu: lower --batch-size, --hidden or --seeds"),
        ("--hidden 16 --guidance 1e6 --learning-rate 0.1", 10, "train the preset vgm2p-positive"),
        ("--hidden 16 --seeds 0", 6, "seeds is 0; give at least 1"),
        ("--hidden 16 --precision tf32", 6, "--precision tf32 needs a CUDA device"),
        ("--hidden 16 --evaluate-every 0", 6, "--evaluate-every is 0; give at least 1"),
        ("--hidden 16 --stacked maybe", 2, "--stacked is 'maybe', expected 'auto', 'on', 'off'"),
    ],
)
def test_what_goes_wrong_is_one_line(
    more: str,
    code: int,
    said: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, through the same entry point, which is ten times as fast."""
    monkeypatch.chdir(place)
    line = f"train --agent vgm2p --dataset d.h5 --steps 2e2 --out {tmp_path} {more}"
    assert run_command(lambda: cli.run(line.split())) == code
    one_line(capsys.readouterr().err, said)


def test_tensorboard_is_an_extra(place: Path) -> None:
    line = f"{TRAIN} --steps 200 --out board --tensorboard"
    if importlib.util.find_spec("tensorboard") is None:
        one_line(harness(place, line, 8)[1], "--tensorboard needs an optional package")
        return
    harness(place, line)
    assert len(list((place / "board" / "tensorboard").glob("seed-*/events*"))) == 2


def test_stacked_seeds_from_the_command_line(whole: Path, place: Path) -> None:
    line = TRAIN.replace("--agent vgm2p", "--agent vgm2p-positive")
    harness(place, f"{line} --steps 20 --out stacked --stacked on")
    made = load_checkpoint(place / "stacked" / "seed-1" / "checkpoint.safetensors")
    assert (made.provenance["seed"], made.provenance["stacked"]) == (1, 2)
    assert made.provenance["preset"] == "vgm2p-positive" and made.agent.config.cfg_rows == "positive"
