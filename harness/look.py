"""Some finished episodes played once more: are they the same, does every agent act on its own view, how fast, and films.

This happens in a process of its own, so that a simulator that hangs or dies here costs films and timing only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from env_adapters.api import DoubleArray
from env_adapters.rollout import Episode
from harness.jobs import Job, job_team, one_torch_thread, world
from harness.processes import context, kill_tree, start
from harness.progress import Say
from harness.replay import check_alike, film, play_again
from harness.schema import EpisodeRecord, LatencyReport
from harness.team import Team
from harness.workers import describe_error

_LEAK_STEPS: Final = 200
"""Steps of an episode that are checked for leaks: all of a battle, a fifth of a robot's run."""


@dataclass
class Look:
    """What looking again brought."""

    latency: LatencyReport | None = None
    samples_us: DoubleArray | None = None
    """Every timed joint action, [n] or [n, 1 + N]."""
    decentralized: str | None = None
    videos: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LookRequest:
    """What to look at, as plain values."""

    job: Job
    records: list[EpisodeRecord]
    """Episodes to replay, at least one."""
    n_films: int
    """How many of them, from the first, are filmed."""
    latency: str
    """`batched`, `decentralized` or `none`."""
    folder: Path
    title: str


def look(request: LookRequest, say: Say, publish: Callable[[Look], None] = lambda found: None) -> Look:
    """Replay, film, time and check in this process; what goes wrong is said and costs that part only.

    Args:
        request: what to look at.
        say: receives a line about each stage.
        publish: receives what was found so far, after every part.
    """
    found, episodes = Look(), list[Episode]()
    for number, record in enumerate(request.records):
        with _part("episode not shown", say):
            episode = _replay(request.job, record)
            if number < request.n_films:
                name = film(request.folder, episode, request.title, say)
                found.videos += [] if name is None else [name]
            episode.frames.clear()
            episodes.append(episode)
        publish(found)
    if not episodes:
        return found
    with one_torch_thread(), world(request.job, 1) as env:
        team = job_team(request.job, env.spec)
        if request.latency != "none":
            say("timing single actions ...")
            with _part("no timing", say):
                _time(request, team, episodes[:1], found)
            publish(found)
        if not request.job.conditions.disturbing():
            with _part("not checked that agents act alone", say):
                from harness.leak import check_leak

                found.decentralized = check_leak(team, episodes[:1], env, steps=_LEAK_STEPS).line
    return found


@contextmanager
def _part(without: str, say: Say) -> Iterator[None]:
    """Something that may fail without taking the rest along."""
    try:
        yield
    except (Exception, SystemExit) as error:
        say(f"warning: {without}: {describe_error(error)}")


def _replay(job: Job, record: EpisodeRecord) -> Episode:
    """Play an episode again; MismatchError if it takes another course."""
    (episode,) = play_again(job, [record.episode_seed])
    check_alike(EpisodeRecord.of(episode), record)
    return episode


def _time(request: LookRequest, team: Team, episodes: Sequence[Episode], found: Look) -> None:
    from harness.latency import measure_batched, measure_decentralized

    if request.latency == "decentralized":
        measured = measure_decentralized(request.job.map, team, episodes)
    else:
        measured = measure_batched(team, episodes)
    found.latency, found.samples_us = measured


def _look_main(request: LookRequest, pipe: Connection) -> None:
    try:
        found = look(
            request, lambda line: pipe.send(("say", line)), lambda so_far: pipe.send(("so far", so_far))
        )
        pipe.send(("found", found))
    except BaseException as error:
        pipe.send(("failed", describe_error(error)))


def look_apart(request: LookRequest, say: Say, timeout_s: float) -> Look:
    """As `look`, in a process of its own that is killed when it says nothing for so long; brings what it has till then."""
    spawn: Any = context()
    ours, theirs = spawn.Pipe()
    log = request.folder / "look.log"
    process = start(_look_main, (request, theirs), log)
    theirs.close()
    try:
        return _hear(ours, say, timeout_s)
    finally:
        if process.pid is not None:
            kill_tree(process.pid)
        process.join()
        ours.close()
        if log.is_file() and not log.stat().st_size:
            log.unlink()


def _hear(pipe: Connection, say: Say, timeout_s: float) -> Look:
    latest = Look()
    while True:
        try:
            message = pipe.recv() if pipe.poll(timeout_s) else ("failed", f"no progress for {timeout_s:g} s")
        except (EOFError, OSError):
            message = ("failed", "its process died")
        match message:
            case ("say", line):
                say(line)
            case ("so far", Look() as found):
                latest = found
            case ("found", Look() as found):
                return found
            case ("failed", why):
                say(f"warning: looking again ended early: {why}")
                return latest
