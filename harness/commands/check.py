"""`harness check leak`, `adapter` and `support`: try to break a promise."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from env_adapters import scenarios
from env_adapters.bounds import check_at_least, check_between
from env_adapters.conformance import ConformanceError, check_adapter, check_vector_adapter
from env_adapters.errors import CheckFailedError, UsageError, unknown_name
from env_adapters.rollout import Episode, Recording, play
from harness.commands import check_support
from harness.commands.parsing import parse, say
from harness.jobs import one_torch_thread
from harness.leak import Finding, LeakReport, check_leak, check_processes
from harness.leak.report import CHANNELS, OPEN
from harness.plan import episode_seeds
from harness.tables import render
from harness.team import Team, TeamSource, load_team
from harness.warmup import prepare_engine

_MOST_EPISODES = 1000
_CHECKS = {
    "leak": "does every agent act on its own observation alone?",
    "adapter": "does a world keep the contract of env_adapters/api.py?",
    "support": "do trained agents act as their dataset does? (--checkpoint and --dataset instead of --map)",
}
_ADAPTER_RULES = (
    "shapes, types and finite numbers of every step; masks; the global generators stay untouched",
    "the same seed gives the same episode, in a fresh world and after another episode",
    "equal state hashes mean equal worlds; an ended episode stays as it is",
    "arrays belong to the caller; wrong actions are typed errors and change nothing",
    "snapshots come back exactly, in another world too; foreign and damaged ones are refused",
    "a batch equals single worlds, wherever a game lies in it and however large it is",
)
_NOT_SEEN = (
    "not seen by this: states that never came up, code that notices that it is being checked, and agents that "
    "time each other"
)


@dataclass(frozen=True)
class LeakConfig:
    """Replace everything but an agent's own views; its actions must not change by a bit."""

    map: str
    """Scenario; all: harness ls maps."""
    agent: str | None = None
    """A shipped checkpoint of this map (default: the map's), a control, or code: `FILE.py:make`."""
    checkpoint: Path | None = None
    """A checkpoint file instead of --agent."""
    layout: str | None = None
    """What agents are shown, and by which rules (default: the map's first)."""
    act_mode: str | None = None
    """How the policy turns into actions (default: the agent's own)."""
    episodes: int = 2
    """Episodes to record and to go through again."""
    steps: int | None = None
    """Look at so many steps of each episode only (default: all)."""
    seed: int = 0
    """Root of the episode seeds, as in harness evaluate."""
    processes: bool = False
    """Also play the first episode with every agent alone in a process of its own."""
    json: bool = False
    """Print everything as one JSON object instead."""


@dataclass(frozen=True)
class AdapterConfig:
    """Check the contract of a world: determinism, masks, typed errors, snapshots, equality of batches."""

    map: str
    """Scenario; all: harness ls maps."""
    layout: str | None = None
    """What agents are shown, and by which rules (default: the map's first)."""
    steps: int = 30
    """Steps to play where an episode need not be finished."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0.

    Raises:
        CheckFailedError: the check found what it looked for.
        HarnessError: as loading or playing raises it.
    """
    if not arguments:
        raise UsageError(f"harness check: name a check: {', '.join(_CHECKS)}")
    name, rest = arguments[0], arguments[1:]
    if name in ("-h", "--help"):
        lines = [f"  {check:8} {question}" for check, question in _CHECKS.items()]
        print("\n".join(["usage: harness check NAME --map MAP      harness check NAME --help", "", *lines]))
        return 0
    if name == "leak":
        return _leak(parse(LeakConfig, rest, "check leak"))
    if name == "adapter":
        return _adapter(parse(AdapterConfig, rest, "check adapter"))
    if name == "support":
        return check_support.main(rest)
    raise unknown_name("check", name, _CHECKS, "harness check --help")


def _leak(config: LeakConfig) -> int:
    check_between("--episodes", config.episodes, 1, _MOST_EPISODES)
    check_at_least("--seed", config.seed, 0)
    if config.steps is not None:
        check_at_least("--steps", config.steps, 1)
    scenario = scenarios.find(config.map)
    checkpoint = None if config.checkpoint is None else str(config.checkpoint)
    with scenarios.make_vector(scenario.name, 1, layout=config.layout) as env, one_torch_thread():
        team = load_team(scenario.name, env.spec, TeamSource(config.agent, checkpoint, config.act_mode))
        prepare_engine(scenario, say)
        say(f"recording {config.episodes} episodes of {env.spec.scenario} ...")
        recording = Recording(transitions=True)
        episodes = [
            episode
            for seed in episode_seeds(config.seed, config.episodes)
            for episode in play(env, team.vector(1), [seed], recording)
        ]
        say("replacing everything but the agents' own views ...")
        report = check_leak(team, episodes, env, steps=config.steps)
    if config.processes:
        say(f"playing one episode with {team.spec.n_agents} agents, each in a process of its own ...")
        report = report.with_processes(check_processes(team, episodes[0]))
    print(json.dumps(_data(team, report), indent=1) if config.json else _text(team, episodes, report))
    if report.is_decentralized is not True:
        raise CheckFailedError(f"decentralised: {report.line}")
    return 0


def _data(team: Team, report: LeakReport) -> dict[str, Any]:
    about = {"scenario": team.spec.scenario, "layout": team.spec.layout, "agent": team.name}
    about |= {"agent_hash": team.weights_hash, "act_mode": team.act_mode}
    return about | {"decentralized": report.is_decentralized, "line": report.line, **asdict(report)}


def _agents(findings: list[Finding]) -> str:
    return ", ".join(str(finding.agent) for finding in findings)


def _text(team: Team, episodes: list[Episode], report: LeakReport) -> str:
    """What was tried, what was found, and the verdict last."""
    rows = []
    for channel, what in CHANNELS.items():
        found = [finding for finding in report.findings if finding.channel == channel]
        if found:
            first = min(found, key=lambda finding: (finding.what != "action", finding.step))
            rows.append((what, _agents(found), first.example))
    has_open = any(words.endswith(OPEN) for words in report.perturbations)
    world = f"{team.spec.scenario} ({team.spec.layout}), {team.name} ({team.act_mode})"
    lines = [
        f"{world}: {len(episodes)} episodes, {report.n_views:,} views, {report.n_comparisons:,} comparisons",
        "",
        "tried:",
        *(f"  {words}" for words in report.perturbations if not words.endswith(OPEN)),
        *(["  all that teammates saw, once more, while it could choose any action"] if has_open else []),
        *(f"  not tried: {words}" for words in report.skipped),
        "",
    ]
    if rows:
        lines += [render(("an agent", "agents", "for example"), rows), ""]
    return "\n".join([*lines, _NOT_SEEN, f"decentralised: {report.line}"])


def _adapter(config: AdapterConfig) -> int:
    check_between("--steps", config.steps, 4, 100_000)
    scenario = scenarios.find(config.map)
    prepare_engine(scenario, say)
    name, layout = scenario.name, config.layout
    with scenarios.make(name, layout=layout) as env:
        spec = env.spec
    say(f"checking {spec.scenario} ({spec.layout}) on {spec.engine} ...")
    try:
        check_adapter(lambda: scenarios.make(name, layout=layout), steps=config.steps)
        check_vector_adapter(
            lambda n_games: scenarios.make_vector(name, n_games, layout=layout),
            lambda: scenarios.make(name, layout=layout),
            steps=config.steps,
        )
    except ConformanceError as error:
        raise CheckFailedError(f"{spec.scenario} breaks the contract: {error}") from error
    print(f"{spec.scenario} ({spec.layout}) on {spec.engine} keeps the contract:")
    print("\n".join(f"  {rule}" for rule in _ADAPTER_RULES))
    return 0
