"""One table over many runs: `leaderboard` reads run directories, `average` takes and gives data frames."""

from __future__ import annotations

from harness.leaderboard.averages import AVERAGE_COLUMNS, PROTOCOL, average
from harness.leaderboard.choosing import SORT_KEYS, choose, sort_rows
from harness.leaderboard.files import is_leaderboard, write_csv, write_json, write_latex, write_markdown
from harness.leaderboard.reading import format_table
from harness.leaderboard.rows import COLUMNS, METHOD, leaderboard, passport_id

__all__ = [
    "AVERAGE_COLUMNS",
    "COLUMNS",
    "METHOD",
    "PROTOCOL",
    "SORT_KEYS",
    "average",
    "choose",
    "format_table",
    "is_leaderboard",
    "leaderboard",
    "passport_id",
    "sort_rows",
    "write_csv",
    "write_json",
    "write_latex",
    "write_markdown",
]
