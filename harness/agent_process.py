"""One agent in its own process: it gets its own bytes, answers with its action, and knows nothing of the others."""

from __future__ import annotations

import gc
import os
import socket
import sys
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from agents.generators import episode_generator
from agents.policies import ask, checked_action
from env_adapters.api import AgentView, Policy, TeamSpec
from env_adapters.errors import AgentError, HarnessError
from harness.agent_messages import BEGIN, DONE, HEAD, LONGEST_TEXT, OBSERVE_MASKED, Answers, Requests
from harness.processes import child_guard
from harness.team import TeamSource, load_team


@dataclass(frozen=True)
class Orders:
    """What the process of one agent is told when it starts."""

    map_name: str
    spec: TeamSpec
    source: TeamSource
    agent_index: int
    folder: str
    """Working directory: relative paths of the source count from here."""
    memory_limit_bytes: int | None


def serve(connection: socket.socket, orders: Orders) -> None:
    """Be one agent until the connection closes; the target of the process."""
    child_guard(orders.memory_limit_bytes)
    try:
        os.chdir(orders.folder)
        team = load_team(orders.map_name, orders.spec, orders.source)
        policy = team.policy(orders.agent_index)
    except HarnessError as error:
        _send_error(connection, error, 0)
        return
    except (Exception, SystemExit) as error:
        what = f"agent {orders.agent_index} could not be made: {type(error).__name__}: {error}"
        _send_error(connection, AgentError(what), 0)
        return
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    gc.collect()
    gc.freeze()
    gc.disable()  # collected between episodes instead
    _Agent(connection, policy, orders).run()


def _send_error(connection: socket.socket, error: HarnessError, step: int) -> None:
    connection.send(HEAD.pack(error.exit_code, step, 0) + str(error).encode()[:LONGEST_TEXT])


class _Agent:
    """The loop of the process, with everything that lasts from one request to the next."""

    def __init__(self, connection: socket.socket, policy: Policy, orders: Orders) -> None:
        self.connection, self.policy = connection, policy
        self.spec, self.index = orders.spec, orders.agent_index
        requests, answers = Requests(self.spec, 1), Answers(self.spec, 1)
        self.request, self.reply = requests.bytes[0].data, answers.bytes[0, : answers.size].data
        self.observation, self.mask = requests.observations[0], requests.available_actions[0]
        self.actions = answers.actions
        self.memory: Any = None
        self.rng = episode_generator(0, self.index)

    def run(self) -> None:
        """Say that the agent is ready, then answer requests until the connection closes or the policy fails."""
        request, reply, send = self.request, self.reply, self.connection.send
        receive = self.connection.recv_into
        send(reply)
        while receive(request):
            started = perf_counter_ns()
            kind, step, seed = HEAD.unpack_from(request)
            try:
                if kind == BEGIN:
                    started = self.begin(seed)
                else:
                    self.act(step, kind == OBSERVE_MASKED)
            except HarnessError as error:
                _send_error(self.connection, error, step)
                return
            HEAD.pack_into(reply, 0, DONE, step, perf_counter_ns() - started)
            send(reply)

    def begin(self, episode_seed: int) -> int:
        """Start an episode; returns when that began, which is after the last one's garbage was collected."""
        gc.collect()
        started = perf_counter_ns()
        self.memory, self.rng = None, episode_generator(episode_seed, self.index)
        return started

    def act(self, step: int, masked: bool) -> None:
        """Put the action for the observation of the request into the reply."""
        view = AgentView(self.observation.copy(), self.mask.copy() if masked else None, self.index, step)
        action, self.memory = ask(self.policy, view, self.memory, self.rng)
        self.actions[0] = checked_action(action, view, self.spec)
