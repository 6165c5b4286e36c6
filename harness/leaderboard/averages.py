"""One row per method: the mean over its training seeds, of equal protocols only unless told otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

from env_adapters.errors import InvalidValueError, MismatchError
from harness.leaderboard.rows import METHOD, SHARED_COLUMNS, Row, as_frame, plain_rows
from harness.leaderboard.two_levels import wider_interval

if TYPE_CHECKING:
    import pandas as pd

PROTOCOL = ("episodes", "episode_seeds_id", "on_crash", "stop_rule", "project", "packages", "normalised_by")
"""What runs of one method must share to be averaged."""
AVERAGE_COLUMNS = (
    *SHARED_COLUMNS,
    "return_std_seeds",
    "win_rate_std_seeds",
    "episodes_total",
    "training_seeds",
    "mixed",
    "runs",
)
"""Columns of a table of averages; docs/leaderboard.md explains each."""

SEVERAL = "several"
"""What a column of text says where the averaged runs differ."""

_NEEDED = ("training_seed", "agent_hash", "return_mean", "return_std", "win_rate", "wins", "run")
_MOST_NAMED = 3


@dataclass(frozen=True)
class _Team:
    """One trained team: its episodes, pooled where it was evaluated more than once."""

    episodes: int
    return_mean: float
    return_error: float
    """Standard error of `return_mean` over its own episodes."""
    wins: int | None


def average(frame: pd.DataFrame, over: Literal["seeds"] = "seeds", mixed: bool = False) -> pd.DataFrame:
    """Average the rows of each method over its training seeds.

    Every team counts alike: the mean is that of the teams' means. The same team on the same episodes counts once.

    Args:
        frame: rows of `leaderboard`, all or some of them; nothing is read from disk.
        over: `seeds`, the training seeds.
        mixed: average runs of one method though they differ in `PROTOCOL`; the column `mixed` then says in what.

    Returns:
        `AVERAGE_COLUMNS`, one row per `METHOD`. With one team the interval is its own, over episodes; with more it
        is the wider of two: over the teams' means (Student's t), and over the episodes of these very teams.
        `frame.attrs["merged"]` lists the runs (str) that repeat another and were not counted.

    Raises:
        InvalidValueError: `frame` lacks columns of `leaderboard`, or `over` is something else.
        MismatchError: runs of one method differ in `PROTOCOL`, two teams claim one training seed, or one team has
            two results on the same episodes; the message names keys and runs.
    """
    if over != "seeds":
        raise InvalidValueError(f"averages are made over 'seeds', not over {over!r}")
    lacking = [name for name in (*METHOD, *PROTOCOL, *_NEEDED) if name not in frame]
    if lacking:
        raise InvalidValueError(
            f"cannot average a table without {', '.join(lacking[:_MOST_NAMED])}; give the rows of leaderboard()"
        )
    methods: dict[tuple[Any, ...], list[Row]] = {}
    for row in plain_rows(frame):
        methods.setdefault(_method(row), []).append(row)
    merged: list[str] = []
    rows = [_average(_counted_once(rows, merged), mixed) for rows in methods.values()]
    averages = as_frame(rows, AVERAGE_COLUMNS)[list(AVERAGE_COLUMNS)]
    averages = averages.sort_values(
        ["scenario", "layout", "engine", "agent", "conditions", "runs"], ignore_index=True
    )
    averages.attrs = {**frame.attrs, "average": over, "mixed": mixed, "merged": merged}
    return averages


def _method(row: Row) -> tuple[Any, ...]:
    """Teams that were not trained (controls, code) are methods of their own: they differ by more than a seed."""
    weights = row["agent_hash"] if row["training_seed"] is None else None
    return (*(row[name] for name in METHOD), weights)


def _counted_once(rows: Sequence[Row], merged: list[str]) -> list[Row]:
    """Without repetitions of the same team on the same episodes with the same result."""
    kept: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        names = ("agent_hash", *PROTOCOL, "return_mean", "return_std", "wins")
        first = kept.setdefault(tuple(row[name] for name in names), row)
        merged += [] if first is row else [str(row["run"])]
    return list(kept.values())


def _average(rows: Sequence[Row], mixed: bool) -> Row:
    unequal = _unequal(rows)
    if unequal and not mixed:
        raise MismatchError(_refusal(rows[0], unequal))
    by_team: dict[str, list[Row]] = {}
    for row in rows:
        by_team.setdefault(row["agent_hash"], []).append(row)
    teams = [_pooled(own) for own in by_team.values()]
    shared = {name: _common(rows, name) for name in SHARED_COLUMNS}
    scored = shared["normalised_by"] not in (None, SEVERAL)
    seeds = sorted({row["training_seed"] for row in rows} - {None})
    return {
        **shared,
        **_results(teams, rows),
        **_latency(rows),
        "n_seeds": None if rows[0]["training_seed"] is None else len(teams),
        "crashed": sum(row["crashed"] for row in rows),
        "normalised_score": fmean(_weighted(own, "normalised_score") for own in by_team.values())
        if scored
        else None,
        "mean_length": fmean(_weighted(own, "mean_length") for own in by_team.values()),
        "decentralized": _least_decentralized(rows),
        "episodes_total": sum(team.episodes for team in teams),
        "training_seeds": " ".join(map(str, seeds)) or None,
        "mixed": ", ".join(unequal) or None,
        "runs": "; ".join(str(row["run"]) for row in rows),
    }


def _common(rows: Sequence[Row], name: str) -> Any:
    """The value that every row has; else `SEVERAL` for text, None for numbers."""
    values = {row.get(name) for row in rows}
    if len(values) == 1:
        return values.pop()
    return SEVERAL if any(isinstance(value, str) for value in values) else None


def _least_decentralized(rows: Sequence[Row]) -> str | None:
    """What holds of every team: a `no` of one is one of all, and so is a missing proof."""
    words = [row["decentralized"] for row in rows]
    refuted = [word for word in words if word is not None and word.lower().startswith("no")]
    return refuted[0] if refuted else None if None in words else words[0]


def _unequal(rows: Sequence[Row]) -> dict[str, dict[Any, list[str]]]:
    """Key -> value -> runs, for every key in which these runs of one method may not differ."""
    found: dict[str, dict[Any, list[str]]] = {}
    for name in PROTOCOL:
        found[name] = _runs_by(rows, lambda row, name=name: row[name])  # type: ignore[misc]
    if len(found["episodes"]) > 1:
        del found["episode_seeds_id"]  # follows
    for seed in {row["training_seed"] for row in rows}:
        of_seed = [row for row in rows if row["training_seed"] == seed]
        teams = _runs_by(of_seed, lambda row: row["agent_hash"])
        found[f"teams of training seed {seed}"] = teams
    if not any(len(values) > 1 for values in found.values()):
        for team in {row["agent_hash"] for row in rows}:
            of_team = [row for row in rows if row["agent_hash"] == team]
            found[f"results of team {team} on the same episodes"] = _runs_by(
                of_team, lambda row: row["return_mean"]
            )
    return {name: values for name, values in found.items() if len(values) > 1}


def _runs_by(rows: Sequence[Row], key: Callable[[Row], Any]) -> dict[Any, list[str]]:
    values: dict[Any, list[str]] = {}
    for row in rows:
        values.setdefault(key(row), []).append(str(row["run"]))
    return values


def _refusal(row: Row, unequal: dict[str, dict[Any, list[str]]]) -> str:
    def named(runs: list[str]) -> str:
        more = len(runs) - _MOST_NAMED
        return ", ".join(runs[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")

    said = [
        f"{key}: " + " but ".join(f"{value} in {named(runs)}" for value, runs in values.items())
        for key, values in unequal.items()
    ]
    return (
        f"{row['agent']} on {row['scenario']} cannot be averaged over seeds, its runs differ in {'; '.join(said)}. "
        "Evaluate them alike, name fewer runs, or accept it with --mixed (mixed=True)"
    )


def _pooled(rows: Sequence[Row]) -> _Team:
    """All episodes of one team."""
    total = sum(row["episodes"] for row in rows)
    shares = [row["episodes"] / total for row in rows]
    spreads = [(row["return_std"] or 0.0) ** 2 / row["episodes"] for row in rows]
    return _Team(
        episodes=total,
        return_mean=_weighted(rows, "return_mean"),
        return_error=math.sqrt(sum(share**2 * spread for share, spread in zip(shares, spreads, strict=True))),
        wins=None if rows[0]["wins"] is None else sum(row["wins"] for row in rows),
    )


def _weighted(rows: Sequence[Row], name: str) -> float:
    total: int = sum(row["episodes"] for row in rows)
    return math.fsum(row["episodes"] * row[name] for row in rows) / total


def _results(teams: Sequence[_Team], rows: Sequence[Row]) -> Row:
    """Return and win rate with intervals; those of the run itself where there is only one."""
    if len(rows) == 1:
        return {"return_std_seeds": None, "win_rate_std_seeds": None}
    means = [team.return_mean for team in teams]
    error = math.sqrt(sum(team.return_error**2 for team in teams)) / len(teams)
    unknown = len(teams) == 1 and any(row["return_std"] is None for row in rows)
    lower, upper = (None if unknown else wider_interval(means, error)) or (None, None)
    several = len(teams) > 1
    values: Row = {
        "return_mean": fmean(means),
        "return_std_seeds": stdev(means) if several else None,
        "return_lower": lower,
        "return_upper": upper,
        "win_rate_std_seeds": None,
        "interval": f"over {len(teams)} seeds" if several else None if lower is None else "over episodes",
    }
    return values | _win_rates(teams)


def _win_rates(teams: Sequence[_Team]) -> Row:
    """Mean of the teams' win rates; the interval is never narrower than Wilson's of all episodes together."""
    from harness.statistics import wilson_interval

    if any(team.wins is None for team in teams):
        return {}
    wins, episodes = sum(team.wins or 0 for team in teams), sum(team.episodes for team in teams)
    rates = [(team.wins or 0) / team.episodes for team in teams]
    pooled = wilson_interval(wins, episodes)
    lower, upper = wider_interval(rates, 0.0) or pooled
    return {
        "win_rate": fmean(rates),
        "win_rate_std_seeds": stdev(rates) if len(rates) > 1 else None,
        "win_rate_lower": max(0.0, min(lower, pooled.lower)),
        "win_rate_upper": min(1.0, max(upper, pooled.upper)),
    }


def _latency(rows: Sequence[Row]) -> Row:
    """The slowest team's times where all were measured in one scenario on one machine, else none."""
    comparable = SEVERAL not in (_common(rows, "passport_id"), _common(rows, "latency_scenario"))
    times = ("action_p50_us", "action_p90_us", "action_p99_us", "action_max_us")
    flags = {row["latency_flagged"] for row in rows} - {None}
    if not comparable:
        return {"latency_n": None, "latency_flagged": None} | dict.fromkeys(times)
    slowest = {
        name: None if any(row[name] is None for row in rows) else max(row[name] for row in rows)
        for name in times
    }
    n = min(row["latency_n"] for row in rows)
    return {"latency_n": n, "latency_flagged": "; ".join(sorted(flags)) or None} | slowest
