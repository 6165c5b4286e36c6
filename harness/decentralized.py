"""A team whose agents run in processes of their own, as they would on machines of their own.

Each process loads its own policy and is sent its own observation, mask, step and episode seed; it answers with
its action. Nothing else crosses. The same episodes come out as with all agents in one call (tested bit for bit),
unless a deadline makes them depend on the clock.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter_ns
from types import TracebackType
from typing import Final, Literal, Self

import numpy as np

from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamSpec
from env_adapters.errors import AgentError, InvalidValueError
from harness.agent_link import AgentLink
from harness.agent_messages import BEGIN, OBSERVE, OBSERVE_MASKED, Answers, Requests
from harness.agent_process import Orders
from harness.deadline import Deadline, DeadlineRounds
from harness.latency.protocol import N_WARMUP, MachineWatch
from harness.latency.reports import StepTimes, team_report
from harness.schema import LatencyReport
from harness.team import TeamSource


class DecentralizedTeam:
    """N agents in N processes, as a `TeamPolicy` of one game and a context manager.

    With a deadline, results depend on the clock. Such a team is warmed up on its first observation, without the
    deadline; that has no influence on the episode.

    After an error the next `begin` starts the processes again that are missing.

    Args:
        map_name: name of the scenario without version.
        source: which team.
        spec: the world's specification.
        late: (deadline in ms, what is played instead: "noop" or "repeat"); None to wait for every action.
        timeout_s: an agent that needs longer than this for one action has failed.
        n_warmup: joint actions before the first one with a deadline.
        memory_limit_bytes: private memory of each process; None for no limit.

    Raises:
        HarnessError: the team cannot be loaded, as `harness.team.load_team`.
        InvalidValueError: a deadline or a time limit that is not positive, or an unknown late action.
    """

    n_games: Final = 1

    def __init__(
        self,
        map_name: str,
        source: TeamSource,
        spec: TeamSpec,
        late: tuple[float, Literal["noop", "repeat"]] | None = None,
        timeout_s: float = 60.0,
        n_warmup: int = N_WARMUP,
        memory_limit_bytes: int | None = None,
    ) -> None:
        if not timeout_s > 0:
            raise InvalidValueError(f"a time limit of {timeout_s:g} s makes no sense; give more than 0")
        self.spec, self.timeout_s = spec, timeout_s
        self.times = StepTimes(spec.n_agents)
        """What every joint action took so far, those of the warm-up left out."""
        self._requests, self._answers = Requests(spec, spec.n_agents), Answers(spec, spec.n_agents)
        self.rounds: DeadlineRounds | None = None
        """The deadline at work, which counts late actions; None without one."""
        if late is not None:
            deadline = Deadline(*late)
            deadline.check()
            self.rounds = DeadlineRounds(deadline, timeout_s, self._answers)
        self._n_warmup, self._is_warm = n_warmup, late is None
        self._step, self._n_episodes, self._seed = 0, 0, 0
        self._watch = MachineWatch()
        folder, agents = str(Path.cwd()), range(spec.n_agents)
        self._orders = [Orders(map_name, spec, source, i, folder, memory_limit_bytes) for i in agents]
        self._links: list[AgentLink] = []
        try:
            self._links = [self._link(orders) for orders in self._orders]
            for link in self._links:
                link.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _link(self, orders: Orders) -> AgentLink:
        return AgentLink(orders, self._requests, self._answers, self.timeout_s)

    @property
    def pids(self) -> list[int]:
        """Process ids, by agent."""
        return [link.pid for link in self._links]

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Start an episode: fresh memory and generators. Waits for every agent, whatever it is busy with.

        Args:
            episode_seeds: [1]
            games: [0]

        Raises:
            AgentError: an agent does not answer within the time limit, or its process ends.
        """
        self._seed, self._step = int(episode_seeds[0]), 0
        self._n_episodes += 1
        if self.rounds is not None:
            self.rounds.begin()
        self._requests.head[:] = BEGIN, -self._n_episodes, self._seed
        self._restart([link.agent_index for link in self._links if not link.is_open])
        for link in self._links:
            link.send()
        failed = [link.agent_index for link in self._links if not link.has_begun(-self._n_episodes)]
        self._restart(failed)
        for i in failed:
            self._links[i].send()
        for i in failed:
            self._links[i].receive()
        self.times.begin(self._answers.head[:, 2])

    def _restart(self, agents: list[int]) -> None:
        for i in agents:
            self._links[i] = self._link(self._orders[i])
        for i in agents:
            self._links[i].wait_until_ready()

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """[1, N, D] and [1, N, A] to int64[1, N] or float32[1, N, A].

        Raises:
            AgentError: an agent raised, ended or did not answer within the time limit; it names agent and step.
            ActionError: an agent answered with something that is no action of this world.
        """
        if not self._is_warm:
            self._warm_up(observations, available_actions)
        started_ns = perf_counter_ns()
        self._fill(observations, available_actions)
        if self.rounds is None:
            self._ask(started_ns)
        else:
            mask = None if available_actions is None else available_actions[0]
            took_ns = self.rounds.ask(self._links, self._step, started_ns, mask)
            self.times.add(perf_counter_ns() - started_ns, took_ns)
        self._step += 1
        actions: ActionArray = self._answers.actions[None].copy()
        return actions

    def _fill(self, observations: FloatArray, available_actions: BoolArray | None) -> None:
        """Write the requests of this step."""
        requests = self._requests
        requests.observations[:] = observations[0]
        if available_actions is None:
            requests.head[:] = OBSERVE, self._step, self._seed
        else:
            requests.head[:] = OBSERVE_MASKED, self._step, self._seed
            requests.available_actions[:] = available_actions[0]

    def _ask(self, started_ns: int) -> None:
        """Send every request and wait for every answer."""
        for link in self._links:
            link.send()
        # The last one asked is usually the last one ready: waiting for it first, the team is woken once, not N times.
        for link in reversed(self._links):
            if link.receive() != self._step:
                link.close()
                raise AgentError(f"agent {link.agent_index} answered another step than {self._step}")
        self.times.add(perf_counter_ns() - started_ns, self._answers.head[:, 2])

    def _warm_up(self, observations: FloatArray, available_actions: BoolArray | None) -> None:
        """Play the first action of this episode many times, each time from the start of the episode."""
        seeds, games = np.array([self._seed]), np.zeros(1, dtype=np.int64)
        for _ in range(self._n_warmup):
            self._fill(observations, available_actions)
            self._ask(perf_counter_ns())
            self.begin(seeds, games)
        self.times.clear()
        self._is_warm = True

    def report(self) -> LatencyReport:
        """What the joint actions took that were played so far, as scenario `deadline` or `decentralized`.

        A late action counts with the whole deadline. Without a deadline nothing was warmed up but the very first
        joint action, and the report says so; `harness.latency.measure` follows the whole protocol.

        Raises:
            InvalidValueError: no joint action was played besides the very first one.
        """
        n_actions = max(1, len(self.times) * self.spec.n_agents)
        with_deadline = self.rounds is not None
        return team_report(
            "deadline" if with_deadline else "decentralized",
            self.times.samples_us(),
            self.times,
            self._watch.look(),
            n_warmup=self._n_warmup if with_deadline else 1,
            settled=with_deadline,
            late_share=float(self.rounds.late_actions.sum()) / n_actions if self.rounds else None,
        )

    def close(self) -> None:
        """End every process and what it started; safe to call twice."""
        for link in self._links:
            link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
