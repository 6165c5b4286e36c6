"""The run directory as everybody may read it, finished or not.

    manifest.json    config, passport and where the team came from; on disk before the first episode
    episodes.jsonl   one line per finished episode; on disk before the next one is booked
    incidents.jsonl  crashes, hangs and retries, where there were any
    latency.json     what an action took, measured after the episodes; latency_samples.npy: every timed action
    summary.json     last, once every requested episode is there

The same command opens the same directory again and plays only the episodes that are missing
(`harness.run_directory`). Every JSON object ends with a checksum of its own bytes, so that damage is found and
never read as a number. Nothing in an episode's line or in the summary depends on the clock: the same episodes
give the same bytes. What the clock decides stands in `latency.json`.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from env_adapters.errors import CorruptFileError, InvalidValueError, MismatchError, UnknownNameError
from harness.schema import AgentLatency, EpisodeRecord, Incident, LatencyReport, Run, Summary
from harness.sealed import parse_sealed_lines, read_bytes, read_sealed

SCHEMA_VERSION = 2
"""Raised when a reader of the old version would misread the files."""

MANIFEST, EPISODES, SUMMARY = "manifest.json", "episodes.jsonl", "summary.json"
INCIDENTS, LATENCY = "incidents.jsonl", "latency.json"
SAMPLES = "latency_samples.npy"
"""Every timed joint action in microseconds: float64[n], or [n, 1 + N] with a column per agent."""

Row = TypeVar("Row", Summary, LatencyReport)


def load_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a run (`schema_version`, `config`, `source`, `training`, `batch`, `passport`), or None where there is none.

    Raises:
        CorruptFileError: it is damaged, or not the manifest of a run.
        MismatchError: it was written by another schema version.
    """
    manifest = read_sealed(folder / MANIFEST)
    if manifest is not None and manifest.get("schema_version") != SCHEMA_VERSION:
        found = manifest.get("schema_version")
        raise MismatchError(
            f"{folder} has run schema {found}, this version reads {SCHEMA_VERSION}; evaluate again with another --out"
        )
    config = {} if manifest is None else manifest.get("config")
    if manifest is not None and not (
        isinstance(config, dict) and isinstance(config.get("episode_seeds"), list)
    ):
        raise CorruptFileError(f"{folder / MANIFEST} is not the manifest of a run: it names no episode_seeds")
    return manifest


def _load(folder: Path, name: str, kind: type[Row]) -> Row | None:
    values = read_sealed(folder / name)
    if values is None:
        return None
    what = f"{folder / name} is not the {name.partition('.')[0]} of a run"
    if missing := sorted({field.name for field in fields(kind)} - values.keys()):
        raise CorruptFileError(f"{what}: it lacks {missing[0]} (and {len(missing) - 1} more); use --fresh")
    try:
        return kind(**values)
    except TypeError as error:
        raise CorruptFileError(f"{what}: {error}; use --fresh") from error


def load_summary(folder: Path) -> Summary | None:
    """The summary of a run, or None while it is unfinished; CorruptFileError if it is damaged or has other fields."""
    summary = _load(folder, SUMMARY, Summary)
    if summary is not None and type(summary.episodes) is not int:
        raise CorruptFileError(f"{folder / SUMMARY} counts {summary.episodes!r} episodes; use --fresh")
    return summary


def load_latency(folder: Path) -> LatencyReport | None:
    """What actions took in a run, or None where nothing was timed; CorruptFileError for a damaged file."""
    report = _load(folder, LATENCY, LatencyReport)
    if report is not None:
        report.agents[:] = [AgentLatency(**agent) for agent in report.agents]  # type: ignore[arg-type]
        report.histogram[:] = [(edge, count) for edge, count in report.histogram]
    return report


def load_incidents(folder: Path) -> list[Incident]:
    """What went wrong while a run was played, oldest first; CorruptFileError for a damaged file."""
    path = folder / INCIDENTS
    objects, _ = parse_sealed_lines(read_bytes(path) or b"", path)
    try:
        return [Incident(**values) for values in objects]
    except TypeError as error:
        raise CorruptFileError(f"{path} does not hold incidents: {error}") from error


def load_episodes(folder: Path, skip_damaged: bool = False) -> tuple[dict[int, EpisodeRecord], int]:
    """Records by seed, and the length in bytes of episodes.jsonl without a torn last line.

    Args:
        folder: the run directory.
        skip_damaged: leave damaged lines out instead of refusing them.

    Raises:
        CorruptFileError: a line other than the last is damaged; the message names file and line.
    """
    path = folder / EPISODES
    objects, intact = parse_sealed_lines(read_bytes(path) or b"", path, skip_damaged)
    records: dict[int, EpisodeRecord] = {}
    for number, values in enumerate(objects, 1):
        try:
            record = EpisodeRecord(**values)
        except (TypeError, InvalidValueError) as error:
            raise CorruptFileError(f"{path} line {number} is not an episode record: {error}") from error
        if record.episode_seed in records:
            raise CorruptFileError(
                f"{path} line {number} repeats episode {record.episode_seed}; use --repair"
            )
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
    manifest = load_manifest(folder)
    if manifest is None:
        raise UnknownNameError(
            f"{folder} is not a run directory (no {MANIFEST}); name a folder written by harness evaluate"
        )
    summary = load_summary(folder)  # before the episodes, which a running evaluation adds to meanwhile
    records, _ = load_episodes(folder)
    seeds = manifest["config"]["episode_seeds"]
    if summary is not None:
        seeds = seeds[: summary.episodes]
    episodes = [records[seed] for seed in seeds if seed in records]
    if summary is not None and len(episodes) < summary.episodes:
        raise CorruptFileError(
            f"{folder / EPISODES} holds {len(episodes)} of {summary.episodes} episodes of a finished run; "
            "repeat the command to repair it"
        )
    return Run(folder, manifest, episodes, summary)


def find_runs(root: Path) -> list[Path]:
    """Every run directory at or below `root`, sorted; empty where there is none."""
    return sorted(path.parent for path in root.rglob(MANIFEST) if path.with_name(EPISODES).is_file())
