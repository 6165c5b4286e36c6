"""`harness ls`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents import registry, zoo
from env_adapters import scenarios
from env_adapters.errors import HarnessError, UsageError, unknown_name
from harness.commands.parsing import parse, say
from harness.tables import render


@dataclass(frozen=True)
class LsConfig:
    """List things."""

    what: Annotated[
        Literal["maps", "agents", "behaviours", "recipes", "datasets", "runs"], tyro.conf.Positional
    ]
    """maps, agents, behaviours, recipes, datasets or runs."""
    text: Annotated[str | None, tyro.conf.Positional] = None
    """Only maps whose name, family or layouts contain this."""
    folder: Path | None = None
    """Where to look for datasets (default: data/) or runs (default: runs/)."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(LsConfig, arguments, "ls")
    if config.text is not None and config.what != "maps":
        raise UsageError(f"harness ls: '{config.text}' can choose among maps only, not among {config.what}")
    tables: dict[str, Callable[[], str]] = {
        "maps": lambda: _maps(config.text or ""),
        "agents": _agents,
        "behaviours": _behaviours,
        "recipes": _recipes,
        "datasets": lambda: _datasets(config.folder or Path("data")),
        "runs": lambda: _runs(config.folder or Path("runs")),
    }
    print(tables[config.what]())
    return 0


def _maps(text: str) -> str:
    rows = [
        (s.name, s.id, s.family, s.n_agents, s.episode_limit, s.extra or "-", s.summary, ", ".join(s.layouts))
        for s in scenarios.SCENARIOS.values()
        if any(text.lower() in word.lower() for word in (s.name, s.family, *s.layouts))
    ]
    if not rows:
        raise unknown_name("map, family or layout", text, scenarios.SCENARIOS, "harness ls maps")
    headers = [
        "map",
        "scenario",
        "family",
        "agents",
        "limit",
        "extra",
        "what",
        "layouts (default first)",
    ]
    return render(headers, rows)


def _agents() -> str:
    rows = [(a.name, a.kind, a.summary) for a in registry.AGENTS.values()]
    presets = [(p.name, p.preset_of, p.summary) for p in registry.PRESETS.values()]
    return "\n".join(
        [
            render(["agent", "kind", "what"], rows),
            "",
            "presets (harness train --agent PRESET; every option can still be given):",
            render(["preset", "of agent", "what"], presets),
            "",
            "shipped checkpoints (harness evaluate --map MAP --layout LAYOUT --agent NAME):",
            _shipped(zoo.entries()),
        ]
    )


def _shipped(entries: list[zoo.ZooEntry]) -> str:
    rows = []
    for entry in entries:
        try:
            layout = entry.layout
        except HarnessError as error:
            say(f"left out: {error}")
            continue
        kib = f"{entry.path.stat().st_size / 1024:.0f}"
        rows.append((entry.map, layout, entry.name, kib, entry.path.name))
    return render(["map", "layout", "name", "KiB", "file"], rows) if rows else "none"


def _behaviours() -> str:
    about = (
        "behaviour policies of recipes (harness collect --map MAP --quality QUALITY, or --checkpoint FILE):"
    )
    return f"{about}\n{_shipped(zoo.behaviours())}\n\nfolder: {zoo.BEHAVIOURS}"


def _recipes() -> str:
    from datasets import recipes
    from harness import made

    rows = []
    for name in recipes.names():
        recipe = recipes.find(name)
        acting = ", ".join(dict.fromkeys(part.acting for part in recipe.behaviours))
        rows.append(
            (
                name,
                recipe.layout,
                recipe.mirrors or "-",
                made.aim(recipe),
                recipe.transitions,
                recipe.paper_transitions or "-",
                len(recipe.behaviours),
                acting,
            )
        )
    if not rows:
        return "no recipes ship"
    headers = [
        "recipe",
        "layout",
        "after",
        "aims at return",
        "transitions",
        "of the public one",
        "policies",
        "which act",
    ]
    usage = (
        f"harness collect --map MAP --quality QUALITY [--size paper]; what each is made of: {recipes.FOLDER}"
    )
    return f"{render(headers, rows)}\n\n{usage}"


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
                card.layout,
                card.n_transitions,
                card.n_episodes,
                f"{card.returns.mean:.2f}",
                card.win_rate,
            )
        )
    if not rows:
        return f"no datasets below {folder}; make one with: harness collect --map 5m_vs_6m --quality good"
    return render(["file", "scenario", "layout", "transitions", "episodes", "return", "win rate"], rows)


def _state(path: Path, is_finished: bool) -> str:
    """Whether a run is done, being played by some process, or waiting to be continued."""
    import os

    from env_adapters.errors import RunConflictError
    from harness.run_directory import lock_folder

    if is_finished:
        return "finished"
    try:
        lock = lock_folder(path)
    except RunConflictError:
        return "running"
    if lock is not None:
        os.close(lock)
    return "unfinished"


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
        world = (config.get("scenario"), config.get("layout"))
        state = _state(path, run.summary is not None)
        rows.append((str(path), *world, config.get("agent"), count, state))
    if not rows:
        return f"no runs below {folder}; make one with: harness evaluate --map 5m_vs_6m"
    return render(["run", "scenario", "layout", "agent", "episodes", "state"], rows)
