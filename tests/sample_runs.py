"""Small run directories for the tests of whatever writes or reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.records import EpisodeRecord, RunDirectory, Summary


def manifest(seeds: list[int], **config: Any) -> dict[str, Any]:
    """A manifest that asks for these episodes."""
    return {"config": {"episode_seeds": seeds, "scenario": "3m-v1", **config}, "passport": {"python": "3.11"}}


def record(seed: int) -> EpisodeRecord:
    """An episode that the seed decides."""
    rewards = [round(0.1 * seed + step, 3) for step in range(seed % 5 + 1)]
    return EpisodeRecord(
        seed, float(np.sum(rewards)), len(rewards), seed % 2 == 0, True, False, rewards, f"{seed:032x}"
    )


def summary(episodes: int) -> Summary:
    """A summary of as many episodes; its other numbers are made up."""
    return Summary(
        scenario="3m-v1", agent="bc", agent_hash="ab" * 16, dataset="3m-good", training_seed=0,
        engine="embedded-sc2/1", layout="smac-v1", act_mode="batched", episodes=episodes, return_mean=1.5,
        return_std=0.5, wins=1, win_rate=0.5, win_rate_lower=0.1, win_rate_upper=0.9, mean_length=3.0,
        latency_scenario="batched", action_p50_us=120.0, action_p90_us=300.0, latency_n=300,
    )  # fmt: skip


def finished_run(path: Path, seeds: list[int]) -> Path:
    """A run directory with all its files."""
    with RunDirectory.open(path, manifest(seeds)) as run:
        for seed in seeds:
            run.append(record(seed))
        run.finish(summary(len(seeds)))
    return path


def flipped(whole: bytes, bit: int) -> bytes:
    """A copy with one bit changed."""
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
