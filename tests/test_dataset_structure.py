"""Files with a valid seal and nonsense inside, as a faulty writer would leave them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from recorded import assert_holds, flip

from datasets.formats.native import open_dataset
from datasets.formats.native_writer import arrays_digest
from datasets.formats.seal import SEAL_SIZE, Extent, Seal, read_seal, write_seal
from datasets.schema import DatasetCard, columns, row_counts
from env_adapters.errors import (
    CorruptFileError,
)
from env_adapters.rollout import Episode


def reseal(path: Path) -> None:
    """Give an edited file a valid card digest and seal, as a faulty writer would."""
    with h5py.File(path, "r+") as file:
        card = DatasetCard.from_json(file["card"][()])
        extents = []
        for key in columns(card, True):
            plain = isinstance(file.get(key, getlink=True), h5py.HardLink) and isinstance(
                file[key], h5py.Dataset
            )
            if plain and file[key].id.get_offset() is not None:
                size_bytes = file[key].id.get_storage_size()
                extents.append((key, file[key].id.get_offset(), size_bytes))
    content = path.read_bytes()
    digests = {key: hashlib.sha256(content[start : start + size]).hexdigest() for key, start, size in extents}
    counts = row_counts(card.n_episodes, card.n_transitions)
    complete = {key: digests.get(key, "") for key in columns(card, True)}
    card = dataclasses.replace(card, sha256=arrays_digest(columns(card, True), counts, complete))
    with h5py.File(path, "r+") as file:
        file["card"][()] = card.to_json().encode()
    write_seal(path, [Extent(key, start, size, digests[key]) for key, start, size in extents])


def replace_array(file: h5py.File, key: str, **options: Any) -> None:
    del file[key]
    file.create_dataset(key, **options)


def poke(key: str, row: Any, value: Any) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[key][row] = value

    return edit


def external_link(file: h5py.File) -> None:
    del file["rewards"]
    file["rewards"] = h5py.ExternalLink("elsewhere.h5", "/rewards")


def soft_link(file: h5py.File) -> None:
    del file["rewards"]
    file["rewards"] = h5py.SoftLink("/states")


def external_storage(file: h5py.File) -> None:
    name = str(Path(file.filename).with_name("raw.bin"))
    replace_array(file, "rewards", shape=(11,), dtype="f4", external=[(name, 0, 44)])


def group(file: h5py.File) -> None:
    del file["won"]
    file.create_group("won")


def objects(file: h5py.File) -> None:
    replace_array(file, "won", data=["a"] * 4, dtype=h5py.string_dtype())


EDITS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "missing": (lambda file: file.__delitem__("rewards"), "'rewards' is missing"),
    "unknown": (lambda file: file.create_dataset("extra", data=1), "unexpected key 'extra'"),
    "shape": (lambda f: replace_array(f, "rewards", data=np.zeros(10, "f4")), r"'rewards' has shape \(10,\)"),
    "type": (lambda f: replace_array(f, "rewards", data=np.zeros(11)), "'rewards' has type float64"),
    "endian": (lambda f: replace_array(f, "rewards", data=np.zeros(11, ">f4")), "'rewards' has type >f4"),
    "objects": (objects, "'won' has type object"),
    "group": (group, "'won' is a group"),
    "external link": (external_link, "'rewards' is a link to elsewhere"),
    "soft link": (soft_link, "'rewards' is a link to elsewhere"),
    "external storage": (external_storage, "'rewards' is not stored contiguously"),
    "chunked": (
        lambda f: replace_array(f, "rewards", data=np.zeros(11, "f4"), chunks=(4,)),
        "'rewards' is not stored contiguously",
    ),
    "compressed": (
        lambda f: replace_array(f, "rewards", data=np.zeros(11, "f4"), compression="gzip"),
        "'rewards' is not stored contiguously",
    ),
    "nan": (poke("observations", (6, 1, 2), np.nan), "'observations' row 6 holds"),
    "infinite": (poke("rewards", 10, -np.inf), "'rewards' row 10 holds"),
    "action": (poke("actions", (3, 0), 5), "'actions' row 3 holds"),
    "negative action": (poke("actions", (4, 1), -1), "'actions' row 4 holds"),
    "winner": (poke("won", 2, 2), "'won' row 2 holds"),
    "offsets fall": (poke("episode_offsets", 2, 3), "'episode_offsets' do not rise at row 2"),
    "offsets start": (poke("episode_offsets", 0, -1), "'episode_offsets' run from -1 to 11"),
    "offsets end": (poke("episode_offsets", 4, 12), "'episode_offsets' run from 0 to 12"),
}


@pytest.mark.parametrize("name", EDITS)
def test_sealed_nonsense(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.formats.native._BLOCK_BYTES", 50)  # several blocks even in a tiny array
    edit, message = EDITS[name]
    with h5py.File(path, "r+") as file:
        edit(file)
    reseal(path)
    with pytest.raises(CorruptFileError, match=message) as caught:
        open_dataset(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reseal_alone_is_accepted(path: Path, episodes: list[Episode]) -> None:
    before = path.read_bytes()
    reseal(path)
    assert path.read_bytes() == before
    assert_holds(open_dataset(path), episodes)


def test_flag_that_is_neither_false_nor_true(path: Path) -> None:
    extent = next(extent for extent in read_seal(path).extents if extent.key == "available_actions")
    flip(path, extent.offset + 10 * 3 + 4, 1)
    reseal(path)
    with pytest.raises(CorruptFileError, match="'available_actions' row 3 holds"):
        open_dataset(path)


def test_card_of_other_arrays(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        card = DatasetCard.from_json(file["card"][()])
        file["card"][()] = dataclasses.replace(card, sha256="0" * 64).to_json().encode()
    write_seal(path, list(Seal.from_block(path.read_bytes()[:SEAL_SIZE]).extents))
    with pytest.raises(CorruptFileError, match="card belongs to other arrays"):
        open_dataset(path, verify=False)
