"""Reads episode batches of PyMARL as HDF5, as CFCQL and ICQ publish them: arrays [E, L + 1, ...] with a filled mask.

`filled` covers the moment after the last step too. `terminated` is not set where the episode limit ended an episode;
such episodes are read as truncated.

Some files cover with `filled` the steps only. They are known by flagged episodes, or where nothing is flagged by rewards in
the last rows that `filled` covers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.formats import layout, source
from datasets.formats.findings import Findings
from datasets.formats.hdf5 import Arrays
from datasets.formats.source import Part, Places, Reading, Source
from datasets.formats.streams import Cut
from datasets.schema import Array
from env_adapters import scenarios
from env_adapters.rollout import Episode

_KEYS = ("state", "obs", "actions", "avail_actions", "reward", "terminated")
_BLOCK_BYTES = 1 << 23
_BLOCK_EPISODES = 4096
"""Episodes whose flags are looked at together."""


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
    findings = Findings(path, "terminated", scenario, reading.terminals)
    cuts = _cuts(arrays, findings)
    parts = (Part(quality, lambda: _episodes(arrays, cuts, sizes, reading)),)
    return Source("pymarl", spec, parts, name=name, finish=findings.notes)


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
            raise source.corrupt(
                arrays.path,
                key,
                f"has shape {shape}, expected {tuple(['E', moments, *shapes[0]])}".replace("'", ""),
            )
    return layout.Sizes(n_agents, observation[-1], state[-1], "discrete", n_actions)


class _Marks(NamedTuple):
    """What `terminated`, `filled` and `reward` say about one episode."""

    flagged: int
    """Steps up to the flag; 0 where there is none."""
    stored: int
    """Rows that are covered."""
    has_reward: bool
    """Whether the last of them has one."""


def _cuts(arrays: Arrays, findings: Findings) -> list[Cut]:
    """Where each episode lies in its rows.

    Raises:
        CorruptFileError: masks and flags contradict each other, an episode is longer than the scenario allows, or no end
            is flagged although episodes are shorter.
    """
    marks = list(_marks(arrays))
    flagged = [mark for mark in marks if mark.flagged]
    of_steps = (
        all(mark.stored == mark.flagged for mark in flagged)
        if flagged
        else any(mark.has_reward for mark in marks)
    )
    cuts = []
    for episode, mark in enumerate(marks):
        length = mark.flagged or mark.stored - (not of_steps)
        if length < 1 or not length <= mark.stored <= length + 1:
            end = f"but the end is flagged after {length}" if mark.flagged else "which is no episode"
            raise source.corrupt(
                arrays.path, "filled", f"covers {mark.stored} moments, {end}", f"episode {episode}"
            )
        has_final = mark.stored > length
        cuts.append(
            findings.cut_path(
                length, bool(mark.flagged), 0, has_final, f"episode {episode}, step {length - 1}"
            )
        )
    findings.check_ends()
    return cuts


def _marks(arrays: Arrays) -> Iterator[_Marks]:
    path, n_moments = arrays.path, arrays.shape("obs")[1]
    for start in range(0, arrays.n_rows, _BLOCK_EPISODES):
        stop = min(start + _BLOCK_EPISODES, arrays.n_rows)
        ended, reward = (
            arrays.read(key, start, stop).reshape(stop - start, -1) for key in ("terminated", "reward")
        )
        filled = arrays.read("filled", start, stop).reshape(stop - start, -1) if "filled" in arrays else None
        for index in range(stop - start):
            episode = start + index
            wrong = (ended[index] != 0) & (ended[index] != 1)
            source.check_rows(path, "terminated", _places(episode), wrong, "is neither 0 nor 1")
            last = np.flatnonzero(ended[index])
            flagged = int(last[0]) + 1 if len(last) else 0
            if filled is not None:
                stored = _stored(path, episode, filled[index], n_moments)
            elif flagged:
                stored = flagged  # what follows the end may be padding
            else:
                raise source.corrupt(
                    path, "terminated", "flags no end, and there is no 'filled'", f"episode {episode}"
                )
            has_reward = 0 < stored <= reward.shape[1] and reward[index, stored - 1] != 0
            yield _Marks(flagged, stored, bool(has_reward))


def _stored(path: Path, episode: int, filled: Array, n_moments: int) -> int:
    """Rows that a mask covers."""
    stored = int((filled == 1).sum())
    wrong = (filled != 0) != (np.arange(len(filled)) < stored)
    source.check_rows(path, "filled", _places(episode), wrong, "is not ones followed by zeros")
    if stored == len(filled) == n_moments - 1:  # a mask of steps, not of moments
        return n_moments
    return stored


def _episodes(arrays: Arrays, cuts: list[Cut], sizes: layout.Sizes, reading: Reading) -> Iterator[Episode]:
    row_bytes = sum(arrays.read(key, 0, 1).nbytes for key in _KEYS)
    n_rows = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, arrays.n_rows, n_rows):
        stop = min(start + n_rows, arrays.n_rows)
        block = {key: arrays.read(key, start, stop) for key in _KEYS}
        for index in range(stop - start):
            rows = {key: values[index] for key, values in block.items()}
            cut = cuts[start + index]
            if cut.n_transitions:
                yield _episode(arrays.path, start + index, rows, cut, sizes, reading)


def _episode(
    path: Path, episode: int, rows: dict[str, Array], cut: Cut, sizes: layout.Sizes, reading: Reading
) -> Episode:
    length, places = cut.n_transitions, _places(episode)
    actions = rows["actions"][:length].reshape(length, sizes.n_agents)
    source.check_actions(path, "actions", places, actions, sizes.action_size)
    available = source.masks(path, "avail_actions", places, rows["avail_actions"][: cut.stop])
    if not reading.keep_illegal:
        source.check_available(path, "actions", places, actions, available[:length])

    def moments(values: Array) -> list[Array]:
        return list(values) if cut.has_final_row else [*values, values[-1]]

    def observations() -> Array:
        values = rows["obs"][: cut.stop]
        for agent in range(sizes.n_agents):
            at = f", agent {agent}"
            source.finite(path, "obs", lambda step, at=at: f"{places(step)}{at}", values[:, agent])  # type: ignore[misc]
        return values.astype(np.float32)

    reward = source.finite(path, "reward", places, rows["reward"][:length].reshape(length))
    source.check_size_of(path, "reward", places, reward)
    return Episode(
        seed=source.UNKNOWN_SEED,
        rewards=reward.tolist(),
        terminated=cut.terminated,
        truncated=not cut.terminated,
        observations=moments(observations()),
        available_actions=moments(available),
        states=moments(source.finite(path, "state", places, rows["state"][: cut.stop])),
        actions=list(actions),
    )


def _places(episode: int) -> Places:
    """Steps of one episode, in words."""
    return lambda step: f"episode {episode}, step {step}"
