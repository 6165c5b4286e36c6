"""The values that pickles of data hold: numbers, NumPy arrays and torch tensors, and the few names that make them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

MAX_ITEMS = 50_000_000
"""Numbers of one array, and instructions of one pickle."""
STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip


class RefusedError(Exception):
    """The pickle asks for something that is not data, or is damaged; the text says what."""


class Name(NamedTuple):
    """A name that the pickle asks for and that stands for an operation here."""

    text: str


class Kind:
    """A NumPy type in the making."""

    def __init__(self, code: Any) -> None:
        if not isinstance(code, str) or code[:1] not in "biufV" or code[:1] == "V":
            raise RefusedError(f"has an array of type {code!r:.40}, expected numbers")
        try:
            self.dtype = np.dtype(code)
        except (TypeError, ValueError) as error:
            raise RefusedError(f"has an array of the unknown type {code!r:.40}") from error

    def build(self, state: Any) -> None:
        """Byte order."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise RefusedError("has an array type that cannot be understood")
        if state[2:5] != (None, None, None):
            raise RefusedError("has an array of records, expected numbers")
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


class Holder:
    """An array in the making."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def build(self, state: Any) -> None:
        """Shape, type and bytes, as NumPy pickles them."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], Kind):
            raise RefusedError("has an array that cannot be understood")
        _, shape, kind, columns_first, content = state
        sizes = _sizes(shape)
        if not isinstance(content, bytes) or len(content) != math.prod(sizes) * kind.dtype.itemsize:
            raise RefusedError(f"has an array of shape {sizes} whose bytes do not fill it")
        array = np.frombuffer(content, kind.dtype)
        self.value = array.reshape(sizes, order="F" if columns_first else "C")


def _sizes(shape: Any) -> tuple[int, ...]:
    if (
        not isinstance(shape, tuple)
        or len(shape) > 8
        or not all(type(size) is int and 0 <= size <= MAX_ITEMS for size in shape)
        or math.prod(shape) > MAX_ITEMS
    ):
        raise RefusedError(f"has an array of the impossible shape {shape!s:.60}")
    return shape


def _encode(text: Any, encoding: Any) -> bytes:
    """How old protocols write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError("has bytes that cannot be understood")
    return text.encode("latin-1")


def _scalar(kind: Any, content: Any) -> Any:
    if not isinstance(kind, Kind) or not isinstance(content, bytes) or len(content) != kind.dtype.itemsize:
        raise RefusedError("has a number that cannot be understood")
    return np.frombuffer(content, kind.dtype)[0].item()


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Holder:
    """A tensor as a view into its storage."""
    sizes, steps = _sizes(shape), _sizes(strides)
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0 or len(steps) != len(sizes):
        raise RefusedError("has a tensor that cannot be understood")
    return Tensor(storage, offset, sizes, steps)


class Storage(NamedTuple):
    """Where the numbers of tensors lie."""

    key: str
    dtype: np.dtype[Any]
    n_items: int


class Tensor(Holder):
    """A tensor, whose storage may come after it in the file."""

    def __init__(self, storage: Storage, offset: int, sizes: tuple[int, ...], steps: tuple[int, ...]) -> None:
        super().__init__()
        self._storage, self._offset, self._sizes, self._steps = storage, offset, sizes, steps

    def fill(self, storages: Callable[[str], bytes]) -> None:
        """Take the numbers out of the storage."""
        key, dtype, n_items = self._storage
        content = storages(key)
        if len(content) != n_items * dtype.itemsize:
            raise RefusedError(f"has {len(content)} bytes in storage {key!r:.20} of {n_items} numbers")
        last = self._offset + sum(
            (size - 1) * step for size, step in zip(self._sizes, self._steps, strict=True)
        )
        count = math.prod(self._sizes)
        if count > n_items or (count and last >= n_items):
            raise RefusedError("has a tensor that does not fit its storage")
        flat = np.frombuffer(content, dtype)[self._offset :]
        steps = [step * dtype.itemsize for step in self._steps]
        self.value = np.lib.stride_tricks.as_strided(flat, self._sizes, steps).copy()


def _ordered(*entries: Any) -> dict[Any, Any]:
    """Hooks of tensors: always empty in data."""
    if entries:
        raise RefusedError("has a dictionary that cannot be understood")
    return {}


def _reconstruct(*_: Any) -> Holder:
    return Holder()


def _dtype(code: Any, *_: Any) -> Kind:
    return Kind(code)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "_codecs encode": _encode,
    "collections OrderedDict": _ordered,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor": _tensor,
    "numpy dtype": _dtype,
}
OPERATIONS |= {f"numpy.{core}.multiarray _reconstruct": _reconstruct for core in ("core", "_core")}
OPERATIONS |= {f"numpy.{core}.multiarray scalar": _scalar for core in ("core", "_core")}
PASSIVE = {"numpy ndarray", *(f"torch {name}" for name in STORAGES)}
"""Names that are only handed on."""
