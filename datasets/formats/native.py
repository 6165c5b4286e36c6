"""The native format: one HDF5 file that any HDF5 tool reads, sealed, with arrays that can be memory-mapped.

Inside are one fixed-length string `card` (JSON, see `datasets.card`) and the arrays of the table in
`datasets.schema`, uncompressed and contiguous. The seal in the user block covers every byte of the file (see
`datasets.formats.seal`).
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from datasets.card import DatasetCard
from datasets.formats import verified
from datasets.formats.native_writer import CARD_KEY, NativeWriter, arrays_digest
from datasets.formats.seal import Seal, read_seal
from datasets.schema import Array, Column, Dataset, Rows, columns, row_counts
from env_adapters.errors import CorruptFileError, UnknownNameError

__all__ = ["NativeWriter", "open_dataset"]

_BLOCK_BYTES = 1 << 22
"""Arrays are verified in blocks of about this many bytes."""


def open_dataset(path: Path, verify: bool | Literal["again"] = True, in_memory: bool = False) -> Dataset:
    """Open a dataset file without loading it.

    The file's size, its metadata and its card are checked in any case. Arrays are memory-mapped read-only.

    Args:
        path: a file that `NativeWriter` wrote.
        verify: also read every array once and check its SHA-256 and its values; about a second per gigabyte. Large
            files that were verified before and have not been written to since are taken at their word, unless `again`.
        in_memory: load all arrays, for disks that are slow to read at random; they are as large as the file.

    Raises:
        UnknownNameError: there is no such file.
        CorruptFileError: truncated, altered, of another format, or with contents that make no sense; the
            message names the array and, where there is one, the row.
    """
    _require_file(path)
    seal = read_seal(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            card = _read_card(file)
            table = columns(card, card.has_available_actions)
            counts = row_counts(card.n_episodes, card.n_transitions)
            offsets = _check_structure(file, table, counts, seal)
    except CorruptFileError as error:
        raise CorruptFileError(f"{path}: {error}") from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(
            f"{path} is not a readable HDF5 file: {error}; collect or fetch it anew"
        ) from error
    digests = {extent.key: extent.sha256 for extent in seal.extents}
    if arrays_digest(table, counts, digests) != card.sha256:
        raise CorruptFileError(f"{path}: the card belongs to other arrays; collect or fetch it anew")
    arrays = {key: _map(path, column, counts[column.rows], offsets[key]) for key, column in table.items()}
    _check_offsets(path, arrays["episode_offsets"], card)
    if in_memory:
        arrays = {key: _load(array) for key, array in arrays.items()}
    if verify:
        _verify(path, arrays, seal, card, again=verify == "again")
    return Dataset(card, **arrays)


def _load(mapped: Array) -> Array:
    """A read-only copy."""
    array = np.array(mapped)
    array.flags.writeable = False
    return array


def _verify(path: Path, arrays: Mapping[str, Array], seal: Seal, card: DatasetCard, again: bool) -> None:
    """Check all arrays, unless this very file was found sound before."""
    before = verified.state(path, seal)
    if not again and verified.was_verified(path, before, seal):
        return
    digests = {extent.key: extent.sha256 for extent in seal.extents}
    for key, array in arrays.items():
        _verify_array(path, key, array, digests[key], card)
    verified.remember(path, before, seal)


def _require_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise UnknownNameError(f"{path} is a folder; name the dataset file inside it")
    neighbours = sorted(file.name for file in path.parent.glob("*") if file.is_file())
    near = difflib.get_close_matches(path.name, neighbours, n=3)
    advice = f"did you mean {', '.join(near)}?" if near else "collect it first, or check the path"
    raise UnknownNameError(f"there is no dataset file {path}: {advice}")


def _read_card(file: h5py.File) -> DatasetCard:
    _require_plain(file, CARD_KEY)
    text = file[CARD_KEY]
    if h5py.check_string_dtype(text.dtype) is None or text.shape != ():
        raise CorruptFileError(f"'{CARD_KEY}' is not a string")
    return DatasetCard.from_json(text[()])


def _require_plain(file: h5py.File, key: str) -> None:
    """Refuse anything but an array whose bytes lie in this very file, one after the other."""
    link = file.get(key, getlink=True)
    if link is None:
        raise CorruptFileError(f"'{key}' is missing")
    if not isinstance(link, h5py.HardLink):
        raise CorruptFileError(f"'{key}' is a link to elsewhere; only arrays inside the file are read")
    dataset = file[key]
    if not isinstance(dataset, h5py.Dataset):
        raise CorruptFileError(f"'{key}' is a group, expected an array")
    creation = dataset.id.get_create_plist()
    if creation.get_layout() != h5py.h5d.CONTIGUOUS or creation.get_external_count():
        raise CorruptFileError(f"'{key}' is not stored contiguously inside the file")


def _check_structure(
    file: h5py.File, table: Mapping[str, Column], counts: Mapping[Rows, int], seal: Seal
) -> dict[str, int]:
    """Compare the arrays of the file with the table and with the seal; returns where each array starts."""
    unknown = sorted(set(file) - set(table) - {CARD_KEY})
    if unknown:
        raise CorruptFileError(f"unexpected key '{unknown[0]}'")
    sealed = {extent.key: (extent.offset, extent.size_bytes) for extent in seal.extents}
    offsets = {}
    for key, column in table.items():
        _require_plain(file, key)
        dataset = file[key]
        expected = (counts[column.rows], *column.shape)
        if dataset.shape != expected:
            raise CorruptFileError(f"'{key}' has shape {dataset.shape}, the card asks for {expected}")
        if dataset.dtype != column.dtype or dataset.dtype.hasobject:
            raise CorruptFileError(f"'{key}' has type {dataset.dtype}, expected {column.dtype}")
        offsets[key] = dataset.id.get_offset()
        if sealed.get(key) != (offsets[key], dataset.id.get_storage_size()):
            raise CorruptFileError(f"'{key}' does not lie where the seal says")
    return offsets


def _map(path: Path, column: Column, n_rows: int, offset: int) -> Array:
    """Read-only memory map as a plain array; indexing the `memmap` subclass costs twice as much."""
    mapped = np.memmap(path, column.dtype, "r", offset, (n_rows, *column.shape))
    return mapped.view(np.ndarray)


def _check_offsets(path: Path, offsets: Array, card: DatasetCard) -> None:
    """Episodes must follow one another, none empty, from the first transition to the last."""
    falling = np.flatnonzero(np.diff(offsets) < 1)
    if len(falling):
        raise CorruptFileError(f"{path}: 'episode_offsets' do not rise at row {falling[0] + 1}")
    if offsets[0] != 0 or offsets[-1] != card.n_transitions:
        raise CorruptFileError(
            f"{path}: 'episode_offsets' run from {offsets[0]} to {offsets[-1]}, expected 0 to {card.n_transitions}"
        )


def _verify_array(path: Path, key: str, array: Array, digest: str, card: DatasetCard) -> None:
    """Hash an array and check its values, block by block."""
    hasher = hashlib.sha256()
    bad_row = None
    n_rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), n_rows):
        block = array[start : start + n_rows]
        hasher.update(block.reshape(-1).view(np.uint8).data)
        wrong = _wrong_values(key, block, card)
        if bad_row is None and wrong.any():
            bad_row = start + int(np.argwhere(wrong)[0][0])
    if hasher.hexdigest() != digest:
        raise CorruptFileError(f"{path}: '{key}' was altered; copy, collect or fetch the file anew")
    if bad_row is not None:
        raise CorruptFileError(f"{path}: '{key}' row {bad_row} holds a value that is impossible there")


def _wrong_values(key: str, block: Array, card: DatasetCard) -> Array:
    """Which values cannot be right: not finite, neither false nor true, or an action that does not exist."""
    if block.dtype.kind == "f":
        return ~np.isfinite(block)
    if block.dtype.kind == "b":
        return block.view(np.uint8) > 1
    if key == "actions":
        return (block < 0) | (block >= card.action_size)
    if key == "won":
        return (block < -1) | (block > 1)
    return np.zeros(1, dtype=np.bool_)
