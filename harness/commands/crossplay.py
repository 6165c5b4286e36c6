"""`harness crossplay A B C --map M`: mixed teams as a matrix."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import InvalidValueError, OutputError
from env_adapters.files import check_replaceable
from harness.commands.parsing import parse, say
from harness.crossplay import CrossPlay, Gap, cross_play
from harness.jobs import one_torch_thread
from harness.plan import episode_seeds
from harness.progress import every
from harness.statistics import Interval
from harness.tables import render
from harness.team import Team, TeamSource, load_team
from harness.warmup import prepare_engine

if TYPE_CHECKING:
    import pandas as pd

_REPORT_INTERVAL_S = 5.0
_MOST_GAMES = 64
_MOST_EPISODES = 100_000


@dataclass(frozen=True)
class CrossPlayConfig:
    """Let agents play in teams of two kinds, every pair on the same episodes."""

    agents: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="A B ...")]
    """Two or more: shipped names (`vgm2p`), controls (`random`), checkpoint files, or code (`FILE.py:make`)."""
    map: str
    """Scenario; all: harness ls maps."""
    layout: str | None = None
    """What agents are shown, and by which rules (default: the map's first)."""
    episodes: int = 100
    """Episodes of every entry."""
    seed: int = 0
    """Root of the episode seeds, as in harness evaluate."""
    csv: Path | None = None
    """File to write the entries to, one line each."""
    json: bool = False
    """Print everything as one JSON object instead."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(CrossPlayConfig, arguments, "crossplay")
    _check(config)
    scenario = scenarios.find(config.map)
    n_games = min(_MOST_GAMES, (config.episodes + 1) // 2)
    with scenarios.make_vector(scenario.name, n_games, layout=config.layout) as env, one_torch_thread():
        teams = [load_team(scenario.name, env.spec, source(name)) for name in config.agents]
        prepare_engine(scenario, say)
        say(f"playing {len(teams) ** 2} entries of {config.episodes} episodes of {env.spec.scenario} ...")
        played = cross_play(
            teams,
            labels(config.agents, teams),
            env,
            episode_seeds(config.seed, config.episodes),
            config.seed,
            _progress(),
        )
        print(
            json.dumps(_data(played, env.spec, config), indent=1) if config.json else _text(played, env.spec)
        )
    if config.csv is not None:
        from harness.leaderboard import write_csv

        write_csv(_frame(played, env.spec, teams), config.csv)
        say(f"written to {config.csv}")
    return 0


def _progress() -> Callable[[int, int], None]:
    due = every(_REPORT_INTERVAL_S)

    def report(done: int, total: int) -> None:
        if due():
            say(f"{done} of {total} entries")

    return report


def _check(config: CrossPlayConfig) -> None:
    if len(config.agents) < 2:
        raise InvalidValueError("cross-play mixes teams: name two agents or more, such as: ppo-good random")
    twice = [name for name in config.agents if config.agents.count(name) > 1]
    if twice:
        raise InvalidValueError(f"agent '{twice[0]}' is named twice; give every agent once")
    check_between("--episodes", config.episodes, 2, _MOST_EPISODES)
    check_at_least("--seed", config.seed, 0)
    if config.csv is not None and config.csv.is_dir():
        raise OutputError(f"--csv {config.csv} is a folder; name the file to write")
    if config.csv is not None:
        check_replaceable(config.csv)
        if not config.csv.parent.is_dir():
            raise OutputError(f"--csv {config.csv}: there is no folder {config.csv.parent}; make it first")


def source(name: str) -> TeamSource:
    """Where the team of a name comes from: a checkpoint file where there is one, else a name or code."""
    if name.endswith(".safetensors") or (":" not in name and Path(name).is_file()):
        return TeamSource(checkpoint=name)
    return TeamSource(agent=name)


def labels(names: Sequence[str], teams: Sequence[Team]) -> list[str]:
    """What tables call the teams: their own names, or what the user wrote where two have the same."""
    short = [team.name for team in teams]
    return [name if short.count(own) > 1 else own for name, own in zip(names, short, strict=True)]


def _show(value: float, interval: Interval[float], is_win: bool) -> str:
    if is_win:
        return f"{value:.0%} [{interval.lower:.0%}, {interval.upper:.0%}]"
    return f"{value:.2f} [{interval.lower:.2f}, {interval.upper:.2f}]"


def _gap(gap: Gap, is_win: bool) -> tuple[str, ...]:
    points, unit = (100.0, " pts") if is_win else (1.0, "")
    digits = 0 if is_win else 2

    def signed(value: float, interval: Interval[float]) -> str:
        low, high = (f"{points * bound:+.{digits}f}" for bound in interval)
        return f"{points * value:+.{digits}f}{unit} [{low}, {high}]"

    plain = (f"{points * value:.{digits}f}{' %' if is_win else ''}" for value in (gap.alone, gap.mixed))
    return (gap.agent, *plain, signed(gap.gap, gap.gap_interval), signed(gap.lock, gap.lock_interval))


def _text(played: CrossPlay, spec: TeamSpec) -> str:
    """The matrix, and what it says about every agent."""
    indices = range(len(played.agents))
    rows = [
        (name, *(_show(played.mean(a, b), played.interval(a, b), played.is_win) for b in indices))
        for a, name in enumerate(played.agents)
    ]
    what = "win rate" if played.is_win else "return"
    gaps = [_gap(gap, played.is_win) for gap in played.gaps()]
    return "\n".join(
        [
            f"{what} [95 %] of {spec.scenario}, {spec.layout}, {spec.engine}; {played.scores.shape[2]} episodes per entry, "
            "the same for all",
            render(("A \\ B", *played.agents), rows),
            "",
            "A has every other seat, B the rest; they change places after every episode. (B, A) is the reverse of (A, B).",
            "",
            render(("agent", "alone", "with others", "gap [95 %]", "convention lock [95 %]"), gaps),
            "",
            "gap: alone minus with others. convention lock: how far mixed teams fall short of the mean of the two pure ones;",
            "it means conventions among agents of similar strength only, for one weak agent can lose a battle for all.",
        ]
    )


def _entries(played: CrossPlay) -> list[dict[str, Any]]:
    indices = range(len(played.agents))
    return [
        {
            "agent_a": played.agents[a],
            "agent_b": played.agents[b],
            "episodes": played.scores.shape[2],
            "score": "win_rate" if played.is_win else "episode_return",
            "mean": played.mean(a, b),
            "lower": played.interval(a, b).lower,
            "upper": played.interval(a, b).upper,
        }
        for a in indices
        for b in indices
    ]


def _frame(played: CrossPlay, spec: TeamSpec, teams: Sequence[Team]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(_entries(played))
    hashes = dict(zip(played.agents, (team.weights_hash[:12] for team in teams), strict=True))
    for side in ("a", "b"):
        frame[f"checkpoint_{side}"] = frame[f"agent_{side}"].map(hashes)
    for column, value in (("engine", spec.engine), ("layout", spec.layout), ("scenario", spec.scenario)):
        frame.insert(0, column, value)
    return frame


def _data(played: CrossPlay, spec: TeamSpec, config: CrossPlayConfig) -> dict[str, Any]:
    gaps = [
        {
            "agent": gap.agent,
            "alone": gap.alone,
            "mixed": gap.mixed,
            "gap": gap.gap,
            "gap_interval": list(gap.gap_interval),
            "lock": gap.lock,
            "lock_interval": list(gap.lock_interval),
        }
        for gap in played.gaps()
    ]
    world = {"scenario": spec.scenario, "layout": spec.layout, "engine": spec.engine}
    return world | {"seed": config.seed, "entries": _entries(played), "agents": gaps}
