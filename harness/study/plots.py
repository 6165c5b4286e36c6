"""Pictures of a study: learning curves, times of training, distance to the data against score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from datasets.pictures import new_figure, write_png
from harness.statistics.intervals import mean_interval
from harness.study.scores import Scored, Scores

_COLOURS: Final = (
    "#3b6ea5", "#c8553d", "#4b9560", "#8661a8", "#d9992b", "#4aa3a8", "#a3564f", "#5b4636",
)  # fmt: skip
_GREY: Final = "#777777"
_PANEL_INCHES: Final = (4.4, 3.2)
_DOTS_PER_INCH: Final = 120


def figure(rows: int, columns: int, sharey: str = "none") -> tuple[Any, Any]:
    """An empty figure and its panels [rows][columns]; MissingExtraError without matplotlib."""
    width, height = _PANEL_INCHES
    made = new_figure("the report of a study", (width * columns, height * rows), _DOTS_PER_INCH)
    return made, made.subplots(rows, columns, squeeze=False, sharey=sharey)


def save(made: Any, path: Path) -> Path:
    """Write a figure as PNG and return its path."""
    write_png(made, path)
    return path


def curves(scores: Scores, path: Path) -> Path:
    """Return against step: a column of panels per dataset, a row per group of variants, bands of 95 %."""
    groups: dict[str, list[Scored]] = {}
    for found in scores.rows:
        groups.setdefault(found.cell.variant.group, []).append(found)
    datasets = scores.study.datasets
    made, panels = figure(max(1, len(groups)), len(datasets), sharey="col")
    for row, members in enumerate(groups.values()):
        names = list(dict.fromkeys(found.cell.variant.name for found in members))
        for column, dataset in enumerate(datasets):
            axes = panels[row][column]
            if dataset in scores.data:
                axes.axhline(scores.data[dataset].returns.mean, color=_GREY, linestyle="--", label="data")
            for found in members:
                if found.cell.dataset == dataset:
                    _curve(axes, found, _COLOURS[names.index(found.cell.variant.name) % len(_COLOURS)])
            axes.set_title(dataset if row == 0 else "", fontsize=10)
            _finish(axes, "gradient steps" if row == len(groups) - 1 else "", "return" if column == 0 else "")
    return save(made, path)


def _curve(axes: Any, found: Scored, colour: str) -> None:
    played = [{s: r["return"] for s, r in o.curve.items() if "return" in r} for o in found.outcomes]
    steps = sorted(set().union(*played))
    values = [[seed[step] for seed in played if step in seed] for step in steps]
    means = [float(np.mean(column)) for column in values]
    bands = [mean_interval(column) if len(column) > 1 else None for column in values]
    lower = [m if band is None else band.lower for m, band in zip(means, bands, strict=True)]
    upper = [m if band is None else band.upper for m, band in zip(means, bands, strict=True)]
    lost = f" ({found.n_diverged} diverged)" if found.n_diverged else ""
    axes.plot(steps, means, color=colour, marker="o", markersize=3, label=found.cell.variant.label + lost)
    axes.fill_between(steps, lower, upper, color=colour, alpha=0.15, linewidth=0)


def times(scores: Scores, path: Path) -> Path:
    """Processor minutes of one training as bars, a panel per dataset."""
    made, panels = figure(1, len(scores.study.datasets))
    for axes, dataset in zip(panels[0], scores.study.datasets, strict=True):
        rows = [row for row in scores.rows if row.cell.dataset == dataset]
        minutes = [row.cpu_s / len(row.outcomes) / 60.0 for row in rows]
        places = np.arange(len(rows))[::-1]
        axes.barh(places, minutes, color=_COLOURS[0], height=0.6)
        for place, value in zip(places, minutes, strict=True):
            axes.text(value, place, f" {value:.3g}", va="center", fontsize=9)
        axes.locator_params(axis="x", nbins=4)
        axes.set_yticks(places, [row.cell.variant.label for row in rows], fontsize=9)
        axes.set_title(dataset, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("processor minutes per training")
    return save(made, path)


def scatter(points: Sequence[tuple[str, str, float, float]], path: Path, xlabel: str) -> Path:
    """Score against something: points (dataset, label, x, score), a panel per dataset."""
    datasets = list(dict.fromkeys(point[0] for point in points))
    labels = list(dict.fromkeys(point[1] for point in points))
    made, panels = figure(1, len(datasets))
    for axes, dataset in zip(panels[0], datasets, strict=True):
        for label, colour in zip(labels, _COLOURS * len(labels), strict=False):
            chosen = [point[2:] for point in points if point[:2] == (dataset, label)]
            if chosen:
                axes.scatter(*np.array(chosen).T, color=colour, s=22, label=label)
        axes.set_title(dataset, fontsize=10)
        _finish(axes, xlabel, "normalised score" if dataset == datasets[0] else "")
    return save(made, path)


def _finish(axes: Any, xlabel: str, ylabel: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7)
