"""From records to the summary of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.schema import EpisodeRecord
from harness.statistics import mean_interval, mean_std, wilson_interval
from harness.statistics.aggregates import iqm


def counted(records: Sequence[EpisodeRecord], on_crash: str) -> list[EpisodeRecord]:
    """The records that enter the statistics: all of them, or those without an error."""
    return [record for record in records if on_crash == "loss" or record.error is None]


def score(records: Sequence[EpisodeRecord], has_win: bool, on_crash: str) -> dict[str, Any]:
    """The fields of a `Summary` that follow from the records alone.

    Args:
        records: at least one, in the order of their seeds.
        has_win: whether the scenario has a winner.
        on_crash: `loss` or `exclude`; excluding leaves at least one record.
    """
    kept = counted(records, on_crash)
    returns = np.array([record.episode_return for record in kept])
    spread, interval = mean_std(returns), mean_interval(returns) if len(kept) > 1 else None
    wins = sum(bool(record.won) for record in kept) if has_win else None
    rate = None if wins is None else wilson_interval(wins, len(kept))
    return {
        "episodes": len(records),
        "crashed": sum(record.error is not None for record in records),
        "return_mean": spread.mean,
        "return_std": spread.std,
        "return_lower": None if interval is None else interval.lower,
        "return_upper": None if interval is None else interval.upper,
        "return_iqm": float(iqm(returns[:, None])),
        "wins": wins,
        "win_rate": None if wins is None else wins / len(kept),
        "win_rate_lower": None if rate is None else rate.lower,
        "win_rate_upper": None if rate is None else rate.upper,
        "mean_length": float(np.mean([record.length for record in kept])),
    }
