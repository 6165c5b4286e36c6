"""Worker processes under supervision: every requested episode ends as a record, whatever its code does.

A worker that raises, dies or makes no progress is killed with everything it started; `harness.suspects` says what
becomes of the episodes it had under way.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection as pipes
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from env_adapters import errors
from env_adapters.errors import AgentError, HarnessError, SimulatorError
from harness.jobs import Job
from harness.processes import context, kill_tree, start
from harness.schema import EpisodeRecord, Incident, LatencyReport
from harness.suspects import Suspects
from harness.watching import Blame, Watch
from harness.workers import worker_main

_POLL_S: Final = 0.25
_STARTS: Final = 3
"""Workers that may fail before they ask for their first episode."""


@dataclass(frozen=True)
class Supervision:
    """How much is played at once, and how patiently."""

    workers: int
    n_games: int
    """Games side by side in each worker."""
    retries: int
    """How often an episode that the simulator broke off is tried again."""
    timeout_s: float
    """Without a single step for so long a worker is taken to hang."""


@dataclass
class _Worker:
    """One process, seen from outside."""

    process: BaseProcess
    pipe: Connection
    watch: Watch
    waiting: deque[int]
    """Where its seeds come from."""
    log: Path
    has_started: bool = False
    under_way: list[int] = field(default_factory=list)
    count: int = 0
    idle_s: float = 0.0
    seen_at: float = field(default_factory=time.monotonic)

    def hangs(self, timeout_s: float) -> bool:
        """Whether nothing has moved for too long. Time in which we ourselves were stopped does not count."""
        now = time.monotonic()
        elapsed, self.seen_at = now - self.seen_at, now
        moved = self.watch.count != self.count
        self.count = self.watch.count
        self.idle_s = 0.0 if moved else self.idle_s + min(elapsed, 4.0 * _POLL_S)
        return self.idle_s > timeout_s


class Supervisor:
    """Plays a job's episodes in worker processes; a context manager that leaves no process behind.

    Args:
        job: what plays where.
        how: numbers of workers, games, retries, and the patience.
        logs: folder for what workers print; created when the first one starts.
        note: receives every incident as it happens.
    """

    def __init__(self, job: Job, how: Supervision, logs: Path, note: Callable[[Incident], None]) -> None:
        self._job, self._how, self._logs = job, how, logs
        self._queue: deque[int] = deque()
        self._suspects = Suspects(how.retries, note)
        self._workers: list[_Worker] = []
        self._records: deque[EpisodeRecord] = deque()
        self._failed_starts = 0
        self._n_started = 0
        self._draining = False
        self.latency: LatencyReport | None = None
        """What actions took while they were played, where agents ran in processes of their own."""

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._workers):
            self._dismiss(worker)
        with contextlib.suppress(OSError):  # not there, or somebody printed something
            self._logs.rmdir()

    def drain(self) -> None:
        """Start no further episode; those under way are finished."""
        self._draining = True

    def play(self, seeds: Iterable[int]) -> Iterator[EpisodeRecord]:
        """Yield one record per seed as episodes end, those that broke off included.

        Raises:
            HarnessError: what keeps workers from starting, such as a missing package.
        """
        self._queue.extend(seeds)
        while True:
            self._hire()
            if not self._workers:
                return
            by_pipe = {worker.pipe: worker for worker in self._workers}
            for ready in pipes.wait(list(by_pipe), timeout=_POLL_S):
                self._listen(by_pipe[ready])  # type: ignore[index]
            for worker in list(self._workers):
                if worker.hangs(self._how.timeout_s):
                    doing = (
                        "the agent chose an action"
                        if worker.watch.side == "agent"
                        else "the simulator worked"
                    )
                    why = f"no progress for {self._how.timeout_s:g} s while {doing}"
                    self._failed(worker, why, worker.watch.side, is_mistake=True)
            while self._records:
                yield self._records.popleft()

    def _hire(self) -> None:
        """Start workers while there is work; suspects first, each in a world of its own."""
        while len(self._workers) < self._how.workers and not self._draining:
            if self._suspects.waiting:
                self._start(self._suspects.waiting, 1)
            elif self._queue:
                self._start(self._queue, self._how.n_games)
            else:
                return

    def _start(self, waiting: deque[int], n_games: int) -> None:
        spawn: Any = context()
        self._logs.mkdir(parents=True, exist_ok=True)
        self._n_started += 1
        log = self._logs / f"worker-{self._n_started}.log"
        ours, theirs = spawn.Pipe()
        cells = spawn.RawArray("q", 2)
        process = start(worker_main, (self._job, n_games, theirs, cells), log)
        theirs.close()
        self._workers.append(_Worker(process, ours, Watch(cells), waiting, log))

    def _listen(self, worker: _Worker) -> None:
        """Take what has arrived, up to a finished episode: that is booked before its worker is given another."""
        n_records = len(self._records)
        try:
            while worker in self._workers and len(self._records) == n_records and worker.pipe.poll():
                self._answer(worker, worker.pipe.recv())
        except (EOFError, OSError):
            worker.process.join(timeout=5.0)
            code = worker.process.exitcode
            how = (
                f"was killed by signal {-code}"
                if code is not None and code < 0
                else f"ended with code {code}"
            )
            self._failed(worker, f"the process {how}", worker.watch.side, is_mistake=False)

    def _answer(self, worker: _Worker, message: tuple[Any, ...]) -> None:
        match message:
            case ("next",):
                worker.has_started = True
                seed = worker.waiting.popleft() if worker.waiting and not self._draining else None
                if seed is not None:
                    worker.under_way.append(seed)
                worker.pipe.send(seed)
            case ("done", EpisodeRecord() as record):
                worker.under_way.remove(record.episode_seed)
                self._records.append(record)
            case ("rejected", seed, text):
                worker.under_way.remove(seed)
                self._judge([seed], "simulator", text, is_mistake=True)
            case ("failed", text, side, kind):
                if not worker.has_started and issubclass(getattr(errors, kind, Exception), HarnessError):
                    raise getattr(errors, kind)(text)
                self._failed(worker, text, side, is_mistake=True)
            case ("bye", report):
                self.latency = report or self.latency
                self._dismiss(worker)

    def _failed(self, worker: _Worker, why: str, side: Blame, is_mistake: bool) -> None:
        """Let go of a worker that is lost, and have its episodes judged.

        Args:
            worker: the worker; killed here.
            why: in words.
            side: whose turn it was.
            is_mistake: whether code raised or hung, which an agent will do again with the same seed.
        """
        self._dismiss(worker)
        if not worker.has_started:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                kind = AgentError if side == "agent" else SimulatorError
                raise kind(f"{self._job.map} cannot be played: {why}; see {worker.log}")
        self._judge(worker.under_way, side, why, is_mistake)

    def _judge(self, lost: list[int], side: Blame, why: str, is_mistake: bool) -> None:
        broken = self._suspects.judge(lost, side, why, is_mistake)
        if broken is not None:
            self._records.append(broken)

    def _dismiss(self, worker: _Worker) -> None:
        """End a worker, however it is, and everything it started."""
        self._workers.remove(worker)
        process = worker.process
        if process.exitcode is None and process.pid is not None:
            process.join(timeout=0.0)
            kill_tree(process.pid)
        process.join()
        worker.pipe.close()
        if worker.log.is_file() and not worker.log.stat().st_size:
            worker.log.unlink()
