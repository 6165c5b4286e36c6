"""Ctrl-C and SIGTERM to the real command: what is under way is finished, or everything stops; nothing is left over."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from descendants import marked
from faulty_worlds import COUNTERS

from harness.evaluate import evaluate
from harness.options import EvaluateConfig
from harness.records import load_run

HERE = Path(__file__).parent
AGENT = f"{HERE / 'faulty_agents.py'}:Walker"
N_EPISODES = 40
FINISHING = "finishing the episodes that are under way; Ctrl-C again stops at once"


def start(folder: Path, words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        cwd=HERE.parent, env=os.environ | {COUNTERS: str(folder)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip


def words(folder: Path, world: str) -> list[str]:
    return [
        "evaluate", "--map", f"{HERE / 'faulty_worlds.py'}:{world}", "--agent", AGENT,
        "--episodes", str(N_EPISODES), "--workers", "2", "--n-games", "2", "--video", "0",
        "--latency", "none", "--timeout-s", "300", "--out", str(folder / "runs" / "run"),
    ]  # fmt: skip


def wait_for_episodes(run: Path, n: int, process: subprocess.Popen[str]) -> None:
    log = run / "episodes.jsonl"
    while not log.is_file() or log.read_bytes().count(b"\n") < n:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def assert_nothing_left(folder: Path) -> None:
    limit = time.monotonic() + 20.0
    while (left := marked(str(folder))) and time.monotonic() < limit:
        time.sleep(0.01)
    assert not left


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_one_signal_finishes_what_is_under_way_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "runs" / "run"
    process = start(tmp_path, words(tmp_path, "Slow"))
    wait_for_episodes(run, 5, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and FINISHING in said
    kept = len(load_run(run).episodes)
    assert 5 <= kept < N_EPISODES and f"{kept} of {N_EPISODES} episodes are kept" in said
    assert_nothing_left(tmp_path)
    assert not (run / "incidents.jsonl").exists() and not (run / "logs").exists()
    again = said.rpartition("continue with: ")[2].strip()
    assert again == shlex.join(["harness", *words(tmp_path, "Slow")])
    continued = start(tmp_path, shlex.split(again)[1:])
    table, said = continued.communicate(timeout=60)
    assert continued.returncode == 0 and f"({kept} of {N_EPISODES} are there already)" in said, said
    assert "toy-v1" in table
    whole = evaluate(
        EvaluateConfig(
            f"{HERE / 'faulty_worlds.py'}:calm", agent=AGENT, episodes=N_EPISODES,
            workers=0, video=0, latency="none", out=tmp_path / "whole",
        )
    )  # fmt: skip
    for name in ("episodes.jsonl", "summary.json"):
        assert (run / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    run = tmp_path / "runs" / "run"
    process = start(tmp_path, words(tmp_path, "Hanging"))
    wait_for_episodes(run, 1, process)
    assert process.stderr is not None
    heard = ""
    process.send_signal(number)
    while FINISHING not in heard:
        line = process.stderr.readline()
        assert line, heard
        heard += line
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "continue with: harness evaluate" in said
    assert len(load_run(run).episodes) < N_EPISODES
    assert_nothing_left(tmp_path)
