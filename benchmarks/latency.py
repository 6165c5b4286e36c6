"""`harness bench latency`: what an action of the shipped policies takes, all agents in one call or a process each.

The protocol, and what the scenarios mean, stand in docs/latency.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from env_adapters import scenarios
from env_adapters.api import VectorEnv
from env_adapters.rollout import Episode, Recording, play
from harness.commands.bench import Report
from harness.latency.measure import N_SAMPLES, measure_batched, measure_decentralized
from harness.progress import Say
from harness.schema import LatencyReport
from harness.team import Team, TeamSource, load_team

_TEAMS: Final = (
    ("5m_vs_6m", "vgm2p"),
    ("5m_vs_6m", "ppo-good"),
    ("3hopper", "ppo-expert"),
    ("6halfcheetah", "ppo-expert"),
)
_HEADERS: Final = (
    "map",
    "agent",
    "scenario",
    "p50 us",
    "range of p50",
    "p90 us",
    "p99 us",
    "max us",
    "first",
    "compile",
    "transport",
    "n",
    "load",
    "flagged",
)


@dataclass(frozen=True)
class Config:
    """What to measure."""

    quick: bool = False
    """Few samples of one team: shows that everything runs, its numbers are no results."""
    json: bool = False
    """Print the report as JSON."""
    samples: int = N_SAMPLES
    """Timed joint actions of each repetition; p99 needs 662."""
    repetitions: int = 3
    """How often each scenario is measured; the table shows the median of each column, and the range of p50."""
    episodes: int = 5
    """Recorded episodes whose observations are used."""


def run(config: Config, say: Say) -> Report:
    """Measure every shipped team of the list in both scenarios.

    Raises:
        HarnessError: as the simulators and the teams raise it.
    """
    teams = _TEAMS[:1] if config.quick else _TEAMS
    samples, repetitions = (20, 1) if config.quick else (config.samples, config.repetitions)
    cells: list[tuple[object, ...]] = []
    rows: list[dict[str, Any]] = []
    for map_name, agent in teams:
        with scenarios.make_vector(map_name, 1) as env:
            team = load_team(map_name, env.spec, TeamSource(agent))
            episodes = _record(env, team, 1 if config.quick else config.episodes)
        for scenario in ("batched", "decentralized"):
            say(f"{map_name}, {agent}, {scenario} ...")
            if scenario == "batched":
                reports = [measure_batched(team, episodes, samples)[0] for _ in range(repetitions)]
            else:
                reports = [
                    measure_decentralized(map_name, team, episodes, samples)[0] for _ in range(repetitions)
                ]
            cells.append((map_name, agent, *_cells(reports)))
            rows += [{"map": map_name, "agent": agent, **asdict(report)} for report in reports]
    notes = [
        f"medians of {repetitions} measurements of n joint actions each; percentiles are upper 99 % confidence bounds",
        "decentralized: the slowest agent of each step; transport is what the team waited beyond that",
        "first: first action of an episode, its start included; compile: very first action of a process",
    ]
    return Report("latency", config.quick, _HEADERS, cells, rows, notes)


def _record(env: VectorEnv, team: Team, n_episodes: int) -> list[Episode]:
    return list(play(env, team.vector(1), range(n_episodes), Recording(transitions=True)))


def _cells(reports: Sequence[LatencyReport]) -> tuple[object, ...]:
    def middle(name: str) -> str:
        values = [value for value in (getattr(report, name) for report in reports) if value is not None]
        return f"{median(values):,.0f}" if values else "-"

    p50 = [report.p50_us for report in reports if report.p50_us is not None]
    loads = [report.load_average for report in reports if report.load_average is not None]
    return (
        reports[0].scenario,
        middle("p50_us"),
        f"{min(p50):,.0f} .. {max(p50):,.0f}" if p50 else "-",
        *(middle(name) for name in ("p90_us", "p99_us", "max_us", "first_action_us", "compile_us")),
        middle("transport_p50_us"),
        reports[0].n,
        f"{max(loads):.1f}" if loads else "-",
        f"{sum(report.flagged is not None for report in reports)} of {len(reports)}",
    )
