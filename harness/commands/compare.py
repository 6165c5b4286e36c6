"""`harness compare A B`: is A better than B, by how much, and how sure is that."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import tyro

from env_adapters.bounds import check_at_least, check_between
from harness.commands.parsing import parse
from harness.comparison import Comparison, Row, compare, read_sides
from harness.pairing import Gap, Pair, Settings
from harness.statistics.intervals import Interval
from harness.tables import render

_MOST_RESAMPLES = 1_000_000
_NONE = "[-]"
_NO_INTERVAL = f"note: {_NONE} is an interval that cannot be told: too few values, or too few of them differ"


@dataclass(frozen=True)
class CompareConfig:
    """Compare runs of one scenario: harness compare runs/A runs/B, or with training seeds A0,A1,A2 B0,B1,B2."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN RUN [RUN ...]")]
    """Run directories; several of one method (its training seeds) joined by commas."""
    confidence: float = 0.95
    """Of every interval; 1 - confidence is the limit of p in the verdicts."""
    n_resamples: int = 10_000
    """Bootstrap samples of a difference in return."""
    seed: int = 0
    """Of the bootstrap."""
    json: bool = False
    """Print one JSON object instead of the tables."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0 whoever is better."""
    config = parse(CompareConfig, arguments, "compare")
    check_between("--n-resamples", config.n_resamples, 1, _MOST_RESAMPLES)
    check_at_least("--seed", config.seed, 0)
    settings = Settings(config.n_resamples, config.seed, config.confidence)
    comparison = compare(read_sides(config.runs), settings)
    print(json.dumps(as_data(comparison), indent=1) if config.json else as_text(comparison))
    return 0


def as_data(comparison: Comparison) -> dict[str, Any]:
    """All numbers as JSON values; each pair with its verdict."""
    data = asdict(comparison)
    for pair, values in zip(comparison.pairs, data["pairs"], strict=True):
        values["verdict"] = verdict(pair, comparison)
    return data


def as_text(comparison: Comparison) -> str:
    """The sides, the differences, one verdict per pair, and the notes."""
    level = f"[{100 * comparison.settings.confidence:g} %]"
    has_winner = comparison.rows[0].win_rate is not None
    rate = [f"win rate {level}"] if has_winner else []
    headers = ["run", "agent", "episodes", *rate, f"return {level}"]
    gap_headers = ["difference", *rate, "only first / only second won"] if has_winner else ["difference"]
    gap_headers += [f"return {level}", "return higher / lower / equal", "episodes"]
    parts = [
        render(headers, [_row(row) for row in comparison.rows]),
        "",
        render(gap_headers, [_pair(pair) for pair in comparison.pairs]),
        "",
        *(verdict(pair, comparison) for pair in comparison.pairs),
        *(f"{row.name}: {row.advice}" for row in comparison.rows if row.advice),
        *(f"note: {note}" for note in comparison.notes),
    ]
    text = "\n".join(parts)
    return f"{text}\n{_NO_INTERVAL}" if _NONE in text else text


def _row(row: Row) -> list[object]:
    rate = [] if row.win_rate is None else [f"{100 * row.win_rate:.0f}% {_points(row.win_rate_interval)}"]
    return [row.name, row.agent, row.episodes, *rate, f"{row.return_mean:.2f} {_bounds(row.return_interval)}"]


def _pair(pair: Pair) -> list[object]:
    cells: list[object] = [f"{pair.ours} - {pair.theirs}"]
    if pair.win_rate is not None:
        gap = pair.win_rate
        cells.append(f"{100 * gap.estimate:+.0f} {_points(gap.interval)}")
        cells.append("-" if gap.better is None else f"{gap.better} / {gap.worse}")
    gap = pair.episode_return
    cells.append(f"{gap.estimate:+.2f} {_bounds(gap.interval)}")
    cells.append("-" if gap.better is None else f"{gap.better} / {gap.worse} / {gap.equal}")
    cells.append(pair.episodes[0] if pair.paired else f"{pair.episodes[0]} and {pair.episodes[1]}, unpaired")
    return cells


def _points(interval: Interval[float] | None) -> str:
    return _NONE if interval is None else f"[{100 * interval.lower:.0f}, {100 * interval.upper:.0f}]"


def _bounds(interval: Interval[float] | None) -> str:
    return _NONE if interval is None else f"[{interval.lower:.2f}, {interval.upper:.2f}]"


def verdict(pair: Pair, comparison: Comparison) -> str:
    """One line in plain words on the win rate, or on the return where nobody wins."""
    gap, limit = pair.leading, 1.0 - comparison.settings.confidence
    claim = _claim(pair)
    if pair.p_value is None or pair.p_corrected is None:
        return f"undecided: {claim}, but nothing varies that could say how sure this is"
    corrected = f" after Holm over {len(comparison.pairs)} pairs" if len(comparison.pairs) > 1 else ""
    sure = pair.p_corrected <= limit
    because = f"{_p_value(pair.p_corrected)}{corrected} ({_basis(pair, gap)})"
    return f"{'' if sure else 'no clear difference: '}{claim}, {because}"


def _claim(pair: Pair) -> str:
    gap = pair.leading
    if pair.win_rate is not None:
        size = f"{100 * abs(gap.estimate):.0f} points"
        if gap.estimate == 0.0:
            return f"{pair.ours} wins as often as {pair.theirs} {_points(gap.interval)}"
        how = f"{size} {'more' if gap.estimate > 0 else 'less'} often than"
        return f"{pair.ours} wins {how} {pair.theirs} {_points(gap.interval)}"
    if gap.estimate == 0.0:
        return f"{pair.ours} returns as much as {pair.theirs} {_bounds(gap.interval)}"
    how = f"{abs(gap.estimate):.2f} {'more' if gap.estimate > 0 else 'less'} than"
    return f"{pair.ours} returns {how} {pair.theirs} {_bounds(gap.interval)}"


def _p_value(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def _basis(pair: Pair, gap: Gap) -> str:
    first, second = pair.episodes
    if max(pair.training_seeds) > 1:
        seeds = f"{pair.training_seeds[0]} and {pair.training_seeds[1]} training seeds"
        return f"{gap.test}; {seeds}, {first} and {second} episodes{', the same' if pair.paired else ''}"
    return (
        f"{gap.test}, {first} paired episodes"
        if pair.paired
        else f"{gap.test}, {first} and {second} episodes"
    )
