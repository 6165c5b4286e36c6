"""Reads arrays of HDF5 files by others without trusting them.

Refused are links to elsewhere, storage in other files, virtual arrays, objects and texts, filters that would load
plug-ins, and shapes that the stored bytes cannot fill.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datasets.formats import source
from datasets.schema import Array
from env_adapters.errors import CorruptFileError

_FILTERS = {1, 2, 3, 32000}
"""Gzip, shuffle, Fletcher-32, LZF: part of h5py."""
_MOST_COMPRESSION = 1100
"""Deflate makes nothing smaller than 1032 times."""
_MAX_CHUNK_BYTES = 1 << 30


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CorruptFileError(f"{path} is not a readable HDF5 file: {reason}; fetch it anew") from error


def names(path: Path) -> list[str]:
    """Names at the top of a file; CorruptFileError where it is truncated or no HDF5 file."""
    with _readable(path), h5py.File(path, "r", locking=False) as file:
        return list(file)


class Arrays:
    """Arrays at the top of one HDF5 file, all with the same number of rows.

    Raises:
        CorruptFileError: (also from every method) the file is truncated, a key is missing, or refused as said above.
    """

    def __init__(self, path: Path, keys: Iterable[str]) -> None:
        self.path = path
        with _readable(path):
            self._file = h5py.File(path, "r", locking=False)
            self._arrays = {key: _plain(path, self._file, key) for key in keys}
        counts = {key: array.shape[0] for key, array in self._arrays.items()}
        self.n_rows: int = max(counts.values())
        for key, count in counts.items():
            if count != self.n_rows:
                raise source.corrupt(path, key, f"has {count} rows, others have {self.n_rows}")

    def __contains__(self, key: str) -> bool:
        link = self._file.get(key, getlink=True)
        return link is not None

    def shape(self, key: str) -> tuple[int, ...]:
        """Whole shape."""
        return tuple(int(size) for size in self._arrays[key].shape)

    def dtype(self, key: str) -> np.dtype[Any]:
        """Type as stored."""
        dtype: np.dtype[Any] = self._arrays[key].dtype
        return dtype

    def read(self, key: str, start: int, stop: int) -> Array:
        """Rows start to stop, as stored."""
        try:
            return np.asarray(self._arrays[key][start:stop])
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise source.corrupt(self.path, key, f"cannot be read: {reason}", start) from error


def _plain(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    link = file.get(key, getlink=True)
    if link is None:
        raise source.corrupt(path, key, f"is missing; found {', '.join(list(file)[:8]) or 'nothing'}")
    if not isinstance(link, h5py.HardLink):
        raise source.corrupt(path, key, "is a link to elsewhere; only arrays inside the file are read")
    array = file[key]
    if not isinstance(array, h5py.Dataset) or not array.shape:
        raise source.corrupt(path, key, "is not an array with rows")
    source.check_numeric(path, key, array.dtype)
    source.check_size(path, key, array.shape, array.dtype.itemsize)
    creation = array.id.get_create_plist()
    if array.is_virtual or creation.get_external_count():
        raise source.corrupt(path, key, "is stored outside the file")
    used = {creation.get_filter(index)[0] for index in range(creation.get_nfilters())}
    if not used <= _FILTERS:
        raise source.corrupt(
            path, key, f"needs the HDF5 filters {sorted(used - _FILTERS)}, which are not loaded"
        )
    if array.chunks and int(np.prod(array.chunks, dtype=object)) * array.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise source.corrupt(path, key, f"has chunks of shape {array.chunks}, which are too large")
    ratio = _MOST_COMPRESSION if used else 1
    if array.nbytes > array.id.get_storage_size() * ratio:
        raise source.corrupt(
            path, key, f"claims {array.nbytes} bytes, but {array.id.get_storage_size()} are stored"
        )
    return array
