"""A disk that fills up, or gives nothing back, at every single call that changes it: a typed error, and the run goes on later."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from env_adapters.errors import HarnessError, OutputError
from env_adapters.files import write_atomic
from harness.cli import run as command
from harness.evaluate import Evaluation, evaluate
from harness.leaderboard import is_leaderboard, leaderboard
from harness.options import EvaluateConfig
from harness.records import load_incidents, load_latency, load_run

HERE = Path(__file__).parent
WORLD, AGENT = f"{HERE / 'faulty_worlds.py'}:Faulty", f"{HERE / 'faulty_agents.py'}:Walker"
N_EPISODES = 8
FINALS = ("episodes.jsonl", "summary.json")
CALLS = ("write", "fsync", "truncate", "ftruncate", "replace", "rename", "mkdir", "unlink")


def play(out: Path, **options: Any) -> Evaluation:
    """Eight episodes in this process, of which those of some seeds break off."""
    settings: dict[str, Any] = {"n_games": 2, "workers": 0, "retries": 0, "video": 0, "latency": "none"}
    return evaluate(EvaluateConfig(WORLD, agent=AGENT, episodes=N_EPISODES, out=out, **settings | options))


class Disk:
    """Counts calls that change what lies below a folder; one of them, or all from one on, fail.

    Args:
        below: the folder.
        fails_at: number of the first call that fails, from 1.
        stays: whether all later ones fail, too.
        code: the error.
    """

    def __init__(self, below: Path, fails_at: int, stays: bool, code: int) -> None:
        self.below, self.fails_at, self.stays, self.code = below, fails_at, stays, code
        self.n_calls = 0
        self.failed: list[str] = []

    def is_ours(self, place: Any) -> bool:
        if isinstance(place, int):
            place = Path(f"/proc/self/fd/{place}").readlink()
        return str(place).startswith(str(self.below))

    def call(self, name: str, place: Any) -> None:
        """Fail if it is this call's turn."""
        if not self.is_ours(place):
            return
        self.n_calls += 1
        if self.n_calls == self.fails_at or (self.stays and self.n_calls > self.fails_at):
            self.failed.append(name)
            raise OSError(self.code, os.strerror(self.code), str(place))


class FullFile(io.FileIO):
    """A file whose own writes and truncations go through a disk."""

    disk: Disk

    def write(self, data: Any) -> int:
        """Write half, then fail, as a disk does that fills up."""
        try:
            self.disk.call("write", self.fileno())
        except OSError:
            super().write(bytes(data)[: len(bytes(data)) // 2])
            raise
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self.disk.call("ftruncate", self.fileno())
        return super().truncate(size)


@contextmanager
def failing(below: Path, fails_at: int, stays: bool = False, code: int = errno.ENOSPC) -> Iterator[Disk]:
    """Put a disk under everything that this process changes below a folder, opening files for writing included."""
    disk = Disk(below, fails_at, stays, code)

    def through(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(place: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                disk.call(name, place)
            except OSError:
                if name == "write":  # half of it arrives
                    real(place, bytes(args[0])[: len(args[0]) // 2])
                raise
            return real(place, *args, **kwargs)

        return call

    def opened(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        if not set(mode) & set("wax+") or not disk.is_ours(file):
            return real_open(file, mode, buffering, *args, **kwargs)
        disk.call("open", file)
        if "b" not in mode:
            return real_open(file, mode, buffering, *args, **kwargs)
        raw = type("Ours", (FullFile,), {"disk": disk})(file, mode.replace("b", ""))
        return raw if buffering == 0 else io.BufferedWriter(raw)

    real_open = io.open
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, through(name, getattr(os, name)))
        patch.setattr(io, "open", opened)
        yield disk


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = play(tmp_path_factory.mktemp("undisturbed") / "run").path
    assert any(record.error for record in load_run(path).episodes), "incidents must be written, too"
    return finals(path)


def finals(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FINALS}


def check_readable(folder: Path) -> int:
    """Everything that is there can be read; returns how many episodes that is."""
    if not (folder / "manifest.json").is_file():
        return 0
    load_latency(folder), load_incidents(folder)
    return len(load_run(folder).episodes)


def check_every(
    step: int, tmp_path: Path, undisturbed: dict[str, bytes], stays: bool, code: int
) -> tuple[int, set[str]]:
    """Let every `step`-th call of a new run fail; returns how many calls there were and which kinds failed."""
    failed, survived = set[str](), 0
    for k in range(1, 1000, step):
        folder = tmp_path / str(k) / "run"
        said: list[str] = []
        with failing(folder, k, stays, code) as disk:
            try:
                play(folder)
            except HarnessError as error:
                assert type(error) is OutputError and error.exit_code == 7, f"call {k} {disk.failed}: {error}"
                assert os.strerror(code) in str(error) and str(folder) in str(error)
                said.append(str(error))
        failed |= set(disk.failed[:1])
        n_kept = check_readable(folder)
        if not disk.failed:
            break
        survived += not said
        again = play(folder)
        assert finals(folder) == undisturbed, f"call {k} {disk.failed}"
        assert again.summary.episodes == N_EPISODES and n_kept <= N_EPISODES
        kept = {"manifest.json", "incidents.jsonl", *FINALS}
        assert {path.name for path in folder.iterdir()} == kept, f"call {k} {disk.failed}"
    print(f"\n{k - 1} calls, {survived} of them survived; failed: {sorted(failed)}")
    return k, failed


def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    n_calls, failed = check_every(4, tmp_path, undisturbed, True, errno.ENOSPC)
    assert n_calls > 3 * N_EPISODES and {"open", "write"} <= failed


@pytest.mark.slow
@pytest.mark.parametrize(("stays", "code"), [(False, errno.ENOSPC), (True, errno.ENOSPC), (True, errno.EIO)])
def test_a_disk_that_fills_up_at_any_call_stops_the_run_and_loses_nothing(
    tmp_path: Path, undisturbed: dict[str, bytes], stays: bool, code: int
) -> None:
    n_calls, failed = check_every(1, tmp_path, undisturbed, stays, code)
    assert n_calls > 3 * N_EPISODES
    assert {"mkdir", "open", "write", "fsync", "replace"} <= failed


@pytest.mark.slow
def test_every_write_of_a_timed_run_that_is_resumed_may_fail(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """The end of a run whose last lines were torn, with the file of timings."""
    whole = play(tmp_path / "whole").path
    for k in range(1, 1000):
        folder = tmp_path / str(k) / "run"
        folder.mkdir(parents=True)
        for name in ("manifest.json", "episodes.jsonl"):
            (folder / name).write_bytes((whole / name).read_bytes())
        log = folder / "episodes.jsonl"
        log.write_bytes(log.read_bytes()[:-500])
        with failing(folder, k) as disk:
            try:
                play(folder, latency="batched")
            except OutputError as error:
                assert str(folder) in str(error)
        if not disk.failed:
            break
        check_readable(folder)
        play(folder)
        assert finals(folder) == undisturbed
    assert k > 5


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    whole = play(tmp_path / "whole").path
    with (
        failing(tmp_path / "new", 1, stays=True, code=errno.EROFS),
        pytest.raises(OutputError, match="Read-only"),
    ):
        play(tmp_path / "new")
    (whole / "summary.json").write_bytes(b"{")
    with failing(whole, 1, stays=True, code=errno.EROFS), pytest.raises(OutputError, match="Read-only"):
        play(whole)
    play(whole)
    assert finals(whole) == undisturbed


def test_a_finished_run_on_a_read_only_disk_is_shown(
    tmp_path: Path, undisturbed: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "run"
    play(out)
    words = f"--map {WORLD} --agent {AGENT} --episodes {N_EPISODES} --workers 0 --video 0 --latency none --out {out}"
    with (
        failing(out.parent / "leaderboard.csv", 1, stays=True),
        failing(out.parent / ".leaderboard", 1, stays=True),
    ):
        assert command(["evaluate", *words.split()]) == 0
    heard = capsys.readouterr()
    assert "No space left on device" in heard.err and "no leaderboard" in heard.err
    assert "toy-v1" in heard.out and not list(out.parent.glob("*leaderboard*"))
    assert finals(out) == undisturbed
    assert command(["evaluate", *words.split()]) == 0
    assert is_leaderboard(out.parent / "leaderboard.csv") and len(leaderboard([out])) == 1


def test_a_full_disk_leaves_the_old_leaderboard(tmp_path: Path) -> None:
    board = tmp_path / "leaderboard.csv"
    board.write_bytes(b"old")
    for k in range(1, 20):
        with failing(tmp_path, k) as disk:
            try:
                write_atomic(board, b"new")
            except OutputError:
                assert board.read_bytes() == b"old" and list(tmp_path.iterdir()) == [board]
        if not disk.failed:
            break
        board.write_bytes(b"old")
    assert k >= 4 and board.read_bytes() == b"new"


def test_a_folder_for_temporary_files_with_too_long_a_name_is_said(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    code = "from harness.processes import context\ntry: context()\nexcept Exception as error: print(type(error).__name__, error)"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE.parent, env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert answer.stdout.startswith("OutputError") and "set TMPDIR to a short path" in answer.stdout


def test_what_a_killed_run_leaves_is_cleared_but_not_what_somebody_printed(tmp_path: Path) -> None:
    logs = play(tmp_path / "run").path / "logs"
    for text in ("", "a traceback"):
        logs.mkdir()
        (logs / "worker-1.log").write_text("")
        (logs / "worker-2.log").write_text(text)
        play(tmp_path / "run")
        assert [path.name for path in logs.glob("*")] == (["worker-2.log"] if text else [])
        assert logs.exists() is bool(text)


def test_the_planted_disk_leaves_half_of_what_nobody_takes_back(tmp_path: Path) -> None:
    target = tmp_path / "half"
    with (
        failing(tmp_path, 2),
        pytest.raises(OSError, match="No space"),
        target.open("wb", buffering=0) as file,
    ):
        file.write(b"0123456789")
    assert target.read_bytes() == b"01234"
