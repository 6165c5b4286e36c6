"""`harness collect`: record a dataset with behaviour policies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agents import zoo
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import InvalidValueError, OutputError, UnknownNameError, UsageError
from harness import made, recipes
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
    from datasets.recipes import Recipe

_DEFAULT_TRANSITIONS = 100_000
_REPORT_INTERVAL_S = 2.0
_SHIPPED = "ppo-"
"""What the names of shipped behaviour policies begin with; the quality follows."""


@dataclass(frozen=True)
class CollectConfig:
    """Record a dataset: by a recipe where --map and --quality (or --recipe) name one, else with what plays instead."""

    map: str | None = None
    """Scenario; all: harness ls maps."""
    quality: str | None = None
    """Which recipe, or else which shipped behaviour policy, such as good or medium (default: the first that the map
    has); all: harness ls recipes."""
    recipe: Path | None = None
    """A recipe file instead of --map and --quality."""
    checkpoint: tuple[Path, ...] | None = None
    """Checkpoint files that play equal shares instead."""
    agent: str | None = None
    """A control, such as random, or a shipped checkpoint that plays instead."""
    layout: str | None = None
    """What agents are shown, and by which rules (default: the recipe's, else the map's first; all: harness ls maps)."""
    act_mode: str | None = None
    """How the behaviour acts (default: sample where the policy can, else its own default). Recipes say it themselves."""
    transitions: int | None = None
    """Transitions to record at least; whole episodes are kept (default: the recipe's, else 100000)."""
    size: Literal["default", "paper"] | None = None
    """Of a recipe: its default size, or that of the public dataset it is made after."""
    seed: int | None = None
    """Root of the episode seeds (default: the recipe's, else 0)."""
    out: Path | None = None
    """File to write (default: data/MAP[-LAYOUT]-QUALITY.h5); an existing one is replaced."""
    n_games: int = 64
    """Games played side by side. The dataset does not depend on it."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(CollectConfig, arguments, "collect")
    _check(config)
    recipe = _recipe(config)
    if recipe is None:
        return _by_policies(config)
    scenario = scenarios.find(recipe.scenario)
    path = config.out or _default_path(scenario, recipe.layout, recipe.quality)
    transitions, seed = _transitions(config, recipe), recipe.seed if config.seed is None else config.seed
    card = recipes.make(recipe, path, transitions, seed, config.n_games, say, _progress())
    print(_report(path, card, made.comparison(recipe, transitions, seed, card)))
    return 0


def _by_policies(config: CollectConfig) -> int:
    """Collect without a recipe: shipped policies, files or a control."""
    from datasets.collect import collect

    scenario = scenarios.find(str(config.map))
    if config.size is not None:
        raise InvalidValueError("--size is for recipes, and none is named here; give --transitions")
    layout = scenario.layouts[0] if config.layout is None else config.layout
    scenario.check_layout(layout)  # before the layout picks the shipped policy
    quality = _quality(scenario.name, layout, config)
    path = config.out or _default_path(scenario, layout, quality or config.agent or "custom")
    with scenarios.make_vector(scenario.name, config.n_games, layout=layout) as env, one_torch_thread():
        teams = _teams(scenario.name, env.spec, config, quality)
        behaviours = [_behaviour(team, config, len(teams)) for team in teams]
        prepare_engine(scenario, say)
        transitions = config.transitions or _DEFAULT_TRANSITIONS
        card = collect(env, behaviours, transitions, config.seed or 0, path, _progress())
    print(_report(path, card))
    return 0


def _default_path(scenario: scenarios.Scenario, layout: str, who: str) -> Path:
    return Path("data") / f"{scenario.name}{label(scenario, layout)}-{who}.h5"


def _recipe(config: CollectConfig) -> Recipe | None:
    """The recipe that the options name; None where there is none, or something else is to play."""
    from datasets.recipes import find, load, names

    if config.recipe is not None:
        recipe = load(config.recipe)
    else:
        scenario = scenarios.find(str(config.map))
        if config.checkpoint is not None or config.agent is not None:
            return None
        quality = (config.quality or "").lower() or _first_quality(scenario, config.layout)
        name = f"{scenario.name}/{quality}"
        if name not in names():
            return None
        recipe = find(name)
    if config.layout not in (None, recipe.layout):
        if config.recipe is None:
            return None
        raise InvalidValueError(
            f"--layout {config.layout}: recipe {config.recipe} is of layout {recipe.layout}"
        )
    if config.act_mode is not None:
        raise InvalidValueError(
            f"--act-mode: recipe {recipe.name} says how its behaviours act; leave it out, or name who plays "
            "with --agent or --checkpoint"
        )
    return recipe


def _first_quality(scenario: scenarios.Scenario, layout: str | None) -> str | None:
    """The quality that is collected where none is asked for: of the first policy that ships, or the first recipe."""
    from datasets.recipes import names

    shipped = _shipped(scenario.name, layout or scenario.layouts[0])
    known = shipped or [name.partition("/")[2] for name in names(scenario.name)]
    return known[0] if known else None


def _transitions(config: CollectConfig, recipe: Recipe) -> int:
    if config.size != "paper":
        return config.transitions or recipe.transitions
    if recipe.paper_transitions is None:
        raise InvalidValueError(f"--size paper: recipe {recipe.name} mirrors no dataset; give --transitions")
    return recipe.paper_transitions


def _check(config: CollectConfig) -> None:
    players = ("recipe", "quality", "checkpoint", "agent")
    given = [name for name in players if getattr(config, name) is not None]
    if config.map is None and config.recipe is None:
        raise UsageError("harness collect: --map is missing (help: harness collect --help)")
    if config.map is not None and config.recipe is not None:
        raise InvalidValueError("--map and --recipe: a recipe names its map; leave --map out")
    if len(given) > 1:
        raise InvalidValueError(f"--{given[0]} and --{given[1]} both name who plays; give one of them")
    if config.checkpoint == ():
        raise InvalidValueError("--checkpoint names no file; give one or several")
    if config.size is not None and config.transitions is not None:
        raise InvalidValueError("--size and --transitions both say how much; give one of them")
    check_at_least("--transitions", 1 if config.transitions is None else config.transitions, 1)
    check_at_least("--seed", config.seed or 0, 0)
    check_between("--n-games", config.n_games, 1, MOST_GAMES)
    if config.out is not None and config.out.is_dir():
        raise OutputError(
            f"--out {config.out} is a folder; name the file to write, such as {config.out}/NAME.h5"
        )


def _quality(map_name: str, layout: str, config: CollectConfig) -> str | None:
    """The quality of the shipped policy that plays; None where something else does."""
    from datasets.recipes import names

    if config.checkpoint is not None or config.agent is not None:
        return None
    shipped = _shipped(map_name, layout)
    if config.quality in shipped:
        return config.quality
    if config.quality is None and shipped:
        return shipped[0]
    wanted = (
        "behaviour policy" if config.quality is None else f"behaviour policy of quality '{config.quality}'"
    )
    made_by = [name.partition("/")[2] for name in names(map_name, layout)]
    others = f"; recipes: {', '.join(made_by)}" if made_by else ""
    raise UnknownNameError(
        f"no {wanted} ships for map '{map_name}' in layout {layout} (shipped: {', '.join(shipped) or 'none'}{others}); "
        "give a file with --checkpoint, or --agent random"
    )


def _shipped(map_name: str, layout: str) -> list[str]:
    """Qualities of the behaviour policies that ship."""
    return [
        entry.name.removeprefix(_SHIPPED)
        for entry in zoo.entries(map_name, layout)
        if entry.name.startswith(_SHIPPED)
    ]


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
    due = every(_REPORT_INTERVAL_S)
    began: tuple[float, int] | None = (
        None  # loading the engine before the first episode says nothing of its speed
    )

    def report(stored: int, wanted: int) -> None:
        nonlocal began
        if began is None:
            due()  # the first report comes after an interval
            began = time.monotonic(), stored
        elif due():
            rate = max(1, stored - began[1]) / (time.monotonic() - began[0])
            left_s = max(0, wanted - stored) / rate
            say(f"{stored} of {wanted} transitions, {rate:.0f} per second, {left_s:.0f} s left")

    return report


def _report(path: Path, card: DatasetCard, comparison: str = "") -> str:
    spread = f"return {card.returns.mean:.2f} ± {card.returns.std:.2f}"
    wins = "" if card.win_rate is None else f", {card.win_rate:.0%} won"
    return (
        f"{path}: {card.n_transitions} transitions in {card.n_episodes} episodes, {spread}{wins}\n"
        f"sha256 {card.sha256}{comparison}\n\n"
        f"next: harness train --agent vgm2p --dataset {path}"
    )
