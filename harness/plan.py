"""From options to a plan: which team plays which episodes where, and when enough is enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.code import absolute, is_reference
from env_adapters.errors import InvalidValueError, MismatchError
from harness.conditions import check_conditions, swaps
from harness.jobs import Job
from harness.layouts import label
from harness.options import EvaluateConfig
from harness.passport import passport, usable_cores
from harness.records import load_run
from harness.stopping import StopRule, UntilBetter, UntilPrecise
from harness.supervise import Supervision
from harness.team import Team, TeamSource, load_team

_EPISODE_STREAM = 0
DEFAULT_EPISODES: Mapping[str, int] = {"smac-v1": 32, "smacv2": 32, "mamujoco": 10, "code": 32}
"""Episodes by family of scenarios where none are asked for."""
_MOST_UNTIL = 10_000
_GAMES = 64
_CI_ALPHA = 0.05


@dataclass(frozen=True)
class Plan:
    """One evaluation with every choice made."""

    job: Job
    scenario: scenarios.Scenario
    team: Team
    """Loaded in this process: for names, hashes and timing."""
    spec: TeamSpec
    """Of the world that is played, engine included."""
    seeds: list[int]
    """Episode seeds in order; with a stop rule the most that are played."""
    stop: StopRule | None
    path: Path
    n_films: int
    latency: str
    """Scenario of the timing, or `none`."""
    config: EvaluateConfig

    def identity(self) -> dict[str, Any]:
        """Everything that decides the result, and nothing else."""
        config = self.config
        stop = {
            "until_ci": config.until_ci,
            "until_better_than": None if config.until_better_than is None else str(config.until_better_than),
            "alpha": config.alpha,
        }
        return {
            "scenario": self.spec.scenario,
            "layout": self.spec.layout,
            "engine": self.spec.engine,
            "agent": self.team.name,
            "algorithm": self.team.algorithm,
            "agent_hash": self.team.weights_hash,
            "act_mode": self.team.act_mode,
            "conditions": self.job.conditions.changed(),
            "on_crash": config.on_crash,
            "stop": None if self.stop is None else stop,
            "episode_seeds": self.seeds,
        }

    def manifest(self) -> dict[str, Any]:
        """What is written before the first episode.

        `batch` is the shape of network calls while acting, `training` how the team came about, data hash included.
        """
        batch = {"network_rows": self.team.network_rows, "threads_per_process": 1}
        return {
            "config": self.identity(),
            "source": asdict(self.job),
            "training": dict(self.team.provenance),
            "batch": batch,
            "passport": passport(),
        }

    def supervision(self, n_missing: int) -> Supervision:
        """How the missing episodes are spread over processes."""
        config, apart = self.config, self.job.conditions.execution == "decentralized"
        games = 1 if apart else config.n_games or _GAMES
        workers = config.workers
        if workers is None:
            workers = 1 if apart else min(usable_cores(), ceil(n_missing / games))
        share = ceil(n_missing / max(1, workers))
        return Supervision(workers, max(1, min(games, share)), config.retries, config.timeout_s)


def episode_seeds(root: int, n: int) -> list[int]:
    """The first n episode seeds of a root seed, all different; a longer list begins with a shorter one."""
    seeds: dict[int, None] = {}
    for index in count():
        if len(seeds) == n:
            break
        sequence = np.random.SeedSequence([root, _EPISODE_STREAM, index])
        seeds[int(sequence.generate_state(1, np.uint32)[0])] = None
    return list(seeds)


def make_plan(config: EvaluateConfig) -> Plan:
    """Resolve names, load the team, choose episodes and folder.

    Raises:
        HarnessError: a value that makes no sense, an unknown name, a team that does not fit.
    """
    config.check()
    scenario = scenarios.find(config.map)
    asked = TeamSource(
        config.agent, None if config.checkpoint is None else str(config.checkpoint), config.act_mode
    )
    with scenarios.make_vector(scenario.name, 1, layout=config.layout) as env:
        spec = env.spec
    team = load_team(scenario.name, spec, asked)
    map_name = absolute(scenario.name) if is_reference(scenario.name) else scenario.name
    job = Job(map_name, config.layout, team.source, config.conditions)
    check_conditions(config.conditions, spec)
    for name in sorted(set(swaps(config.conditions, spec.n_agents).values())):
        load_team(job.map, spec, TeamSource(name))  # an unknown one is said before a folder is made
    seeds, stop = _episodes(config, scenario, spec)
    return Plan(
        job=job,
        scenario=scenario,
        team=team,
        spec=spec,
        seeds=seeds,
        stop=stop,
        path=config.out or default_folder(scenario, team, config, spec.layout),
        n_films=0 if config.deadline_ms is not None else config.video,
        latency=config.latency or config.conditions.execution,
        config=config,
    )


def _episodes(
    config: EvaluateConfig, scenario: scenarios.Scenario, spec: TeamSpec
) -> tuple[list[int], StopRule | None]:
    """Which episodes, and when to stop."""
    if config.until_ci is not None:
        if spec.has_win and config.until_ci >= 1.0:
            raise InvalidValueError(
                f"--until-ci is {config.until_ci:g}; a win rate needs a half-width below 1"
            )
        seeds = episode_seeds(config.seed, config.episodes or _MOST_UNTIL)
        return seeds, UntilPrecise(config.until_ci, _CI_ALPHA, spec.has_win)
    if config.until_better_than is not None:
        return _against(config.until_better_than, config, spec)
    return episode_seeds(config.seed, config.episodes or DEFAULT_EPISODES[scenario.family]), None


def _against(path: Path, config: EvaluateConfig, spec: TeamSpec) -> tuple[list[int], StopRule]:
    """The episodes of the run to beat."""
    other = load_run(path)
    theirs = other.manifest["config"]
    for key in ("scenario", "layout", "engine"):
        if theirs.get(key) != getattr(spec, key):
            raise MismatchError(
                f"--until-better-than {path} was played with {key} '{theirs.get(key)}', this run has '{getattr(spec, key)}'"
            )
    records = {record.episode_seed: record for record in other.episodes}
    seeds = list(records)[: config.episodes or len(records)]
    if not seeds:
        raise MismatchError(f"--until-better-than {path} holds no finished episode; finish that run first")
    return seeds, UntilBetter(str(theirs["agent"]), records, config.alpha, spec.has_win)


def default_folder(scenario: scenarios.Scenario, team: Team, config: EvaluateConfig, layout: str) -> Path:
    """runs/MAP[-LAYOUT]--AGENT-HASH[-MODE]-sSEED[-nEPISODES][-RULES], without what is default."""
    parts = [
        f"{_safe(Path(scenario.name).name)}{label(scenario, layout)}--{_safe(team.name)}",
        team.weights_hash[:8],
    ]
    parts += [] if team.is_default_mode else [team.act_mode]
    parts += [f"s{config.seed}"]
    parts += [] if config.episodes in (None, DEFAULT_EPISODES[scenario.family]) else [f"n{config.episodes}"]
    parts += [] if config.until_ci is None else [f"ci{config.until_ci:g}"]
    if config.until_better_than is not None:
        parts += [f"better-than-{_safe(config.until_better_than.name)}"]
    changed = replace(config.conditions, execution="batched").changed()
    if config.execution == "decentralized" and config.deadline_ms is None:
        parts += ["decentralized"]
    for name, value in changed.items():
        listed = "+".join(value) if isinstance(value, (tuple, list)) else value
        parts += [f"{name.partition('_')[0]}{_safe(str(listed))}"]
    parts += [] if config.on_crash == "loss" else [config.on_crash]
    return Path("runs") / "-".join(parts)


def _safe(name: str) -> str:
    """Text as part of a folder's name."""
    return "".join(letter if letter.isalnum() or letter in "._+-" else "_" for letter in name)
