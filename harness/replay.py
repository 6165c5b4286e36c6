"""Finished episodes played again, each alone in its world, to film them and to time single actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from env_adapters import scenarios
from env_adapters.errors import HarnessError, MismatchError
from env_adapters.files import writing
from env_adapters.rollout import Episode, Recording, play
from harness.latency import LatencySample, measure
from harness.progress import Say
from harness.records import EpisodeRecord

if TYPE_CHECKING:
    from agents.checkpoints import Checkpoint

_LATENCY_SAMPLES = 300


def pick_films(records: Sequence[EpisodeRecord], n: int) -> list[int]:
    """Seeds of the episodes to film: one won, one lost, then the other won ones and the other lost ones."""
    won = [record.episode_seed for record in records if record.won]
    lost = [record.episode_seed for record in records if not record.won]
    return (won[:1] + lost[:1] + won[1:] + lost[1:])[:n]


def replay(map_name: str, team: Checkpoint, mode: str, records: Sequence[EpisodeRecord]) -> Iterator[Episode]:
    """Play recorded episodes again and yield each with everything kept, render states included.

    The world has the layout that the team was made for.

    Raises:
        MismatchError: an episode ended in another state than its record says.
    """
    from agents.acting import BatchedTeam

    seeds = [record.episode_seed for record in records]
    recording = Recording(transitions=True, film=frozenset(seeds))
    with scenarios.make_vector(map_name, 1, layout=team.agent.spec.layout) as env:
        episodes = play(env, BatchedTeam(team.agent, team.params, 1, mode), seeds, recording)
        for episode, record in zip(episodes, records, strict=True):
            if episode.final_hash != record.final_hash:
                raise MismatchError(
                    f"episode {episode.seed} ended differently when played again: its record was made by other "
                    "code or on another machine, or the simulator is not deterministic; use --fresh"
                )
            yield episode


def film(folder: Path, episode: Episode, title: str, say: Say) -> str | None:
    """Film an episode below a run directory; returns the path relative to it, or None after saying why not."""
    from videos.encode import film_episode

    outcome = "" if episode.won is None else "-won" if episode.won else "-lost"
    name = f"videos/episode-{episode.seed}{outcome}.mp4"
    try:
        film_episode(episode, folder / name, title)
    except HarnessError as error:
        say(f"no film of episode {episode.seed}: {error}")
        return None
    return name


def forget_films(folder: Path) -> None:
    """Delete the films of a run directory and their posters; OutputError where that fails."""
    with writing(folder):
        for path in folder.glob("videos/episode-*"):
            path.unlink()


def time_actions(episode: Episode, team: Checkpoint, mode: str) -> LatencySample:
    """Time joint actions of one team over an episode's observations, masking and sampling included."""
    from agents.acting import BatchedTeam

    policy = BatchedTeam(team.agent, team.params, 1, mode)
    policy.begin(np.array([episode.seed], dtype=np.int64), np.zeros(1, dtype=np.int64))
    masks = episode.available_actions

    def act(index: int) -> None:
        t = index % episode.length
        policy.act(episode.observations[t][None], masks[t][None] if masks else None)

    return measure(act, n_samples=_LATENCY_SAMPLES)
