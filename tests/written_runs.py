"""Run directories with chosen outcomes, for the tests of what compares and judges runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.run_directory import RunDirectory
from harness.schema import EpisodeRecord


def episode(seed: int, won: bool | None, value: float, error: str | None = None) -> EpisodeRecord:
    return EpisodeRecord(seed, value, 1, won, True, False, [value], "00", error)


def write_run(path: Path, records: list[EpisodeRecord], planned: int | None = None, **changes: Any) -> str:
    config: dict[str, Any] = {
        "scenario": "3m-v1", "layout": "smac-v1", "engine": "embedded-sc2/2", "agent": "bc",
        "agent_hash": path.name, "act_mode": "greedy",
        "episode_seeds": [r.episode_seed for r in records] + list(range(10**6, 10**6 + (planned or 0))),
    }  # fmt: skip
    with RunDirectory.open(path, {"config": {**config, **changes}, "passport": {}}) as directory:
        for record in records:
            directory.append(record)
    return str(path)


def battles(wins: list[int], first_seed: int = 0) -> list[EpisodeRecord]:
    return [
        episode(first_seed + i, bool(won), 20.0 if won else 5.0 + i % 7 / 7) for i, won in enumerate(wins)
    ]
