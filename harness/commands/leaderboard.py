"""`harness leaderboard`: every finished run below some folders as a table, on the terminal and as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from env_adapters.errors import CorruptFileError, UnknownNameError, UsageError
from harness.commands.parsing import parse
from harness.commands.parsing import say as say_anything
from harness.leaderboard import (
    average,
    choose,
    format_table,
    leaderboard,
    sort_rows,
    write_csv,
    write_json,
    write_latex,
    write_markdown,
)
from harness.records import find_runs
from harness.tables import printable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LeaderboardConfig:
    """Table of runs. What the columns mean and what is never averaged: docs/leaderboard.md."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run directories, or folders that hold some; without any, the folder runs."""
    runs: Path | None = None
    """One more folder that holds run directories."""
    map: str | None = None
    """Only this map, by name or versioned id."""
    agent: str | None = None
    """Only this agent, by name or algorithm."""
    average: Literal["seeds"] | None = None
    """Average each method over its training seeds; refused where the runs were not made alike."""
    mixed: bool = False
    """Average also runs of unequal protocol; the table says in what they differ."""
    sort: str | None = None
    """Order of the rows of a world: return, win_rate, score, latency, agent, episodes, or a column of the CSV."""
    csv: Path | None = None
    """File for every column and digit, safe to open in a spreadsheet."""
    json: Path | None = None
    """File for the same with types, and how the table was made."""
    markdown: Path | None = None
    """File for the rounded table."""
    latex: Path | None = None
    """File for the rounded table (booktabs)."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0, or 5 where a run is damaged and therefore not in the table.

    Raises:
        UsageError: --mixed without --average, or one file for two tables.
        UnknownNameError: a folder without runs, or no run of this map or agent.
        MismatchError: --average of runs that were not made alike.
        OutputError: a file cannot be written.
    """
    config = parse(LeaderboardConfig, arguments, "leaderboard")
    if config.mixed and config.average is None:
        raise UsageError(
            "harness leaderboard: --mixed belongs to --average seeds; without it nothing is averaged"
        )
    files = [path for path in (config.csv, config.json, config.markdown, config.latex) if path is not None]
    if len(set(files)) < len(files):
        raise UsageError("harness leaderboard: two options name one file to write; give each its own")
    frame = leaderboard(_find(config), skip_damaged=True)
    unfinished, damaged = frame.attrs["unfinished"], frame.attrs["damaged"]
    for path, complaint in damaged.items():
        _say(
            f"harness: error: not in the table: {complaint if path in complaint else f'{path}: {complaint}'}"
        )
    for path in unfinished:
        _say(f"not in the table, unfinished: {path}")
    print(_table(config, frame))
    return CorruptFileError.exit_code if damaged else 0


def _table(config: LeaderboardConfig, frame: pd.DataFrame) -> str:
    """The chosen rows for the terminal, after writing the files."""
    if not frame.empty:
        frame = choose(frame, config.map, config.agent)
    if config.average is not None:
        frame = average(frame, config.average, config.mixed)
        for path in frame.attrs["merged"]:
            _say(f"counted once: {path} repeats a run of the same team on the same episodes")
    if config.sort is not None:
        frame = sort_rows(frame, config.sort)
    written = _write(config, frame)
    return "\n".join([format_table(frame), *written])


def _say(line: str) -> None:
    say_anything(printable(line))


def _find(config: LeaderboardConfig) -> list[Path]:
    """Run directories at or below the folders."""
    more = () if config.runs is None else (config.runs,)
    found: list[Path] = []
    for folder in (*config.folders, *more) or (Path("runs"),):
        below = find_runs(folder)
        if not below:
            raise UnknownNameError(f"no runs below {folder}; make one with: harness evaluate --map 5m_vs_6m")
        found += below
    return found


def _write(config: LeaderboardConfig, frame: pd.DataFrame) -> list[str]:
    """Write the files that were asked for; returns a line about each."""
    writers: tuple[tuple[Path | None, Callable[[pd.DataFrame, Path], None]], ...] = (
        (config.csv, write_csv),
        (config.json, write_json),
        (config.markdown, write_markdown),
        (config.latex, write_latex),
    )
    lines = []
    for path, write in writers:
        if path is not None:
            write(frame, path)
            lines.append(f"written to {path}")
    return ["", *lines] if lines else []
