"""The table as people read it: blocks by world, numbers rounded to what their intervals support."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.leaderboard.rows import CLEAN, Row, plain_rows
from harness.tables import printable, render

if TYPE_CHECKING:
    import pandas as pd

Cell = str | None


@dataclass(frozen=True)
class Block:
    """The rows of one scenario, layout and engine. Nothing of another world stands beside them."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


def blocks(frame: pd.DataFrame, with_passport: bool = True, alike: bool = False) -> list[Block]:
    """The table by world, each block with the columns that its rows have something to say in.

    Args:
        frame: of runs or of averages.
        with_passport: with a last column of passport ids.
        alike: give every block the columns that any of them needs.
    """
    averaged = "runs" in frame
    rows = plain_rows(frame)
    last = [("passport", _text("passport_id"))] if with_passport else []
    found = []
    for world, own in _by_world(rows):
        columns = _columns(rows if alike else own, averaged) + last
        headers = tuple(header for header, _ in columns)
        found.append(
            Block(" · ".join(world), headers, [tuple(cell(row) for _, cell in columns) for row in own])
        )
    return found


_Column = tuple[str, Callable[[Row], Cell]]


def _columns(rows: Sequence[Row], averaged: bool) -> list[_Column]:
    def some(header: str, cell: Callable[[Row], Cell]) -> list[_Column]:
        return [(header, cell)] if any(cell(row) is not None for row in rows) else []

    timed = sorted({row["latency_scenario"] for row in rows if row["action_p50_us"] is not None})
    return [
        ("agent", lambda row: f"{row['agent']} ({row['act_mode']})"),
        *some("config", _text("config_hash") if _several_configs(rows) else lambda row: None),
        *some("dataset", _text("dataset")),
        ("seeds", _text("n_seeds")) if averaged else ("seed", _text("training_seed")),
        ("n", _episodes),
        ("return [95 %]", _return),
        *some("win % [95 %]", _win_rate),
        *some("score", _score),
        *(_timed_column(scenario) for scenario in timed),
        ("decentralized", lambda row: decentralized_in_short(row["decentralized"])),
        *some("remarks", _remarks),
    ]


def _remarks(row: Row) -> Cell:
    """Whatever sets this row apart from an undisturbed evaluation of a fixed number of episodes."""
    said = [
        None if row["conditions"] == CLEAN else row["conditions"],
        f"{row['crashed']} crashed ({row['on_crash']})" if row["crashed"] else None,
        row["stop_rule"] and f"stopped: {row['stop_rule']}",
        row.get("mixed") and f"mixed: {row['mixed']}",
    ]
    return "; ".join(part for part in said if part) or None


def _text(name: str) -> Callable[[Row], Cell]:
    return lambda row: None if row[name] is None else str(row[name])


def _several_configs(rows: Sequence[Row]) -> bool:
    """Whether two rows look alike but for their hyperparameters."""
    names = ("scenario", "layout", "engine", "agent", "dataset", "act_mode", "conditions")
    configs: dict[tuple[object, ...], set[object]] = {}
    for row in rows:
        configs.setdefault(tuple(row[name] for name in names), set()).add(row["config_hash"])
    return any(len(found) > 1 for found in configs.values())


def _episodes(row: Row) -> Cell:
    """Episodes, per team in an average; `160 total` where the teams have different numbers."""
    if row["episodes"] is None:
        return f"{row['episodes_total']} total"
    return str(row["episodes"])


def decimals(half_width: float, most: int = 3) -> int:
    """Decimals that a number with an interval of this half width supports.

    The half width keeps two digits up to 3.54 and one above (Particle Data Group, "Review of particle physics"
    (2024), introduction, section 5.3), and the number as many places as the half width.
    """
    if half_width <= 0:
        return most
    place = math.floor(math.log10(half_width))
    digits = 2 if half_width / 10.0**place < 3.55 else 1
    return max(0, min(most, digits - 1 - place))


def _return(row: Row) -> Cell:
    mean, lower, upper = row["return_mean"], row["return_lower"], row["return_upper"]
    if lower is None or upper is None:
        return f"{mean:.0f}" if abs(mean) >= 100 else f"{mean:.3g}"
    digits = decimals((upper - lower) / 2)
    return f"{mean:.{digits}f} [{lower:.{digits}f}, {upper:.{digits}f}]"


def _win_rate(row: Row) -> Cell:
    if row["win_rate"] is None:
        return None
    rate, lower, upper = (100.0 * row[name] for name in ("win_rate", "win_rate_lower", "win_rate_upper"))
    digits = decimals((upper - lower) / 2, most=1)
    return f"{rate:.{digits}f} [{lower:.{digits}f}, {upper:.{digits}f}]"


def _score(row: Row) -> Cell:
    """Without decimals, and without the sign of a zero."""
    return None if row["normalised_score"] is None else f"{round(row['normalised_score'])}"


def _timed_column(scenario: str) -> _Column:
    """One column per latency scenario, so that times of two never stand under each other."""

    def cell(row: Row) -> Cell:
        if row["latency_scenario"] != scenario or row["action_p50_us"] is None:
            return None
        p90 = "-" if row["action_p90_us"] is None else f"{row['action_p90_us']:.0f}"
        return f"{row['action_p50_us']:.0f} / {p90}{'!' if row['latency_flagged'] else ''}"

    return _timed_header(scenario), cell


def _timed_header(scenario: str) -> str:
    return f"{scenario} µs"


def decentralized_in_short(words: str | None) -> str:
    """`yes`, `no` or `not shown`: the first word decides, and without words nothing was shown."""
    if words is None or not words.strip():
        return "not shown"
    return "no" if words.strip().lower().startswith("no") else "yes"


def legend(frame: pd.DataFrame) -> list[str]:
    """What the cells do not say themselves, one line each."""
    rows = plain_rows(frame)
    averaged = "runs" in frame
    lines = []
    if averaged and rows:
        lines.append(
            "means over training seeds; n is per seed; the interval of a single seed is over its episodes alone"
        )
    if any(row["action_p50_us"] is not None for row in rows):
        whose = "of the slowest team" if averaged else "of one joint action"
        lines.append(f"µs: p50 / p90 {whose}")
    flags = {row["latency_flagged"] for row in rows if row["latency_flagged"]}
    lines += [f"!: {printable(flag)}" for flag in sorted(flags)]
    references = sorted({(row["scenario"], row["normalised_by"]) for row in rows if row["normalised_by"]})
    lines += [f"score on {printable(scenario)}: {printable(by)}" for scenario, by in references]
    return lines


def format_table(frame: pd.DataFrame) -> str:
    """The table for the terminal: one block per world, then what the numbers mean, then which run is which.

    Blocks stay below 120 columns with names of usual length: remarks stand below, marked with a star.
    """
    if frame.empty:
        return "no finished runs"
    averaged = "runs" in frame
    parts, numbered = [], [row for _, own in _by_world(plain_rows(frame)) for row in own]
    start = 1
    for world, own in _by_world(numbered):
        parts.append(_terminal_block(" · ".join(world), own, averaged, start))
        start += len(own)
    parts.append("\n".join([*_abbreviations(numbered), *legend(frame)]))
    if not averaged:
        cells = [(number, row["passport_id"], row["run"]) for number, row in enumerate(numbered, 1)]
        parts.append(render(("#", "passport", "run"), cells))
    return "\n\n".join(parts)


def _terminal_block(title: str, rows: Sequence[Row], averaged: bool, start: int) -> str:
    scenarios = {row["latency_scenario"] for row in rows if row["action_p50_us"] is not None}
    columns = [column for column in _columns(rows, averaged) if column[0] not in ("remarks", "decentralized")]
    if len(scenarios) > 1:
        columns = [column for column in columns if column[0] not in map(_timed_header, scenarios)]
        columns.append(("action µs", _timed_and_labelled))
    columns.append(("own view", lambda row: decentralized_in_short(row["decentralized"])))
    numbers = [f"{number}{'*' if _remarks(row) else ''}" for number, row in enumerate(rows, start)]
    cells = [(number, *(cell(row) for _, cell in columns)) for number, row in zip(numbers, rows, strict=True)]
    table = render(("#", *(header for header, _ in columns)), cells)
    remarks = [
        f"{number} {printable(_remarks(row) or '')}"
        for number, row in zip(numbers, rows, strict=True)
        if _remarks(row)
    ]
    return "\n".join([printable(title), table, *remarks])


def _timed_and_labelled(row: Row) -> Cell:
    if row["action_p50_us"] is None:
        return None
    return f"{_timed_column(row['latency_scenario'])[1](row)} {row['latency_scenario'][:3]}"


def _abbreviations(rows: Sequence[Row]) -> list[str]:
    """The words behind what only the terminal shortens."""
    scenarios = sorted({row["latency_scenario"] for row in rows if row["action_p50_us"] is not None})
    labels = [f"{', '.join(f'{name[:3]} = {name}' for name in scenarios)}"] if len(scenarios) > 1 else []
    return ["own view: whether every agent was shown to act on its own view alone (decentralized)", *labels]


def _by_world(rows: Sequence[Row]) -> list[tuple[tuple[str, str, str], list[Row]]]:
    by_world: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        by_world.setdefault((row["scenario"], row["layout"], row["engine"]), []).append(row)
    return list(by_world.items())
