"""From run directories to one row per finished run. Nothing is averaged here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from env_adapters.errors import CorruptFileError, HarnessError
from harness.records import load_latency, load_run
from harness.schema import LatencyReport, Summary

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

METHOD = (
    "scenario",
    "layout",
    "engine",
    "agent",
    "algorithm",
    "dataset",
    "config_hash",
    "act_mode",
    "conditions",
)
"""What keeps rows apart: runs that differ in one of these are never averaged, whatever is said."""
SHARED_COLUMNS = (
    *METHOD,
    "on_crash",
    "stop_rule",
    "n_seeds",
    "episodes",
    "crashed",
    "return_mean",
    "return_lower",
    "return_upper",
    "win_rate",
    "win_rate_lower",
    "win_rate_upper",
    "interval",
    "normalised_score",
    "normalised_by",
    "mean_length",
    "decentralized",
    "latency_scenario",
    "latency_n",
    "action_p50_us",
    "action_p90_us",
    "action_p99_us",
    "action_max_us",
    "latency_flagged",
    "project",
    "packages",
    "passport_id",
)
"""Columns of runs and of averages alike, in this order."""
COLUMNS = (
    *SHARED_COLUMNS,
    "return_std",
    "return_iqm",
    "wins",
    "agent_hash",
    "training_seed",
    "episode_seeds_id",
    "videos",
    "run",
)
"""Columns of a table of runs; docs/leaderboard.md explains each."""

INTEGERS = ("training_seed", "n_seeds", "episodes", "episodes_total", "crashed", "wins", "latency_n")
CLEAN = "clean"
"""What the column `conditions` says of a run in which nothing was disturbed."""

_CLOCK = ("recorded_at", "load_average")
_NUMERIC_PACKAGES = ("numpy", "numba", "torch", "mujoco", "gymnasium-robotics")
"""Those whose version can change a result."""
_IDENTITY = ("scenario", "layout", "engine", "agent_hash")
"""What manifest and summary both say; a summary that says otherwise is of another run."""


def short_hash(value: object) -> str:
    """12 hex digits of the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def passport_id(passport: Mapping[str, Any]) -> str:
    """Short hash of a passport without what the clock decides: equal code, versions and machines give equal ids."""
    return short_hash({name: value for name, value in passport.items() if name not in _CLOCK})


def in_words(conditions: Mapping[str, Any]) -> str:
    """`clean`, or what was made harder: `delay_observation=2, swap_agent=0=random`."""

    def word(value: object) -> str:
        return "+".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

    return ", ".join(f"{name}={word(conditions[name])}" for name in sorted(conditions)) or CLEAN


def _project(passport: Mapping[str, Any]) -> str | None:
    """Version and, in a checkout, commit: `0.1.0`, `0.1.0+65b64b4c`, `0.1.0+65b64b4c changed`."""
    if "version" not in passport:
        return None
    git = passport.get("git") or {}
    commit = f"+{str(git['commit'])[:8]}" if git.get("commit") else ""
    return f"{passport['version']}{commit}{' changed' if git.get('dirty') else ''}"


def _packages(passport: Mapping[str, Any]) -> str | None:
    found = passport.get("packages", {})
    return ", ".join(f"{name} {found[name]}" for name in _NUMERIC_PACKAGES if name in found) or None


def _latency(report: LatencyReport | None) -> dict[str, Any]:
    return {
        "latency_scenario": report and report.scenario,
        "latency_n": 0 if report is None else report.n,
        "action_p50_us": report and report.p50_us,
        "action_p90_us": report and report.p90_us,
        "action_p99_us": report and report.p99_us,
        "action_max_us": report and report.max_us,
        "latency_flagged": report and report.flagged,
    }


def _check_identity(run: Path, config: Mapping[str, Any], summary: Summary) -> None:
    for name in _IDENTITY:
        if name in config and config[name] != getattr(summary, name):
            raise CorruptFileError(
                f"{run / 'summary.json'} is of another run: its {name} is {getattr(summary, name)}, "
                f"that of manifest.json {config[name]}; repeat the evaluation with --fresh"
            )


def _row(run: Path) -> Row | None:
    loaded = load_run(run)
    summary, manifest = loaded.summary, loaded.manifest
    if summary is None:
        return None
    if "passport" not in manifest:
        raise CorruptFileError(f"{run} has a manifest.json without passport; it is no run directory")
    _check_identity(run, manifest["config"], summary)
    passport = manifest["passport"]
    return {
        **asdict(summary),
        **_latency(load_latency(run)),
        "agent_hash": summary.agent_hash[:12],
        "conditions": in_words(summary.conditions),
        "videos": ";".join(summary.videos),
        "n_seeds": None if summary.training_seed is None else 1,
        "interval": None if summary.return_lower is None else "over episodes",
        "episode_seeds_id": short_hash(manifest["config"].get("episode_seeds")),
        "project": _project(passport),
        "packages": _packages(passport),
        "passport_id": passport_id(passport),
        "run": str(run),
    }


def leaderboard(runs: Sequence[Path], skip_damaged: bool = False) -> pd.DataFrame:
    """One row per finished run, sorted by scenario, layout, engine, agent, conditions and path; nothing is averaged.

    Args:
        runs: run directories, for example from `harness.records.find_runs`; one named twice counts once.
        skip_damaged: leave out runs that cannot be read instead of raising.

    Returns:
        `COLUMNS` and whatever further fields the summaries have. In `frame.attrs`, `unfinished` lists the paths
        (str) of runs without a summary, `damaged` maps those that cannot be read to what is wrong with them.

    Raises:
        CorruptFileError: a file of a run is damaged, or of another run.
    """
    rows: list[Row] = []
    unfinished: list[str] = []
    damaged: dict[str, str] = {}
    for run in {path.resolve(): path for path in runs}.values():
        try:
            row = _row(run)
        except HarnessError as error:
            if not skip_damaged:
                raise
            damaged[str(run)] = str(error)
        else:
            rows += [] if row is None else [row]
            unfinished += [str(run)] if row is None else []
    frame = as_frame(rows, COLUMNS)
    frame = frame.sort_values(
        ["scenario", "layout", "engine", "agent", "conditions", "run"], ignore_index=True
    )
    frame.attrs = {"unfinished": unfinished, "damaged": damaged}
    return frame


def plain_rows(frame: pd.DataFrame) -> list[Row]:
    """The rows of a table as plain values, None for whatever is missing."""
    plain = frame.astype(object)
    return cast("list[Row]", plain.where(plain.notna(), None).to_dict("records"))


def as_frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table with these columns first; counts are nullable integers, so that blanks stay blanks."""
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    others = [column for column in frame.columns if column not in columns]
    frame = frame.reindex(columns=[*columns, *others])
    return frame.astype({column: "Int64" for column in INTEGERS if column in frame})
