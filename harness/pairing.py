"""Two sides of a comparison: their outcomes, and what the difference between them is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from env_adapters.api import DoubleArray
from harness.schema import Run
from harness.statistics.intervals import Interval
from harness.statistics.paired import (
    count_signs,
    paired_bootstrap_interval,
    paired_rate_interval,
    sign_test,
)
from harness.statistics.two_level import Difference, crossed_difference, nested_difference
from harness.statistics.unpaired import fisher_exact, rate_difference_interval


@dataclass(frozen=True)
class Settings:
    """How a comparison is made."""

    n_resamples: int = 10_000
    """Bootstrap samples of the difference in return."""
    seed: int = 0
    """Of the bootstrap."""
    confidence: float = 0.95
    """Of every interval; 1 - confidence is also the limit of p in the verdicts."""


@dataclass(frozen=True)
class Side:
    """One run, or several of one method trained with different seeds."""

    name: str
    runs: tuple[Run, ...]

    def seeds(self) -> set[int]:
        """Episode seeds that every run of this side has finished."""
        return set.intersection(*({record.episode_seed for record in run.episodes} for run in self.runs))

    def returns(self, seeds: Sequence[int] | None = None) -> list[DoubleArray]:
        """Per run its returns, of these episode seeds or of all."""
        return [_column(run, seeds, lambda record: record.episode_return) for run in self.runs]

    def wins(self, seeds: Sequence[int] | None = None) -> list[DoubleArray]:
        """Per run 1 for won and 0 for lost, of these episode seeds or of all."""
        return [
            _column(run, seeds, lambda record: bool(record.won) and record.error is None) for run in self.runs
        ]


def _column(run: Run, seeds: Sequence[int] | None, value: Any) -> DoubleArray:
    by_seed = {record.episode_seed: float(value(record)) for record in run.episodes}
    return np.array(list(by_seed.values()) if seeds is None else [by_seed[seed] for seed in seeds])


@dataclass(frozen=True)
class Gap:
    """First side minus second in one quantity."""

    estimate: float
    interval: Interval[float] | None
    """None where nothing varies."""
    p_value: float | None
    """Two-sided, of "no difference"; None where nothing varies."""
    test: str
    """What the p value comes from."""
    better: int | None
    """Paired runs: episodes in which only the first won, or its return was higher; None for groups and unpaired."""
    worse: int | None
    equal: int | None


@dataclass(frozen=True)
class Pair:
    """Two sides compared."""

    ours: str
    theirs: str
    paired: bool
    """Whether both met the same episodes."""
    episodes: tuple[int, int]
    """Compared on either side; equal numbers where paired."""
    training_seeds: tuple[int, int]
    covers_training: bool
    """Whether it speaks of methods or of these checkpoints only."""
    win_rate: Gap | None
    """None where the scenario has no winner."""
    episode_return: Gap
    p_value: float | None
    """Of the win rate, else of the return, before correction."""
    p_corrected: float | None
    """After Holm over all pairs."""

    @property
    def leading(self) -> Gap:
        """The quantity the verdict is about."""
        return self.win_rate or self.episode_return


def compare_pair(
    ours: Side, theirs: Side, has_winner: bool, settings: Settings, seed: np.random.SeedSequence
) -> Pair:
    """Compare two sides: on the episodes that all their runs share, or unpaired where they share none.

    Args:
        ours: its values count positive.
        theirs: its values count negative.
        has_winner: whether the scenario has one, so that win rates are compared too.
        settings: of the intervals.
        seed: of the bootstrap.
    """
    common = sorted(ours.seeds() & theirs.seeds())
    shared = common or None
    single = len(ours.runs) == len(theirs.runs) == 1
    our_returns, their_returns = ours.returns(shared), theirs.returns(shared)
    our_wins, their_wins = ours.wins(shared), theirs.wins(shared)
    level = settings.confidence
    over_seeds = min(len(ours.runs), len(theirs.runs)) > 1
    if not single:
        differ = crossed_difference if common else nested_difference
        episode_return = _group_gap(differ(our_returns, their_returns, level), bool(common))
        win_rate = _group_gap(differ(our_wins, their_wins, level), bool(common)) if has_winner else None
    elif common:
        rng = np.random.Generator(np.random.Philox(seed))
        episode_return = _paired_returns(our_returns[0], their_returns[0], settings, rng)
        win_rate = _paired_rates(our_wins[0], their_wins[0], level) if has_winner else None
    else:
        welch = nested_difference(our_returns, their_returns, level)
        episode_return = Gap(welch.estimate, welch.interval, welch.p_value, "Welch's t", None, None, None)
        win_rate = _unpaired_rates(our_wins[0], their_wins[0], level) if has_winner else None
    return Pair(
        ours=ours.name,
        theirs=theirs.name,
        paired=bool(common),
        episodes=(sum(map(len, our_returns)), sum(map(len, their_returns))),
        training_seeds=(len(ours.runs), len(theirs.runs)),
        covers_training=over_seeds,
        win_rate=win_rate,
        episode_return=episode_return,
        p_value=(win_rate or episode_return).p_value,
        p_corrected=None,
    )


def _group_gap(difference: Difference, crossed: bool) -> Gap:
    over = "training seeds" if difference.covers_training else "episodes"
    test = f"t over {over}{' and episodes' if crossed and difference.covers_training else ''}"
    return Gap(difference.estimate, difference.interval, difference.p_value, test, None, None, None)


def _paired_rates(ours: DoubleArray, theirs: DoubleArray, confidence: float) -> Gap:
    better, worse = count_signs(ours, theirs)
    interval = paired_rate_interval(better, worse, ours.size, confidence)
    estimate = (better - worse) / ours.size
    p_value = sign_test(better, worse)
    return Gap(estimate, interval, p_value, "McNemar, exact", better, worse, ours.size - better - worse)


def _paired_returns(
    ours: DoubleArray, theirs: DoubleArray, settings: Settings, rng: np.random.Generator
) -> Gap:
    better, worse = count_signs(ours, theirs)
    interval = None
    if ours.size > 1:
        interval = paired_bootstrap_interval(ours, theirs, rng, settings.n_resamples, settings.confidence)
    estimate = float((ours - theirs).mean())
    return Gap(
        estimate, interval, sign_test(better, worse), "sign test", better, worse, ours.size - better - worse
    )


def _unpaired_rates(ours: DoubleArray, theirs: DoubleArray, confidence: float) -> Gap:
    counts = int(ours.sum()), ours.size, int(theirs.sum()), theirs.size
    interval = rate_difference_interval(*counts, confidence)
    estimate = float(ours.mean() - theirs.mean())
    return Gap(estimate, interval, fisher_exact(*counts), "Fisher, exact", None, None, None)
