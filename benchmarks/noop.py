"""A world and agents that do nothing, to see what the harness itself takes."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import numpy as np

from env_adapters.api import (
    ActionArray,
    AgentView,
    BoolArray,
    FloatArray,
    IntArray,
    Policy,
    RenderState,
    TeamSpec,
    VectorEnv,
    VectorStep,
)
from env_adapters.errors import InvalidValueError


def noop_spec(n_agents: int) -> TeamSpec:
    """A world of the size of 5m_vs_6m, whatever the number of agents."""
    return TeamSpec(
        scenario="noop-v1",
        layout="noop-v1",
        engine="noop/1",
        n_agents=n_agents,
        observation_size=55,
        state_size=98,
        action_kind="discrete",
        action_size=12,
        episode_limit=1_000_000,
        has_win=True,
    )


class NoopEnv(VectorEnv):
    """One game that never changes, and notes when each step was asked for.

    Args:
        n_agents: N.
        length: steps after which the episode ends.
    """

    def __init__(self, n_agents: int, length: int) -> None:
        self.spec, self.n_games, self._length = noop_spec(n_agents), 1, length
        self.asked_ns: list[int] = []
        """When `step` was called."""
        spec = self.spec
        self._running, self._over = (
            VectorStep(
                np.zeros((1, n_agents, spec.observation_size), dtype=np.float32),
                np.ones((1, n_agents, spec.action_size), dtype=np.bool_),
                np.zeros(1, dtype=np.float64),
                np.array([is_over]),
                np.zeros(1, dtype=np.bool_),
                {"steps": np.zeros(1, dtype=np.int64), "won": np.array([is_over])},
            )
            for is_over in (False, True)
        )

    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        """The one moment there is."""
        self.asked_ns.clear()
        return self._running

    def step(self, joint_actions: ActionArray) -> VectorStep:
        """The same moment again; won at the end."""
        self.asked_ns.append(perf_counter_ns())
        return self._over if len(self.asked_ns) == self._length else self._running

    def state(self) -> FloatArray:
        """Zeros [1, S]."""
        return np.zeros((1, self.spec.state_size), dtype=np.float32)

    def snapshot(self) -> bytes:
        """Nothing."""
        return b""

    def restore(self, snapshot: bytes) -> VectorStep:
        """The one moment there is."""
        return self._running

    def state_hash(self, game: int) -> str:
        """Always the same."""
        return "0"

    def render_state(self, game: int) -> RenderState:
        """Raise InvalidValueError: there is nothing to see."""
        raise InvalidValueError("a world without anything in it cannot be drawn")


class NoopTeam:
    """A team that always plays action 0, as a `TeamPolicy` of one game."""

    def __init__(self, n_agents: int) -> None:
        self._actions: ActionArray = np.zeros((1, n_agents), dtype=np.int64)

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Nothing to start."""

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """Zeros [1, N]."""
        return self._actions


class _NoopPolicy:
    def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[int, None]:
        return 0, None


def make(spec: TeamSpec, agent_index: int) -> Policy:
    """An agent that always plays action 0, as code (`--agent benchmarks.noop:make`)."""
    return _NoopPolicy()
