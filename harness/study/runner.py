"""Making what a study lacks: datasets and cells, a few at once, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, NamedTuple

from env_adapters.errors import SimulatorError
from env_adapters.files import writing
from harness.progress import Say
from harness.study import cells
from harness.study.spec import Cell, Study

_SETTLED: Final = (0, cells.DIVERGED)
"""Exit codes after which there is nothing to do again."""


class _Job(NamedTuple):
    what: str
    words: cells.Command
    log: Path
    ended: Callable[[int, str, float], None]


class _Running:
    """Processes under way, to be ended with us."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, job: _Job) -> tuple[int, str, float]:
        """Exit code, last line that was said, and duration; the log gets everything."""
        started = time.monotonic()
        with writing(job.log):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            log = job.log.open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness", *job.words],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"},
            )  # fmt: skip
            self._processes.add(process)
            try:
                code = process.wait()
            finally:
                self._processes.discard(process)
        lines = job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return code, (lines or [""])[-1], time.monotonic() - started

    def stop(self) -> None:
        """Ask all of them to save and end, and wait for that."""
        self.stopped = True
        for process in list(self._processes):
            process.terminate()


def make_missing(study: Study, out: Path, workers: int, device: str, say: Say) -> None:
    """Collect and train what is not there; what diverged counts as made.

    Raises:
        SimulatorError: a command failed otherwise; its log is named. The others were run first.
        KeyboardInterrupt: trainings under way have saved where they stood.
    """
    running = _Running()
    _run_all(_collections(study, out), workers, running, say)
    _run_all(_trainings(study, out, device), workers, running, say)


def _collections(study: Study, out: Path) -> list[_Job]:
    jobs = []
    for dataset in study.datasets:
        path = cells.dataset_path(out, study.scale, dataset)
        if not path.exists():
            words = cells.collect_command(out, study.scale, dataset)
            jobs.append(_Job(f"dataset {dataset}", words, path.with_suffix(".log"), lambda *_: None))
    return jobs


def _trainings(study: Study, out: Path, device: str) -> list[_Job]:
    jobs = []
    for cell in study.cells():
        words = cells.train_command(cell, out, device, cells.agent_options)
        if not cells.is_done(cell, out, words):
            what = f"{cell.variant.name} on {cell.dataset}"
            jobs.append(_Job(what, words, cell.folder(out) / "train.log", _note(cell, out, words)))
    return jobs


def _note(cell: Cell, out: Path, words: cells.Command) -> Callable[[int, str, float], None]:
    def ended(code: int, said: str, duration_s: float) -> None:
        if code in _SETTLED:
            cells.write_outcome(cell, out, words, code, said, duration_s)

    return ended


def _run_all(jobs: list[_Job], workers: int, running: _Running, say: Say) -> None:
    failed: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        waiting: dict[Future[tuple[int, str, float]], _Job] = {}
        queue = list(enumerate(jobs, 1))
        try:
            while queue or waiting:
                while queue and len(waiting) < workers:
                    number, job = queue.pop(0)
                    say(f"{number} of {len(jobs)}: {job.what}")
                    waiting[pool.submit(running.run, job)] = job
                for future in _ended(waiting):
                    job = waiting.pop(future)
                    code, said, duration_s = future.result()
                    job.ended(code, said, duration_s)
                    if code not in _SETTLED:
                        failed.append(f"{job.what} (exit code {code}): {said}; see {job.log}")
                    say(f"  {job.what}: {said if code else 'done'} ({duration_s:.0f} s)")
        except BaseException:
            running.stop()
            raise
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise SimulatorError(f"{failed[0]}{more}")


def _ended(waiting: Iterable[Future[tuple[int, str, float]]]) -> set[Future[tuple[int, str, float]]]:
    return wait(waiting, return_when=FIRST_COMPLETED).done
