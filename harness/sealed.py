"""JSON that carries its own checksum, so that damage shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from env_adapters.errors import CorruptFileError

_MARK = b', "checksum": "'


def _digest(head: bytes) -> bytes:
    return hashlib.blake2b(head, digest_size=8).hexdigest().encode()


def seal(values: Mapping[str, Any], indent: int | None = None) -> bytes:
    """JSON of an object, its last member a checksum (64 bit BLAKE2b) of all bytes before it, and a line end.

    Raises:
        ValueError: a number is not finite.
    """
    head = json.dumps(values, indent=indent, allow_nan=False).encode()[:-1].rstrip()
    return head + _MARK + _digest(head) + b'"}\n'


def unseal(sealed: bytes) -> dict[str, Any] | None:
    """The object that `seal` wrote, or None if a single bit of it has changed."""
    head, _, tail = sealed.rpartition(_MARK)
    if tail != _digest(head) + b'"}\n':
        return None
    try:
        values: dict[str, Any] = json.loads(head + b"}")
    except (ValueError, RecursionError):  # sealed by somebody else
        return None
    return values


def read_bytes(path: Path) -> bytes | None:
    """The content of a file, or None where there is none; CorruptFileError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorruptFileError(
            f"cannot read {path}: {error.strerror or error}; check its type and rights"
        ) from error


def read_sealed(path: Path) -> dict[str, Any] | None:
    """The sealed object in a file, or None where there is no file; CorruptFileError if it has changed."""
    data = read_bytes(path)
    if data is None:
        return None
    values = unseal(data)
    if values is None:
        raise CorruptFileError(f"{path} is damaged or was edited (wrong checksum); restore it or use --fresh")
    return values


def parse_sealed_lines(
    data: bytes, path: Path, skip_damaged: bool = False
) -> tuple[list[dict[str, Any]], int]:
    """Read a file of sealed lines that was only ever appended to.

    A crash can tear the last line, which is left out; damage anywhere else is an error, unless damaged lines
    are to be skipped.

    Returns:
        The objects, and how many bytes at the start of `data` they fill.

    Raises:
        CorruptFileError: a line other than the last is damaged; the message names `path` and line number.
    """
    objects: list[dict[str, Any]] = []
    intact = 0
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        end = intact + len(line) + 1
        values = unseal(line + b"\n")
        if values is None and end < len(data) and not skip_damaged:
            raise CorruptFileError(
                f"{path} line {number} is damaged; restore the file, or use --repair to play that episode again"
            )
        if values is not None:
            objects.append(values)
            intact = end
        elif skip_damaged:
            intact += len(line) + 1
    return objects, intact
