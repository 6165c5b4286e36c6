"""Runs against each other: on the same episodes where they share any, by training seeds where there are several.

Runs are read, never written. An episode that broke off with an error counts as lost, with the return it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from env_adapters.errors import InvalidValueError, MismatchError
from harness.pairing import Pair, Settings, Side, compare_pair
from harness.records import load_run
from harness.schema import Run
from harness.statistics.checks import check_probability, check_resamples
from harness.statistics.intervals import Interval, mean_interval, wilson_interval
from harness.statistics.paired import holm
from harness.statistics.two_level import two_level

_SAME = ("scenario", "layout", "engine")
_LONGEST_NAME = 30


@dataclass(frozen=True)
class Row:
    """One side by itself."""

    name: str
    paths: list[str]
    agent: str
    episodes: int
    """Finished, over all runs of the side."""
    win_rate: float | None
    """None, like its interval, where the scenario has no winner."""
    win_rate_interval: Interval[float] | None
    """Wilson's for one run; Student's t over training seeds for several."""
    return_mean: float
    return_interval: Interval[float] | None
    """Student's t, over episodes of one run or over training seeds."""
    advice: str | None
    """For several runs: where the uncertainty comes from."""


@dataclass(frozen=True)
class Comparison:
    """All sides and all pairs."""

    scenario: str
    rows: list[Row]
    pairs: list[Pair]
    notes: list[str]
    settings: Settings


def read_sides(arguments: Sequence[str]) -> list[Side]:
    """Read one side per argument: a run directory, or several of one method joined by commas.

    Raises:
        InvalidValueError: fewer than two sides, a run without episodes, or a run twice within a side.
        MismatchError: the runs of a side are of several agents.
        HarnessError: a run cannot be read.
    """
    if len(arguments) < 2:
        raise InvalidValueError("a comparison needs two runs or more: harness compare runs/A runs/B")
    folders = [[Path(part) for part in argument.split(",") if part] for argument in arguments]
    names = [_name(group, short=True) for group in folders]
    if len(set(names)) < len(names):
        names = [_name(group, short=False) for group in folders]
    sides = [Side(name, tuple(map(load_run, group))) for name, group in zip(names, folders, strict=True)]
    for side, argument in zip(sides, arguments, strict=True):
        _check_side(side, argument)
    return sides


def _name(group: Sequence[Path], short: bool) -> str:
    name = ",".join(path.resolve().name if short else str(path) for path in group)
    if len(group) > 1 and len(name) > _LONGEST_NAME and short:
        return f"{group[0].resolve().name} and {len(group) - 1} more"
    return name


def _check_side(side: Side, argument: str) -> None:
    if not side.runs:
        raise InvalidValueError(
            f"'{argument}' names no run; give a run directory, or several joined by commas"
        )
    for run in side.runs:
        if not run.episodes:
            raise InvalidValueError(f"{run.path} has no finished episode yet; let its evaluation play some")
    for key in ("agent", "act_mode"):
        found = {str(run.manifest["config"].get(key)) for run in side.runs}
        if len(found) > 1:
            raise MismatchError(
                f"'{argument}' mixes {key} {' and '.join(sorted(found))}; runs joined by commas are "
                "training seeds of one method"
            )
    hashes = [run.manifest["config"].get("agent_hash") for run in side.runs]
    if len(hashes) > 1 and len(set(hashes)) < len(hashes):
        raise InvalidValueError(
            f"'{argument}' holds the same checkpoint twice; runs joined by commas are training seeds; more episodes of one checkpoint: --episodes"
        )


def compare(sides: Sequence[Side], settings: Settings) -> Comparison:
    """Compare every pair of sides.

    Raises:
        MismatchError: two runs are of another scenario, layout or engine; the message names the key.
        InvalidValueError: settings that make no sense.
    """
    check_probability("--confidence", settings.confidence)
    check_resamples(settings.n_resamples)
    runs = [run for side in sides for run in side.runs]
    _check_same(runs)
    has_winner = any(record.won is not None for run in runs for record in run.episodes)
    pairs = [
        compare_pair(ours, theirs, has_winner, settings, np.random.SeedSequence([settings.seed, i, j]))
        for (i, ours), (j, theirs) in combinations(enumerate(sides), 2)
    ]
    return Comparison(
        scenario=str(runs[0].manifest["config"].get("scenario")),
        rows=[_row(side, has_winner, settings.confidence) for side in sides],
        pairs=_corrected(pairs),
        notes=_notes(sides, pairs),
        settings=settings,
    )


def _check_same(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        for key in _SAME:
            values = [each.manifest["config"].get(key) for each in (first, run)]
            if values[0] != values[1]:
                raise MismatchError(
                    f"{first.path} and {run.path} differ in {key}: {values[0]} and {values[1]}; "
                    "compare runs of one scenario, layout and engine"
                )


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    adjusted = holm([1.0 if pair.p_value is None else pair.p_value for pair in pairs])
    return [
        replace(pair, p_corrected=None if pair.p_value is None else float(p))
        for pair, p in zip(pairs, adjusted, strict=True)
    ]


def _row(side: Side, has_winner: bool, confidence: float) -> Row:
    returns, wins = side.returns(), side.wins()
    if len(side.runs) > 1:
        over = two_level(returns, confidence)
        rate = two_level(wins, confidence) if has_winner else None
        win_rate, bounds = (None, None) if rate is None else (rate.mean, rate.interval)
        within = None if bounds is None else Interval(max(0.0, bounds.lower), min(1.0, bounds.upper))
        mean, interval, advice = over.mean, over.interval, (rate or over).advice
    else:
        (won,), (values,) = wins, returns
        win_rate = float(won.mean()) if has_winner else None
        within = wilson_interval(int(won.sum()), won.size, confidence) if has_winner else None
        mean, interval, advice = float(values.mean()), mean_interval(values, confidence), None
    return Row(
        name=side.name,
        paths=[str(run.path) for run in side.runs],
        agent=str(side.runs[0].manifest["config"].get("agent")),
        episodes=sum(len(run.episodes) for run in side.runs),
        win_rate=win_rate,
        win_rate_interval=within,
        return_mean=mean,
        return_interval=interval,
        advice=advice,
    )


def _notes(sides: Sequence[Side], pairs: Sequence[Pair]) -> list[str]:
    """What a reader should know before believing the numbers."""
    notes = []
    conditions = {side.name: side.runs[0].manifest["config"].get("conditions") or "none" for side in sides}
    if len({str(value) for value in conditions.values()}) > 1:
        notes.append(f"not played under the same conditions: {conditions}")
    for run in (run for side in sides for run in side.runs):
        planned, crashed = run.planned, _crashed(run)
        if len(run.episodes) < planned:
            notes.append(f"{run.path} is unfinished: {len(run.episodes)} of {planned} episodes")
        if crashed:
            notes.append(f"{run.path}: {crashed} episodes broke off with an error and count as lost")
    for pair in pairs:
        ours, theirs = (
            next(side for side in sides if side.name == name) for name in (pair.ours, pair.theirs)
        )
        notes += _pair_notes(pair, ours, theirs)
    return notes


def _crashed(run: Run) -> int:
    return sum(record.error is not None for record in run.episodes)


def _pair_notes(pair: Pair, ours: Side, theirs: Side) -> list[str]:
    both = f"{pair.ours} and {pair.theirs}"
    notes = []
    if not pair.paired:
        notes.append(
            f"{both} share no episode seeds and are compared unpaired; the same --seed for both tells more"
        )
    else:
        common = len(ours.seeds() & theirs.seeds())
        most = max(len(run.episodes) for side in (ours, theirs) for run in side.runs)
        if common < most:
            notes.append(f"{both} are compared on the {common} episodes that all their runs have")
    if len({_identity(side) for side in (ours, theirs)}) == 1:
        notes.append(f"{both} are the same checkpoint acting the same way: their difference is noise")
    if not pair.covers_training and max(pair.training_seeds) > 1:
        notes.append(f"{both}: one side has one training seed, so this speaks of these checkpoints only")
    return notes


def _identity(side: Side) -> frozenset[tuple[str, str]]:
    configs = [run.manifest["config"] for run in side.runs]
    return frozenset((str(config.get("agent_hash")), str(config.get("act_mode"))) for config in configs)
