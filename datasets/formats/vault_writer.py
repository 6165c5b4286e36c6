"""Writes a dataset as a vault that OG-MARL reads through Flashbax.

A row is a transition; the observation after the last step of an episode has no place in a vault, and neither have
seeds and winners. What Flashbax does not use (scenario, layout, engine, where ends are flagged) stands beside its own
metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from datasets.formats.parts import part_folder
from datasets.formats.vault_store import INDEX, METADATA, array_spec, tensorstore
from datasets.schema import Array, Dataset
from env_adapters.errors import OutputError

_LENGTH = 10_000_000_000_000
"""Rows that a vault's arrays claim to have."""
_VERSION = 1.2
_COMPRESSED: dict[str, Any] = {"metadata": {"compressor": {"id": "gzip", "level": 5}}}
"""Of every array, the index too: version 1.1 of vaults opens nothing else."""
_GROUP_ROWS = 20_000
"""Rows written together."""


def write_vault(dataset: Dataset, folder: Path) -> None:
    """Write the transitions of a dataset, one after the other, as rows of a vault.

    Args:
        dataset: any; discrete actions become int32, rewards and flags are repeated for every agent.
        folder: the vault, best named `SOURCE/ENVIRONMENT/SCENARIO.vlt/QUALITY`. It must not exist yet.

    Raises:
        OutputError: the folder exists, cannot be written, or the disk is full; then nothing is kept.
        MissingExtraError: tensorstore is not installed.
    """
    package = tensorstore()
    if folder.exists():
        raise OutputError(f"cannot write {folder}: it exists; choose another folder")
    try:
        with part_folder(folder) as partial:
            _write(package, dataset, partial)
            partial.replace(folder)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split(" [")[0].split())
        raise OutputError(f"cannot write {folder}: {reason}; nothing was kept") from error


def _done(future: Any) -> Any:
    """Wait for tensorstore; when interrupted too, for its threads would go on writing into a folder being deleted."""
    try:
        return future.result()
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            future.exception()
        raise


def _write(package: Any, dataset: Dataset, folder: Path) -> None:
    stores: dict[str, Any] = {}
    for start, stop in _groups(dataset):
        for name, rows in _rows(dataset, start, stop).items():
            if name not in stores:
                stores[name] = _create(package, folder, name, rows)
            first = int(dataset.episode_offsets[start])
            _done(stores[name][:, first : first + len(rows)].write(rows[None]))
    _write_metadata(dataset, folder, stores)
    spec = array_spec(folder, INDEX) | _COMPRESSED
    index = _done(package.open(spec, dtype="int32", shape=[1], create=True))
    _done(index.write(np.array([dataset.n_transitions], dtype=np.int32)))


def _create(package: Any, folder: Path, name: str, rows: Array) -> Any:
    spec = array_spec(folder, name) | _COMPRESSED
    shape = [1, _LENGTH, *rows.shape[1:]]
    return _done(package.open(spec, dtype=rows.dtype.name, shape=shape, create=True))


def _groups(dataset: Dataset) -> Iterator[tuple[int, int]]:
    """Ranges of episodes of about _GROUP_ROWS transitions."""
    start = 0
    while start < dataset.n_episodes:
        wanted = dataset.episode_offsets[start] + _GROUP_ROWS
        stop = max(start + 1, int(np.searchsorted(dataset.episode_offsets, wanted, side="right")) - 1)
        yield start, stop
        start = stop


def _rows(dataset: Dataset, start: int, stop: int) -> dict[str, Array]:
    """The rows of episodes start to stop, by the vault's names."""
    first, last = int(dataset.episode_offsets[start]), int(dataset.episode_offsets[stop])
    batch = dataset.transitions(np.arange(first, last))
    n_agents = dataset.card.n_agents

    def each(values: Array) -> Array:
        return np.repeat(values[:, None], n_agents, axis=1)

    rows: dict[str, Array] = {
        "observations.": batch.observations,
        "actions.": batch.actions.astype(np.int32) if batch.actions.dtype.kind == "i" else batch.actions,
        "rewards.": each(batch.rewards),
        "terminals.": each(batch.terminated),
        "truncations.": each(batch.truncated),
        "infos.state.": batch.states,
    }
    if batch.available_actions is not None:
        rows["infos.legals."] = batch.available_actions.astype(np.float32)
    return rows


def _write_metadata(dataset: Dataset, folder: Path, stores: dict[str, Any]) -> None:
    shapes: dict[str, Any] = {}
    dtypes: dict[str, Any] = {}
    for name, store in stores.items():
        *branch, leaf = name.removesuffix(".").split(".")
        shape, dtype = shapes, dtypes
        for key in branch:
            shape, dtype = shape.setdefault(key, {}), dtype.setdefault(key, {})
        shape[leaf] = str((1, dataset.n_transitions, *store.shape[2:]))
        dtype[leaf] = store.dtype.name
    card = dataset.card
    metadata = {
        "version": _VERSION,
        "structure_shape": shapes,
        "structure_dtype": dtypes,
        "scenario": card.scenario,
        "layout": card.layout,
        "engine": card.engine,
        "terminals": "last transition",
    }
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
