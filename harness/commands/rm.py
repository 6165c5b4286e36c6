"""`harness rm RUN`: delete run directories, and nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from env_adapters.errors import UnknownNameError, UsageError
from env_adapters.files import writing
from harness.commands.parsing import parse, say
from harness.records import EPISODES, INCIDENTS, LATENCY, MANIFEST, SAMPLES, SUMMARY
from harness.run_directory import lock_folder

_OURS = (
    "logs/*.log",
    "look.log",
    "videos/episode-*",
    SAMPLES,
    LATENCY,
    INCIDENTS,
    SUMMARY,
    EPISODES,
    MANIFEST,
)
"""What a run directory is made of; the manifest goes last, so that what is left after a crash is still a run."""


@dataclass(frozen=True)
class RmConfig:
    """Delete runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories."""
    yes: bool = False
    """Delete; without this, only say what would be deleted."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0.

    Raises:
        UnknownNameError: a folder is not a run directory; nothing was deleted.
        RunConflictError: another process is writing to it.
        UsageError: without --yes, after saying what would be deleted.
    """
    config = parse(RmConfig, arguments, "rm")
    if not config.runs:
        raise UsageError("harness rm: name run directories; harness ls runs lists them")
    if len({os.path.realpath(run) for run in config.runs}) < len(config.runs):
        raise UsageError("harness rm: a run is named twice; nothing was deleted")
    for run in config.runs:
        if not (run / MANIFEST).is_file():
            raise UnknownNameError(f"{run} is not a run directory; nothing was deleted")
    if not config.yes:
        for run in config.runs:
            files = _files(run)
            size_mib = sum(file.stat().st_size for file in files) / 2**20
            print(f"{run}: {len(files)} files, {size_mib:.1f} MiB")
        raise UsageError("harness rm: nothing was deleted; add --yes to delete these runs")
    for run in config.runs:
        _delete(run)
        print(f"deleted {run}")
    return 0


def _files(run: Path) -> list[Path]:
    return [file for pattern in _OURS for file in sorted(run.glob(pattern)) if file.is_file()]


def _delete(run: Path) -> None:
    lock = lock_folder(run)
    try:
        with writing(run):
            for file in _files(run):
                file.unlink()
            for folder in (run / "logs", run / "videos", run):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
    finally:
        if lock is not None:
            os.close(lock)
    if run.is_dir():
        say(f"kept in {run}, not part of the run: {', '.join(sorted(path.name for path in run.iterdir()))}")
