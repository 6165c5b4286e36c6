"""Agents that go wrong on purpose, as user code: `--agent tests/faulty_agents.py:NAME`.

Each behaves except where the wind of the toy world has blown its observation to a certain place, which some
episodes reach and others do not.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from env_adapters.api import AgentView, TeamSpec


class Walker:
    """Walks right where it can; agent 0 does something else on its left-most cell at step 2 or later."""

    def __init__(self, spec: TeamSpec, agent_index: int) -> None:
        self.agent_index = agent_index

    def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        """Walk, or go wrong."""
        assert view.available_actions is not None
        right = 2 if view.available_actions[2] else 0
        if self.agent_index == 0 and view.step >= 2 and view.observation[0] < 0.3:
            return self.wrong(right), None
        return right, None

    def wrong(self, right: int) -> Any:
        """What goes wrong; by default nothing."""
        return right


class Nan(Walker):
    """Not a number."""

    def wrong(self, right: int) -> Any:
        """See the class."""
        return float("nan")


class WrongShape(Walker):
    """Three actions instead of one."""

    def wrong(self, right: int) -> Any:
        """See the class."""
        return np.zeros(3, dtype=np.int64)


class Unavailable(Walker):
    """An action that does not exist."""

    def wrong(self, right: int) -> Any:
        """See the class."""
        return 7


class Raising(Walker):
    """A bug."""

    def wrong(self, right: int) -> Any:
        """See the class."""
        raise ZeroDivisionError("a bug in the agent")


class Exiting(Walker):
    """Ends the program."""

    def wrong(self, right: int) -> Any:
        """See the class."""
        sys.exit("enough")


class Looping(Walker):
    """Thinks forever."""

    def wrong(self, right: int) -> Any:
        """See the class."""
        while True:
            pass


class Printing(Walker):
    """Prints a gigabyte."""

    def wrong(self, right: int) -> Any:
        """See the class."""
        line = "x" * (1 << 20)
        for _ in range(1024):
            print(line)
        return right


class NoPair(Walker):
    """Forgets the memory."""

    def act(self, view: AgentView, memory: Any, rng: np.random.Generator) -> Any:
        """Return the action alone."""
        return super().act(view, memory, rng)[0]


def unbuildable(spec: TeamSpec, agent_index: int) -> Walker:
    """Cannot be made."""
    raise KeyError("weights")
