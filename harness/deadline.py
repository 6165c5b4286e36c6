"""What happens to an agent that takes longer than the game waits."""

from __future__ import annotations

import select
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Final, Literal, NamedTuple

import numpy as np

from env_adapters.api import ActionArray, BoolArray, IntArray
from env_adapters.errors import InvalidValueError
from harness.agent_link import AgentLink
from harness.agent_messages import Answers

LATE_ACTIONS: Final = ("noop", "repeat")
_NS_PER_MS: Final = 1_000_000


class Deadline(NamedTuple):
    """How long a joint action may take, and what is played for an agent that takes longer."""

    deadline_ms: float
    """From the team's observations being there to the agent's action being there, transport included."""
    late_action: Literal["noop", "repeat"]
    """`noop`: the idlest available action (the first one of the mask, or zeros); `repeat`: what the agent last
    answered in time in this episode, but `noop` where that is not available or there is nothing yet."""

    def check(self) -> None:
        """Raise InvalidValueError for a deadline that is not positive, or an unknown late action."""
        if not 0 < self.deadline_ms < float("inf"):
            raise InvalidValueError(f"a deadline of {self.deadline_ms:g} ms makes no sense; give more than 0")
        if self.late_action not in LATE_ACTIONS:
            raise InvalidValueError(f"late action '{self.late_action}' is none of: {', '.join(LATE_ACTIONS)}")


class DeadlineRounds:
    """Joint actions of one team under a deadline.

    An agent has at most one observation to work on. While it is late with an old one it is sent nothing; as soon as
    its late answer has arrived and been thrown away it gets the newest, so that no queue can grow.

    Args:
        deadline: the deadline.
        timeout_s: an agent that works on one observation for longer has failed.
        answers: where the answers of the links arrive; actions of late agents are written there, too.
    """

    def __init__(self, deadline: Deadline, timeout_s: float, answers: Answers) -> None:
        self._deadline = deadline
        self._limit_ns = int(deadline.deadline_ms * _NS_PER_MS)
        self._timeout_ns = int(timeout_s * 1e9)
        self._answers = answers
        n_agents = len(answers.bytes)
        self.late_actions: IntArray = np.zeros(n_agents, dtype=np.int64)
        """[N], how often each agent was late."""
        self._asked_ns: list[int | None] = [None] * n_agents  # when a busy agent was sent its observation
        self._in_time: list[ActionArray | None] = [None] * n_agents

    def begin(self) -> None:
        """A new episode: nobody is busy, and there is nothing to repeat."""
        self._asked_ns = [None] * len(self._asked_ns)
        self._in_time = [None] * len(self._in_time)

    def ask(
        self, links: Sequence[AgentLink], step: int, started_ns: int, available_actions: BoolArray | None
    ) -> IntArray:
        """Let every agent act until the deadline; the joint action is then in the answers.

        Args:
            links: the agents; their requests hold the observations of this step.
            step: number of the step.
            started_ns: when the observations were there.
            available_actions: [N, A], for those who are late.

        Returns:
            [N], nanoseconds until each agent's action had arrived; the whole deadline for those who were late.

        Raises:
            AgentError: an agent failed, now or in a step that it was late for.
            ActionError: an agent answered with something that is no action.
        """
        for link in links:
            if self._asked_ns[link.agent_index] is None:
                self._send(link)
        took: IntArray = np.full(len(links), self._limit_ns, dtype=np.int64)
        late, waiting = {link.agent_index: link for link in links}, list(links)
        while waiting:
            left_ns = started_ns + self._limit_ns - perf_counter_ns()
            # What lies there when the team looks after the deadline was there in time.
            arrived, _, _ = select.select(waiting, [], [], max(0.0, left_ns / 1e9))
            if not arrived:
                break
            for link in arrived:
                is_newest = self._receive(link) == step
                if is_newest:
                    took[link.agent_index] = min(perf_counter_ns() - started_ns, self._limit_ns)
                    self._in_time[link.agent_index] = self._answers.actions[link.agent_index].copy()
                    del late[link.agent_index]
                elif left_ns > 0:
                    self._send(link)
                if is_newest or left_ns <= 0:
                    waiting.remove(link)
        for link in late.values():
            self._be_late(link, None if available_actions is None else available_actions[link.agent_index])
        return took

    def _send(self, link: AgentLink) -> None:
        link.send()
        self._asked_ns[link.agent_index] = perf_counter_ns()

    def _receive(self, link: AgentLink) -> int:
        self._asked_ns[link.agent_index] = None
        return link.receive()

    def _be_late(self, link: AgentLink, mask: BoolArray | None) -> None:
        """Put the action that is played for a late agent among the answers."""
        i = link.agent_index
        asked_ns = self._asked_ns[i]
        if asked_ns is not None and perf_counter_ns() - asked_ns > self._timeout_ns:
            link.give_up()
        self.late_actions[i] += 1
        last = self._in_time[i] if self._deadline.late_action == "repeat" else None
        if last is not None and (mask is None or mask[last]):
            self._answers.actions[i] = last
        else:
            self._answers.actions[i] = 0 if mask is None else mask.argmax()
