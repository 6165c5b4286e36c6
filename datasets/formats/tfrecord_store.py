"""Records of TensorFlow without TensorFlow: checked frames, the two messages inside, and tensors as arrays.

Written after the published descriptions of TFRecord files, of protocol buffers' wire format, and of the messages
`tf.train.Example` and `TensorProto`. Whatever those do not allow, or no dataset needs, is refused.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datasets.formats import source
from datasets.schema import Array
from env_adapters.errors import CorruptFileError

MAX_RECORD_BYTES = 1 << 26
"""Windows of 20 steps are a thousandth of it."""
_MAX_FEATURES = 1000
_MASK_DELTA = 0xA282EAD8
"""Checksums are rotated by 15 bits and shifted by this, so that checksums of checksums differ."""
_POLYNOMIAL = 0x82F63B78
"""CRC-32C (Castagnoli), bits reversed."""
_TYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    10: "?",
    17: "<u2",
    22: "<u4",
    23: "<u8",
}
"""TensorFlow's numbers of types."""
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def _tables() -> Array:
    """For eight bytes at a time: uint32[8, 256]."""
    first = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        first = np.where(first & 1, (first >> 1) ^ np.uint32(_POLYNOMIAL), first >> 1)
    tables = [first]
    for _ in range(7):
        tables.append(first[tables[-1] & 0xFF] ^ (tables[-1] >> 8))
    return np.array(tables, dtype=np.uint32)


_TABLES = _tables()
_TABLE: list[int] = _TABLES[0].tolist()


def crc32c(content: bytes) -> int:
    """CRC-32C of some bytes."""
    if len(content) < 64:
        crc = 0xFFFFFFFF
        for byte in content:
            crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        return crc ^ 0xFFFFFFFF
    from datasets.formats.checksum import crc_of

    return int(crc_of(np.frombuffer(content, np.uint8), _TABLES))


def masked_crc(content: bytes) -> int:
    """The checksum as it stands in files."""
    crc = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """The records of a gzip-compressed file, one after the other.

    Raises:
        CorruptFileError: not such a file, truncated, or a checksum does not match; the message says in which record.
    """
    number = 0
    try:
        with gzip.open(path, "rb") as file:
            while header := file.read(12):
                yield _record(path, number, header, file)  # type: ignore[arg-type]
                number += 1
    except (OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise source.corrupt(path, "records", f"cannot be read: {reason}", number) from error


def _record(path: Path, number: int, header: bytes, file: BinaryIO) -> bytes:
    if len(header) < 12:
        raise source.corrupt(path, "records", "is cut off", number)
    size, checksum = struct.unpack("<QI", header)
    if masked_crc(header[:8]) != checksum:
        raise source.corrupt(path, "records", "has a damaged length (its checksum differs)", number)
    if size > MAX_RECORD_BYTES:
        raise source.corrupt(path, "records", f"claims {size} bytes, more than any window has", number)
    content = file.read(size + 4)
    if len(content) < size + 4:
        raise source.corrupt(path, "records", "is cut off", number)
    if masked_crc(content[:size]) != int.from_bytes(content[size:], "little"):
        raise source.corrupt(path, "records", "was altered (its checksum differs)", number)
    return content[:size]


class _WireError(ValueError):
    """Bytes that are no such message."""


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise _WireError("it is cut off")
        byte = content[place]
        value, place = value | (byte & 0x7F) << shift, place + 1
        if not byte & 0x80:
            return value, place
    raise _WireError("a number is too long")


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of one message."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield tag >> 3, value
            continue
        size = {_FIXED_64: 8, _FIXED_32: 4}.get(kind)
        if kind == _BYTES:
            size, place = _varint(content, place)
        if size is None or size > len(content) - place:
            raise _WireError("it is cut off" if size is not None else f"wire type {kind}")
        yield tag >> 3, content[place : place + size]
        place += size


def _only(content: bytes, number: int) -> list[bytes]:
    """The values of one field of bytes; other fields are not expected."""
    values = []
    for field, value in _fields(content):
        if field != number or not isinstance(value, bytes):
            raise _WireError(f"unexpected field {field}")
        values.append(value)
    return values


def example(content: bytes) -> dict[str, Array]:
    """The arrays of one `tf.train.Example` whose features are one serialized tensor each.

    Raises:
        ValueError: anything else; the message says what.
    """
    found: dict[str, Array] = {}
    for features in _only(content, 1):
        for entry in _only(features, 1):
            pair = dict(_fields(entry))
            name, feature = pair.get(1), pair.get(2)
            if not isinstance(name, bytes) or not isinstance(feature, bytes) or len(pair) != 2:
                raise _WireError("a feature without name or value")
            key = name.decode("utf-8")
            lists = _only(feature, 1)  # numbers outside of tensors have other fields
            values = _only(lists[0], 1) if len(lists) == 1 else []
            if len(values) != 1 or key in found or len(found) >= _MAX_FEATURES or not key.isprintable():
                raise _WireError(f"feature {key[:40]!r} is not one serialized tensor")
            found[key] = _tensor(key, values[0])
    return found


def _tensor(key: str, content: bytes) -> Array:
    kind, numbers = 0, b""
    shape: tuple[int, ...] = ()
    for field, value in _fields(content):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 2 and isinstance(value, bytes):
            shape = tuple(_dimension(dimension) for dimension in _only(value, 2))
        elif field == 4 and isinstance(value, bytes):
            numbers = value
        elif field != 3:  # the version
            raise _WireError(f"tensor {key[:40]!r} is not stored as bytes")
    if kind not in _TYPES or len(shape) > 8:
        raise _WireError(f"tensor {key[:40]!r} has type {kind}, expected numbers")
    dtype = np.dtype(_TYPES[kind])
    if math.prod(shape) * dtype.itemsize != len(numbers):
        raise _WireError(f"tensor {key[:40]!r} of shape {shape} has {len(numbers)} bytes")
    if kind == 10 and numbers.translate(None, b"\0\1"):
        raise _WireError(f"tensor {key[:40]!r} has flags that are neither false nor true")
    return np.frombuffer(numbers, dtype).reshape(shape)


def _dimension(content: bytes) -> int:
    for field, value in _fields(content):
        if field == 1 and isinstance(value, int) and value <= MAX_RECORD_BYTES:
            return value
        raise _WireError("a shape that is not known")
    return 0


def windows(path: Path) -> Iterator[dict[str, Array]]:
    """The examples of a file; errors as of `records`, and for what is no example of tensors."""
    for number, content in enumerate(records(path)):
        try:
            yield example(content)
        except CorruptFileError:
            raise
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise source.corrupt(path, "records", f"is no window of tensors: {reason}", number) from error
