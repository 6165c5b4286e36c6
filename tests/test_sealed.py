"""Sealed JSON and atomic writes: every changed bit shows, no half file is ever seen."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_runs import flipped, record, summary

from env_adapters.errors import (
    CorruptFileError,
    OutputError,
)
from env_adapters.files import write_atomic
from harness.sealed import parse_sealed_lines, seal, unseal


def test_every_flipped_bit_of_a_sealed_object_is_detected() -> None:
    sealed = seal(dataclasses.asdict(summary(2)), indent=2)
    assert unseal(sealed) is not None
    assert all(unseal(flipped(sealed, bit)) is None for bit in range(8 * len(sealed)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), JSON, max_size=4).filter(lambda o: "checksum" not in o), max_size=4)
)
def test_sealed_lines_come_back_as_they_went_in(objects: list[dict[str, Any]]) -> None:
    data = b"".join(seal(values) for values in objects)
    assert parse_sealed_lines(data, Path("log")) == (objects, len(data))


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_bytes_put_into_a_log_change_what_is_read(noise: bytes, start: int, cut: int) -> None:
    """Overwrite, insert or delete anything anywhere: part of the truth or an error, never another record."""
    records = [dataclasses.asdict(record(seed)) for seed in (1, 2, 3)]
    whole = b"".join(seal(values) for values in records)
    start %= len(whole) + 1
    data = whole[:start] + noise + whole[start + cut % 200 :]
    try:
        objects, intact = parse_sealed_lines(data, Path("log"))
    except CorruptFileError as error:
        assert "log line" in str(error)
    else:
        assert all(values in records for values in objects)
        assert data[:intact] == b"".join(seal(values) for values in objects)


def test_unseal_refuses_a_seal_over_nonsense() -> None:
    sealed = seal({"a": 1})
    assert unseal(sealed) == {"a": 1}
    assert unseal(b"") is None
    assert unseal(seal({"a": [0] * 10}).replace(b"[0", b"[1")) is None


def test_write_atomic_leaves_the_old_file_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    write_atomic(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"table\.csv"):
            write_atomic(path, b"new")
    assert [child.name for child in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
