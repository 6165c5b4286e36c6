"""The arrays of a vault: zarr arrays of endless length inside an OCDBT store, opened through tensorstore.

A vault is the folder that Flashbax writes (versions 1.0 to 1.2, which differ in nothing that is read here). Names of
arrays are the keys of its tree joined by dots, with a dot at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from datasets.formats import source
from datasets.schema import Array
from env_adapters.errors import CorruptFileError, MissingExtraError

METADATA = "metadata.json"
MANIFEST = "manifest.ocdbt"
INDEX = "vault_index"
"""Array int32[1]: rows written."""
_CACHE_BYTES = 1 << 26
"""Holds one chunk of each array, which is 4 MiB, twice over."""
_MAX_METADATA_BYTES = 1 << 20


def tensorstore() -> Any:
    """The package; MissingExtraError where it is not installed."""
    try:
        import tensorstore as package
    except ImportError as error:
        raise MissingExtraError("an OG-MARL vault", "vault") from error
    return package


def array_spec(folder: Path, name: str) -> dict[str, Any]:
    """Where tensorstore finds an array."""
    base = {"driver": "file", "path": f"{folder.resolve()}/"}
    return {"driver": "zarr", "kvstore": {"driver": "ocdbt", "base": base, "path": name}}


def read_metadata(folder: Path) -> dict[str, Any]:
    """The checked metadata of a vault.

    Raises:
        CorruptFileError: missing, no JSON object, or of a version that is not 1.x.
    """
    path = folder / METADATA
    try:
        if path.stat().st_size > _MAX_METADATA_BYTES:
            raise ValueError("it is too large")
        metadata = json.loads(path.read_text(encoding="utf-8"))
        version = float(metadata["version"])
        structure = metadata["structure_shape"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(f"{path} is not the metadata of a vault: {error!r}; fetch it anew") from error
    if int(version) != 1 or not isinstance(structure, dict):
        raise CorruptFileError(f"{path}: vault version {version} is not known; versions 1.0 to 1.2 are read")
    return dict(metadata)


def leaves(tree: object, prefix: str = "") -> Iterator[str]:
    """Names of the arrays of a metadata tree."""
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from leaves(branch, f"{prefix}{key}.")
    else:
        yield prefix


class VaultArrays:
    """The arrays of one vault [K, T, ...], K independent streams of T rows.

    Raises:
        CorruptFileError: (also from every method) files are missing or damaged, or an array has an impossible shape.
        MissingExtraError: tensorstore is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata = read_metadata(folder)
        self._tensorstore = tensorstore()
        self._context = self._tensorstore.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
        self._arrays = {name: self._open(name) for name in leaves(self.metadata["structure_shape"])}
        for name in ("observations.", "actions.", "rewards.", "terminals."):
            if name not in self._arrays:
                raise source.corrupt(
                    folder, name, f"is missing; found {', '.join(self._arrays) or 'nothing'}"
                )
        index = self._open(INDEX)
        self.n_rows = int(self._read(INDEX, index[:1]).reshape(-1)[0])
        self.n_streams = int(self._arrays["observations."].shape[0])
        if not 0 < self.n_rows <= source.MAX_ROWS:
            raise source.corrupt(folder, INDEX, f"is {self.n_rows}: the vault holds no rows")
        for name, array in self._arrays.items():
            self._check(name, array)
        for stream in range(
            self.n_streams
        ):  # rows that are promised, but were never written, would read as zeros
            self.read("observations.", stream, self.n_rows - 1, self.n_rows)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def row_shape(self, name: str) -> tuple[int, ...]:
        """Shape of one row of one stream."""
        return tuple(int(size) for size in self._arrays[name].shape[2:])

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type as stored."""
        dtype: np.dtype[Any] = np.dtype(self._arrays[name].dtype.numpy_dtype)
        return dtype

    def read(self, name: str, stream: int, start: int, stop: int) -> Array:
        """Rows start to stop of one stream, as stored."""
        return self._read(name, self._arrays[name][stream, start:stop])

    def _open(self, name: str) -> Any:
        spec = array_spec(self.folder, name)
        if name == "observations.":  # whole chunks of zeros are not stored, but observations are never that
            spec["fill_missing_data_reads"] = False
        try:
            return self._tensorstore.open(spec, open=True, read=True, context=self._context).result()
        except (ValueError, OSError, RuntimeError) as error:
            raise source.corrupt(self.folder, name, f"cannot be opened: {_short(error)}") from error

    def _read(self, name: str, view: Any) -> Array:
        try:
            return np.asarray(view.read().result())
        except (ValueError, OSError, RuntimeError) as error:
            raise source.corrupt(self.folder, name, f"cannot be read: {_short(error)}") from error

    def _check(self, name: str, array: Any) -> None:
        shape = tuple(int(size) for size in array.shape)
        source.check_numeric(self.folder, name, self.dtype(name))
        if len(shape) < 2 or not 0 < shape[0] == self.n_streams <= 64 or shape[1] < self.n_rows:
            raise source.corrupt(
                self.folder,
                name,
                f"has shape {shape}, expected ({self.n_streams}, {self.n_rows} or more, ...)",
            )
        source.check_size(self.folder, name, (self.n_rows, *shape[2:]), self.dtype(name).itemsize)


def _short(error: Exception) -> str:
    """The first part of tensorstore's message, which goes on with sources and specs."""
    return " ".join(str(error).split(" [")[0].split())[:200]
