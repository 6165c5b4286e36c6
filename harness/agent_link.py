"""The team's end of the connection to one agent's process: start it, ask it, hear from it, end it."""

from __future__ import annotations

import signal
import socket
import struct
from time import perf_counter_ns
from typing import Final, NoReturn

from env_adapters.errors import (
    ActionError,
    AgentError,
    CorruptFileError,
    HarnessError,
    InvalidValueError,
    MismatchError,
    UnknownNameError,
)
from harness.agent_messages import DONE, HEAD, Answers, Requests
from harness.agent_process import Orders, serve
from harness.passport import usable_cores
from harness.processes import context, kill_tree

_START_LIMIT_S: Final = 120.0
_EXIT_LIMIT_S: Final = 1.0
_SPIN_NS: Final = 200_000
_ERRORS: Final[dict[int, type[HarnessError]]] = {
    kind.exit_code: kind
    for kind in (
        ActionError,
        AgentError,
        CorruptFileError,
        InvalidValueError,
        MismatchError,
        UnknownNameError,
    )
}


class AgentLink:
    """One agent's process and the connection to it.

    Args:
        orders: what the process is told.
        requests: the team's requests; this agent is sent its own row.
        answers: the team's answers; this agent's come into its own row.
        timeout_s: how long to wait for an answer.
    """

    def __init__(self, orders: Orders, requests: Requests, answers: Answers, timeout_s: float) -> None:
        self.agent_index, self._timeout_s = orders.agent_index, timeout_s
        row = self.agent_index
        self._request, self._question = requests.bytes[row].data, requests.head[row]
        self._answer, self._head = answers.bytes[row].data, answers.head[row]
        self._answers = answers
        self._spin_ns = _SPIN_NS if usable_cores() > orders.spec.n_agents else 0
        # Sequenced packets keep the bounds of messages: no answer can be taken for the rest of another.
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = context().Process(target=serve, args=(theirs, orders), daemon=True)
            self._process.start()
        self.is_open = True
        """False once the process was ended; its error has been raised then."""
        self._wait_at_most(_START_LIMIT_S)

    def _wait_at_most(self, limit_s: float) -> None:
        """Let the kernel end a wait: cheaper than asking first whether something has come."""
        limit = struct.pack("ll", int(limit_s), int(limit_s % 1.0 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process.pid is not None
        return self._process.pid

    def fileno(self) -> int:
        """What `select` waits for."""
        return self._socket.fileno()

    def wait_until_ready(self) -> None:
        """Wait until the policy is loaded; raises the HarnessError that the process raised instead."""
        self.receive()
        self._wait_at_most(self._timeout_s)

    def send(self) -> None:
        """Send this agent's request; AgentError where its process has ended."""
        try:
            self._socket.send(self._request)
        except OSError:
            self._fail(0)

    def receive(self) -> int:
        """Wait for one answer; returns the step that it answers.

        Raises:
            AgentError: the policy raised, its process has ended, or no answer came within the time limit.
            ActionError: the policy returned something that is no action of this world.
        """
        try:
            size = self._spin() or self._socket.recv_into(self._answer)
        except BlockingIOError:
            self.give_up()
        except OSError:
            size = 0
        status, step, _ = HEAD.unpack_from(self._answer)
        if size != self._answers.size or status != DONE:
            self._fail(size)
        return int(step)

    def _spin(self) -> int:
        """Ask again and again for a moment, where every agent has a core to itself.

        Being woken from sleep by another core takes longer than a short answer.
        """
        give_up_ns = perf_counter_ns() + self._spin_ns
        while perf_counter_ns() < give_up_ns:
            try:
                return self._socket.recv_into(self._answer, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
        return 0

    def has_begun(self, start: int) -> bool:
        """Wait for the answer to the start of an episode.

        Answers to steps of the last episode are skipped; returns False, and the process is ended, where one of
        those is an error, which no longer matters.
        """
        while True:
            try:
                if self.receive() == start:
                    return True
            except HarnessError:
                if self._head[1] == start or self._head[0] == DONE:
                    raise
                return False

    def give_up(self) -> NoReturn:
        """End the process; raises the AgentError that says it took too long."""
        self.close()
        raise AgentError(
            f"{self._where()} gave no answer within {self._timeout_s:g} s; its process was ended"
        )

    def _fail(self, size: int) -> NoReturn:
        """End the process; raises the error that an answer of so many bytes stands for."""
        status = int(self._head[0])
        if size == 0:
            self._process.join(_EXIT_LIMIT_S)  # for its exit code
        self.close()
        if size == 0:
            raise AgentError(f"the process of {self._where()} ended ({self._ending()})")
        if size < HEAD.size or status == DONE:
            raise AgentError(f"{self._where()} answered with {size} bytes, expected {self._answers.size}")
        kind = _ERRORS.get(status, AgentError)
        raise kind(self._answers.text(self.agent_index, size))

    def _where(self) -> str:
        step = int(self._question[1])
        return f"agent {self.agent_index} at " + ("the start of an episode" if step < 0 else f"step {step}")

    def _ending(self) -> str:
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        return f"killed by {signal.Signals(-code).name}"

    def close(self) -> None:
        """End the process and everything it started; safe to call twice."""
        if not self.is_open:
            return
        self.is_open = False
        self._socket.close()
        kill_tree(self.pid)
        self._process.join()
