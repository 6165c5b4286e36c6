"""The bytes between a team and the process of one agent: an observation in, an action out, nothing else."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamSpec

BEGIN, OBSERVE, OBSERVE_MASKED = range(3)
"""What a request asks: start an episode, choose an action, choose one that the mask allows."""
DONE: Final = 0
"""Status of an answer that carries what was asked for; any other is the exit code of an error, then comes its text."""
HEAD: Final = struct.Struct("qqq")
"""Three whole numbers start every message."""
LONGEST_TEXT: Final = 2000
"""Bytes of an error's text that are sent."""

Bytes = npt.NDArray[np.uint8]


class Requests:
    """Rows of request bytes [R, size], and the same memory as arrays.

    `head` [R, 3] holds the kind, the step (for the start of an episode: minus its running number) and the episode
    seed; then come the observation [R, D] and, where actions are choices, the mask [R, A].
    """

    def __init__(self, spec: TeamSpec, rows: int) -> None:
        middle = HEAD.size + 4 * spec.observation_size
        width = middle + (spec.action_size if spec.action_kind == "discrete" else 0)
        self.bytes: Bytes = np.zeros((rows, width), dtype=np.uint8)
        self.head: IntArray = self.bytes[:, : HEAD.size].view(np.int64)
        self.observations: FloatArray = self.bytes[:, HEAD.size : middle].view(np.float32)
        self.available_actions: BoolArray = self.bytes[:, middle:].view(np.bool_)


class Answers:
    """Rows of answer bytes [R, capacity], and the same memory as arrays.

    `head` [R, 3] holds the status, the step of the request and the nanoseconds from the request being read to the
    action being ready; then comes the action, or the text of an error.
    """

    def __init__(self, spec: TeamSpec, rows: int) -> None:
        discrete = spec.action_kind == "discrete"
        self.size = HEAD.size + (8 if discrete else 4 * spec.action_size)
        """Bytes of an answer that carries an action."""
        capacity = max(self.size, HEAD.size + LONGEST_TEXT)
        self.bytes: Bytes = np.zeros((rows, capacity + -capacity % 8), dtype=np.uint8)
        self.head: IntArray = self.bytes[:, : HEAD.size].view(np.int64)
        payload = self.bytes[:, HEAD.size : self.size]
        self.actions: ActionArray = payload.view(np.int64)[:, 0] if discrete else payload.view(np.float32)
        """int64[R] or float32[R, A]"""

    def text(self, row: int, size: int) -> str:
        """The text of an answer of so many bytes."""
        return self.bytes[row, HEAD.size : size].tobytes().decode(errors="replace")
