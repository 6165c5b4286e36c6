"""Signals to commands that write a dataset: they end with the signal's exit code, and nothing half-written stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_format_folders import save

from datasets.convert import convert
from datasets.formats.parts import part_folder

ROOT = Path(__file__).parents[1]
EPISODES, STEPS = 20_000, 4
WORDS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "ended by a signal"), signal.SIGHUP: (129, "ended by a signal")}  # fmt: skip


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source that takes seconds to convert."""
    n = EPISODES * STEPS
    discounts = np.ones(n)
    discounts[STEPS - 1 :: STEPS] = 0
    arrays: dict[str, Any] = {
        "obs": np.random.default_rng(0).normal(size=(n, 3, 7)).astype(np.float32),
        "actions": np.zeros((n, 3), np.int64),
        "rewards": np.ones((n, 3)),
        "discounts": discounts,
        "path_lengths": np.full(EPISODES, STEPS),
    }
    return save(tmp_path_factory.mktemp("long") / "walkers" / "Good", arrays)


@pytest.fixture(scope="module")
def native(long: Path) -> Path:
    """The same as a native file."""
    convert(long, long.parents[1] / "long.h5")
    return long.parents[1] / "long.h5"


def stop(words: list[str], out: Path, number: signal.Signals) -> tuple[int, str]:
    """Start a command, signal it when it has begun to write into `out`, and return how it ended."""
    out.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        cwd=out.parent, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    while not any(file.is_file() for file in out.rglob("*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("number", WORDS)
def test_convert(tmp_path: Path, long: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    code, said = stop(["datasets", "convert", str(long), "--out", str(out / "x.h5")], out, number)
    assert code == WORDS[number][0], said
    assert f"{WORDS[number][1]}; nothing was written, start the command again" in said
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("number", WORDS)
def test_convert_to_a_vault(tmp_path: Path, native: Path, number: signal.Signals) -> None:
    pytest.importorskip("tensorstore", reason="writing vaults needs the extra 'vault'")
    out = tmp_path / "out"
    words = ["datasets", "convert", str(native), "--to", "vault", "--out", str(out / "Good")]
    code, said = stop(words, out, number)
    assert code == WORDS[number][0], said
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_collect(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [
        "collect",
        "--map",
        "3m",
        "--agent",
        "random",
        "--transitions",
        "50000000",
        "--out",
        str(out / "x.h5"),
    ]
    code, said = stop(words, out, signal.SIGTERM)
    assert code == 143 and "no dataset was written" in said
    assert list(out.iterdir()) == []


def test_a_signal_that_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    """As `nohup` asks."""
    code = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from harness.errors import raise_on_ending_signals as prepare, run_command\n"
        "prepare(); signal.raise_signal(signal.SIGHUP); print('here', flush=True)\n"
        "sys.exit(run_command(lambda: signal.raise_signal(signal.SIGTERM)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (ended.returncode, ended.stdout) == (143, "here\n"), ended.stderr


def test_what_a_killed_writer_left_is_deleted_by_the_next_one(tmp_path: Path, long: Path) -> None:
    out = tmp_path / "out"
    words = ["datasets", "convert", str(long), "--out", str(out / "x.h5")]
    assert stop(words, out, signal.SIGKILL)[0] == -signal.SIGKILL
    (left,) = out.iterdir()
    others = [out / name for name in (".y.h5.01234567.part", ".x.h5.mine.part")]
    for other in others:
        other.mkdir()
    with part_folder(out / "x.h5") as ours:
        assert not left.exists() and all(other.exists() for other in others)
        with part_folder(out / "x.h5") as second:  # the first one is alive
            assert ours.exists() and second != ours
    assert sorted(out.iterdir()) == sorted(others)
