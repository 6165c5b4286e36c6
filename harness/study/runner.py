"""Making what a study lacks: datasets and cells, a few at once, each in a guarded process of its own."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from env_adapters.errors import SimulatorError
from env_adapters.files import writing
from harness.processes import kill_tree, start
from harness.progress import Say
from harness.study import cells
from harness.study.spec import Study

_SETTLED: Final = (0, cells.DIVERGED)
"""Exit codes after which there is nothing to do again."""
_POLL_S: Final = 0.1
_PATIENCE_S: Final = 120.0
"""For a training that was asked to save and end."""


class _Job(NamedTuple):
    what: str
    words: cells.Command
    log: Path
    outcome: Path | None
    """Where a training notes how it ended."""


def make_missing(study: Study, out: Path, workers: int, device: str, say: Say) -> None:
    """Collect and train what is not there; what diverged counts as made.

    Args:
        study: what is wanted.
        out: folder of the studies.
        workers: how many at once.
        device: of `harness train`.
        say: told about every beginning and end.

    Raises:
        SimulatorError: a command failed otherwise; its log is named. The others were run first.
        KeyboardInterrupt: trainings under way have saved where they stood.
    """
    _run_all(list(_collections(study, out)), workers, say)
    _run_all(list(_trainings(study, out, device)), workers, say)


def _collections(study: Study, out: Path) -> Iterator[_Job]:
    for dataset in dict.fromkeys(cell.dataset for cell in study.cells()):
        path = cells.dataset_path(out, study.scale, dataset)
        if not path.exists():
            words = cells.collect_command(out, study.scale, dataset)
            yield _Job(f"dataset {dataset}", words, path.with_suffix(".log"), None)


def _trainings(study: Study, out: Path, device: str) -> Iterator[_Job]:
    for cell in study.cells():
        words = cells.train_command(cell, out, device, cells.agent_options)
        if not cells.is_done(cell, out, words):
            what = f"{cell.variant.name} on {cell.dataset}"
            yield _Job(what, words, cell.folder(out) / "train.log", cells.outcome_path(cell, out))


def run_job(words: cells.Command, outcome: Path | None) -> None:
    """Body of a process: run a command line, and note what came of it."""
    from harness import cli
    from harness.errors import raise_on_ending_signals, run_command

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # the limit is meant for logs
    raise_on_ending_signals()
    code = run_command(lambda: cli.run(words))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    if outcome is not None and code in _SETTLED:
        cells.write_outcome(outcome, words, code, usage.ru_utime + usage.ru_stime)
    sys.exit(code)


def _run_all(jobs: list[_Job], workers: int, say: Say) -> None:
    failed: list[str] = []
    running: dict[Any, _Job] = {}
    queue = list(enumerate(jobs, 1))
    try:
        while queue or running:
            while queue and len(running) < workers:
                number, job = queue.pop(0)
                say(f"{number} of {len(jobs)}: {job.what} ...")
                running[_started(job)] = job
            for process in [process for process in running if process.exitcode is not None]:
                job, code = running.pop(process), process.exitcode
                if code not in _SETTLED:
                    failed.append(f"{job.what} (exit code {code}): {_last_line(job.log)}; see {job.log}")
                say(f"{job.what}: {_last_line(job.log) if code else 'done'}")
            time.sleep(_POLL_S)
    finally:
        _end(list(running))
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise SimulatorError(f"{failed[0]}{more}")


def _started(job: _Job) -> Any:
    with writing(job.log):
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.unlink(missing_ok=True)
    return start(run_job, (job.words, job.outcome), job.log)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "it said nothing"
    return (lines or ["it said nothing"])[-1].removeprefix("harness: ").removeprefix("error: ")


def _end(processes: list[Any]) -> None:
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
