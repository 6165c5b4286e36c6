"""Agents as code for the tests of decentralised teams: well-behaved ones, and one for each way to misbehave."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from env_adapters.api import AgentView, Policy, TeamSpec

TROUBLE_STEP = 3
Make = Callable[[TeamSpec, int], Policy]


class Function:
    """A policy that is a function."""

    def __init__(self, act: Callable[[AgentView, Any, np.random.Generator], tuple[Any, Any]]) -> None:
        self.act = act


def remembering(spec: TeamSpec, agent_index: int) -> Policy:
    """Draws from its generator, sums what it saw in its memory, and lets both decide."""

    def act(view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        memory = (0.0 if memory is None else memory) + float(view.observation.sum()) + view.step
        choices = np.flatnonzero(view.available_actions)
        return choices[int(abs(memory) * 1000 + rng.integers(100)) % len(choices)], memory

    return Function(act)


def telling(spec: TeamSpec, agent_index: int) -> Policy:
    """Plays ten times its observation, as many as it has seen before, and the step: 100 x + 10 n + t."""

    def act(view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        seen = 0 if memory is None else memory
        return 100 * int(view.observation[0]) + 10 * seen + view.step, seen + 1

    return Function(act)


def sleeping(spec: TeamSpec, agent_index: int) -> Policy:
    """Sleeps as many seconds as its observation says, then plays 1 + 10 n + t; raises where that is negative."""

    def act(view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        seen = 0 if memory is None else memory
        time.sleep(abs(float(view.observation[0])))
        if view.observation[0] < 0:
            raise ValueError("slept badly")
        return 1 + 10 * seen + view.step, seen + 1

    return Function(act)


def drifting(spec: TeamSpec, agent_index: int) -> Policy:
    """Continuous: sleeps, then plays ones."""

    def act(view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        time.sleep(float(view.observation[0]))
        return np.ones(spec.action_size, dtype=np.float32), None

    return Function(act)


def _troubled(trouble: Callable[[], Any]) -> Make:
    """Agent 1 is in trouble at step 3 of episodes whose observations are not negative."""

    def make(spec: TeamSpec, agent_index: int) -> Policy:
        def act(view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
            print("x" * 100_000)
            if agent_index == 1 and view.step == TROUBLE_STEP and view.observation[0] >= 0:
                return trouble(), None
            return 0, None

        return Function(act)

    return make


def _hang() -> None:
    os.fork()
    while True:
        pass


def _escape_and_hang() -> None:
    if os.fork() == 0:
        os.setsid()
        os.fork()
    while True:
        pass


raising = _troubled(lambda: {}["nothing here"])
leaving = _troubled(lambda: sys.exit(4))
dying = _troubled(lambda: os._exit(5))
killed = _troubled(lambda: os.kill(os.getpid(), signal.SIGKILL))
hanging = _troubled(_hang)
escaping = _troubled(_escape_and_hang)
choosing_nonsense = _troubled(lambda: "left")
choosing_unavailable = _troubled(lambda: 1)
choosing_half = _troubled(lambda: 0.5)


def unmakeable(spec: TeamSpec, agent_index: int) -> Policy:
    """Raises for agent 1."""
    if agent_index == 1:
        raise ValueError("no weights")
    return raising(spec, agent_index)
