"""What a player needs to know to play episodes, in whichever process it sits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from env_adapters import scenarios
from env_adapters.api import TeamPolicy, TeamSpec, VectorEnv
from env_adapters.rollout import Episode, Recording, play
from harness.conditions import Conditions, disturbed
from harness.deadline import Deadline
from harness.decentralized import DecentralizedTeam
from harness.team import Team, TeamSource, load_team
from harness.watching import Watch, Watched


@dataclass(frozen=True)
class Job:
    """A team in a world under conditions, as plain values that can be sent to another process and stored."""

    map: str
    """Name of the scenario, or `FILE.py:make`."""
    layout: str | None
    team: TeamSource
    conditions: Conditions = field(default_factory=Conditions)


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


@contextmanager
def world(job: Job, n_games: int) -> Iterator[VectorEnv]:
    """The job's world, B games side by side; closed at the end."""
    with scenarios.make_vector(job.map, n_games, layout=job.layout) as env:
        yield env


def job_team(job: Job, spec: TeamSpec) -> Team:
    """Load the job's team; errors as `load_team`."""
    return load_team(job.map, spec, job.team)


@contextmanager
def acting(job: Job, team: Team, spec: TeamSpec, n_games: int, watch: Watch) -> Iterator[TeamPolicy]:
    """The job's team as one policy under the job's conditions; processes that it starts end with the block.

    What actions took in processes of their own is left in `watch.report`.
    """

    def other(name: str) -> TeamPolicy:
        return load_team(job.map, spec, TeamSource(agent=name)).vector(n_games)

    conditions = job.conditions
    if conditions.execution == "batched":
        yield disturbed(team.vector(n_games), conditions, spec, n_games, other)
        return
    late = (
        None if conditions.deadline_ms is None else Deadline(conditions.deadline_ms, conditions.late_action)
    )
    with DecentralizedTeam(job.map, job.team, spec, late) as apart:
        yield disturbed(apart, conditions, spec, n_games, other)
        watch.report = apart.report() if len(apart.times) else None


def play_job(
    job: Job,
    seeds: Iterable[int],
    n_games: int,
    watch: Watch | None = None,
    recording: Recording | None = None,
) -> Iterator[Episode]:
    """Play one episode per seed and yield each as it ends; see `env_adapters.rollout.play`.

    Args:
        job: what plays where.
        seeds: drawn one by one, when a game is free.
        n_games: B.
        watch: told when the agents and when the simulator are at work.
        recording: what to keep of the episodes.
    """
    watch = Watch() if watch is None else watch
    with one_torch_thread(), world(job, n_games) as env:
        watch.turn("agent")
        team = job_team(job, env.spec)
        with acting(job, team, env.spec, n_games, watch) as policy:
            watch.turn("simulator")
            yield from play(env, Watched(policy, watch), seeds, recording)
