"""Reads episode batches of PyMARL as HDF5, as CFCQL and ICQ publish them: arrays [E, L + 1, ...] with a filled mask.

`filled` covers the moment after the last step too. `terminated` is not set where the episode limit ended an episode;
such episodes are read as truncated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.formats import layout, source
from datasets.formats.hdf5 import Arrays
from datasets.formats.source import Part, Reading, Source
from datasets.schema import Array
from env_adapters import scenarios
from env_adapters.rollout import Episode

_KEYS = ("state", "obs", "actions", "avail_actions", "reward", "terminated")
_BLOCK_BYTES = 1 << 23


def open_pymarl(path: Path, reading: Reading) -> Source:
    """Open a file such as `5m_vs_6m_medium.h5`; its name, or else its folder's, says map and quality.

    Raises:
        CorruptFileError: damaged, keys are missing, or shapes do not fit together.
    """
    has_filled = "filled" in Arrays(path, ["obs"])
    arrays = Arrays(path, (*_KEYS, "filled") if has_filled else _KEYS)
    sizes = _sizes(arrays)
    scenario, quality = _name(path)
    maker = "cfcql" if "probs" in arrays else "pymarl"  # the probabilities of the behaviour are CFCQL's own
    scenario = reading.map or scenario
    environment = "smac_v1" if _is_smac(scenario) else "pymarl"
    spec = layout.foreign_spec(maker, environment, scenario, sizes, reading.layout)
    name = layout.catalog_name(maker, environment, scenario, quality) if quality != path.stem else ""
    return Source("pymarl", spec, (Part(quality, lambda: _episodes(arrays, sizes, reading)),), name=name)


def _is_smac(scenario: str) -> bool:
    known = scenarios.SCENARIOS.get(scenario)
    return known is not None and known.family == "smac-v1"


def _name(path: Path) -> tuple[str, str]:
    for text in (path.stem, path.parent.name):
        for name in sorted(scenarios.SCENARIOS, key=len, reverse=True):
            found = re.fullmatch(rf"{re.escape(name)}(?:[_-](.+))?", text)
            if found is not None:
                return name, found.group(1) or path.stem
    return path.stem, path.stem


def _sizes(arrays: Arrays) -> layout.Sizes:
    masks = arrays.shape("avail_actions")
    if len(masks) != 4:
        raise source.corrupt(
            arrays.path, "avail_actions", f"has shape {masks}, expected (E, L + 1, agents, actions)"
        )
    _, moments, n_agents, n_actions = masks
    state = arrays.shape("state")
    observation = arrays.shape("obs")
    expected: dict[str, tuple[tuple[int, ...], ...]] = {
        "obs": ((n_agents, observation[-1]),),
        "state": ((state[-1],),),
        "actions": ((n_agents, 1), (n_agents,)),
        "reward": ((1,), ()),
        "terminated": ((1,), ()),
        "filled": ((1,), ()),
    }
    for key, shapes in expected.items():
        if key == "filled" and key not in arrays:
            continue
        shape = arrays.shape(key)
        steps = (moments,) if key in ("obs", "state") else (moments, moments - 1)
        if len(shape) < 2 or shape[1] not in steps or shape[2:] not in shapes:
            raise source.corrupt(arrays.path, key, f"has shape {shape}, expected (E, {moments}, {shapes[0]})")
    return layout.Sizes(n_agents, observation[-1], state[-1], "discrete", n_actions)


def _episodes(arrays: Arrays, sizes: layout.Sizes, reading: Reading) -> Iterator[Episode]:
    row_bytes = sum(arrays.read(key, 0, 1).nbytes for key in _KEYS)
    n_rows = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, arrays.n_rows, n_rows):
        stop = min(start + n_rows, arrays.n_rows)
        block = {key: arrays.read(key, start, stop) for key in _KEYS}
        filled = arrays.read("filled", start, stop) if "filled" in arrays else None
        for index in range(stop - start):
            rows = {key: values[index] for key, values in block.items()}
            mask = None if filled is None else filled[index].reshape(-1)
            yield _episode(arrays.path, start + index, rows, mask, sizes, reading)


def _length(
    path: Path, row: int, ended: Array, filled: Array | None, n_moments: int
) -> tuple[int, bool, int]:
    """Steps of an episode, whether it terminated, and how many of its moments are stored."""
    source.check_rows(path, "terminated", row, ((ended != 0) & (ended != 1))[None], "is neither 0 nor 1")
    last = np.flatnonzero(ended)
    stored = n_moments
    if filled is not None:
        stored = int((filled == 1).sum())
        if not np.array_equal(filled != 0, np.arange(len(filled)) < stored):
            raise source.corrupt(path, "filled", "is not ones followed by zeros", row)
        if stored == len(filled) == n_moments - 1:  # a mask of steps, not of moments
            stored = n_moments
    if not len(last):
        if filled is None:
            raise source.corrupt(path, "terminated", "flags no end, and there is no 'filled'", row)
        length = min(stored - 1, len(ended))
    else:
        length = int(last[0]) + 1
        if filled is None:
            stored = length  # what follows the end may be padding
    if length < 1 or not length <= stored <= length + 1:
        raise source.corrupt(
            path, "filled", f"covers {stored} moments, but the end is flagged after {length}", row
        )
    return length, bool(len(last)), stored


def _episode(
    path: Path, row: int, rows: dict[str, Array], filled: Array | None, sizes: layout.Sizes, reading: Reading
) -> Episode:
    ended = rows["terminated"].reshape(-1)
    length, terminated, stored = _length(path, row, ended, filled, len(rows["obs"]))
    actions = rows["actions"][:length].reshape(length, sizes.n_agents)
    numbers = np.full(length, row)
    source.check_actions(path, "actions", numbers, actions, sizes.action_size)
    masks = rows["avail_actions"][:stored].astype(np.bool_)
    if not reading.keep_illegal:
        source.check_available(path, "actions", numbers, actions, masks[:length])

    def moments(key: str) -> list[Array]:
        values = rows[key][:stored]
        known = list(_finite(path, key, row, values))
        return known if stored > length else [*known, known[-1]]

    reward = rows["reward"][:length].reshape(length)
    _finite(path, "reward", row, reward)
    return Episode(
        seed=source.UNKNOWN_SEED,
        rewards=reward.tolist(),
        terminated=terminated,
        truncated=not terminated,
        observations=moments("obs"),
        available_actions=list(masks) if stored > length else [*masks, masks[-1]],
        states=moments("state"),
        actions=list(actions),
    )


def _finite(path: Path, key: str, row: int, values: Array) -> Array:
    """As `source.finite`, for the steps of one episode, which is one row of the file."""
    stored: Array = source.finite(path, key, row, values[None])[0]
    return stored
