"""Any change of a dataset file is noticed: every bit, every length, and files of other kinds."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from recorded import flip

from datasets.formats.native import open_dataset
from datasets.formats.seal import SEAL_SIZE, read_seal
from env_adapters.errors import (
    CorruptFileError,
    UnknownNameError,
)


def test_single_bit_flips_anywhere(path: Path) -> None:
    rng = np.random.default_rng(1)
    size = path.stat().st_size
    everywhere = rng.integers(0, size, 250).tolist()
    in_the_seal = rng.integers(0, 2200, 50).tolist()
    behind_each_array = [extent.offset + extent.size_bytes for extent in read_seal(path).extents]
    for byte in [0, 8, SEAL_SIZE - 1, SEAL_SIZE, size - 1, *everywhere, *in_the_seal, *behind_each_array]:
        bit = int(rng.integers(8))
        if byte == size:
            continue
        flip(path, byte, bit)
        with pytest.raises(CorruptFileError, match=r"data\.h5"):
            open_dataset(path)
        flip(path, byte, bit)
    assert open_dataset(path).n_transitions == 11


def test_flip_in_an_array_names_it(path: Path) -> None:
    for extent in read_seal(path).extents:
        flip(path, extent.offset + extent.size_bytes - 1, 3)
        with pytest.raises(CorruptFileError, match=extent.key):
            open_dataset(path)
        flip(path, extent.offset + extent.size_bytes - 1, 3)


def test_unverified_opening_still_checks_all_but_the_arrays(path: Path) -> None:
    seal = read_seal(path)
    owned = {b for extent in seal.extents for b in range(extent.offset, extent.offset + extent.size_bytes)}
    for byte in range(0, seal.size_bytes, 17):
        if byte in owned:
            continue
        flip(path, byte, byte % 8)
        with pytest.raises(CorruptFileError):
            open_dataset(path, verify=False)
        flip(path, byte, byte % 8)
    observations = next(extent for extent in seal.extents if extent.key == "observations")
    flip(path, observations.offset, 0)
    assert open_dataset(path, verify=False).n_transitions == 11


def test_truncation_and_surplus(path: Path) -> None:
    whole = path.read_bytes()
    lengths = {0, 1, 46, 47, SEAL_SIZE - 1, SEAL_SIZE, len(whole) - 1, *range(0, len(whole), 61)}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError):
            open_dataset(path, verify=False)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CorruptFileError, match="bytes instead of"):
        open_dataset(path)


def test_other_files(tmp_path: Path, path: Path) -> None:
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(CorruptFileError, match="not a dataset file"):
        open_dataset(tmp_path / "text.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(CorruptFileError, match="HDF5 file of another kind"):
        open_dataset(tmp_path / "foreign.h5")
    with pytest.raises(UnknownNameError, match=r"did you mean data\.h5"):
        open_dataset(tmp_path / "dta.h5")
    with pytest.raises(UnknownNameError, match="is a folder"):
        open_dataset(tmp_path)
    with pytest.raises(UnknownNameError, match="no dataset file"):
        open_dataset(tmp_path / "nowhere" / "data.h5")
