"""What an agent computes or remembers on the way to its action, as one digest per agent.

A leak need not flip a choice on the states at hand. It does change some number before it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from agents.policies import PolicyTeam
from env_adapters.api import ActionArray, BoolArray, FloatArray, TeamPolicy

if TYPE_CHECKING:
    from agents.acting import BatchedTeam

Digests = npt.NDArray[np.uint64]
Ask = Callable[[FloatArray, BoolArray | None], tuple[ActionArray, Digests | None]]
"""`TeamPolicy.act` that also says what happened inside: digests [B, N], or None where that cannot be seen."""
_DEPTH: Final = 8
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_OPAQUE: Final = 0
"""Digest of what cannot be compared."""


def asker(policy: TeamPolicy) -> Ask:
    """How to ask this team: with its agents' memory (code), or every number of the network (trained agents)."""
    if isinstance(policy, PolicyTeam):
        return lambda observations, masks: (policy.act(observations, masks), _memories(policy))
    if "torch" in sys.modules:
        from agents.acting import BatchedTeam

        if isinstance(policy, BatchedTeam):
            return lambda observations, masks: _with_network(policy, observations, masks)
    return lambda observations, masks: (policy.act(observations, masks), None)


def _memories(team: PolicyTeam) -> Digests:
    return np.array([[digest(memory) for memory in game] for game in team.memory], dtype=np.uint64)


def digest(value: Any) -> int:
    """64 bits of any nest of numbers, texts, arrays and tensors; 0 if something else is in it."""
    hasher = hashlib.blake2b(digest_size=8)
    known = _feed(hasher.update, value, _DEPTH)
    return int.from_bytes(hasher.digest(), "little") | 1 if known else _OPAQUE


def _feed(update: Callable[[bytes], None], value: Any, depth: int) -> bool:
    """Feed a value; False where something in it cannot be compared."""
    if depth == 0:
        return False
    update(type(value).__name__.encode() + b"\0")
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        update(repr(value).encode(errors="replace") + b"\0")
        return True
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, (tuple, list)):
        update(len(value).to_bytes(8, "little"))
        return all(_feed(update, item, depth - 1) for item in value)
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.hasobject:
        return False
    update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    return True


def _with_network(
    team: BatchedTeam, observations: FloatArray, masks: BoolArray | None
) -> tuple[ActionArray, Digests]:
    """Act, and digest each row of every tensor that the network makes."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    blocks: list[Digests] = []

    class Tap(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Mixes every tensor with one row per agent into the digests of the rows."""

        def __init__(self, n_rows: int) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.digests = np.zeros(n_rows, dtype=np.uint64)

        def __torch_dispatch__(
            self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            out = function(*args, **(kwargs or {}))
            is_row_wise = isinstance(out, torch.Tensor) and out.ndim > 0 and len(out) == len(self.digests)
            # What is made from no tensor, such as the numbers of the rows, says nothing about agents.
            is_computed = any(isinstance(arg, (torch.Tensor, list, tuple)) for arg in args)
            if is_row_wise and is_computed and "empty" not in str(function):
                self.digests = self.digests * _MULTIPLIER + _row_hashes(out.numpy().reshape(len(out), -1))
            return out

    class Tapped:
        """The agent, with a tap on its network."""

        def __getattr__(self, name: str) -> Any:
            return getattr(agent, name)

        def act_batch(self, params: Any, inputs: Any, *rest: Any) -> Any:
            with Tap(len(inputs)) as tap:
                actions = agent.act_batch(params, inputs, *rest)
            blocks.append(tap.digests)
            return actions

    agent = team.agent
    team.agent = Tapped()  # type: ignore[assignment]
    try:
        actions = team.act(observations, masks)
    finally:
        team.agent = agent
    rows = np.concatenate(blocks)[: team.n_games * observations.shape[1]]
    return actions, rows.reshape(team.n_games, -1)


def _row_hashes(values: npt.NDArray[Any]) -> Digests:
    """[R, X] of any type to uint64[R]: a sum of its bytes, or words, with odd multipliers."""
    kind = np.uint32 if values.dtype.itemsize % 4 == 0 else np.uint8
    words = np.ascontiguousarray(values).view(kind)
    multipliers = np.cumprod(np.full(words.shape[1], _MULTIPLIER), dtype=np.uint64)
    hashes: Digests = words.astype(np.uint64) @ multipliers
    return hashes
