"""From raw durations to a `LatencyReport`."""

from __future__ import annotations

from array import array
from dataclasses import replace

import numpy as np

from env_adapters.api import DoubleArray, IntArray
from env_adapters.errors import InvalidValueError
from harness.latency.percentiles import histogram, percentile
from harness.latency.protocol import Surroundings
from harness.schema import AgentLatency, LatencyReport

NS_PER_US = 1000.0


class StepTimes:
    """What the joint actions of a team of N processes took, in nanoseconds.

    The very first one is kept apart: it compiles.
    """

    def __init__(self, n_agents: int) -> None:
        self.n_agents = n_agents
        self.compile_ns: int | None = None
        self.last_ns = 0
        """The slowest agent's time in the last joint action."""
        self._rows = array("q")
        self._starts = array("q")
        self._begin_ns: IntArray | None = None

    def __len__(self) -> int:
        """Joint actions since `clear`."""
        return len(self._rows) // (self.n_agents + 1)

    def begin(self, agent_ns: IntArray) -> None:
        """An episode starts, which took each agent so long [N]."""
        self._begin_ns = agent_ns.copy()

    def add(self, team_ns: int, agent_ns: IntArray) -> None:
        """One joint action: what the team waited, transport included, and what each agent took [N]."""
        agents = agent_ns.tolist()
        self.last_ns = max(agents)
        if self.compile_ns is None:
            self.compile_ns, self._begin_ns = self.last_ns, None
            return
        if self._begin_ns is not None:
            self._starts.append(int((self._begin_ns + agent_ns).max()))
            self._begin_ns = None
        self._rows.append(team_ns)
        self._rows.extend(agents)

    def clear(self) -> None:
        """Forget what was added, except the first joint action: warm-up is over."""
        self._rows, self._starts, self._begin_ns = array("q"), array("q"), None

    def samples_us(self) -> DoubleArray:
        """[n, 1 + N] in microseconds: the team as `add` was told, then every agent."""
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, self.n_agents + 1)
        return rows / NS_PER_US

    def first_actions_us(self) -> DoubleArray:
        """The slowest agent's first action of each episode, start of the episode included."""
        return np.array(self._starts, dtype=np.float64) / NS_PER_US


def make_report(
    scenario: str,
    durations_us: DoubleArray,
    surroundings: Surroundings,
    *,
    n_warmup: int,
    settled: bool,
    compile_us: float,
    first_actions_us: DoubleArray,
) -> LatencyReport:
    """The report of joint actions [n]; the columns of single agents are added by `team_report`.

    Args:
        scenario: name of the scenario.
        durations_us: what each timed joint action took; at least one.
        surroundings: what else the machine did.
        n_warmup: joint actions before the timed ones.
        settled: whether the warm-up settled.
        compile_us: the very first joint action.
        first_actions_us: first actions of episodes; their median is reported. With none, the very first joint
            action was the only start of an episode.
    """
    remarks = [*surroundings.remarks]
    if not settled:
        remarks.append(f"not settled after {n_warmup} joint actions of warm-up")
    return LatencyReport(
        scenario=scenario,
        n=len(durations_us),
        p50_us=percentile(durations_us, 0.50),
        p90_us=percentile(durations_us, 0.90),
        p99_us=percentile(durations_us, 0.99),
        max_us=float(durations_us.max()),
        n_warmup=n_warmup,
        compile_us=compile_us,
        first_action_us=float(np.median(first_actions_us)) if len(first_actions_us) else compile_us,
        load_average=surroundings.load_average,
        frequency_governor=surroundings.frequency_governor,
        calibration_drift=surroundings.calibration_drift,
        flagged="; ".join(remarks) or None,
        histogram=histogram(durations_us),
    )


def team_report(
    scenario: str,
    samples_us: DoubleArray,
    times: StepTimes,
    surroundings: Surroundings,
    *,
    n_warmup: int,
    settled: bool,
    late_share: float | None = None,
) -> LatencyReport:
    """The report of a team of processes: every agent, and the slowest one of each step.

    Without a deadline (`late_share` None) transport, which is what the team waited longer than the slowest agent
    worked, is reported apart; with one it is part of every duration.

    Args:
        scenario: name of the scenario.
        samples_us: the timed joint actions, as `StepTimes.samples_us`.
        times: what knows of the very first joint action and of the starts of episodes.
        surroundings: what else the machine did.
        n_warmup: joint actions before the timed ones.
        settled: whether the warm-up settled.
        late_share: share of actions that were late.

    Raises:
        InvalidValueError: no joint action was timed.
    """
    if len(samples_us) == 0:
        raise InvalidValueError("no joint action was timed; play at least two steps")
    team, agents = samples_us[:, 0], samples_us[:, 1:]
    critical = agents.max(axis=1)
    report = make_report(
        scenario,
        critical,
        surroundings,
        n_warmup=n_warmup,
        settled=settled,
        compile_us=(times.compile_ns or 0) / NS_PER_US,
        first_actions_us=times.first_actions_us(),
    )
    return replace(
        report,
        agents=[_agent(i, durations) for i, durations in enumerate(agents.T)],
        transport_p50_us=percentile(team - critical, 0.50) if late_share is None else None,
        late_share=late_share,
    )


def _agent(agent_index: int, durations_us: DoubleArray) -> AgentLatency:
    p50, p90, p99 = (percentile(durations_us, fraction) for fraction in (0.50, 0.90, 0.99))
    return AgentLatency(agent_index, p50, p90, p99, float(durations_us.max()))
