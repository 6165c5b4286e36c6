"""Writes the native format: episodes stream into one raw file per array, then become one sealed HDF5 file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import h5py
import numpy as np

from datasets.card import BehaviourRecord, DatasetCard, ReturnStatistics
from datasets.episode_rows import episode_rows
from datasets.formats.parts import part_folder
from datasets.formats.seal import SEAL_SIZE, Extent, write_seal
from datasets.schema import Array, Column, Rows, columns, row_counts
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, OutputError
from env_adapters.files import check_replaceable
from env_adapters.rollout import Episode
from env_adapters.version import project_version

CARD_KEY = "card"
"""Name of the HDF5 string that holds the card."""
_ALIGNMENT = 64
"""Arrays start at multiples of this many bytes, one cache line."""


def arrays_digest(table: Mapping[str, Column], counts: Mapping[Rows, int], digests: Mapping[str, str]) -> str:
    """The card's `sha256`: SHA-256 over the name, type, shape and SHA-256 of every array."""
    lines = [
        f"{key}|{column.dtype.str}|{(counts[column.rows], *column.shape)}|{digests[key]}\n"
        for key, column in sorted(table.items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextlib.contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    """Turn failures to write into OutputError; HDF5 reports some of them as RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"cannot write {path}: {error}; nothing was kept, make room or choose another folder"
        ) from error


class _Stream:
    """One array on its way to disk: a raw file and the hash of what went into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        self._hasher = hashlib.sha256()

    def append(self, array: Array) -> None:
        """Write whole rows."""
        content = np.ascontiguousarray(array).tobytes()
        self._file.write(content)
        self._hasher.update(content)

    def close(self) -> str:
        """Finish the raw file; returns the SHA-256 of its content."""
        self._file.close()
        return self._hasher.hexdigest()

    def move_into(self, target: BinaryIO, offset: int) -> int:
        """Copy the raw file to an offset and delete it, so that the disk never holds all data twice.

        Returns:
            Bytes copied.
        """
        target.seek(offset)
        with self.path.open("rb") as source:
            shutil.copyfileobj(source, target, 1 << 22)
            size_bytes = source.tell()
        self.path.unlink()
        return size_bytes


@dataclass
class _Tally:
    """What the card needs to know about the episodes."""

    returns: list[float] = field(default_factory=list)
    won: list[bool] = field(default_factory=list)
    n_transitions: int = 0

    @property
    def n_episodes(self) -> int:
        """E so far."""
        return len(self.returns)


class NativeWriter:
    """Streams episodes into a dataset file; memory grows by a few bytes per episode only.

    Use it as a context manager. The file appears, complete, when `finish` returns; if the block is left
    earlier, nothing is kept. An existing file is replaced.

    Args:
        path: the file to write; missing folders are created.
        spec: the world the episodes come from.
        seed: root of the episode seeds, for the card.

    Raises:
        OutputError: (also from every method) the folder or file cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, spec: TeamSpec, seed: int) -> None:
        check_replaceable(path)
        self._path = path
        self._spec = spec
        self._seed = seed
        self._tally = _Tally()
        self._table: dict[str, Column] = {}
        self._streams: dict[str, _Stream] = {}
        with _output_errors(path):
            self._place = contextlib.ExitStack()
            self._folder = self._place.enter_context(part_folder(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams.values():
            with contextlib.suppress(OSError):  # a full disk fails again when buffers are flushed
                stream.close()
        self._place.close()

    @property
    def n_transitions(self) -> int:
        """Transitions appended so far."""
        return self._tally.n_transitions

    def append(self, episode: Episode) -> None:
        """Store one finished episode that was recorded with `Recording(transitions=True)`.

        Raises:
            MismatchError: an array is missing or its shape does not fit the world.
            InvalidValueError: the episode is empty, a number is not finite, or an action does not exist.
        """
        if not self._table:
            self._open(bool(episode.available_actions))
        arrays = episode_rows(episode, self._table, self._spec)
        rewards = arrays["rewards"]
        arrays["episode_offsets"] = np.array([self._tally.n_transitions + len(rewards)], dtype=np.int64)
        with _output_errors(self._path):
            for key, array in arrays.items():
                self._streams[key].append(array)
        self._tally.n_transitions += len(rewards)
        self._tally.returns.append(float(np.sum(rewards, dtype=np.float64)))
        if episode.won is not None:
            self._tally.won.append(episode.won)

    def finish(
        self, behaviours: Sequence[BehaviourRecord], source: str = "", notes: Sequence[str] = ()
    ) -> DatasetCard:
        """Write the card, seal the file and move it to its place.

        Args:
            behaviours: who played, in the order in which the episodes were appended.
            source: see `DatasetCard.source`.
            notes: see `DatasetCard.notes`.

        Raises:
            InvalidValueError: no episode was appended, or the behaviours' episode counts do not add up.
        """
        if not self._tally.n_episodes:
            raise InvalidValueError(
                f"no episode was recorded for {self._path}; ask for at least one transition"
            )
        with _output_errors(self._path):
            digests = {key: stream.close() for key, stream in self._streams.items()}
            card = self._card(behaviours, digests)
            card = dataclasses.replace(card, source=source, notes=tuple(notes))
            partial = self._folder / "dataset.h5"
            offsets = _write_skeleton(partial, card, self._table)
            self._fill(partial, card, offsets, digests)
            partial.replace(self._path)
            _sync_folder(self._path.parent)
        return card

    def _open(self, has_available_actions: bool) -> None:
        """Start the raw files, once the first episode shows whether this world has masks."""
        with _output_errors(self._path):
            for key, column in columns(self._spec, has_available_actions).items():
                self._streams[key] = _Stream(self._folder / key)
                self._table[key] = column
            self._streams["episode_offsets"].append(np.zeros(1, dtype=np.int64))

    def _card(self, behaviours: Sequence[BehaviourRecord], digests: Mapping[str, str]) -> DatasetCard:
        tally, spec = self._tally, self._spec
        counts = row_counts(tally.n_episodes, tally.n_transitions)
        return DatasetCard(
            scenario=spec.scenario,
            layout=spec.layout,
            engine=spec.engine,
            n_agents=spec.n_agents,
            observation_size=spec.observation_size,
            state_size=spec.state_size,
            action_kind=spec.action_kind,
            action_size=spec.action_size,
            has_available_actions="available_actions" in self._table,
            behaviours=tuple(behaviours),
            seed=self._seed,
            n_episodes=tally.n_episodes,
            n_transitions=tally.n_transitions,
            returns=ReturnStatistics.of(np.array(tally.returns)),
            win_rate=float(np.mean(tally.won)) if len(tally.won) == tally.n_episodes else None,
            mean_episode_length=tally.n_transitions / tally.n_episodes,
            sha256=arrays_digest(self._table, counts, digests),
            created_with=project_version(),
        )

    def _fill(
        self, partial: Path, card: DatasetCard, offsets: Mapping[str, int], digests: Mapping[str, str]
    ) -> None:
        """Move the raw files into the skeleton, seal it and force it to disk."""
        counts = row_counts(card.n_episodes, card.n_transitions)
        extents = []
        with partial.open("r+b") as file:
            for key, column in self._table.items():
                size_bytes = counts[column.rows] * math.prod(column.shape) * column.dtype.itemsize
                actual = self._streams[key].move_into(file, offsets[key])
                if actual != size_bytes:  # an append failed half-way and the caller went on
                    raise OSError(f"{key} has {actual} bytes instead of {size_bytes}")
                extents.append(Extent(key, offsets[key], size_bytes, digests[key]))
        write_seal(partial, extents)
        with partial.open("rb") as file:
            os.fsync(file.fileno())


def _write_skeleton(path: Path, card: DatasetCard, table: Mapping[str, Column]) -> dict[str, int]:
    """Write an HDF5 file with the card and room for every array; returns where each array starts.

    The library only allocates. The bytes are written afterwards with plain file operations, which fail
    cleanly on a full disk, whereas the library would fail while closing the file.
    """
    counts = row_counts(card.n_episodes, card.n_transitions)
    text = card.to_json().encode()
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    offsets = {}
    with h5py.File(
        path, "w", userblock_size=SEAL_SIZE, alignment_threshold=1, alignment_interval=_ALIGNMENT
    ) as file:
        file.create_dataset(CARD_KEY, data=np.array(text, dtype=h5py.string_dtype("utf-8", len(text))))
        for key, column in table.items():
            space = h5py.h5s.create_simple((counts[column.rows], *column.shape))
            kind = h5py.h5t.py_create(column.dtype, logical=True)
            offsets[key] = h5py.h5d.create(file.id, key.encode(), kind, space, creation).get_offset()
    return offsets


def _sync_folder(folder: Path) -> None:
    """Make the renaming durable, where the system can sync folders."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
