"""Support reports as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.support.report import Estimate, Level, PlaceReport, SupportReport, Where
from harness.tables import render

_TITLES: Final[dict[Where, str]] = {
    "data": "situations of the dataset",
    "play": "situations that the team itself gets into",
}
_DISCRETE = ("unseen", "", "x data", "x random", "frequency", "joint", "", "x data", "x indep.", "exact")
_CONTINUOUS = ("single", "", "x data", "x random", "joint", "", "x data", "x indep.")


def _span(value: Estimate | None) -> str:
    if value is None or value.lower is None or value.upper is None:
        return "-"
    return f"[{value.lower:.3g}, {value.upper:.3g}]"


def _number(value: Estimate | None) -> str:
    return "-" if value is None else f"{value.mean:.3g}"


def _row(name: str, level: Level, place: PlaceReport | None) -> list[str]:
    """Without `place` a row of reference, which has no ratios."""
    ratios = [None] * 4 if place is None else [
        place.to_data.single, place.to_random.single, place.to_data.joint, place.to_independent.joint
    ]  # fmt: skip
    single = [_number(level.single), _span(level.single), *map(_number, ratios[:2])]
    joint = [_number(level.joint), _span(level.joint), *map(_number, ratios[2:])]
    if level.joint_exact is None:
        return [name, *single, *joint]
    return [name, *single, _number(level.single_frequency), *joint, _number(level.joint_exact)]


def format_reports(reports: Sequence[SupportReport]) -> str:
    """A table per kind of situations; the references of a table of situations of their own stand below each team."""
    first = reports[0]
    discrete = first.data.joint_exact is not None
    lines = [
        f"{first.scenario} ({first.layout}): k = {first.neighbours} of {first.n_searched:,} transitions, seed {first.seed}"
    ]
    for where, title in _TITLES.items():
        rows = [_row("the data itself", first.data, None)]
        for report in reports:
            place = report.places.get(where)
            if place is None:
                continue
            if where == "play" or report is first:
                rows += [_row(name, level, None) for name, level in _references(place)]
            rows.append(_row(report.team, place.team, place))
        if len(rows) == 1:
            continue
        lines += ["", f"{title}: {_size([report.places[where] for report in reports])}"]
        lines.append(render(("actions of", *(_DISCRETE if discrete else _CONTINUOUS)), rows))
    if any("play" in report.places for report in reports):
        lines += ["", _outcomes(reports)]
    return "\n".join([*lines, "", *_notes(reports, discrete)])


def _size(places: Sequence[PlaceReport]) -> str:
    low, high = (pick(place.n_situations for place in places) for pick in (min, max))
    counted = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{counted} of {places[0].n_episodes:,} episodes"


def _references(place: PlaceReport) -> list[tuple[str, Level]]:
    return [("  independent", place.independent), ("  random", place.random)]


def _outcomes(reports: Sequence[SupportReport]) -> str:
    """Where playing leads: away from the data's observations or not, and to which return."""
    rows = []
    for report in reports:
        place = report.places["play"]
        away = place.observation_to_data
        rows.append((
            report.team, _number(place.observation.single), _number(away.single), _number(away.joint),
            _number(report.return_mean), _span(report.return_mean), _number(report.win_rate),
        ))  # fmt: skip
    headers = ("played by", "observations away", "x data", "joint x data", "return", "", "win rate")
    return render(headers, rows)


def _notes(reports: Sequence[SupportReport], discrete: bool) -> list[str]:
    what = (
        "unseen: share of actions that none of the k neighbours took; frequency: share of the neighbours that took it; "
        "joint: share of agents that differ from the nearest joint action; exact: share of joint actions seen"
        if discrete
        else "single, joint: distance to the nearest of the k neighbours' actions, root mean square per component"
    )
    notes = [what]
    notes += [
        f"{report.team} was trained on another dataset than this"
        for report in reports
        if report.trained_on_this is False
    ]
    return notes
