"""`harness leaderboard`: every finished run below a folder as a table, and as CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from env_adapters.errors import UnknownNameError
from harness.commands.parsing import parse, say
from harness.leaderboard import format_table, leaderboard, write_csv
from harness.records import find_runs


@dataclass(frozen=True)
class LeaderboardConfig:
    """Table of runs."""

    runs: Path = Path("runs")
    """Folder that holds the run directories."""
    csv: Path | None = None
    """File to write the table to."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(LeaderboardConfig, arguments, "leaderboard")
    found = find_runs(config.runs)
    if not found:
        raise UnknownNameError(f"no runs below {config.runs}; make one with: harness evaluate --map 5m_vs_6m")
    frame = leaderboard(found)
    print(format_table(frame))
    for path in frame.attrs["unfinished"]:
        say(f"not in the table, unfinished: {path}")
    if config.csv is not None:
        write_csv(frame, config.csv)
        print(f"\nwritten to {config.csv}")
    return 0
