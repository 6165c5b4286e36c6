"""Child processes that never outlive their parent and never leave anything behind.

Every child is the leader of its own process group and calls `child_guard()` first. From then on the kernel kills
the whole group at the moment the parent is gone, whatever the parent died of and whatever the group is doing.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import multiprocessing
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Final

from env_adapters.errors import OutputError

_PRELOAD: Final = ["torch", "agents.acting", "agents.checkpoints", "harness.agent_process", "harness.workers"]
FILE_LIMIT_BYTES: Final = 64 << 20
"""Largest file a child may write that runs others' code, its log included: an agent that prints a gigabyte gets an error."""
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_KILL_LIMIT_S: Final = 5.0


def context() -> ForkServerContext:
    """Where children are started from: a server process that has the heavy packages loaded and one thread each.

    The server is started by the first call and ends with this process. Children get its environment, with every
    mathematics library limited to one thread. A script that starts children needs `if __name__ == "__main__":`,
    because they import it.

    Raises:
        OutputError: the folder for temporary files cannot hold the server's socket.
    """
    chosen = multiprocessing.get_context("forkserver")
    chosen.set_forkserver_preload(_PRELOAD)
    resource_tracker.ensure_running()  # when it starts it lets SIGTERM through again
    # PYTHONSAFEPATH: a user's agents.py in the current folder must not be taken for the package agents
    with _environment(dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONSAFEPATH": "1"}), _blocked(_ENDING):
        try:
            forkserver.ensure_running()
        except OSError as error:  # the name of a socket has at most 107 bytes
            raise OutputError(
                f"cannot start workers from {tempfile.gettempdir()}: {error}; set TMPDIR to a short path with free space"
            ) from error
    return chosen


@contextlib.contextmanager
def _blocked(numbers: tuple[signal.Signals, ...]) -> Iterator[None]:
    """What is started meanwhile does not hear these signals.

    `timeout` and Slurm send them to a whole group. The server must not end then, for its end kills workers that were
    asked to finish or to save.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def start(
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    log: Path | None,
    file_limit_bytes: int | None = FILE_LIMIT_BYTES,
) -> ForkServerProcess:
    """Start a function of a module in a guarded child that sees this process's folder and environment of now.

    Args:
        target: called with `arguments`, which must be picklable.
        arguments: pipes and shared memory of `context()` among them.
        log: file for what the child prints; None throws it away.
        file_limit_bytes: see `child_guard`.
    """
    guard = (None if log is None else log.absolute(), file_limit_bytes)
    surroundings = (str(Path.cwd()), dict(os.environ), guard)
    process = context().Process(target=_enter, args=(surroundings, target, arguments))
    process.start()
    return process


def _enter(
    surroundings: tuple[str, dict[str, str], tuple[Path | None, int | None]],
    target: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    folder, environment, (log, file_limit_bytes) = surroundings
    child_guard(log=log, file_limit_bytes=file_limit_bytes)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)


def child_guard(
    memory_limit_bytes: int | None = None,
    log: Path | None = None,
    file_limit_bytes: int | None = FILE_LIMIT_BYTES,
) -> None:
    """Make this child process safe; the first thing it does.

    It becomes the leader of its own process group, ignores Ctrl-C (the parent decides), writes no core file, and
    dies with its group when the parent or the process that started it ends. Processes that it starts and abandons
    stay below it, where `kill_tree` finds them.

    Args:
        memory_limit_bytes: private memory after which allocations fail (RLIMIT_DATA); None for no limit.
        log: file for what the process prints, compiled code included; None throws it away.
        file_limit_bytes: largest file it may write, the log included; None for no limit.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)  # the server does not hear them
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_limit_bytes, memory_limit_bytes))
    if file_limit_bytes is not None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        limit = file_limit_bytes if hard == resource.RLIM_INFINITY else min(file_limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    target = os.open(os.devnull if log is None else log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    if sys.platform == "linux":
        _die_with_parent()


def _die_with_parent() -> None:
    process_control = ctypes.CDLL(None, use_errno=True).prctl
    process_control(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    process_control(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    # With a fork server the parent in the kernel's sense is the server. The real one holds the other end of this
    # pipe: when it is gone, the pipe breaks and the kernel signals the group, without any code of ours running.
    pipe = parent.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([pipe], [], [], 0)[0]:  # it broke before we listened
        os.killpg(0, signal.SIGKILL)


@atexit.register
def _kill_children() -> None:
    """Kill children that nobody let go of: a signal can arrive between the start of one and the note of it.

    `multiprocessing` waits for them at exit, after this: for ever, where one hangs.
    """
    for child in multiprocessing.active_children():
        if child.pid is not None:
            kill_tree(child.pid)


def descendants(pid: int | None = None) -> list[int]:
    """Living processes below a process (default: this one), read from /proc; the helpers of `context` included."""
    below: dict[int, list[int]] = {}
    for child, parent, state in _processes():
        if state != "Z":
            below.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [os.getpid() if pid is None else pid]
    while waiting:
        children = below.get(waiting.pop(), [])
        found += children
        waiting += children
    return sorted(found)


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return any(other == pid and state != "Z" for other, _, state in _processes())


def _processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent's pid, state) of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text(errors="replace")
        except OSError:  # it has just ended
            continue
        state, parent, *_ = stat.rpartition(")")[2].split()
        yield int(folder.name), int(parent), state


def kill_tree(pid: int) -> None:
    """Kill a child that called `child_guard`, its process group and everything below it; returns when all are gone.

    The root is stopped first, so that nothing new can appear unseen. Safe to call for a process that has ended.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + _KILL_LIMIT_S
    while (others := descendants(pid)) and time.monotonic() < deadline:
        for other in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
        time.sleep(0.001)
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.001)
