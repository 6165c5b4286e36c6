"""Distances between the actions of a study's agents and those of its data, measured once per cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from datasets.formats.native import open_dataset
from env_adapters.errors import CorruptFileError
from env_adapters.files import write_atomic
from harness.jobs import one_torch_thread
from harness.study import cells
from harness.study.scores import Scored, Scores
from harness.study.spec import Cell

_FILE: Final = "support.json"
_SITUATIONS: Final = 1000
_EPISODES: Final = 8
PLACES: Final = {"data": "in situations of the data", "play": "in situations of its own"}


class Nearness(NamedTuple):
    """One seed in one kind of situations; distances over the data's own (1 is as far as the data is from itself)."""

    single: float
    joint: float


def is_missing(cell: Cell, out: Path) -> bool:
    """Whether a finished cell has not been measured."""
    return cells.is_done(cell, out) and not (cells.folder(cell, out) / _FILE).exists()


def measure_cell(cell: Cell, out: Path) -> int:
    """Measure every seed of a cell that did not diverge; returns 0."""
    from harness.support import SupportOptions, measure

    outcomes = [outcome for outcome in cells.read(cell, out) if outcome.stopped is None]
    reports: dict[int, Any] = {}
    if outcomes:
        dataset = open_dataset(cells.dataset_path(out, cell.scale, cell.dataset))
        options = SupportOptions(observations=_SITUATIONS, episodes=_EPISODES)
        with one_torch_thread():
            found = measure([outcome.checkpoint for outcome in outcomes], dataset, options)
        reports = {o.seed: report.to_json() for o, report in zip(outcomes, found, strict=True)}
    write_atomic(cells.folder(cell, out) / _FILE, json.dumps(reports, indent=1).encode())
    return 0


def read(found: Scored, out: Path, place: str) -> dict[int, Nearness]:
    """By seed; {} where nothing was measured.

    Raises:
        CorruptFileError: the file is damaged.
    """
    path = cells.folder(found.cell, out) / _FILE
    if not path.exists():
        return {}
    try:
        reports = json.loads(path.read_text(encoding="utf-8"))
        return {int(seed): _nearness(report["places"][place]) for seed, report in reports.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(
            f"{path} is damaged: {error!r}; delete it, the study makes it again"
        ) from error


def _nearness(report: dict[str, Any]) -> Nearness:
    """NaN for a ratio to zero."""
    ratios = [report["to_data"][name] for name in Nearness._fields]
    return Nearness(*(float("nan") if ratio is None else float(ratio["mean"]) for ratio in ratios))


def table(scores: Scores, out: Path, place: str) -> list[list[str]]:
    """One row per variant, one column per dataset: single / joint distance, the mean over seeds."""
    rows = []
    for variant in scores.study.variants:
        cells_of = [scores.find(dataset, variant.name) for dataset in scores.study.datasets]
        found = [{} if cell is None else read(cell, out, place) for cell in cells_of]
        if any(found):
            rows.append([variant.label, *(_words(list(seeds.values())) for seeds in found)])
    return rows


def _words(values: list[Nearness]) -> str:
    if not values:
        return "-"
    means = np.nanmean(np.array(values), axis=0)
    return f"{means[0]:.2f} / {means[1]:.2f}"


def points(scores: Scores, out: Path, place: str) -> list[tuple[str, str, float, float]]:
    """(dataset, label, joint distance over the data's, normalised score), one per seed."""
    found = []
    for row in scores.rows:
        if row.references is None:
            continue
        by_seed = dict(enumerate(row.scores()))
        for seed, near in read(row, out, place).items():
            found.append((row.cell.dataset, row.cell.variant.label, near.joint, float(by_seed[seed])))
    return found
