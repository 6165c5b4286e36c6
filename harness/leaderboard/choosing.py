"""Which rows of a table, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from env_adapters.errors import UnknownNameError, unknown_name
from harness.tables import printable

if TYPE_CHECKING:
    import pandas as pd

SORT_KEYS = {
    "return": "return_mean",
    "win_rate": "win_rate",
    "score": "normalised_score",
    "latency": "action_p90_us",
    "agent": "agent",
    "episodes": "episodes",
}
"""What `--sort` takes besides the name of a column."""
_BEST_FIRST = ("return", "win_rate", "normalised_score")


def choose(frame: pd.DataFrame, map_name: str | None = None, agent: str | None = None) -> pd.DataFrame:
    """Rows of one map (name or versioned id) and of one agent (name or algorithm).

    Raises:
        UnknownNameError: nothing is left; the message says what there is.
    """
    if map_name is not None:
        names = frame["scenario"].str.replace(r"-v\d+$", "", regex=True)
        frame = _some(
            frame, (frame["scenario"] == map_name) | (names == map_name), "map", map_name, set(names)
        )
    if agent is not None:
        known = {*frame["agent"], *frame["algorithm"].dropna()}
        frame = _some(frame, (frame["agent"] == agent) | (frame["algorithm"] == agent), "agent", agent, known)
    return frame


def _some(
    frame: pd.DataFrame, wanted: pd.Series[bool], kind: str, name: str, known: set[str]
) -> pd.DataFrame:
    if not wanted.any():
        there = ", ".join(sorted(map(printable, known))) or "none"
        raise UnknownNameError(f"no finished run of {kind} '{name}' (there are: {there})")
    return frame[wanted].reset_index(drop=True)


def sort_rows(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """Rows sorted within each world by a key of `SORT_KEYS` or a column: scores best first, others ascending.

    Times of different latency scenarios stay apart.

    Raises:
        UnknownNameError: no such key or column.
    """
    column = SORT_KEYS.get(key, key)
    if column not in frame:
        known = [*SORT_KEYS, *map(str, frame.columns)]
        raise unknown_name("key to sort by", key, known, "docs/leaderboard.md")
    by = [
        "scenario",
        "layout",
        "engine",
        *(["latency_scenario"] if column.startswith("action_") else []),
        column,
    ]
    ascending = [True] * (len(by) - 1) + [not column.startswith(_BEST_FIRST)]
    keep = list(dict.fromkeys(by))
    return frame.sort_values(keep, ascending=ascending[-len(keep) :], kind="stable", ignore_index=True)
