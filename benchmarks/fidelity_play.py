"""Whole episodes: SMAC's scripted agents, the random policy and shipped policies against published numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from agents import zoo
from agents.acting import BatchedTeam
from benchmarks.finding import Finding, mean_interval, reference, spread, within
from env_adapters import scenarios
from env_adapters.api import DoubleArray, VectorEnv
from env_adapters.rollout import play
from harness.plan import episode_seeds
from harness.statistics import wilson_interval
from harness.team import choose_team

_GAMES = 64
_LENGTH_TOLERANCE = 0.2
"""How far mean lengths of different good policies may lie apart, as a share."""
RANDOM = (("terran_5_vs_5", "og_marl/terran_5_vs_5/Random"),)
POOR = (
    ("3m", "og_marl/3m/Poor"),
    ("8m", "og_marl/8m/Poor"),
    ("5m_vs_6m", "og_marl/5m_vs_6m/Poor"),
    ("2s3z", "og_marl/2s3z/Poor"),
    ("3s5z_vs_3s6z", "og_marl/3s5z_vs_3s6z/Poor"),
    ("6h_vs_8z", "omiga/6h_vs_8z/Poor"),
    ("corridor", "omiga/corridor/Poor"),
    ("2c_vs_64zg", "omiga/2c_vs_64zg/Poor"),
)
"""Maps whose weakest dataset was recorded by policies that had learnt something: the random policy earns less."""
SHIPPED = (
    ("3m", "ppo-good", "og_marl/3m/Good"),
    ("8m", "ppo-good", "og_marl/8m/Good"),
    ("5m_vs_6m", "ppo-good", "og_marl/5m_vs_6m/Good"),
    ("5m_vs_6m", "ppo-medium", "og_marl/5m_vs_6m/Medium"),
)


class Outcome(NamedTuple):
    """n finished episodes."""

    returns: DoubleArray
    """[n]"""
    lengths: DoubleArray
    """[n], steps."""
    won: DoubleArray
    """[n], 0 or 1."""


def play_episodes(
    env: VectorEnv, map_name: str, agent: str, episodes: int, mode: str | None = None
) -> Outcome:
    """Play episodes with a control or a shipped checkpoint, as `harness evaluate` does."""
    team = choose_team(map_name, env.spec, agent, None)
    policy = BatchedTeam(team.agent, team.params, env.n_games, mode)
    played = list(play(env, policy, episode_seeds(0, episodes)))
    return Outcome(
        np.array([episode.episode_return for episode in played]),
        np.array([episode.length for episode in played], dtype=np.float64),
        np.array([bool(episode.won) for episode in played], dtype=np.float64),
    )


def play_heuristic(env: VectorEnv, map_name: str, episodes: int) -> Outcome:
    """Play episodes of an environment with `heuristic_ai`, which ignores the actions it is given."""
    return play_episodes(env, map_name, "noop", episodes)


def win_rate(
    what: str, outcome: Outcome, percent: float | None, source: str, recalled: bool, rule: str = ""
) -> Finding:
    """A win rate against a published one, which should lie in the Wilson interval of ours."""
    wins, n = int(outcome.won.sum()), len(outcome.won)
    interval = wilson_interval(wins, n)
    return Finding(
        what=what,
        reference="-" if percent is None else f"{percent:g} %{rule}",
        here=f"{wins / n:.0%} [{interval.lower:.0%}, {interval.upper:.0%}]",
        inside=None if percent is None else within(interval, percent / 100.0),
        source=source,
        n=n,
        value=wins / n,
        interval=interval,
        recalled=recalled,
    )


def heuristic(episodes: int, maps: Sequence[str] | None = None) -> Iterator[Finding]:
    """The scripted agents of upstream on the maps of the SMAC paper (default: all of them)."""
    paper = reference()["heuristic_win_rate"]
    for name in maps or paper["percent"]:
        with scenarios.make_vector(name, min(_GAMES, episodes), heuristic_ai=True) as env:
            outcome = play_heuristic(env, name, episodes)
        what = f"heuristic_ai: win rate on {name}"
        yield win_rate(what, outcome, paper["percent"][name], paper["source"], paper["recalled"])


def random_policy(episodes: int, poor: Sequence[tuple[str, str]] = POOR) -> Iterator[Finding]:
    """The random policy against its own dataset, and against datasets that must be better."""
    tables = reference()["datasets"]
    for name, key in RANDOM:
        with scenarios.make_vector(name, min(_GAMES, episodes)) as env:
            outcome = play_episodes(env, name, "random", episodes)
        yield from _equal(name, outcome, tables["rows"][key], tables["source"])
    for name, key in poor:
        with scenarios.make_vector(name, min(_GAMES, episodes)) as env:
            outcome = play_episodes(env, name, "random", episodes)
        yield _below(name, outcome, tables["rows"][key], f"{tables['source']}: {key}")


def _equal(name: str, outcome: Outcome, real: dict[str, Any], source: str) -> Iterator[Finding]:
    n = len(outcome.returns)
    interval = mean_interval(outcome.returns)
    yield Finding(
        f"random policy: return on {name}",
        f"{real['return_mean']} ± {real['return_std']} ({real['episodes']} episodes)",
        f"{spread(outcome.returns)} [{interval.lower:.2f}, {interval.upper:.2f}]",
        within(interval, real["return_mean"]),
        source,
        n,
        float(outcome.returns.mean()),
        interval,
    )
    interval = mean_interval(outcome.lengths)
    yield Finding(
        f"random policy: steps per episode on {name}",
        f"{real['mean_length']}",
        f"{spread(outcome.lengths, 1)} [{interval.lower:.1f}, {interval.upper:.1f}]",
        within(interval, real["mean_length"]),
        source,
        n,
        float(outcome.lengths.mean()),
        interval,
    )


def _below(name: str, outcome: Outcome, real: dict[str, Any], source: str) -> Finding:
    interval = mean_interval(outcome.returns)
    return Finding(
        f"random policy: return on {name}",
        f"below {real['return_mean']} (dataset Poor)",
        f"{spread(outcome.returns)} [{interval.lower:.2f}, {interval.upper:.2f}]",
        interval.upper < real["return_mean"],
        source,
        len(outcome.returns),
        float(outcome.returns.mean()),
        interval,
    )


def shipped(episodes: int, policies: Sequence[tuple[str, str, str]] = SHIPPED) -> Iterator[Finding]:
    """Shipped behaviour policies against datasets of a like quality; those that do not ship are left out."""
    tables = reference()["datasets"]
    for name, agent, key in policies:
        if agent not in [entry.name for entry in zoo.entries(name)]:
            continue
        with scenarios.make_vector(name, min(_GAMES, episodes)) as env:
            outcome = play_episodes(env, name, agent, episodes, "sample")
        real = tables["rows"][key]
        interval = mean_interval(outcome.lengths)
        length = float(outcome.lengths.mean())
        least = real["return_mean"] - real["return_std"]
        alike = abs(length / real["mean_length"] - 1.0) <= _LENGTH_TOLERANCE
        yield Finding(
            f"{agent} on {name}: steps per episode and return (another policy than the dataset's)",
            f"{real['mean_length']} within 20 %, at least {least:.2f} (mean less one deviation)",
            f"{length:.1f}, {spread(outcome.returns)}",
            alike and bool(outcome.returns.mean() >= least),
            f"{tables['source']}: {key}",
            len(outcome.lengths),
            length,
            interval,
        )
