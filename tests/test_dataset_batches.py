"""Drawing batches: the sampler copies what indexing copies, from the file, from memory, and at its edges."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from recorded import CONTINUOUS, DISCRETE, flip, make_episode, write

from datasets.batches import BatchSampler
from datasets.formats import verified
from datasets.formats.native import open_dataset
from datasets.formats.seal import read_seal
from datasets.schema import TransitionBatch
from env_adapters.errors import CorruptFileError, InvalidValueError


def assert_equal(batch: TransitionBatch, expected: TransitionBatch) -> None:
    for field in dataclasses.fields(TransitionBatch):
        ours, theirs = getattr(batch, field.name), getattr(expected, field.name)
        assert (ours is None) == (theirs is None), field.name
        if ours is not None:
            assert ours.dtype == theirs.dtype, field.name
            np.testing.assert_array_equal(ours, theirs, field.name)


@pytest.mark.parametrize("kind", ["discrete", "continuous", "many actions", "no masks"])
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_batch_is_what_indexing_gives(tmp_path: Path, kind: str, in_memory: bool) -> None:
    rng = np.random.default_rng(0)
    spec = CONTINUOUS if kind == "continuous" else DISCRETE
    spec = dataclasses.replace(spec, action_size=300) if kind == "many actions" else spec
    episodes = [make_episode(rng, n, spec, kind not in ("continuous", "no masks")) for n in (3, 1, 5, 2, 1)]
    write(tmp_path / "data.h5", episodes, spec)
    dataset = open_dataset(tmp_path / "data.h5", in_memory=in_memory)
    assert isinstance(dataset.observations.base, np.memmap) is not in_memory
    assert not dataset.observations.flags.writeable
    sampler = BatchSampler(dataset, 12, np.random.default_rng(0))
    for indices in (np.arange(12), np.arange(12)[::-1], np.full(12, 11), rng.integers(0, 12, 12)):
        assert_equal(sampler.gather(indices), dataset.transitions(indices))


def test_the_generator_decides_what_is_drawn(path: Path) -> None:
    dataset = open_dataset(path)
    samplers = [BatchSampler(dataset, 5, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    drawn = np.random.default_rng(3).integers(0, dataset.n_transitions, (256, 5))
    differs, seen = False, set()
    for number in range(600):
        first, again, other = (sampler.draw() for sampler in samplers)
        assert_equal(first, again)
        if number < 256:
            assert_equal(first, dataset.transitions(drawn[number]))
        differs |= not np.array_equal(first.rewards, other.rewards)
        seen |= set(first.rewards.tolist())
    assert differs and len(seen) == dataset.n_transitions


def test_wrong_requests(path: Path) -> None:
    dataset = open_dataset(path)
    sampler = BatchSampler(dataset, 2, np.random.default_rng(0))
    for indices in ([0], [0, 11], [-1, 3], [0, 1, 2]):
        with pytest.raises(IndexError, match="2 transition indices from 0 to 10"):
            sampler.gather(np.array(indices))
    with pytest.raises(InvalidValueError, match="batch_size"):
        BatchSampler(dataset, 0, np.random.default_rng(0))


@pytest.fixture
def remembering(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large, with a cache of its own; last written to an hour ago."""
    monkeypatch.setattr(verified, "SMALLEST_BYTES", 0)
    monkeypatch.setattr(verified, "_SETTLED_NS", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return path


def spoil(path: Path) -> None:
    """Flip a bit and set the time of the last change back, as a hostile or careless tool may."""
    before = path.stat()
    flip(path, next(e for e in read_seal(path).extents if e.key == "rewards").offset, 3)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_large_files_are_verified_once(remembering: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets.formats import native

    hashed: list[str] = []
    honest = native._verify_array
    monkeypatch.setattr(
        native, "_verify_array", lambda path, key, *rest: (hashed.append(key), honest(path, key, *rest))
    )
    for verify, expected in ((True, True), (True, False), (False, False), ("again", True), (True, False)):
        hashed.clear()
        open_dataset(remembering, verify=verify)  # type: ignore[arg-type]
        assert bool(hashed) is expected


def test_changes_after_verifying_are_noticed(remembering: Path, tmp_path: Path) -> None:
    open_dataset(remembering)
    spoil(remembering)
    with pytest.raises(CorruptFileError, match="'rewards' was altered"):
        open_dataset(remembering)
    spoil(remembering)
    open_dataset(remembering)
    copy = tmp_path / "copy.h5"
    copy.write_bytes(remembering.read_bytes())
    spoil(copy)
    copy.replace(remembering)  # same size, another inode
    with pytest.raises(CorruptFileError, match="'rewards' was altered"):
        open_dataset(remembering)


def test_files_that_just_changed_are_not_remembered(
    remembering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "_SETTLED_NS", 3600 * 10**9)
    open_dataset(remembering)
    assert not (tmp_path / "cache").exists()


def test_without_a_place_for_records_all_is_verified(
    remembering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "occupied"))
    for _ in range(2):
        assert open_dataset(remembering).n_transitions == 11
    spoil(remembering)
    with pytest.raises(CorruptFileError, match="'rewards' was altered"):
        open_dataset(remembering)
