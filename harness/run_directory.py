"""A run directory while one process writes it; `harness.records` says what is in it and reads it."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import CorruptFileError, HarnessError, RunConflictError
from env_adapters.files import write_atomic, writing
from harness.differences import differences, in_one_line
from harness.records import (
    EPISODES,
    INCIDENTS,
    LATENCY,
    MANIFEST,
    SAMPLES,
    SCHEMA_VERSION,
    SUMMARY,
    load_episodes,
    load_latency,
    load_manifest,
    load_summary,
)
from harness.schema import EpisodeRecord, Incident, LatencyReport, Summary
from harness.sealed import seal

_LOCK_TRIES, _LOCK_PAUSE_S = 4, 0.05


def lock_folder(folder: Path) -> int | None:
    """Keep other writers out of a folder until the returned descriptor is closed or this process ends.

    Returns:
        A file descriptor, or None where the system or the file system has no locks.

    Raises:
        RunConflictError: another process holds the lock.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows
        return None
    for patience in range(_LOCK_TRIES, 0, -1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError as error:  # perhaps somebody only looks whether the folder is in use
            if patience == 1:
                os.close(descriptor)
                raise RunConflictError(
                    f"another process is writing to {folder}; wait for it or use another --out"
                ) from error
            time.sleep(_LOCK_PAUSE_S)
        except OSError:  # a network file system without locks
            break
    os.close(descriptor)
    return None


class RunDirectory:
    """A run that this process is writing; a context manager.

    Attributes:
        path: the folder.
        manifest: as stored; a resumed run keeps its first passport.
        finished: records by episode seed.
        dropped_bytes: length of a torn last line that was cut off on opening, usually 0.
        remarks: what was found damaged and is made again, in words.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], lock: int | None, repair: bool) -> None:
        self.path, self.manifest, self._lock = path, manifest, lock
        self.remarks: list[str] = []
        self.finished, intact = load_episodes(path, skip_damaged=repair)
        self._requested: list[int] = manifest["config"]["episode_seeds"]
        self._known = frozenset(self._requested)
        self._may_be_shorter = manifest["config"].get("stop") is not None
        with writing(path / EPISODES):
            if repair:
                whole = [seed for seed, record in self.finished.items() if record.error is None]
                self._write_episodes(whole)
            self._file = _open_log(path / EPISODES)
            self.dropped_bytes = max(0, self._file.seek(0, os.SEEK_END) - intact) if not repair else 0
            if self.dropped_bytes:
                self._file.truncate(intact)
        with writing(path):
            self._drop_stale_summary()
            self._drop_damaged_latency()

    def _drop_damaged_latency(self) -> None:
        """Remove timings that cannot be read: they are taken again."""
        try:
            load_latency(self.path)
        except HarnessError as error:
            self.remarks.append(f"measured again: {error}")
            (self.path / LATENCY).unlink(missing_ok=True)

    def _drop_stale_summary(self) -> None:
        """Remove a summary that is damaged or outlived its episodes: it is made again from the episodes."""
        try:
            summary = load_summary(self.path)
            if summary is None or not self.missing(self._requested[: summary.episodes]):
                return
        except HarnessError as error:
            self.remarks.append(f"made again from the episodes: {error}")
        (self.path / SUMMARY).unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path, manifest: Mapping[str, Any], fresh: bool = False, repair: bool = False) -> Self:
        """Start a run, or resume the one that is there.

        Args:
            path: the folder; created where missing.
            manifest: `config`, a JSON object with the list `episode_seeds` in the order requested and
                everything else that decides the result, and whatever else shall be kept. Only `config` decides
                whether a run may be resumed.
            fresh: forget what the folder holds of an earlier run.
            repair: leave damaged records and those of episodes that broke off out, so that they are played again.

        Raises:
            RunConflictError: the folder holds a run of another config, or another process is writing to it.
            OutputError: the folder cannot be written.
            CorruptFileError: the earlier run is damaged beyond a torn last line.
            MismatchError: the earlier run was written by another schema version.
        """
        wanted: dict[str, Any] = json.loads(json.dumps({"schema_version": SCHEMA_VERSION, **manifest}))
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(path)
        try:
            with writing(path):
                for leftover in path.glob(".*.tmp"):  # of a process killed while it wrote
                    leftover.unlink(missing_ok=True)
                if fresh:
                    forget(path)
                stored = _settle_manifest(path, wanted)
            return cls(path, stored, lock, repair)
        except BaseException:
            if lock is not None:
                os.close(lock)
            raise

    def missing(self, seeds: Iterable[int]) -> list[int]:
        """Those of `seeds` that have no finished episode, in the same order."""
        return [seed for seed in seeds if seed not in self.finished]

    def append(self, record: EpisodeRecord) -> None:
        """Add a finished episode; it is on disk when this returns.

        Raises:
            OutputError: the disk is full or gone; the file is cut back to the last whole line.
            ValueError: the episode was not requested, or is there already.
        """
        seed = record.episode_seed
        if seed in self.finished or seed not in self._known:
            raise ValueError(f"episode {seed} is already in {self.path} or was not requested")
        with writing(self.path / EPISODES):
            _append(self._file, seal(vars(record)))
        self.finished[seed] = record

    def note(self, incident: Incident) -> None:
        """Add something that went wrong; OutputError where the disk is full."""
        path = self.path / INCIDENTS
        with writing(path), _open_log(path) as file:
            file.truncate(path.read_bytes().rfind(b"\n") + 1)  # without a line that a crash tore
            _append(file, seal(asdict(incident)))

    def keep_samples(self, samples_us: DoubleArray) -> None:
        """Write every timed joint action; OutputError where the folder cannot be written."""
        buffer = io.BytesIO()
        np.save(buffer, samples_us, allow_pickle=False)
        write_atomic(self.path / SAMPLES, buffer.getvalue())

    def finish(self, summary: Summary, latency: LatencyReport | None = None) -> None:
        """Put the episodes into the order of their seeds, then write latency and, as the last file, the summary.

        Whatever the order in which episodes ended, and however often the run was interrupted, the bytes of
        episodes.jsonl and summary.json are then the same.

        Raises:
            ValueError: a requested episode is missing, or the summary counts another number of episodes.
            OutputError: the folder cannot be written.
        """
        counted = self._requested[: summary.episodes]
        complete = self._may_be_shorter or summary.episodes == len(self._requested)
        if not counted or not complete or self.missing(counted):
            finished, requested = len(self.finished), len(self._requested)
            raise ValueError(f"summary of {summary.episodes} episodes, {finished} of {requested} finished")
        if list(self.finished) != counted:
            self._file.close()
            self._write_episodes(counted)
            with writing(self.path / EPISODES):
                self._file = _open_log(self.path / EPISODES)
        if latency is not None:
            write_atomic(self.path / LATENCY, seal(asdict(latency), indent=2))
        write_atomic(self.path / SUMMARY, seal(asdict(summary), indent=2))

    def _write_episodes(self, seeds: list[int]) -> None:
        self.finished = {seed: self.finished[seed] for seed in seeds}
        write_atomic(self.path / EPISODES, b"".join(seal(vars(record)) for record in self.finished.values()))

    def close(self) -> None:
        """Let go of the folder; safe to call twice."""
        self._file.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open_log(path: Path) -> FileIO:
    return path.open("ab+", buffering=0)


def _append(file: FileIO, line: bytes) -> None:
    """Write a whole line and wait for the disk; a line that does not fit is taken back."""
    start = file.seek(0, os.SEEK_END)
    try:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(file.fileno(), rest) :]
        os.fsync(file.fileno())
    except BaseException:
        file.truncate(start)
        raise


def _settle_manifest(path: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest of a new run, or check that of an old one."""
    stored = load_manifest(path)
    if stored is None:
        episodes = path / EPISODES
        if episodes.is_file() and episodes.stat().st_size:
            raise CorruptFileError(f"{path} has episodes but no {MANIFEST}; restore it or use --fresh")
        write_atomic(path / MANIFEST, seal(wanted, indent=2))
        return wanted
    if found := differences(stored["config"], wanted["config"]):
        raise RunConflictError(
            f"{path} holds another run ({in_one_line(found)}); use another --out, or --fresh to replace it"
        )
    return stored


def forget(path: Path) -> None:
    """Empty a run directory, in the order that leaves a readable run after a crash at any point."""
    for name in (SUMMARY, LATENCY, SAMPLES, INCIDENTS):
        (path / name).unlink(missing_ok=True)
    if (path / EPISODES).is_file():
        os.truncate(path / EPISODES, 0)
    (path / MANIFEST).unlink(missing_ok=True)
