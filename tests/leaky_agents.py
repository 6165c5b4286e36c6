"""Agents that act on more than their own views, as user code; and honest ones that look suspicious.

`harness check leak --map 3m --agent tests/leaky_agents.py:NAME` must catch every one of LEAKY and none of HONEST.
Every action is a choice among the available ones by a number, so that the agents play on any map and robot.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from env_adapters.api import AgentView, TeamSpec, VectorEnv

LEAKY = (
    "shared_memory",
    "global_state",
    "teammate_observation",
    "argument_aliasing",
    "class_attribute",
    "environment_handle",
)
SUBTLE = ("only_at_step_five", "only_one_agent", "through_a_file", "without_a_flip", "own_earlier_episodes")
HONEST = ("frame_stack", "recurrent", "keeps_its_array", "writes_into_its_view")


def choose(view: AgentView, spec: TeamSpec, number: float) -> Any:
    """An available action, or torques, that depends on a number."""
    if spec.action_kind == "continuous":
        return np.tanh(np.arange(1, spec.action_size + 1) * (number % 3.0)).astype(np.float32)
    allowed = (
        np.arange(spec.action_size)
        if view.available_actions is None
        else np.flatnonzero(view.available_actions)
    )
    return int(allowed[int(abs(number) * 1000) % len(allowed)])


class Base:
    """What all have in common."""

    def __init__(self, spec: TeamSpec, agent_index: int) -> None:
        self.spec, self.agent_index = spec, agent_index

    def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        number, memory = self.think(view, memory)
        return choose(view, self.spec, number), memory

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        return own(view), None


def own(view: AgentView) -> float:
    return float(np.abs(view.observation).sum())


class SharedMemory(Base):
    """All agents return one and the same object as their memory."""

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        memory = NOTEBOOK if memory is None else memory
        memory[view.agent_index] = own(view)
        return sum(memory.values()), memory


NOTEBOOK: dict[int, float] = {}


def find_worlds() -> list[VectorEnv]:
    """Every world, found by looking through every object of the process."""
    return [t for t in gc.get_objects() if issubclass(type(t), VectorEnv) and "spec" in dir(t)]


class GlobalState(Base):
    """The world's state [S], which is for trainers only."""

    worlds: ClassVar[list[VectorEnv]] = []

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        GlobalState.worlds = GlobalState.worlds or find_worlds()
        return sum(float(np.abs(world.state()).sum()) for world in GlobalState.worlds), memory


class EnvironmentHandle(Base):
    """A handle on the simulator itself: what it hides even from the state."""

    worlds: ClassVar[list[VectorEnv]] = []

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        EnvironmentHandle.worlds = EnvironmentHandle.worlds or find_worlds()
        return sum(int(world.state_hash(0)[:8], 16) for world in EnvironmentHandle.worlds) / 1000.0, memory


class TeammateObservation(Base):
    """The observation of the next agent, from the frame of whoever asks."""

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        return own(view) + self.peek(view), None

    def peek(self, view: AgentView) -> float:
        frame = sys._getframe()
        while frame is not None:
            everyone = frame.f_locals.get("observations")
            if isinstance(everyone, np.ndarray) and everyone.ndim == 3:
                game = frame.f_locals.get("game", 0)
                return float(np.abs(everyone[game, (view.agent_index + 1) % self.spec.n_agents]).sum())
            frame = frame.f_back  # type: ignore[assignment]
        return 0.0


class ArgumentAliasing(Base):
    """A default argument that is one object for all: the arrays that agents were handed pile up in it."""

    def think(self, view: AgentView, memory: Any, seen: dict[int, np.ndarray] = {}) -> tuple[float, Any]:  # noqa: B006
        seen[view.agent_index] = view.observation
        return float(sum(np.abs(array).sum() for array in seen.values())), None


class ClassAttribute(Base):
    """What the last agent saw, kept on the class."""

    last: ClassVar[float] = 0.0

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        number = own(view) + ClassAttribute.last
        ClassAttribute.last = own(view)
        return number, None


class OnlyAtStepFive(ClassAttribute):
    """Honest but for one moment of the episode."""

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        number, _ = super().think(view, memory)
        return (number if view.step == 5 else own(view)), None


class OnlyOneAgent(ClassAttribute):
    """One agent of the team spies."""

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        number, _ = super().think(view, memory)
        return (number if view.agent_index == 1 else own(view)), None


class ThroughAFile(Base):
    """Agents leave each other notes in a file."""

    path = Path(tempfile.gettempdir()) / "marl-harness-leaky-agents-note"

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        note = float(self.path.read_text()) if self.path.exists() else 0.0
        self.path.write_text(str(own(view)))
        return own(view) + note, None


class WithoutAFlip(ClassAttribute):
    """The spied number goes into the memory only, and never changes an action."""

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        number, _ = super().think(view, memory)
        return own(view), np.array([number])


class OwnEarlierEpisodes(Base):
    """Counts its own steps on itself, over all episodes."""

    def __init__(self, spec: TeamSpec, agent_index: int) -> None:
        super().__init__(spec, agent_index)
        self.steps = 0

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        self.steps += 1
        return own(view) + self.steps * 0.37, None


class FrameStack(Base):
    """Remembers its last three observations."""

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        stack = (*(memory or ()), view.observation)[-3:]
        return float(sum(np.abs(array).sum() for array in stack)), stack


class Recurrent(Base):
    """A small recurrent network with noise on its action."""

    def __init__(self, spec: TeamSpec, agent_index: int) -> None:
        super().__init__(spec, agent_index)
        rng = np.random.default_rng(agent_index)
        self.weights = rng.standard_normal((8, spec.observation_size + 8)) * 0.1

    def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        hidden = np.zeros(8) if memory is None else memory
        hidden = np.tanh(self.weights @ np.concatenate([view.observation, hidden]))
        return choose(view, self.spec, float(hidden.sum() + rng.normal())), hidden


class KeepsItsArray(Base):
    """Keeps the array of the first step: it is its own."""

    def think(self, view: AgentView, memory: Any) -> tuple[float, Any]:
        first = view.observation if memory is None else memory
        return own(view) + float(np.abs(first).sum()), first


class WritesIntoItsView(Base):
    """Normalises its observation in place and opens every action in its mask, without using that."""

    def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        action = choose(view, self.spec, own(view))
        view.observation[:] = 7.0
        if view.available_actions is not None:
            view.available_actions[:] = True
        return action, None


# Each of these is a `make(spec, agent_index)`.
shared_memory, global_state, teammate_observation = SharedMemory, GlobalState, TeammateObservation
argument_aliasing, class_attribute, environment_handle = ArgumentAliasing, ClassAttribute, EnvironmentHandle
only_at_step_five, only_one_agent, through_a_file = OnlyAtStepFive, OnlyOneAgent, ThroughAFile
without_a_flip, own_earlier_episodes = WithoutAFlip, OwnEarlierEpisodes
frame_stack, recurrent = FrameStack, Recurrent
keeps_its_array, writes_into_its_view = KeepsItsArray, WritesIntoItsView
