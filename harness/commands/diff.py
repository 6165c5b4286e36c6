"""`harness diff A B`: what changed between two runs, and which episodes flipped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from harness.commands.parsing import parse
from harness.compare_runs import RunDifference, compare_runs
from harness.differences import Difference, short
from harness.records import load_run
from harness.schema import EpisodeRecord
from harness.tables import render

_SHOWN = 20


@dataclass(frozen=True)
class DiffConfig:
    """Compare two runs."""

    first: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    second: Annotated[Path, tyro.conf.Positional]
    """Another one."""
    json: bool = False
    """Print everything as one JSON object."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0 whether or not the runs differ."""
    config = parse(DiffConfig, arguments, "diff")
    found = compare_runs(load_run(config.first), load_run(config.second))
    print(json.dumps(asdict(found), indent=1) if config.json else _text(found))
    return 0


def _text(found: RunDifference) -> str:
    parts = [
        _section("question", found.question),
        _section("origin", found.origin),
        _section("machine", found.machine),
        f"episodes: {found.n_common} in both, {found.n_same} of them alike to the last bit, "
        f"{len(found.flipped)} flipped; {found.only[0]} only in the first, {found.only[1]} only in the second",
    ]
    if found.flipped:
        rows = [(a.episode_seed, _outcome(a), _outcome(b)) for a, b in found.flipped[:_SHOWN]]
        parts.append(render(["episode seed", "first", "second"], rows))
    if len(found.flipped) > _SHOWN:
        parts.append(f"... and {len(found.flipped) - _SHOWN} more; --json lists all")
    return "\n".join(parts)


def _section(name: str, found: Sequence[Difference]) -> str:
    if not found:
        return f"{name}: the same"
    rows = [(key, short(before), short(after)) for key, before, after in found]
    return f"{name}:\n{render(['what', 'first', 'second'], rows)}"


def _outcome(record: EpisodeRecord) -> str:
    if record.error is not None:
        return "broke off"
    word = "" if record.won is None else "won, " if record.won else "lost, "
    return f"{word}return {record.episode_return:.4g}, {record.length} steps"
