"""What differs between two runs: question, machine, and the episodes that came out differently."""

from __future__ import annotations

from dataclasses import dataclass

from harness.differences import Difference, differences
from harness.schema import EpisodeRecord, Run

_CLOCK = ("recorded_at", "load_average")


@dataclass(frozen=True)
class RunDifference:
    """Two runs side by side."""

    question: list[Difference]
    """Keys of the config, episode seeds left out."""
    origin: list[Difference]
    """Where world and team came from."""
    machine: list[Difference]
    """Keys of the passport, clock and load left out."""
    n_common: int
    """Episode seeds that both have."""
    n_same: int
    """Common episodes that took the same course to the last bit."""
    flipped: list[tuple[EpisodeRecord, EpisodeRecord]]
    """Common episodes that one side won and the other did not, or whose returns differ where nobody wins."""
    only: tuple[int, int]
    """Episodes that only the first, and only the second, has."""


def compare_runs(first: Run, second: Run) -> RunDifference:
    """Compare two runs, finished or not."""
    configs = [dict(run.manifest["config"]) for run in (first, second)]
    for config in configs:
        config.pop("episode_seeds")
    ours = {record.episode_seed: record for record in first.episodes}
    theirs = {record.episode_seed: record for record in second.episodes}
    common = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
    return RunDifference(
        question=differences(*configs),
        origin=differences(first.manifest.get("source"), second.manifest.get("source")),
        machine=machine_differences(first.manifest.get("passport"), second.manifest.get("passport")),
        n_common=len(common),
        n_same=sum(a == b for a, b in common),
        flipped=[(a, b) for a, b in common if _flipped(a, b)],
        only=(len(ours) - len(common), len(theirs) - len(common)),
    )


def _flipped(a: EpisodeRecord, b: EpisodeRecord) -> bool:
    if a.won is None and b.won is None:
        return a.episode_return != b.episode_return
    return bool(a.won) != bool(b.won)


def machine_differences(first: object, second: object) -> list[Difference]:
    """Keys in which two passports differ, without what the clock decides."""
    return [found for found in differences(first, second) if found.key.split(".")[-1] not in _CLOCK]
