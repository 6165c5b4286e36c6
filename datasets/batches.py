"""Draws random transitions from a dataset into buffers that are used again and again.

The moment after a transition is the next row of its arrays (see `datasets.schema`), so both moments are copied as one
piece of two rows. Only bytes of the batch are touched; the file stays memory-mapped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from datasets.schema import Array, Dataset, TransitionBatch
from env_adapters.api import IntArray
from env_adapters.bounds import check_at_least
from env_adapters.jit import kernel

_AHEAD = 256
"""Batches whose indices are drawn together, because one call of the generator costs as much as many numbers."""
_LINE = 64
"""Bytes that the processor fetches together."""
_FETCHED = 4
"""Lines fetched ahead of each piece; the processor recognises by itself that the rest of it follows."""


class BatchSampler:
    """Batches of transitions, drawn uniformly with replacement.

    The same generator gives the same batches. A batch is overwritten by the next one: copy what shall last.

    Args:
        dataset: where from.
        batch_size: B.
        generator: decides which transitions are drawn; nobody else may draw from it meanwhile.

    Raises:
        InvalidValueError: `batch_size` is below 1.
    """

    def __init__(self, dataset: Dataset, batch_size: int, generator: np.random.Generator) -> None:
        check_at_least("batch_size", batch_size, 1)
        self._size, self._generator, self._n = batch_size, generator, dataset.n_transitions
        self._offsets = np.ascontiguousarray(dataset.episode_offsets, dtype=np.int64)
        self._pieces: list[tuple[int, ...]] = []
        self._arrays: list[Array] = []  # their addresses are used, so they must live
        observations = self._moments(dataset.observations)
        states = self._moments(dataset.states)
        masks = None if dataset.available_actions is None else self._moments(dataset.available_actions)
        self._stored = self._buffer(dataset.actions, 1)[:, 0]
        discrete = dataset.card.action_kind == "discrete"
        self._batch = TransitionBatch(
            observations=observations[:, 0],
            actions=self._stored.astype(np.int64) if discrete else self._stored,
            rewards=self._buffer(dataset.rewards, 1)[:, 0],
            next_observations=observations[:, 1],
            terminated=self._buffer(dataset.terminated, 1)[:, 0],
            truncated=self._buffer(dataset.truncated, 1)[:, 0],
            available_actions=None if masks is None else masks[:, 0],
            next_available_actions=None if masks is None else masks[:, 1],
            states=states[:, 0],
            next_states=states[:, 1],
        )
        self._table = np.array(self._pieces, dtype=np.int64)
        self._drawn = np.empty((0, batch_size), np.int64)
        self._next = 0

    def draw(self) -> TransitionBatch:
        """The next B transitions, in the sampler's own buffers."""
        if self._next == len(self._drawn):
            self._drawn = self._generator.integers(0, self._n, (_AHEAD, self._size))
            self._next = 0
        self._next += 1
        return self._copy(self._drawn[self._next - 1])

    def gather(self, indices: IntArray) -> TransitionBatch:
        """The transitions of these indices [B], in the sampler's own buffers.

        Raises:
            IndexError: not B indices, or one is negative or not below T.
        """
        if indices.shape != (self._size,) or indices.min() < 0 or indices.max() >= self._n:
            raise IndexError(f"expected {self._size} transition indices from 0 to {self._n - 1}")
        return self._copy(np.ascontiguousarray(indices, dtype=np.int64))

    def _copy(self, indices: IntArray) -> TransitionBatch:
        _gather(indices, self._offsets, self._table)
        if self._batch.actions is not self._stored:
            self._batch.actions[...] = self._stored
        return self._batch

    def _moments(self, array: Array) -> Array:
        return self._buffer(array, 2)

    def _buffer(self, array: Array, n_rows: int) -> Array:
        """A buffer [B, n_rows, ...] for that many rows of each transition; two of an array of moments."""
        array = np.ascontiguousarray(array)  # no copy: memory maps are
        buffer = np.empty((self._size, n_rows, *array.shape[1:]), array.dtype)
        row_bytes = math.prod(array.shape[1:]) * array.itemsize
        self._arrays += [array, buffer]
        self._pieces.append((array.ctypes.data, buffer.ctypes.data, row_bytes, n_rows))
        return buffer


@intrinsic  # type: ignore[untyped-decorator]
def _copy_bytes(typing_context: Any, target: Any, origin: Any, count: Any) -> tuple[Any, Callable[..., Any]]:
    """Copy `count` bytes from one address to another, which kernels cannot say in Python."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, start, size = arguments
        pointer = cgutils.voidptr_t
        cgutils.raw_memcpy(builder, builder.inttoptr(to, pointer), builder.inttoptr(start, pointer), size, 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _fetch_line(typing_context: Any, address: Any) -> tuple[Any, Callable[..., Any]]:
    """Have the processor begin to read at this address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer, pointer = ir.IntType(32), cgutils.voidptr_t
        kind = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        to_read, keep, data = integer(0), integer(3), integer(1)
        builder.call(function, [builder.inttoptr(arguments[0], pointer), to_read, keep, data])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@kernel
def _gather(indices: IntArray, offsets: IntArray, table: IntArray) -> None:
    """Copy the rows of all transitions; `table` [arrays, 4]: address from, address to, bytes of a row, rows."""
    rows = np.empty_like(indices)
    for b in range(len(indices)):
        rows[b] = indices[b] + np.searchsorted(offsets, indices[b], side="right") - 1
    for b in range(len(indices)):
        ahead = min(b + 1, len(indices) - 1)  # begin to read the next transition while this one is copied
        for piece in range(len(table)):
            start, to, row_bytes, n_rows = table[piece]
            size = n_rows * row_bytes
            after = start + (rows[ahead] if n_rows == 2 else indices[ahead]) * row_bytes
            for line in range(min(size // _LINE + 1, _FETCHED)):
                _fetch_line(after + line * _LINE)
            row = rows[b] if n_rows == 2 else indices[b]
            _copy_bytes(to + b * size, start + row * row_bytes, size)
