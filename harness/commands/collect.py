"""`harness collect`: record a dataset with behaviour policies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents import zoo
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import InvalidValueError, OutputError, UnknownNameError
from harness.commands.parsing import parse, say
from harness.jobs import one_torch_thread
from harness.layouts import label
from harness.options import MOST_GAMES
from harness.progress import every
from harness.team import choose_team
from harness.warmup import prepare_engine

if TYPE_CHECKING:
    from agents.checkpoints import Checkpoint
    from datasets.card import DatasetCard
    from datasets.collect import Behaviour

_REPORT_INTERVAL_S = 2.0
_SHIPPED = "ppo-"
"""What the names of shipped behaviour policies begin with; the quality follows."""


@dataclass(frozen=True)
class CollectConfig:
    """Record a dataset. A dataset is a function of map, layout, behaviours, transitions and seed, bit for bit."""

    map: str
    """Scenario; all: harness ls maps."""
    quality: str | None = None
    """Which shipped behaviour policy plays, such as good or medium (default: the first that the map has)."""
    checkpoint: tuple[Path, ...] | None = None
    """Checkpoint files that play equal shares instead."""
    agent: str | None = None
    """A control, such as random, or a shipped checkpoint that plays instead."""
    layout: str | None = None
    """What agents are shown, and by which rules (default: the map's first; all: harness ls maps)."""
    act_mode: str | None = None
    """How the behaviour acts (default: sample where the policy can, else its own default)."""
    transitions: int = 100_000
    """Transitions to record at least; whole episodes are kept."""
    seed: int = 0
    """Root of the episode seeds."""
    out: Path | None = None
    """File to write (default: data/MAP[-LAYOUT]-QUALITY.h5); an existing one is replaced."""
    n_games: int = 64
    """Games played side by side. The dataset does not depend on it."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    from datasets.collect import collect

    config = parse(CollectConfig, arguments, "collect")
    scenario = scenarios.find(config.map)
    _check(config)
    layout = scenario.layouts[0] if config.layout is None else config.layout
    scenario.check_layout(layout)  # before the layout picks the shipped policy
    quality = _quality(scenario.name, layout, config)
    who = quality or config.agent or "custom"
    path = config.out or Path("data") / f"{scenario.name}{label(scenario, layout)}-{who}.h5"
    with scenarios.make_vector(scenario.name, config.n_games, layout=layout) as env, one_torch_thread():
        teams = _teams(scenario.name, env.spec, config, quality)
        behaviours = [_behaviour(team, config, len(teams)) for team in teams]
        prepare_engine(scenario, say)
        card = collect(env, behaviours, config.transitions, config.seed, path, _progress())
    print(_report(path, card))
    return 0


def _check(config: CollectConfig) -> None:
    given = [name for name in ("quality", "checkpoint", "agent") if getattr(config, name) is not None]
    if len(given) > 1:
        raise InvalidValueError(f"--{given[0]} and --{given[1]} both name who plays; give one of them")
    if config.checkpoint == ():
        raise InvalidValueError("--checkpoint names no file; give one or several")
    check_at_least("--transitions", config.transitions, 1)
    check_at_least("--seed", config.seed, 0)
    check_between("--n-games", config.n_games, 1, MOST_GAMES)
    if config.out is not None and config.out.is_dir():
        raise OutputError(
            f"--out {config.out} is a folder; name the file to write, such as {config.out}/NAME.h5"
        )


def _quality(map_name: str, layout: str, config: CollectConfig) -> str | None:
    """The quality of the shipped policy that plays; None where something else does."""
    if config.checkpoint is not None or config.agent is not None:
        return None
    shipped = [
        entry.name.removeprefix(_SHIPPED)
        for entry in zoo.entries(map_name, layout)
        if entry.name.startswith(_SHIPPED)
    ]
    if config.quality in shipped:
        return config.quality
    if config.quality is None and shipped:
        return shipped[0]
    wanted = (
        "behaviour policy" if config.quality is None else f"behaviour policy of quality '{config.quality}'"
    )
    raise UnknownNameError(
        f"no {wanted} ships for map '{map_name}' in layout {layout} (shipped: {', '.join(shipped) or 'none'}); "
        "give a file with --checkpoint, or --agent random"
    )


def _teams(map_name: str, spec: TeamSpec, config: CollectConfig, quality: str | None) -> list[Checkpoint]:
    if config.checkpoint is not None:
        return [choose_team(map_name, spec, None, file) for file in config.checkpoint]
    agent = config.agent if quality is None else f"{_SHIPPED}{quality}"
    return [choose_team(map_name, spec, agent, None)]


def _behaviour(team: Checkpoint, config: CollectConfig, n_teams: int) -> Behaviour:
    from agents.acting import BatchedTeam
    from datasets.collect import Behaviour

    mode = config.act_mode or ("sample" if "sample" in team.agent.act_modes else team.agent.act_modes[0])
    policy = BatchedTeam(team.agent, team.params, config.n_games, mode)
    return Behaviour(policy, team.agent.name, team.weights_hash, 1.0 / n_teams, mode)


def _progress() -> Callable[[int, int], None]:
    started, due = time.monotonic(), every(_REPORT_INTERVAL_S)

    def report(stored: int, wanted: int) -> None:
        if due():
            rate = stored / (time.monotonic() - started)
            say(f"{stored} of {wanted} transitions, {rate:.0f} per second")

    return report


def _report(path: Path, card: DatasetCard) -> str:
    spread = f"return {card.returns.mean:.2f} ± {card.returns.std:.2f}"
    wins = "" if card.win_rate is None else f", {card.win_rate:.0%} won"
    return (
        f"{path}: {card.n_transitions} transitions in {card.n_episodes} episodes, {spread}{wins}\n"
        f"sha256 {card.sha256}\n\n"
        f"next: harness train --agent vgm2p --dataset {path}"
    )
