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


def digest(arrays: Arrays) -> str:
    """Hex digest (128 bit BLAKE2b) of named arrays: names, types, shapes and bytes."""
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hasher.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()
