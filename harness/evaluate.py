"""One evaluation: plan, episodes, records, summary, films.

Episode seeds come from the root seed alone. The outcome of an episode depends on its seed, the scenario, the
engine and the weights, so an evaluation that was interrupted is finished by the same call.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from env_adapters import scenarios
from env_adapters.api import TeamSpec, VectorEnv
from env_adapters.bounds import check_at_least, check_between
from env_adapters.rollout import play
from harness.latency import LatencySample
from harness.layouts import label
from harness.passport import passport
from harness.progress import Say, every
from harness.records import EpisodeRecord, RunDirectory, Summary, load_summary
from harness.replay import film, forget_films, pick_films, replay, time_actions
from harness.statistics import mean_std, wilson_interval
from harness.team import choose_team

if TYPE_CHECKING:
    from agents.checkpoints import Checkpoint

_EPISODE_STREAM = 0
_DEFAULT_EPISODES = {"smac-v1": 32, "smacv2": 32, "mamujoco": 10}
_MOST_GAMES = 64
_MOST_GAMES_ALLOWED = 16_384
_MOST_EPISODES = 1_000_000
_REPORT_INTERVAL_S = 5.0


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, on what, how often."""

    map: str
    """Scenario: a StarCraft II map (`5m_vs_6m`) or a robot (`6halfcheetah`); all: harness ls maps."""
    agent: str | None = None
    """A shipped checkpoint of this map (default: vgm2p or else ppo-expert) or a control such as `random`; all: harness ls agents."""
    checkpoint: Path | None = None
    """A checkpoint file instead of --agent."""
    layout: str | None = None
    """What agents are shown, and by which rules (default: the map's first; all: harness ls maps)."""
    episodes: int | None = None
    """Episodes to play (default: 32 on StarCraft II maps, 10 on robots)."""
    seed: int = 0
    """Root of the episode seeds. Teams evaluated with the same seed meet the same episodes."""
    act_mode: str | None = None
    """How the policy turns into actions (default: the agent's own; vgm2p: fresh, zero, fixed; ppo: greedy, sample)."""
    video: int = 1
    """Episodes to film: a won one first, then a lost one, then others."""
    out: Path | None = None
    """Run directory (default: below runs/). The same command continues what is there."""
    fresh: bool = False
    """Start over instead of continuing."""
    n_games: int | None = None
    """Games played side by side (default: as many as episodes, at most 64). Results do not depend on it."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    path: Path
    """Run directory."""
    summary: Summary
    resumed: bool
    """Whether everything was there already and nothing was played."""


@dataclass(frozen=True)
class _Plan:
    """One evaluation with every choice made."""

    map: str
    team: Checkpoint
    mode: str
    seeds: list[int]
    path: Path
    n_films: int
    fresh: bool


def episode_seeds(root: int, n: int) -> list[int]:
    """The first n episode seeds of a root seed, all different; a longer list begins with a shorter one."""
    seeds: dict[int, None] = {}
    for index in count():
        if len(seeds) == n:
            break
        sequence = np.random.SeedSequence([root, _EPISODE_STREAM, index])
        seeds[int(sequence.generate_state(1, np.uint32)[0])] = None
    return list(seeds)


def evaluate(config: EvaluateConfig, say: Say = lambda line: None) -> Evaluation:
    """Play what is missing, then write summary and films.

    Args:
        config: what to evaluate.
        say: receives a line about each stage.

    Raises:
        HarnessError: one of its kinds, see env_adapters.errors; finished episodes are kept.
    """
    scenario = scenarios.find(config.map)
    episodes = _DEFAULT_EPISODES[scenario.family] if config.episodes is None else config.episodes
    check_between("--episodes", episodes, 1, _MOST_EPISODES)
    check_at_least("--video", config.video, 0)
    check_at_least("--seed", config.seed, 0)
    n_games = min(episodes, _MOST_GAMES if config.n_games is None else config.n_games)
    check_between("--n-games", n_games, 1, _MOST_GAMES_ALLOWED)
    with scenarios.make_vector(scenario.name, n_games, layout=config.layout) as env, one_torch_thread():
        team = choose_team(scenario.name, env.spec, config.agent, config.checkpoint)
        return _run(_plan(config, scenario, team, episodes), env, say)


def _plan(config: EvaluateConfig, scenario: scenarios.Scenario, team: Checkpoint, episodes: int) -> _Plan:
    from agents.acting import check_mode

    mode = check_mode(team.agent, config.act_mode)
    return _Plan(
        map=scenario.name,
        team=team,
        mode=mode,
        seeds=episode_seeds(config.seed, episodes),
        path=config.out or default_folder(scenario, team, mode, config.seed, episodes),
        n_films=min(config.video, episodes),
        fresh=config.fresh,
    )


def default_folder(
    scenario: scenarios.Scenario, team: Checkpoint, mode: str, seed: int, episodes: int
) -> Path:
    """runs/MAP[-LAYOUT]--AGENT-HASH[-MODE]-sSEED[-nEPISODES], by team and protocol, without what is default."""
    layout = label(scenario, team.agent.spec.layout)
    parts = [f"{scenario.name}{layout}--{team.agent.name}", team.weights_hash[:8]]
    parts += [] if mode == team.agent.act_modes[0] else [mode]
    parts += [f"s{seed}"]
    parts += [] if episodes == _DEFAULT_EPISODES[scenario.family] else [f"n{episodes}"]
    return Path("runs") / "-".join(parts)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One thread for matrix products inside: with batches this small, more threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare_engine(scenario: scenarios.Scenario, say: Say) -> None:
    """Compile the kernels of a StarCraft map on the first use on a machine, and say so."""
    if not scenario.family.startswith("smac"):
        return
    from env_adapters.jit import is_cached

    if not is_cached(scenario.family):
        from env_adapters.starcraft.warm import compile_kernels

        say("compiling the combat engine for this machine (once per family of maps, about 20 s) ...")
        compile_kernels(scenario.family, meanwhile=_import_slow_modules)


def _import_slow_modules() -> None:
    """What the end of an evaluation needs."""
    importlib.import_module("pandas")
    importlib.import_module("videos.encode")


def _run(plan: _Plan, env: VectorEnv, say: Say) -> Evaluation:
    identity = _identity(plan, env.spec)
    with RunDirectory.open(plan.path, {"config": identity, "passport": passport()}, plan.fresh) as run:
        if plan.fresh:
            forget_films(plan.path)
        stored = load_summary(plan.path)
        if stored is not None and len(_films_on_disk(plan.path, stored)) >= plan.n_films:
            return Evaluation(plan.path, stored, resumed=True)
        prepare_engine(scenarios.find(plan.map), say)
        _play(plan, env, run, say)
        records = [run.finished[seed] for seed in plan.seeds]
        latency, videos = _look_again(plan, records, say)
        summary = summarise(env.spec, plan.team, plan.mode, records, latency, videos)
        run.finish(summary)
    return Evaluation(plan.path, summary, resumed=False)


def _look_again(plan: _Plan, records: Sequence[EpisodeRecord], say: Say) -> tuple[LatencySample, list[str]]:
    """Replay some episodes, at least one, to time actions and to draw films; returns the films that succeeded."""
    filmed = pick_films(records, plan.n_films)
    say("timing single actions" + (" and drawing films ..." if filmed else " ..."))
    by_seed = {record.episode_seed: record for record in records}
    chosen = [by_seed[seed] for seed in filmed] or records[:1]
    latency, videos = None, []
    for episode in replay(plan.map, plan.team, plan.mode, chosen):
        latency = latency or time_actions(episode, plan.team, plan.mode)
        name = film(plan.path, episode, plan.team.agent.name, say) if filmed else None
        videos += [] if name is None else [name]
    assert latency is not None
    return latency, videos


def _identity(plan: _Plan, spec: TeamSpec) -> dict[str, Any]:
    """Everything that decides the episodes, and nothing else."""
    return {
        "scenario": spec.scenario,
        "layout": spec.layout,
        "engine": spec.engine,
        "agent": plan.team.agent.name,
        "agent_hash": plan.team.weights_hash,
        "act_mode": plan.mode,
        "episode_seeds": plan.seeds,
    }


def _films_on_disk(path: Path, summary: Summary) -> list[str]:
    return [name for name in summary.videos if (path / name).is_file()]


def _play(plan: _Plan, env: VectorEnv, run: RunDirectory, say: Say) -> None:
    """Play the episodes that have no record yet."""
    from agents.acting import BatchedTeam

    missing = run.missing(plan.seeds)
    if not missing:
        return
    there = len(plan.seeds) - len(missing)
    kept = f" ({there} of {len(plan.seeds)} are there already)" if there else ""
    noun = "episode" if len(missing) == 1 else "episodes"
    say(f"playing {len(missing)} {noun} of {env.spec.scenario} on {env.spec.engine}{kept} ...")
    due = every(_REPORT_INTERVAL_S)
    policy = BatchedTeam(plan.team.agent, plan.team.params, env.n_games, plan.mode)
    for episode in play(env, policy, missing):
        run.append(EpisodeRecord.of(episode))
        if due():
            say(f"{len(run.finished)} of {len(plan.seeds)} episodes")


def summarise(
    spec: TeamSpec,
    team: Checkpoint,
    mode: str,
    records: Sequence[EpisodeRecord],
    latency: LatencySample,
    videos: list[str],
) -> Summary:
    """Statistics of finished episodes."""
    returns = mean_std([record.episode_return for record in records])
    wins = sum(bool(record.won) for record in records) if spec.has_win else None
    interval = None if wins is None else wilson_interval(wins, len(records))
    provenance = team.provenance
    return Summary(
        scenario=spec.scenario,
        agent=team.agent.name,
        agent_hash=team.weights_hash,
        dataset=provenance.get("dataset_name") or provenance.get("dataset"),
        training_seed=provenance.get("seed") if team.params else None,
        engine=spec.engine,
        layout=spec.layout,
        act_mode=mode,
        episodes=len(records),
        return_mean=returns.mean,
        return_std=returns.std,
        wins=wins,
        win_rate=None if wins is None else wins / len(records),
        win_rate_lower=None if interval is None else interval.lower,
        win_rate_upper=None if interval is None else interval.upper,
        mean_length=float(np.mean([record.length for record in records])),
        latency_scenario="batched",
        action_p50_us=latency.p50_us,
        action_p90_us=latency.p90_us,
        latency_n=latency.n,
        videos=videos,
    )
