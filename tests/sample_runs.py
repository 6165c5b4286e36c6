"""Small run directories for the tests of whatever writes or reads them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.run_directory import RunDirectory
from harness.schema import AgentLatency, EpisodeRecord, LatencyReport, Summary
from harness.sealed import seal

PASSPORT: dict[str, Any] = {
    "recorded_at": "2026-01-02T03:04:05+00:00", "load_average": 0.5, "version": "0.1.0", "git": None,
    "python": "CPython 3.11.7", "cpu": "a processor", "packages": {"numpy": "2.4.6", "torch": "2.12.0"},
}  # fmt: skip


def manifest(seeds: list[int], **config: Any) -> dict[str, Any]:
    """A manifest that asks for these episodes."""
    return {
        "config": {"episode_seeds": seeds, "scenario": "3m-v1", "agent_hash": "ab" * 16, **config},
        "passport": PASSPORT,
        "source": {"agent": None, "checkpoint": "checkpoint.safetensors", "act_mode": None},
    }


def record(seed: int) -> EpisodeRecord:
    """An episode that the seed decides."""
    rewards = [round(0.1 * seed + step, 3) for step in range(seed % 5 + 1)]
    return EpisodeRecord(
        seed, float(np.sum(rewards)), len(rewards), seed % 2 == 0, True, False, rewards, f"{seed:032x}"
    )


def summary(episodes: int, **changes: Any) -> Summary:
    """A summary of as many episodes; its other numbers are made up."""
    values: dict[str, Any] = dict(
        scenario="3m-v1", layout="smac-v1", engine="embedded-sc2/2", agent="bc-meanflow", algorithm="bc-meanflow",
        agent_hash="ab" * 16, dataset="3m-good", training_seed=0, config_hash="c0ffee", act_mode="fresh", conditions={},
        on_crash="loss", stop_rule=None, episodes=episodes, crashed=0, return_mean=1.5, return_std=0.5,
        return_lower=1.2, return_upper=1.8, return_iqm=1.4, wins=1, win_rate=0.5, win_rate_lower=0.1,
        win_rate_upper=0.9, mean_length=3.0, normalised_score=7.5,
        normalised_by="0 = random 0.1 ± 0.01 (n=100), 100 = won battle 20", decentralized=None,
    )  # fmt: skip
    return Summary(**{**values, **changes})


def latency(**changes: Any) -> LatencyReport:
    """A latency report with made-up numbers."""
    values: dict[str, Any] = dict(
        scenario="batched", n=300, p50_us=123.4, p90_us=456.7, p99_us=None, max_us=900.0, n_warmup=200,
        compile_us=5000.0, first_action_us=400.0, agents=[AgentLatency(0, 60.0, 70.0, None, 99.0)],
    )  # fmt: skip
    return LatencyReport(**{**values, **changes})


def finished_run(
    path: Path,
    seeds: list[int],
    *,
    timed: LatencyReport | None = None,
    passport: dict[str, Any] | None = None,
    finish: bool = True,
    **changes: Any,
) -> Path:
    """A run directory with all its files; `changes` go into the summary, as do scenario and hash into the manifest."""
    result = summary(len(seeds), **changes)
    asked = manifest(seeds, scenario=result.scenario, agent_hash=result.agent_hash)
    with RunDirectory.open(path, asked | {"passport": PASSPORT | (passport or {})}) as run:
        for seed in seeds:
            run.append(record(seed))
        if finish:
            run.finish(result)
    if timed is not None:
        (path / "latency.json").write_bytes(seal(asdict(timed)))
    return path


def flipped(whole: bytes, bit: int) -> bytes:
    """A copy with one bit changed."""
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
