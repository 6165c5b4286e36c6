"""The run directory: what was asked, every finished episode, and the summary.

    manifest.json    config and passport; on disk before the first episode
    episodes.jsonl   one line per finished episode; on disk before `append` returns
    summary.json     last, once every requested episode is there

The same command opens the same directory again and plays only the episodes that are missing. Every JSON
object ends with a checksum of its own bytes, so that damage is found and never read as a number. Nothing
in an episode's line depends on the clock: the same episode gives the same bytes, and there is no duration
per episode; time is measured apart (`harness.latency`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from env_adapters.errors import (
    CorruptFileError,
    InvalidValueError,
    MismatchError,
    RunConflictError,
    UnknownNameError,
)
from env_adapters.files import write_atomic, writing
from harness.schema import EpisodeRecord, Run, Summary
from harness.sealed import parse_sealed_lines, read_bytes, read_sealed, seal

__all__ = [
    "SCHEMA_VERSION",
    "EpisodeRecord",
    "Run",
    "RunDirectory",
    "Summary",
    "find_runs",
    "load_run",
    "load_summary",
    "write_atomic",
]

SCHEMA_VERSION = 1
"""Raised when a reader of the old version would misread the files."""

_MANIFEST, _EPISODES, _SUMMARY = "manifest.json", "episodes.jsonl", "summary.json"


def _load_manifest(folder: Path) -> dict[str, Any] | None:
    manifest = read_sealed(folder / _MANIFEST)
    if manifest is not None and manifest.get("schema_version") != SCHEMA_VERSION:
        found = manifest.get("schema_version")
        raise MismatchError(
            f"{folder} has run schema {found}, this version reads {SCHEMA_VERSION}; use another --out"
        )
    if manifest is not None and "episode_seeds" not in manifest.get("config", ()):
        raise CorruptFileError(
            f"{folder / _MANIFEST} is not the manifest of a run: it names no episode_seeds"
        )
    return manifest


def load_summary(folder: Path) -> Summary | None:
    """The summary of a run, or None while it is unfinished.

    Raises:
        CorruptFileError: summary.json is damaged or has other fields.
    """
    values = read_sealed(folder / _SUMMARY)
    try:
        return None if values is None else Summary(**values)
    except TypeError as error:
        raise CorruptFileError(f"{folder / _SUMMARY} is not a summary: {error}") from error


def _load_episodes(folder: Path) -> tuple[dict[int, EpisodeRecord], int]:
    """Records by seed, and the length in bytes of episodes.jsonl without a torn last line."""
    path = folder / _EPISODES
    objects, intact = parse_sealed_lines(read_bytes(path) or b"", path)
    records: dict[int, EpisodeRecord] = {}
    for number, values in enumerate(objects, 1):
        try:
            record = EpisodeRecord(**values)
        except (TypeError, InvalidValueError) as error:
            raise CorruptFileError(f"{path} line {number} is not an episode record: {error}") from error
        if record.episode_seed in records:
            raise CorruptFileError(f"{path} line {number} repeats episode {record.episode_seed}; use --fresh")
        records[record.episode_seed] = record
    return records, intact


def load_run(folder: Path) -> Run:
    """Read a run, finished or not, without changing it.

    Raises:
        UnknownNameError: the folder is not a run directory.
        CorruptFileError: a file is damaged (the message names file and line), or a finished run lacks
            episodes.
        MismatchError: the run was written by another schema version.
    """
    manifest = _load_manifest(folder)
    if manifest is None:
        raise UnknownNameError(
            f"{folder} is not a run directory (no {_MANIFEST}); name a folder written by --out"
        )
    summary = load_summary(folder)  # before the episodes, which a running evaluation adds to meanwhile
    records, _ = _load_episodes(folder)
    seeds = manifest["config"]["episode_seeds"]
    episodes = [records[seed] for seed in seeds if seed in records]
    if summary is not None and len(episodes) < len(seeds):
        found = f"{len(episodes)} of {len(seeds)} episodes"
        raise CorruptFileError(
            f"{folder / _EPISODES} holds {found} of a finished run; repeat the command to repair it"
        )
    return Run(folder, manifest, episodes, summary)


def find_runs(root: Path) -> list[Path]:
    """Every run directory at or below `root`, sorted; empty where there is none."""
    return sorted(path.parent for path in root.rglob(_MANIFEST) if path.with_name(_EPISODES).is_file())


def _flatten(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {
        path: leaf
        for key in value
        for path, leaf in _flatten(value[key], f"{name}.{key}".lstrip(".")).items()
    }


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _difference(old: Any, new: Any) -> str:
    """The first three keys in which two configs differ, in one line."""
    before, after = _flatten(old, ""), _flatten(new, "")
    keys = [key for key in before | after if before.get(key, ...) != after.get(key, ...)]
    parts = [f"{key} {_short(before.get(key))} -> {_short(after.get(key))}" for key in keys[:3]]
    return ", ".join(parts) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _lock(file: FileIO, folder: Path) -> None:
    """Keep a second process out; the system releases the lock when this process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunConflictError(
            f"another process is writing to {folder}; wait for it or use another --out"
        ) from error
    except OSError:  # a network file system without locks
        return


class RunDirectory:
    """A run that this process is writing; a context manager.

    Attributes:
        path: the folder.
        manifest: `schema_version`, `config`, `passport` as stored; a resumed run keeps its first passport.
        finished: records by episode seed.
        dropped_bytes: length of a torn last line that was cut off on opening, usually 0.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], file: FileIO) -> None:
        self.path = path
        self.manifest = manifest
        self.finished, intact = _load_episodes(path)
        self._file = file
        self._requested = frozenset(manifest["config"]["episode_seeds"])
        self.dropped_bytes = file.seek(0, os.SEEK_END) - intact
        file.truncate(intact)
        if self.missing(self._requested):
            (path / _SUMMARY).unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path, manifest: Mapping[str, Any], fresh: bool = False) -> Self:
        """Start a run, or resume the one that is there.

        Args:
            path: the folder; created where missing.
            manifest: `config`, a JSON object with the list `episode_seeds` in the order requested and
                everything else that decides the result, and `passport`. Only `config` decides whether a run
                may be resumed.
            fresh: forget what the folder holds of an earlier run.

        Raises:
            RunConflictError: the folder holds a run of another config, or another process is writing to it.
            OutputError: the folder cannot be written.
            CorruptFileError: the earlier run is damaged beyond a torn last line.
            MismatchError: the earlier run was written by another schema version.
        """
        wanted: dict[str, Any] = json.loads(json.dumps({"schema_version": SCHEMA_VERSION, **manifest}))
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            file = (path / _EPISODES).open("ab+", buffering=0)
        try:
            _lock(file, path)
            with writing(path):
                for leftover in path.glob(".*.json.*.tmp"):  # of a process killed while it wrote
                    leftover.unlink(missing_ok=True)
                if fresh:
                    _forget(path, file)
                stored = cls._settle_manifest(path, wanted)
                return cls(path, stored, file)
        except BaseException:
            file.close()
            raise

    @staticmethod
    def _settle_manifest(path: Path, wanted: dict[str, Any]) -> dict[str, Any]:
        """Write the manifest of a new run, or check that of an old one."""
        stored = _load_manifest(path)
        if stored is None:
            if (path / _EPISODES).stat().st_size:
                raise CorruptFileError(f"{path} has episodes but no {_MANIFEST}; restore it or use --fresh")
            write_atomic(path / _MANIFEST, seal(wanted, indent=2))
            return wanted
        if stored["config"] != wanted["config"]:
            change = _difference(stored["config"], wanted["config"])
            raise RunConflictError(
                f"{path} holds another run ({change}); use another --out, or --fresh to replace it"
            )
        return stored

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
        if seed in self.finished or seed not in self._requested:
            raise ValueError(f"episode {seed} is already in {self.path} or was not requested")
        start = self._file.seek(0, os.SEEK_END)
        with writing(self.path / _EPISODES):
            try:
                rest = memoryview(seal(vars(record)))
                while rest:
                    rest = rest[os.write(self._file.fileno(), rest) :]
                os.fsync(self._file.fileno())
            except BaseException:
                self._file.truncate(start)
                raise
        self.finished[seed] = record

    def finish(self, summary: Summary) -> None:
        """Write the summary, the last file of a run.

        Raises:
            ValueError: a requested episode is missing, or the summary counts another number of episodes.
            OutputError: the folder cannot be written.
        """
        finished, requested = len(self.finished), len(self._requested)
        if not summary.episodes == finished == requested:
            raise ValueError(f"summary of {summary.episodes} episodes, {finished} of {requested} finished")
        write_atomic(self.path / _SUMMARY, seal(asdict(summary), indent=2))

    def close(self) -> None:
        """Let go of the folder; safe to call twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _forget(path: Path, file: FileIO) -> None:
    """Empty a run directory, in the order that leaves a readable run after a crash at any point."""
    (path / _SUMMARY).unlink(missing_ok=True)
    file.truncate(0)
    (path / _MANIFEST).unlink(missing_ok=True)
