"""Children: guarded, killed with everything below them, and never longer alive than their parent."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from harness.processes import child_guard, context, descendants, is_alive, kill_tree
from harness.processes import start as start_guarded

PROJECT = Path(__file__).resolve().parents[1]


def _describe(answers: Connection) -> None:
    child_guard(memory_limit_bytes=2**33)
    print("y" * 100_000)
    os.write(2, b"y" * 100_000)
    answers.send(
        {
            "group": os.getpgid(0) == os.getpid(),
            "interrupt": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
            "memory": resource.getrlimit(resource.RLIMIT_DATA)[0],
            "out": str(Path("/proc/self/fd/1").readlink()),
            "torch": "torch" in sys.modules,
            "threads": os.environ["OMP_NUM_THREADS"],
        }
    )
    answers.close()
    time.sleep(60)


def _escape(answers: Connection) -> None:
    """Start a process that leaves the group and whose parent is gone, and one that stays."""
    child_guard()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
    os.wait()
    if os.fork() == 0:
        time.sleep(60)
    answers.send(descendants())
    time.sleep(60)


def start(target: object) -> tuple[int, object]:
    """Pid and first answer of a guarded child."""
    mine, theirs = context().Pipe()
    child = context().Process(target=target, args=(theirs,), daemon=True)  # type: ignore[arg-type]
    child.start()
    assert child.pid is not None and mine.poll(60)
    return child.pid, mine.recv()


def test_a_child_is_guarded_and_starts_with_torch_and_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    pid, seen = start(_describe)
    assert os.environ["OMP_NUM_THREADS"] == "2", "only children get one thread"
    assert seen == {
        "group": True,
        "interrupt": True,
        "core": 0,
        "memory": 2**33,
        "out": os.devnull,
        "torch": True,
        "threads": "1",
    }
    os.kill(pid, signal.SIGINT)
    assert pid in descendants() and is_alive(pid)
    kill_tree(pid)
    assert not is_alive(pid)


def test_a_tree_is_killed_with_those_who_left_it() -> None:
    pid, below = start(_escape)
    assert isinstance(below, list) and len(below) == 2 and set(below) < set(descendants())
    kill_tree(pid)
    assert [one for one in (pid, *below) if is_alive(one)] == []
    kill_tree(pid)  # nothing to do


PARENT = """
import os, time
from harness.processes import child_guard, context, descendants

def busy(ready):
    child_guard()
    os.fork()
    ready.release()
    while True:
        pass

def idle(ready):
    child_guard()
    ready.release()
    time.sleep(600)

if __name__ == "__main__":
    ready = context().Semaphore(0)
    for target in (busy, idle):
        context().Process(target=target, args=(ready,), daemon=True).start()
    for _ in range(3):
        ready.acquire()
    print(*descendants(), flush=True)
    os.kill(os.getpid(), 9)
"""


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command, environment = [sys.executable, str(script)], os.environ | {"PYTHONPATH": str(PROJECT)}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    pids = [int(pid) for pid in answer.stdout.split()]
    assert answer.returncode == -9 and len(pids) >= 5, answer.stderr
    limit = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < limit:
        time.sleep(0.02)
    assert [pid for pid in pids if is_alive(pid)] == []


def test_a_child_that_nobody_let_go_of_does_not_keep_its_parent_alive(tmp_path: Path) -> None:
    script = tmp_path / "forgets.py"
    script.write_text(
        """
import time

from harness.processes import start

if __name__ == "__main__":
    print(start(time.sleep, (600,), None).pid, flush=True)
"""
    )
    told = subprocess.run(
        [sys.executable, script], cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert not is_alive(int(told.stdout))


def test_the_server_of_children_does_not_end_when_a_group_is_asked_to(tmp_path: Path) -> None:
    """Its end would kill children that are finishing or saving. They hear the signals themselves."""
    script = tmp_path / "asks.py"
    script.write_text(
        """
import os, signal, time
from pathlib import Path

from harness.processes import context, descendants, is_alive, start

def listen(path):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    Path(path).write_text(str(blocked & {signal.SIGTERM, signal.SIGHUP}))

if __name__ == "__main__":
    context()
    servers = descendants()
    for pid in servers:
        os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    assert all(map(is_alive, servers))
    start(listen, ("heard.txt",), None).join()
    print(Path("heard.txt").read_text())
"""
    )
    told = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert told.stdout == "set()\n"


def _tell_file_limit(answers: Connection) -> None:
    answers.send(resource.getrlimit(resource.RLIMIT_FSIZE)[0])


@pytest.mark.parametrize("limit", [1 << 20, None])
def test_a_child_may_write_files_of_any_size_where_it_was_said(limit: int | None) -> None:
    mine, theirs = context().Pipe()
    child = start_guarded(_tell_file_limit, (theirs,), None, file_limit_bytes=limit)
    assert mine.poll(60)
    assert mine.recv() == (resource.getrlimit(resource.RLIMIT_FSIZE)[0] if limit is None else limit)
    child.join()
