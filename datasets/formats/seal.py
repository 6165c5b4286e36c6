"""The seal of a dataset file: 4096 bytes in front that notice any change of any other byte, or of themselves.

The seal sits in the user block that HDF5 leaves alone. It records the size of the file, where the bytes of
each array lie and their SHA-256, and one SHA-256 of all bytes in between (the skeleton: HDF5 metadata, card,
padding). The skeleton is a few kilobytes, so it is checked on every opening, before the HDF5 library parses
a single byte; the arrays are checked on demand.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from env_adapters.errors import CorruptFileError

SEAL_SIZE = 4096
"""Bytes; HDF5 allows user blocks of 512 times a power of two."""
_TITLE = b"offline multi-agent dataset, sealed, version 1\n"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


class Extent(NamedTuple):
    """Where one array lies in the file, and what it must hash to."""

    key: str
    offset: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Seal:
    """The contents of the seal."""

    size_bytes: int
    """Size of the whole file."""
    skeleton: str
    """SHA-256 of everything after the seal that is not part of an array."""
    extents: tuple[Extent, ...]
    """In the order of their offsets."""

    def to_block(self) -> bytes:
        """The seal as SEAL_SIZE bytes: title, JSON, SHA-256 of both, zeros."""
        body = json.dumps([self.size_bytes, self.skeleton, self.extents]).encode()
        text = _TITLE + body + b"\n"
        block = text + hashlib.sha256(text).hexdigest().encode() + b"\n"
        return block.ljust(SEAL_SIZE, b"\0")

    @classmethod
    def from_block(cls, block: bytes) -> Seal:
        """Read what `to_block` wrote; ValueError or TypeError for any other bytes."""
        size_bytes, skeleton, extents = json.loads(block[len(_TITLE) :].split(b"\n", 1)[0])
        seal = cls(size_bytes, skeleton, tuple(Extent(*extent) for extent in extents))
        if seal.to_block() != block:
            raise ValueError("the seal does not match its own digest")
        return seal


def is_sealed(path: Path) -> bool:
    """Whether a file begins as sealed datasets do; OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(_TITLE)) == _TITLE


def _skeleton_digest(file: BinaryIO, size_bytes: int, extents: tuple[Extent, ...]) -> str:
    """SHA-256 of the bytes between the seal and the end that belong to no extent."""
    hasher = hashlib.sha256()
    position = SEAL_SIZE
    for extent in (*extents, Extent("end of file", size_bytes, 0, "")):
        if extent.offset < position:
            raise ValueError(f"{extent.key} overlaps what lies before it")
        file.seek(position)
        hasher.update(file.read(extent.offset - position))
        position = extent.offset + extent.size_bytes
    return hasher.hexdigest()


def write_seal(path: Path, extents: list[Extent]) -> None:
    """Seal a finished file whose first SEAL_SIZE bytes are free. OSError where it cannot be written."""
    ordered = tuple(sorted(extents, key=lambda extent: extent.offset))
    size_bytes = path.stat().st_size
    with path.open("r+b") as file:
        skeleton = _skeleton_digest(file, size_bytes, ordered)
        file.seek(0)
        file.write(Seal(size_bytes, skeleton, ordered).to_block())


def read_seal(path: Path) -> Seal:
    """Read and check the seal, the size of the file and its skeleton, but not the arrays.

    Raises:
        CorruptFileError: not a dataset file, truncated, or altered outside its arrays.
    """
    try:
        with path.open("rb") as file:
            block = file.read(SEAL_SIZE)
            if not block.startswith(_TITLE):
                what = (
                    "an HDF5 file of another kind" if block.startswith(_HDF5_MAGIC) else "not a dataset file"
                )
                raise CorruptFileError(
                    f"{path} is {what}, or its first bytes were altered; collect or fetch it anew"
                )
            seal = Seal.from_block(block)
            actual = path.stat().st_size
            if actual != seal.size_bytes:
                raise CorruptFileError(
                    f"{path} has {actual} bytes instead of {seal.size_bytes}; copy, collect or fetch it anew"
                )
            intact = _skeleton_digest(file, actual, seal.extents) == seal.skeleton
    except (OSError, ValueError, TypeError) as error:
        raise CorruptFileError(
            f"{path} cannot be read as a dataset: {error}; collect or fetch it anew"
        ) from error
    if not intact:
        raise CorruptFileError(f"{path} was altered in its card or metadata; copy, collect or fetch it anew")
    return seal
