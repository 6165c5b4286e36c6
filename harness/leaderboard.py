"""One table over many runs. Reads the summaries of run directories and nothing else."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from env_adapters.files import write_atomic
from harness.records import load_summary
from harness.tables import printable, render

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "scenario",
    "agent",
    "checkpoint",
    "dataset",
    "training_seed",
    "layout",
    "engine",
    "act_mode",
    "episodes",
    "return_mean",
    "return_std",
    "win_rate",
    "win_rate_lower",
    "win_rate_upper",
    "latency_scenario",
    "action_p50_us",
    "action_p90_us",
    "run",
)
"""The first columns, in this order; further fields of the summaries follow."""

_INTEGERS = ("training_seed", "episodes", "wins", "latency_n")
_Row = dict[Hashable, Any]


def _row(run: Path) -> dict[str, Any] | None:
    summary = load_summary(run)
    if summary is None:
        return None
    values = asdict(summary)
    values["checkpoint"] = values.pop("agent_hash")[:12]
    values["videos"] = ";".join(values["videos"])
    return values | {"run": str(run)}


def leaderboard(runs: Sequence[Path]) -> pd.DataFrame:
    """One row per finished run, sorted by scenario, layout, engine, agent and path; nothing is averaged.

    Results of different layouts and engines stay apart through the columns `layout` and `engine`.

    Args:
        runs: run directories, for example from `harness.records.find_runs`.

    Returns:
        `COLUMNS` and the other fields of the summaries. `frame.attrs["unfinished"]` lists the paths (str)
        of runs without a summary, which have no row.

    Raises:
        CorruptFileError: a summary is damaged.
    """
    import pandas as pd

    rows = {run: _row(run) for run in runs}
    frame = pd.DataFrame([row for row in rows.values() if row is not None])
    others = [column for column in frame.columns if column not in COLUMNS]
    frame = frame.reindex(columns=[*COLUMNS, *others])
    frame = frame.astype({column: "Int64" for column in _INTEGERS if column in frame})
    frame = frame.sort_values(["scenario", "layout", "engine", "agent", "run"], ignore_index=True)
    frame.attrs["unfinished"] = [str(run) for run, row in rows.items() if row is None]
    return frame


def _inert(value: object) -> object:
    """Text as one line, with a leading apostrophe where a spreadsheet would take it for a formula."""
    if not isinstance(value, str):
        return value
    line = printable(value)
    risky = value.startswith(("\t", "\r")) or line.lstrip().startswith(("=", "+", "-", "@"))
    return ("'" if risky else "") + line


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV (UTF-8, one header line), atomically and safe to open in a spreadsheet.

    Raises:
        OutputError: the file cannot be written; an older one stays as it is.
    """
    text = frame.astype(object).map(_inert).rename(columns=_inert).to_csv(index=False, lineterminator="\n")
    write_atomic(path, text.encode())


def is_leaderboard(path: Path) -> bool:
    """Whether `path` is free or holds a table that `write_csv` wrote, so that it may be replaced."""
    if not path.is_file():
        return not path.exists()
    with path.open("rb") as file:
        return file.readline().decode(errors="replace").startswith(",".join(COLUMNS[:3]))


def _return(row: _Row) -> str:
    """Mean and spread with as many decimals as the standard error of the mean supports, at most three."""
    mean, std = row["return_mean"], row["return_std"]
    if std is None:
        return f"{mean:.3g}"
    standard_error = std / math.sqrt(row["episodes"])
    decimals = min(3, max(0, -math.floor(math.log10(standard_error)))) if standard_error > 0 else 3
    return f"{mean:.{decimals}f} ± {std:.{decimals}f}"


def _win_rate(row: _Row) -> str | None:
    """Percentage and interval, without decimals: below ten thousand episodes the interval supports none."""
    if row["win_rate"] is None:
        return None
    rate, lower, upper = (100.0 * row[key] for key in ("win_rate", "win_rate_lower", "win_rate_upper"))
    return f"{rate:.0f} % [{lower:.0f}, {upper:.0f}]"


def _latency(row: _Row) -> str | None:
    if row["action_p50_us"] is None:
        return None
    p90 = "-" if row["action_p90_us"] is None else f"{row['action_p90_us']:.0f}"
    return f"{row['action_p50_us']:.0f} / {p90} ({row['latency_scenario']})"


def format_table(frame: pd.DataFrame) -> str:
    """The table for the terminal: rounded to what the intervals support, without the rarely read columns."""
    named = ("scenario", "layout", "engine", "agent", "dataset", "training_seed", "act_mode", "episodes")
    rows = [
        (*(row[name] for name in named), _return(row), _win_rate(row), _latency(row), row["run"])
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
    measured = ("return ± std", "win rate [95 %]", "action p50 / p90 µs", "run")
    return render((*(name.replace("_", " ") for name in named), *measured), rows)
