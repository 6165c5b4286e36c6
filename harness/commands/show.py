"""`harness show run RUN`: everything about one run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from env_adapters.bounds import check_at_least
from harness.commands.parsing import parse
from harness.differences import short
from harness.records import load_incidents, load_latency, load_run
from harness.schema import EpisodeRecord, Run
from harness.tables import render


@dataclass(frozen=True)
class ShowConfig:
    """Show one thing in full."""

    what: Annotated[Literal["run"], tyro.conf.Positional]
    """run."""
    path: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    episodes: int = 10
    """Episodes to list."""
    json: bool = False
    """Print everything as one JSON object."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(ShowConfig, arguments, "show")
    check_at_least("--episodes", config.episodes, 0)
    run = load_run(config.path)
    print(json.dumps(_data(run), indent=1) if config.json else _text(run, config.episodes))
    return 0


def _data(run: Run) -> dict[str, Any]:
    latency = load_latency(run.path)
    return {
        "path": str(run.path),
        **run.manifest,
        "episodes": [asdict(record) for record in run.episodes],
        "incidents": [asdict(incident) for incident in load_incidents(run.path)],
        "latency": None if latency is None else asdict(latency),
        "summary": None if run.summary is None else asdict(run.summary),
    }


def _text(run: Run, n_episodes: int) -> str:
    config, requested = run.manifest["config"], len(run.manifest["config"]["episode_seeds"])
    state = (
        "finished" if run.summary is not None else f"unfinished, {len(run.episodes)} of {requested} episodes"
    )
    lines = [f"{run.path}: {state}", "", _pairs("question", config, skip="episode_seeds")]
    if run.summary is not None:
        lines += ["", _pairs("result", asdict(run.summary), skip=tuple(config))]
    latency = load_latency(run.path)
    if latency is not None:
        lines += ["", _pairs("latency", asdict(latency), skip=("agents", "histogram"))]
        if latency.agents:
            rows = [(a.agent_index, a.p50_us, a.p90_us, a.p99_us, a.max_us) for a in latency.agents]
            lines += ["", render(["agent", "p50 µs", "p90 µs", "p99 µs", "max µs"], rows)]
    lines += ["", _pairs("passport", run.manifest.get("passport", {}))]
    if incidents := load_incidents(run.path):
        told = [(len(i.episode_seeds), i.attempt, i.side, i.error, i.then) for i in incidents]
        lines += ["", render(["episodes", "attempt", "side", "incident", "then"], told)]
    if run.episodes and n_episodes:
        lines += ["", _episodes(run.episodes, n_episodes)]
    return "\n".join(lines)


def _pairs(title: str, values: dict[str, Any], skip: Sequence[str] = ()) -> str:
    rows = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{key}", _value(inner)) for key, inner in value.items()]
        elif name not in skip:
            rows.append((name, _value(value)))
    return render([title, ""], rows)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else short(value)


def _episodes(records: Sequence[EpisodeRecord], n: int) -> str:
    rows = [(r.episode_seed, f"{r.episode_return:.4g}", r.length, r.won, r.error or "-") for r in records[:n]]
    table = render(["episode seed", "return", "length", "won", "error"], rows)
    more = len(records) - len(rows)
    return f"{table}\n... and {more} more (--episodes {len(records)})" if more else table
