"""One evaluation: plan, episodes, records, summary, films.

Episode seeds come from the root seed alone. The outcome of an episode depends on its seed, the scenario, the
engine and the weights, so an evaluation that was interrupted is finished by the same call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from env_adapters import scenarios
from env_adapters.api import TeamSpec, VectorEnv
from env_adapters.errors import HarnessError, InvalidValueError, MismatchError
from env_adapters.rollout import Episode, Recording, play
from harness.latency import LatencySample, measure
from harness.passport import passport
from harness.records import EpisodeRecord, RunDirectory, Summary, load_summary
from harness.statistics import mean_std, wilson_interval
from harness.team import choose_team

if TYPE_CHECKING:
    from agents.checkpoints import Checkpoint

_EPISODE_STREAM = 0
_LATENCY_SAMPLES = 300


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, on what, how often."""

    map: str
    """Scenario: a StarCraft II map (`5m_vs_6m`) or a robot (`6halfcheetah`); all: harness ls maps."""
    agent: str | None = None
    """A shipped checkpoint of this map (default: vgm2p) or a control such as `random`; all: harness ls agents."""
    checkpoint: Path | None = None
    """A checkpoint file instead of --agent."""
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


Say = Callable[[str], None]


def episode_seeds(root: int, n: int) -> list[int]:
    """The first n episode seeds of a root seed; a longer list begins with a shorter one."""
    sequences = (np.random.SeedSequence([root, _EPISODE_STREAM, index]) for index in range(n))
    return [int(sequence.generate_state(1, np.uint32)[0]) for sequence in sequences]


def evaluate(config: EvaluateConfig, say: Say = lambda line: None) -> Evaluation:
    """Play what is missing, then write summary and films.

    Args:
        config: what to evaluate.
        say: receives a line about each stage.

    Raises:
        HarnessError: one of its kinds, see env_adapters.errors; finished episodes are kept.
    """
    scenario = scenarios.find(config.map)
    episodes = config.episodes if config.episodes is not None else 32 if scenario.family == "smac-v1" else 10
    for name, value, least in (
        ("--episodes", episodes, 1),
        ("--video", config.video, 0),
        ("--seed", config.seed, 0),
    ):
        if value < least:
            raise InvalidValueError(f"{name} must be at least {least}, not {value}")
    n_games = config.n_games if config.n_games is not None else min(episodes, 64)
    if n_games < 1:
        raise InvalidValueError(f"--n-games must be at least 1, not {n_games}")
    announce_compilation(scenario, say)
    with scenarios.make_vector(config.map, n_games) as env:
        team = choose_team(scenario.name, env.spec, config.agent, config.checkpoint)
        return _run(config, env, team, episode_seeds(config.seed, episodes), say)


def announce_compilation(scenario: scenarios.Scenario, say: Say) -> None:
    """Say why the first run of a StarCraft map takes longer."""
    if scenario.family == "smac-v1":
        from env_adapters.starcraft.jit import is_cached

        if not is_cached():
            say("compiling the combat engine for this machine (once, about 10 s) ...")


def _run(config: EvaluateConfig, env: VectorEnv, team: Checkpoint, seeds: list[int], say: Say) -> Evaluation:
    from agents.acting import BatchedTeam, check_mode

    mode = check_mode(team.agent, config.act_mode)
    path = config.out or default_folder(config, team, mode)
    identity = _identity(env.spec, team, mode, seeds)
    with RunDirectory.open(path, {"config": identity, "passport": passport()}, config.fresh) as run:
        missing = run.missing(seeds)
        stored = load_summary(path)
        if stored is not None and len(stored.videos) >= min(config.video, len(seeds)):
            return Evaluation(path, stored, resumed=True)
        if missing:
            kept = (
                f" ({len(seeds) - len(missing)} of {len(seeds)} are there already)"
                if len(missing) < len(seeds)
                else ""
            )
            say(f"playing {len(missing)} episodes of {env.spec.scenario} on {env.spec.engine}{kept} ...")
        for episode in play(env, BatchedTeam(team.agent, team.params, env.n_games, mode), missing):
            run.append(EpisodeRecord.of(episode))
        records = [run.finished[seed] for seed in seeds]
        films = pick_films(records, config.video)
        say("timing single actions" + (" and drawing films ..." if films else " ..."))
        replays = _replay(config.map, team, mode, records, films or seeds[:1])
        videos = [
            name
            for episode in replays
            if episode.seed in films
            for name in _film(run.path, episode, team, say)
        ]
        latency = _time_actions(replays[0], team, mode)
        summary = summarise(env.spec, team, mode, records, latency, videos)
        run.finish(summary)
    return Evaluation(path, summary, resumed=False)


def default_folder(config: EvaluateConfig, team: Checkpoint, mode: str) -> Path:
    """runs/MAP--AGENT-HASH[-mode]-sSEED: one folder per team and protocol, so that the same command meets it again."""
    suffix = "" if mode == team.agent.act_modes[0] else f"-{mode}"
    count = "" if config.episodes is None else f"-n{config.episodes}"
    return (
        Path("runs")
        / f"{config.map}--{team.agent.name}-{team.weights_hash[:8]}{suffix}-s{config.seed}{count}"
    )


def _identity(spec: TeamSpec, team: Checkpoint, mode: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Everything that decides the episodes, and nothing else."""
    return {
        "scenario": spec.scenario,
        "layout": spec.layout,
        "engine": spec.engine,
        "agent": team.agent.name,
        "agent_hash": team.weights_hash,
        "act_mode": mode,
        "episode_seeds": list(seeds),
    }


def pick_films(records: Sequence[EpisodeRecord], n: int) -> list[int]:
    """Seeds of the episodes to film: one won, one lost, then the others in order."""
    won = [record.episode_seed for record in records if record.won]
    lost = [record.episode_seed for record in records if not record.won]
    return (won[:1] + lost[:1] + won[1:] + lost[1:])[:n]


def _replay(
    map_name: str, team: Checkpoint, mode: str, records: Sequence[EpisodeRecord], seeds: Sequence[int]
) -> list[Episode]:
    """Play episodes again, alone in their world, with everything recorded; they must end in the same state."""
    from agents.acting import BatchedTeam

    expected = {record.episode_seed: record.final_hash for record in records}
    with scenarios.make_vector(map_name, 1) as env:
        recording = Recording(transitions=True, film=frozenset(seeds))
        episodes = list(play(env, BatchedTeam(team.agent, team.params, 1, mode), seeds, recording))
    for episode in episodes:
        if episode.final_hash != expected[episode.seed]:
            raise MismatchError(
                f"episode {episode.seed} ended differently when played again: the run directory was written on another "
                "machine or the simulator is not deterministic here; use --fresh"
            )
    return episodes


def _film(folder: Path, episode: Episode, team: Checkpoint, say: Say) -> list[str]:
    from videos.encode import film_episode

    outcome = "" if episode.won is None else "-won" if episode.won else "-lost"
    name = f"videos/episode-{episode.seed}{outcome}.mp4"
    try:
        film_episode(episode, folder / name, team.agent.name)
    except HarnessError as error:
        say(f"no film of episode {episode.seed}: {error}")
        return []
    return [name]


def _time_actions(episode: Episode, team: Checkpoint, mode: str) -> LatencySample:
    """Time joint actions of one team: observations in, available actions out, masking and sampling included."""
    from agents.acting import BatchedTeam

    policy = BatchedTeam(team.agent, team.params, 1, mode)
    policy.begin(np.array([episode.seed], dtype=np.int64), np.zeros(1, dtype=np.int64))
    masks = episode.available_actions

    def act(index: int) -> None:
        t = index % episode.length
        policy.act(episode.observations[t][None], masks[t][None] if masks else None)

    return measure(act, n_samples=_LATENCY_SAMPLES)


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
        training_seed=provenance.get("seed"),
        engine=spec.engine,
        layout=spec.layout,
        act_mode=mode,
        episodes=len(records),
        return_mean=returns.mean,
        return_std=returns.std,
        wins=wins,
        win_rate=None if wins is None else wins / len(records),
        win_rate_lower=None if interval is None else float(interval.lower),
        win_rate_upper=None if interval is None else float(interval.upper),
        mean_length=float(np.mean([record.length for record in records])),
        latency_scenario="batched",
        action_p50_us=latency.p50_us,
        action_p90_us=latency.p90_us,
        latency_n=latency.n,
        videos=videos,
    )
