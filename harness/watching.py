"""Who is at work, agents or simulator, so that a hang or a crash can be laid at the right door."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Final, Literal

from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamPolicy
from env_adapters.errors import ActionError, AgentError
from harness.schema import LatencyReport

Blame = Literal["simulator", "agent"]
_SIDES: Final[tuple[Blame, Blame]] = ("simulator", "agent")


class Watch:
    """A counter that moves with every change of turn, and whose turn it is.

    Args:
        cells: two whole numbers; shared memory, if another process shall see them.
    """

    def __init__(self, cells: MutableSequence[int] | None = None) -> None:
        self._cells = [0, 0] if cells is None else cells
        self.report: LatencyReport | None = None
        """What actions took, where agents ran in processes of their own; known when playing ends."""

    def turn(self, side: Blame) -> None:
        """Note that this side has the turn now."""
        self._cells[1] = _SIDES.index(side)
        self._cells[0] += 1

    @property
    def count(self) -> int:
        """Changes of turn so far."""
        return self._cells[0]

    @property
    def side(self) -> Blame:
        """Whose turn it is."""
        return _SIDES[self._cells[1]]

    def blame(self, error: BaseException) -> Blame:
        """Whose fault an error is; a malformed action is the agent's, whoever noticed it."""
        return "agent" if isinstance(error, (ActionError, AgentError)) else self.side


class Watched:
    """A `TeamPolicy` that tells a watch when it starts and ends its turn."""

    def __init__(self, policy: TeamPolicy, watch: Watch) -> None:
        self._policy, self._watch = policy, watch

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """See `TeamPolicy.begin`."""
        self._watch.turn("agent")
        self._policy.begin(episode_seeds, games)
        self._watch.turn("simulator")

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """See `TeamPolicy.act`."""
        self._watch.turn("agent")
        actions = self._policy.act(observations, available_actions)
        self._watch.turn("simulator")
        return actions
