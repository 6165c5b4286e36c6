"""`harness ls`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents import registry, zoo
from env_adapters import scenarios
from env_adapters.errors import HarnessError
from harness.commands.parsing import parse, say
from harness.tables import render


@dataclass(frozen=True)
class LsConfig:
    """List things."""

    what: Annotated[Literal["maps", "agents", "datasets", "runs"], tyro.conf.Positional]
    """maps, agents, datasets or runs."""
    folder: Path | None = None
    """Where to look for datasets (default: data/) or runs (default: runs/)."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(LsConfig, arguments, "ls")
    tables: dict[str, Callable[[], str]] = {
        "maps": _maps,
        "agents": _agents,
        "datasets": lambda: _datasets(config.folder or Path("data")),
        "runs": lambda: _runs(config.folder or Path("runs")),
    }
    print(tables[config.what]())
    return 0


def _maps() -> str:
    rows = [
        (s.name, s.id, s.family, s.n_agents, s.episode_limit, s.extra or "-", s.summary)
        for s in scenarios.SCENARIOS.values()
    ]
    return render(["map", "scenario", "family", "agents", "limit", "extra", "what"], rows)


def _agents() -> str:
    rows = [(a.name, a.kind, a.summary) for a in registry.AGENTS.values()]
    shipped = [(e.map, e.name, f"{e.path.stat().st_size / 1024:.0f}", e.path.name) for e in zoo.entries()]
    return "\n".join(
        [
            render(["agent", "kind", "what"], rows),
            "",
            "shipped checkpoints (harness evaluate --map MAP --agent NAME):",
            render(["map", "name", "KiB", "file"], shipped) if shipped else "none",
        ]
    )


def _datasets(folder: Path) -> str:
    from datasets.formats.native import open_dataset

    rows = []
    for path in sorted(folder.glob("**/*.h5")):
        try:
            card = open_dataset(path, verify=False).card
        except HarnessError as error:
            say(f"left out: {error}")
            continue
        rows.append(
            (
                str(path),
                card.scenario,
                card.n_transitions,
                card.n_episodes,
                f"{card.returns.mean:.2f}",
                card.win_rate,
            )
        )
    if not rows:
        return f"no datasets below {folder}; make one with: harness collect --map 5m_vs_6m --quality good"
    return render(["file", "scenario", "transitions", "episodes", "return", "win rate"], rows)


def _runs(folder: Path) -> str:
    from harness.records import find_runs, load_run

    rows = []
    for path in find_runs(folder):
        try:
            run = load_run(path)
        except HarnessError as error:
            say(f"left out: {error}")
            continue
        config = run.manifest["config"]
        count = f"{len(run.episodes)} of {len(config['episode_seeds'])}"
        state = "finished" if run.summary is not None else "unfinished"
        rows.append((str(path), config["scenario"], config["agent"], count, state))
    if not rows:
        return f"no runs below {folder}; make one with: harness evaluate --map 5m_vs_6m"
    return render(["run", "scenario", "agent", "episodes", "state"], rows)
