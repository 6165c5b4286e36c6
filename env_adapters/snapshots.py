"""Snapshots as bytes: named arrays plus a header that says which world they belong to. No pickle."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from env_adapters.api import TeamSpec
from env_adapters.errors import CorruptFileError, MismatchError

Arrays = Mapping[str, npt.NDArray[Any]]


def _header(kind: str, spec: TeamSpec) -> dict[str, str]:
    return {"kind": kind, "scenario": spec.scenario, "layout": spec.layout, "engine": spec.engine}


def pack(kind: str, spec: TeamSpec, arrays: Arrays) -> bytes:
    """Write arrays and the identity of their world into bytes."""
    buffer = io.BytesIO()
    header = np.frombuffer(json.dumps(_header(kind, spec), sort_keys=True).encode(), dtype=np.uint8)
    np.savez(buffer, __header__=header, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(kind: str, spec: TeamSpec, snapshot: bytes) -> dict[str, npt.NDArray[Any]]:
    """Read what `pack` wrote; MismatchError for another world, CorruptFileError for other bytes."""
    try:
        with np.load(io.BytesIO(snapshot), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("__header__").tobytes())
    except Exception as error:
        raise CorruptFileError("these bytes are not a snapshot, or a damaged one; take a new one") from error
    expected = _header(kind, spec)
    differing = [key for key in expected if header.get(key) != expected[key]]
    if differing:
        key = differing[0]
        raise MismatchError(
            f"snapshot of {key} '{header.get(key)}' cannot be restored into {key} '{expected[key]}'"
        )
    return arrays


def check_arrays(stored: Arrays, live: Arrays) -> None:
    """Raise CorruptFileError unless every live array is stored with its shape and type, in finite numbers."""
    for name, array in live.items():
        other = stored.get(name)
        fits = other is not None and (other.shape, other.dtype) == (array.shape, array.dtype)
        if other is None or not fits or not np.isfinite(other).all():
            raise CorruptFileError(f"array '{name}' of this snapshot is missing or damaged; take a new one")


def digest(arrays: Arrays) -> str:
    """Hex digest (128 bit BLAKE2b) of named arrays: names, types, shapes and bytes."""
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hasher.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()
