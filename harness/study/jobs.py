"""Jobs in guarded processes of their own, a few at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from env_adapters.errors import SimulatorError
from env_adapters.files import writing
from harness.processes import kill_tree, start
from harness.progress import Say

_POLL_S: Final = 0.1
_PATIENCE_S: Final = 120.0
"""For a training that was asked to save and end."""


class Job(NamedTuple):
    """Something to run."""

    what: str
    """In words."""
    target: Callable[..., int]
    """Returns an exit code of `harness`; imported by its name in the new process."""
    arguments: tuple[Any, ...]
    log: Path
    """Gets what it prints."""


def run_all(jobs: Sequence[Job], workers: int, settled: Sequence[int], say: Say) -> None:
    """Run jobs, at most `workers` at once; those under way are asked to end when this is interrupted.

    Args:
        jobs: in the order in which they are started.
        workers: how many at once.
        settled: exit codes that are no failure.
        say: told about every beginning and end.

    Raises:
        SimulatorError: some failed; all were run first. The first one is named with its log.
    """
    failed: list[str] = []
    running: dict[Any, Job] = {}
    queue = list(enumerate(jobs, 1))
    try:
        while queue or running:
            while queue and len(running) < workers:
                number, job = queue.pop(0)
                say(f"{number} of {len(jobs)}: {job.what} ...")
                running[_started(job)] = job
            for process in [process for process in running if process.exitcode is not None]:
                job, code = running.pop(process), process.exitcode
                if code not in settled:
                    failed.append(f"{job.what} (exit code {code}): {_last_line(job.log)}; see {job.log}")
                say(f"{job.what}: {_last_line(job.log) if code else 'done'}")
            time.sleep(_POLL_S)
    finally:
        _end(list(running))
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise SimulatorError(f"{failed[0]}{more}")


def _started(job: Job) -> Any:
    with writing(job.log):
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.unlink(missing_ok=True)
    # Datasets and training states are larger than what code of others may write.
    return start(_body, (job.target, job.arguments), job.log, file_limit_bytes=None)


def _body(target: Callable[..., int], arguments: tuple[Any, ...]) -> None:
    from harness.errors import raise_on_ending_signals, run_command

    raise_on_ending_signals()
    sys.exit(run_command(lambda: target(*arguments)))


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "it said nothing"
    return (lines or ["it said nothing"])[-1].removeprefix("harness: ").removeprefix("error: ")


def _end(processes: Sequence[Any]) -> None:
    """Ask for an end, so that trainings save where they stand, and kill what does not follow."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_S
    for process in processes:
        process.join(timeout=max(0.0, deadline - time.monotonic()))
        if process.exitcode is None:
            kill_tree(process.pid)
            process.join()
