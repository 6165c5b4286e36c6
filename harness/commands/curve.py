"""`harness curve`: win rate or return against a deadline, lost or late observations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.commands.parsing import parse, say
from harness.curve import Axis, Point, as_frame, curve
from harness.leaderboard import write_csv
from harness.options import EvaluateConfig
from harness.tables import render


@dataclass(frozen=True)
class CurveConfig:
    """One team under growing difficulty, on the same episodes."""

    map: str
    """As for evaluate."""
    axis: Axis
    """What grows: the time for an action shrinks with deadline-ms, drop-observation is a probability, delay-observation counts steps."""
    values: tuple[float, ...]
    """Points of the curve; the undisturbed team is always added."""
    agent: str | None = None
    """As for evaluate."""
    checkpoint: Path | None = None
    """As for evaluate."""
    layout: str | None = None
    """As for evaluate."""
    episodes: int | None = None
    """Episodes per point."""
    seed: int = 0
    """Root of the episode seeds."""
    late_action: Literal["noop", "repeat"] = "noop"
    """What happens instead of a late action."""
    workers: int | None = None
    """Processes that play each point."""
    csv: Path | None = None
    """File for every number of the curve."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(CurveConfig, arguments, "curve")
    base = EvaluateConfig(
        map=config.map,
        agent=config.agent,
        checkpoint=config.checkpoint,
        layout=config.layout,
        episodes=config.episodes,
        seed=config.seed,
        late_action=config.late_action,
        workers=config.workers,
        video=0,
    )
    points = curve(base, config.axis, config.values, say)
    print(_table(config.axis, points))
    if config.csv is not None:
        write_csv(as_frame(config.axis, points), config.csv)
        print(f"\nwritten to {config.csv}")
    return 0


def _table(axis: Axis, points: list[Point]) -> str:
    rows = []
    for point in points:
        summary, latency = point.evaluation.summary, point.evaluation.latency
        late = None if latency is None else latency.late_share
        rows.append(
            (
                "undisturbed" if point.value is None else f"{point.value:g}",
                summary.episodes,
                f"{summary.return_mean:.4g}",
                _rate(summary.win_rate, summary.win_rate_lower, summary.win_rate_upper),
                "-" if late is None else f"{late:.1%}",
                point.evaluation.path,
            )
        )
    return render([axis, "episodes", "return", "win rate [95 %]", "late actions", "run"], rows)


def _rate(rate: float | None, lower: float | None, upper: float | None) -> str:
    if rate is None or lower is None or upper is None:
        return "-"
    return f"{rate:.0%} [{lower:.0%}, {upper:.0%}]"
