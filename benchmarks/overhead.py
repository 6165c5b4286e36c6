"""`harness bench overhead`: what the harness itself takes per step, with agents and a world that do nothing.

Time from one call of the world's `step` to the next: the loop that plays episodes, and for processes the way to every
agent and back. Episodes' starts and ends are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.policies import PolicyTeam
from benchmarks.measurement import Measurement, make_report
from benchmarks.noop import NoopEnv, NoopTeam, make, noop_spec
from env_adapters.api import TeamPolicy
from env_adapters.rollout import play
from harness.commands.bench import Report
from harness.decentralized import DecentralizedTeam
from harness.latency.protocol import quiet_collector
from harness.progress import Say
from harness.team import TeamSource

_IN_PROCESS_US = 10.0
_DECENTRALIZED_US = 60.0


@dataclass(frozen=True)
class Config:
    """What to measure."""

    quick: bool = False
    """Few steps: shows that everything runs, its numbers are no results."""
    json: bool = False
    """Print the report as JSON."""
    n_agents: int = 5
    """Agents of the team."""
    steps: int = 5000
    """Timed steps of each repetition."""
    repetitions: int = 7
    """How often each quantity is measured; the table shows the median and the range of the repetitions' p50."""


def run(config: Config, say: Say) -> Report:
    """Measure; one row per way of playing.

    Raises:
        HarnessError: an agent's process fails.
    """
    n_agents = config.n_agents
    steps, repetitions = (200, 2) if config.quick else (config.steps, config.repetitions)
    source = TeamSource("benchmarks.noop:make")
    spec = noop_spec(n_agents)
    rows = []

    def measure(what: str, policy: TeamPolicy, target: float | None) -> None:
        say(f"{what} ...")
        values = [_step_us(policy, n_agents, steps) for _ in range(repetitions)]
        for name, fraction, limit in (("p50", 0.5, target), ("p99", 0.99, None)):
            quantiles = [float(np.quantile(durations, fraction)) for durations in values]
            rows.append(Measurement(f"{what}, {name}", "us/step", quantiles, limit, at_most=True))

    measure("in process, one call for the team", NoopTeam(n_agents), _IN_PROCESS_US)
    policies = [make(spec, i) for i in range(n_agents)]
    measure("in process, agents as code", PolicyTeam(policies, spec, 1), None)
    with DecentralizedTeam("noop", source, spec) as team:
        measure("decentralised, a process per agent", team, _DECENTRALIZED_US)
    with DecentralizedTeam("noop", source, spec, late=(1000.0, "noop")) as team:
        measure("decentralised, with a deadline", team, None)
    notes = [
        f"{n_agents} agents, {steps} steps per repetition; n counts repetitions, each a median or a plain quantile",
        "agents as code: one view, one call and one check per agent",
    ]
    return make_report("overhead", config.quick, rows, notes)


def _step_us(policy: TeamPolicy, n_agents: int, n_steps: int) -> list[float]:
    """Microseconds between calls of `step` in an episode of so many steps."""
    env = NoopEnv(n_agents, n_steps + 1)
    with quiet_collector():
        for _ in play(env, policy, [0]):
            return [duration / 1000.0 for duration in np.diff(env.asked_ns).tolist()]
    raise AssertionError("play yields every episode")
