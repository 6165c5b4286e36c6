"""One team under growing difficulty: a curve of win rate, or return, against deadline, losses or delay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from env_adapters.errors import InvalidValueError
from harness.evaluate import Evaluation, evaluate
from harness.options import EvaluateConfig
from harness.progress import Say

if TYPE_CHECKING:
    import pandas as pd

Axis = Literal["deadline-ms", "drop-observation", "delay-observation"]


@dataclass(frozen=True)
class Point:
    """One value of the axis, played."""

    value: float | None
    """None for the undisturbed team."""
    evaluation: Evaluation


def curve(config: EvaluateConfig, axis: Axis, values: Sequence[float], say: Say) -> list[Point]:
    """Evaluate a team undisturbed and at every value of an axis, on the same episodes.

    Every point is a run of its own in its default folder, so that the same call continues and repeats nothing.

    Args:
        config: the undisturbed evaluation; its films and timing are left out of the other points.
        axis: what grows.
        values: at least one, all different.
        say: receives a line about each stage.

    Raises:
        HarnessError: as `evaluate`; InvalidValueError for values that make no sense on this axis.
    """
    if not values or len(set(values)) < len(values):
        raise InvalidValueError(f"--values {' '.join(map(str, values))}: give at least one, each once")
    field = axis.replace("-", "_")
    if axis == "delay-observation" and any(value != int(value) for value in values):
        raise InvalidValueError("--values of delay-observation are whole steps, such as 1 2 4")
    kind = int if axis == "delay-observation" else float
    late_action = config.late_action if axis == "deadline-ms" else "noop"
    config = replace(config, late_action="noop")
    points = [Point(None, evaluate(config, say))]
    for value in values:
        disturbed: dict[str, Any] = {field: kind(value), "late_action": late_action}
        disturbed |= {"video": 0, "latency": "none"}
        say(f"{axis} {value:g}")
        points.append(Point(value, evaluate(replace(config, **disturbed), say)))
    return points


def as_frame(axis: Axis, points: Sequence[Point]) -> pd.DataFrame:
    """The curve as a table: one row per point, the column named after the axis is blank for the undisturbed team."""
    import pandas as pd

    rows = []
    for point in points:
        summary, latency = point.evaluation.summary, point.evaluation.latency
        rows.append(
            {
                "scenario": summary.scenario,
                "engine": summary.engine,
                "agent": summary.agent,
                axis.replace("-", "_"): point.value,
                "episodes": summary.episodes,
                "crashed": summary.crashed,
                "return_mean": summary.return_mean,
                "return_lower": summary.return_lower,
                "return_upper": summary.return_upper,
                "win_rate": summary.win_rate,
                "win_rate_lower": summary.win_rate_lower,
                "win_rate_upper": summary.win_rate_upper,
                "late_share": None if latency is None else latency.late_share,
                "run": str(point.evaluation.path),
            }
        )
    return pd.DataFrame(rows)
