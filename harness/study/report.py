"""The report of a study: tables, claims and pictures as one Markdown page, and every number as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from env_adapters.api import DoubleArray
from env_adapters.files import write_atomic, writing
from harness.statistics.intervals import mean_interval
from harness.study import claims, nearness, plots
from harness.study.scores import Scored, Scores

_COLUMNS: Final = ("dataset", "variant", "agent", "scale", "seed", "step", "return", "win_rate", "stopped")
Row = list[str]


def table(scores: Scores, value: Callable[[Scored], str], datasets: Sequence[str]) -> list[Row]:
    """Headers, then one row per variant with one column per dataset; `-` where there is no finished cell."""
    rows = [["variant", *datasets]]
    for variant in scores.study.variants:
        found = [scores.find(dataset, variant.name) for dataset in datasets]
        if any(found):
            rows.append([variant.label, *("-" if cell is None else value(cell) for cell in found)])
    return rows


def returns(cell: Scored) -> str:
    """Mean and half-width of the 95 % interval over seeds of the return at the last evaluation."""
    return _words(cell.column("return"), cell.n_diverged, 1.0)


def win_rates(cell: Scored) -> str:
    """The same of the win rate, in percent."""
    return _words(cell.column("win_rate"), cell.n_diverged, 100.0)


def _words(values: DoubleArray, n_diverged: int, unit: float) -> str:
    lost = f", {n_diverged} diverged" if n_diverged else ""
    if not len(values):
        return lost.removeprefix(", ") or "-"
    mean = float(values.mean()) * unit
    interval = mean_interval(values * unit) if len(values) > 1 else None
    half = "" if interval is None else f" ± {_short((interval.upper - interval.lower) / 2)}"
    return f"{_short(mean)}{half}{lost}"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"


def write(scores: Scores, out: Path, folder: Path) -> Path:
    """Write `report.md`, `results.csv` and the pictures of a study into a folder; returns the page.

    Args:
        scores: what to report.
        out: folder of the studies.
        folder: created if missing.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if scores.study.figure == "times":
        pictures = [("Processor time of one training", plots.times(scores, folder / "times.png"))]
    else:
        pictures = [("Learning curves", plots.curves(scores, folder / "curves.png"))]
    write_atomic(folder / "results.csv", frame(scores).to_csv(index=False).encode())
    path = folder / "report.md"
    lines = page(scores, pictures) + _support(scores, out, folder)
    write_atomic(path, "\n".join(lines).encode())
    return path


def _support(scores: Scores, out: Path, folder: Path) -> list[str]:
    """How far actions are from the data's, if that was measured."""
    lines: list[str] = []
    for place, words in nearness.PLACES.items():
        rows = nearness.table(scores, out, place)
        if rows:
            name = f"support-{place}.png"
            plots.scatter(
                nearness.points(scores, out, place), folder / name, "joint distance (the data's own = 1)"
            )
            lines += [f"## Distance to the data's actions {words}", ""]
            lines += [
                "Single / joint distance over the data's own, the mean over seeds (`harness check support`).",
                "",
            ]
            lines += [
                *markdown([["variant", *scores.study.datasets], *rows]),
                "",
                f"![Joint distance and score {words}]({name})",
                "",
            ]
    return lines


def page(scores: Scores, pictures: Sequence[tuple[str, Path]]) -> list[str]:
    """The report as lines of Markdown; pictures are (title, path)."""
    study, scale = scores.study, scores.study.scale
    n = len(scores.rows)
    lines = [f"# {study.title}", "", _protocol(scores), ""]
    lines += [f"{n} of {len(study.cells())} trainings of {scale.seeds} seeds are finished.", ""]
    data = [scores.data.get(dataset) for dataset in study.datasets]
    of_data = ["the data (± its standard deviation)"]
    of_data += ["-" if c is None else f"{_short(c.returns.mean)} ± {_short(c.returns.std)}" for c in data]
    names, *rows = table(scores, returns, study.datasets)
    lines += ["## Return", "", *markdown([names, of_data, *rows]), ""]
    if battles := [dataset for dataset, has_win in scores.has_win.items() if has_win]:
        lines += ["## Win rate (%)", "", *markdown(table(scores, win_rates, battles)), ""]
    if study.figure == "times":
        lines += ["## Processor minutes of one training", "", *_times(scores), ""]
    if study.claims:
        lines += ["## Claims", "", *_claims(scores), ""]
    for title, path in pictures:
        lines += [f"## {title}", "", f"![{title}]({path.name})", ""]
    return lines


def _protocol(scores: Scores) -> str:
    scale = scores.study.scale
    steps = " and ".join(f"{n:,} ({kind})" for kind, n in scale.steps.items())
    episodes = " and ".join(f"{n} ({kind})" for kind, n in scale.episodes.items())
    return (
        f"Scale `{scale.name}`: gradient steps {steps}, training seeds {scale.seeds}, episodes of an evaluation "
        f"{episodes}, the same for every variant; options {dict(scale.options) or 'as the agents have them'}. "
        "Numbers are of the last step; ± is half the 95 % interval (Student's t) over training seeds that did not diverge."
    )


def _times(scores: Scores) -> list[str]:
    first = scores.study.variants[0].name

    def words(cell: Scored) -> str:
        peer = scores.find(cell.cell.dataset, first)
        ratio = "" if peer is None else f" ({cell.cpu_s / peer.cpu_s:.2f})"
        return f"{cell.cpu_s / len(cell.outcomes) / 60.0:.2f}{ratio}"

    return [
        "In brackets over the first variant's. Starting and playing are included, and seeds that diverged early make a training "
        "look cheap; steps alone are compared by `harness bench train`.",
        "",
        *markdown(table(scores, words, scores.study.datasets)),
    ]


def _claims(scores: Scores) -> list[str]:
    found = claims.test(scores, scores.study.claims)
    rows = []
    for finding in found:
        interval = finding.interval
        ends = "-" if interval is None else f"[{interval.lower:.1f}, {interval.upper:.1f}]"
        compared = f"{finding.ours} - {finding.theirs}"
        rows.append(
            [finding.claim, compared, finding.dataset, f"{finding.difference:+.1f}", ends, finding.verdict]
        )
    scales = "; ".join(scores.scales())
    return [
        f"Differences are points of normalised score ({scales}); a seed that diverged counts as 0. Intervals of 95 % by "
        f"Welch's t over training seeds, of these evaluation episodes. Less than {claims.MARGIN:g} points count as no difference.",
        "",
        *markdown([["claim", "compared", "dataset", "difference", "95 % interval", "verdict"], *rows]),
    ]


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; the first row holds the headers."""
    first, *others = rows
    return [f"| {' | '.join(line)} |" for line in (first, ["---"] * len(first), *others)]


def frame(scores: Scores) -> pd.DataFrame:
    """Every point of every learning curve, one row each; a seed that diverged ends with a row that says so."""
    rows: list[tuple[object, ...]] = []
    for scored in scores.rows:
        cell = scored.cell
        names = (cell.dataset, cell.variant.name, cell.variant.agent, cell.scale.name)
        for outcome in scored.outcomes:
            for step, row in outcome.curve.items():
                if "return" in row:
                    rows.append((*names, outcome.seed, step, row["return"], row.get("win_rate"), None))
            if outcome.stopped is not None:
                rows.append((*names, outcome.seed, None, None, None, outcome.stopped))
    return pd.DataFrame(rows, columns=list(_COLUMNS))
