"""`harness bench statistics`: bootstrap intervals and sequential rules, as ratios to a peer in the same run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, Final

import numpy as np

from benchmarks.measurement import Measurement, make_report
from env_adapters.api import DoubleArray
from harness.commands.bench import Report
from harness.progress import Say
from harness.statistics.aggregates import iqm, stratified_bootstrap_interval
from harness.statistics.intervals import bootstrap_t_interval, clopper_pearson_interval
from harness.statistics.profiles import performance_profile
from harness.statistics.sequential import first_better, first_precise
from harness.statistics.unpaired import probability_of_improvement, probability_of_improvement_interval

_IQM_TARGET_S: Final = 0.1
_IQM_RATIO: Final = {"rliable": 100.0, "a plain loop": 8.0}
_SHAPE: Final = (6, 27)
_N_IQM: Final = 50_000
_N_IMPROVEMENT: Final = 2_000


@dataclass(frozen=True)
class Config:
    """Speed of the statistics: the interval of an interquartile mean over 6 runs x 27 tasks, and the others."""

    json: bool = False
    """Print one JSON object instead of the table."""
    quick: bool = False
    """A few resamples: shows that everything runs, measures nothing."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    repetitions: int
    scale: int
    """Resamples are divided by this."""
    peer_scale: int
    """The peer's are divided by this, and its time multiplied."""


FULL = Effort(7, 1, 25)
QUICK = Effort(2, 100, 500)


def run(config: Config, say: Say) -> Report:
    """Measure everything, one thing after the other.

    Args:
        config: what to measure.
        say: receives a line about each stage.
    """
    effort = QUICK if config.quick else FULL
    peer = _rliable()
    name = "a plain loop" if peer is None else "rliable"
    rows = list(_measure(effort, peer, name, say))
    notes = [
        "IQM: stratified percentile interval of the interquartile mean of 6 runs x 27 tasks, 50,000 resamples",
        f"peer: {name}, one resample after the other, same estimator and data; timed with 1/{effort.peer_scale} of "
        "the resamples and scaled",
        "processor time: what the machine's other work cannot lengthen; the limit is for an idle machine",
        "spread is lowest .. highest of n repetitions; ratios are taken within each repetition",
    ]
    if peer is None:
        notes.append("rliable cannot be imported here (rliable 1.2 needs pandas below 3)")
    return make_report("statistics", config.quick, rows, notes)


def _rliable() -> Any | None:
    """The modules of rliable; None where it is missing or broken."""
    try:
        return importlib.import_module("rliable.library"), importlib.import_module("rliable.metrics")
    except Exception:  # of another package's import: pandas 3 makes it a TypeError
        return None


def _measure(effort: Effort, peer: Any | None, name: str, say: Say) -> Iterator[Measurement]:
    rng = np.random.Generator(np.random.Philox(0))
    scores, others = rng.normal(size=_SHAPE), rng.normal(size=_SHAPE)
    say("interquartile mean ...")
    n = _N_IQM // effort.scale
    yield from _race(
        "IQM interval, 6 x 27, 50,000 resamples",
        lambda: stratified_bootstrap_interval(scores, iqm, rng, n),
        lambda: _peer_iqm(peer, scores, _N_IQM // effort.peer_scale, rng),
        (effort, name, _IQM_TARGET_S, _IQM_RATIO[name]),
    )
    say("probability of improvement ...")
    n_pairs = max(1, _N_IMPROVEMENT // effort.scale)
    yield from _race(
        "probability of improvement interval, 6 x 27, 2,000 resamples",
        lambda: probability_of_improvement_interval(scores, others, rng, n_pairs),
        lambda: _peer_improvement(peer, scores, others, max(1, _N_IMPROVEMENT // effort.peer_scale), rng),
        (effort, name, None, None),
    )
    say("the others ...")
    won, lost = (rng.random(1000) < 0.6).astype(float), (rng.random(1000) < 0.5).astype(float)
    wins = np.arange(1001)
    others_by_name: dict[str, Callable[[], object]] = {
        "performance profile, 6 x 27, 100 thresholds, 2,000 resamples": lambda: performance_profile(
            scores, np.linspace(-2, 2, 100), rng
        ),
        "studentised bootstrap of a mean, 1,000 episodes, 10,000 resamples": lambda: bootstrap_t_interval(
            won, rng
        ),
        "Clopper-Pearson, every count of 1,000 episodes": lambda: clopper_pearson_interval(wins, 1000),
        "first_better, 1,000 episodes, looked at after each": lambda: first_better(won, lost, 1e-9),
        "first_precise, 1,000 episodes, looked at after each": lambda: first_precise(won, 0.02),
    }
    for what, call in others_by_name.items():
        yield Measurement(what, "s", [_seconds(call) for _ in range(effort.repetitions)])


def _race(
    what: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    terms: tuple[Effort, str, float | None, float | None],
) -> Iterator[Measurement]:
    effort, name, limit_s, least_ratio = terms
    ours()  # warms up
    processor = [_seconds(ours, process_time) for _ in range(effort.repetitions)]
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(effort.repetitions)]
    scale = effort.peer_scale / effort.scale
    yield Measurement(what, "s", [mine for mine, _ in pairs], limit_s, at_most=True)
    yield Measurement(f"{what}: processor time", "s", processor, limit_s, at_most=True)
    yield Measurement(
        f"{what}: time of {name} over ours", "x", [scale * other / mine for mine, other in pairs], least_ratio
    )


def _seconds(call: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    start = clock()
    call()
    return clock() - start


def _peer_iqm(peer: Any | None, scores: DoubleArray, n: int, rng: np.random.Generator) -> object:
    if peer is not None:
        library, metrics = peer
        return library.get_interval_estimates(
            {"ours": scores}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=n
        )
    columns = np.arange(scores.shape[1])
    values = [float(iqm(scores[rng.integers(scores.shape[0], size=scores.shape), columns])) for _ in range(n)]
    return np.quantile(values, [0.025, 0.975])


def _peer_improvement(
    peer: Any | None, scores: DoubleArray, others: DoubleArray, n: int, rng: np.random.Generator
) -> object:
    if peer is not None:
        library, metrics = peer
        return library.get_interval_estimates(
            {"ours": (scores, others)},
            lambda x, y: np.array([metrics.probability_of_improvement(x, y)]),
            reps=n,
        )
    columns = np.arange(scores.shape[1])
    values = []
    for _ in range(n):
        first, second = (
            side[rng.integers(side.shape[0], size=side.shape), columns] for side in (scores, others)
        )
        values.append(probability_of_improvement(first, second))
    return np.quantile(values, [0.025, 0.975])
