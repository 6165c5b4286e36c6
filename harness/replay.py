"""Finished episodes played again, each alone in its world, to compare, to film and to time them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from env_adapters.errors import HarnessError, MismatchError
from env_adapters.files import writing
from env_adapters.rollout import Episode, Recording
from harness.jobs import Job, play_job
from harness.progress import Say
from harness.schema import EpisodeRecord


def pick_films(records: Sequence[EpisodeRecord], n: int) -> list[int]:
    """Seeds of the episodes to film: one won, one lost, then the other won ones and the other lost ones."""
    whole = [record for record in records if record.error is None]
    won = [record.episode_seed for record in whole if record.won]
    lost = [record.episode_seed for record in whole if not record.won]
    return (won[:1] + lost[:1] + won[1:] + lost[1:])[:n]


def play_again(job: Job, seeds: Sequence[int]) -> Iterator[Episode]:
    """Play episodes one after the other and yield each with everything kept, render states included."""
    return play_job(job, seeds, 1, recording=Recording(transitions=True, film=frozenset(seeds)))


def check_alike(again: EpisodeRecord, record: EpisodeRecord) -> None:
    """Raise MismatchError unless an episode that was played again is its record, rewards and last state included."""
    if again != record:
        raise MismatchError(
            f"episode {record.episode_seed} ended differently when played again: its record was made by other "
            "code or on another machine, or simulator or agent are not deterministic; use --fresh"
        )


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
