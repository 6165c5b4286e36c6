"""Folders of NumPy arrays: MADiff's, OMAR's, and those that are damaged or try to be unpickled."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.convert import convert
from datasets.formats import omar as omar_module
from datasets.formats import streams
from datasets.formats.native import open_dataset
from datasets.formats.source import Reading
from datasets.schema import Dataset
from env_adapters.errors import CorruptFileError, UnknownNameError

Arrays = dict[str, Any]
LENGTHS = (4, 25, 1, 8)


def madiff() -> Arrays:
    """Episodes 1 (25 rows) and 2 (1 row) were truncated; actions are discrete."""
    rng = np.random.default_rng(0)
    t, n, a = sum(LENGTHS), 3, 6
    legals = rng.random((t, n, a)) < 0.5
    actions = rng.integers(0, a, (t, n))
    np.put_along_axis(legals, actions[..., None], True, axis=2)
    discounts = np.ones((t, n))
    discounts[[3, 37]] = 0
    return {
        "obs": rng.normal(size=(t, n, 7)),
        "actions": actions,
        "rewards": np.repeat(rng.normal(size=(t, 1)), n, axis=1),
        "discounts": discounts,
        "path_lengths": np.array(LENGTHS),
        "states": rng.normal(size=(t, 5)).astype(np.float32),
        "legals": legals.astype(np.float32),
    }


def omar(dones: bool = False) -> Arrays:
    """One seed: episodes of 25 steps; `dones` flags the end of the second."""
    rng = np.random.default_rng(2)
    arrays: Arrays = {}
    reward = rng.normal(size=100).astype(np.float32)
    for agent in range(3):
        moments = rng.normal(size=(4, 26, 18)).astype(np.float32)
        arrays[f"obs_{agent}"] = moments[:, :-1].reshape(100, 18)
        arrays[f"next_obs_{agent}"] = moments[:, 1:].reshape(100, 18)
        arrays[f"acs_{agent}"] = rng.uniform(-1, 1, (100, 2))
        arrays[f"rews_{agent}"] = reward.copy()
        arrays[f"dones_{agent}"] = np.zeros(100)
        arrays[f"dones_{agent}"][49] = dones
    return arrays


def save(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir(parents=True)
    for key, values in arrays.items():
        np.save(folder / f"{key}.npy", values, allow_pickle=True)
    return folder


def read(path: Path, tmp_path: Path, **reading: Any) -> Dataset:
    convert(path, tmp_path / "out.h5", reading=Reading(**reading))
    return open_dataset(tmp_path / "out.h5")


@pytest.mark.parametrize("block_bytes", [1 << 25, 1 << 10])
def test_madiff(tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_BLOCK_BYTES", block_bytes)
    arrays = madiff()
    folder = save(tmp_path / "3m" / "Good", arrays)
    conversion = convert(folder, tmp_path / "out.h5")
    assert "truncated episodes gave their last row" in conversion.notes[0]
    dataset = open_dataset(tmp_path / "out.h5")
    assert (dataset.card.scenario, dataset.card.layout) == ("3m-v1", "madiff-folder-data")
    assert np.diff(dataset.episode_offsets).tolist() == [4, 24, 8]
    for episode, (first, length, final) in enumerate([(0, 4, 3), (4, 24, 28), (30, 8, 37)]):
        stored = dataset.episode(episode)
        rows = [*range(first, first + length), final]
        np.testing.assert_array_equal(stored.observations, arrays["obs"][rows].astype(np.float32))
        np.testing.assert_array_equal(stored.states, arrays["states"][rows])
        np.testing.assert_array_equal(stored.available_actions, arrays["legals"][rows] == 1)
        np.testing.assert_array_equal(stored.actions, arrays["actions"][rows[:-1]])
        np.testing.assert_array_equal(stored.rewards, arrays["rewards"][rows[:-1], 0].astype(np.float32))
        assert (stored.terminated[-1], stored.truncated[-1]) == (episode != 1, episode == 1)


def test_madiff_with_continuous_actions_and_no_states(tmp_path: Path) -> None:
    arrays = madiff() | {"actions": np.random.default_rng(1).uniform(-1, 1, (38, 3, 2))}
    del arrays["states"], arrays["legals"]
    dataset = read(save(tmp_path / "a", arrays), tmp_path)
    assert (dataset.card.action_kind, dataset.card.action_size, dataset.card.state_size) == (
        "continuous",
        2,
        21,
    )
    np.testing.assert_array_equal(dataset.states.reshape(-1, 3, 7), dataset.observations)


@pytest.mark.parametrize("dones", [False, True])
@pytest.mark.parametrize("block", [50_000, 7, 5])
def test_omar_episodes_are_cut_where_rows_do_not_go_on(
    tmp_path: Path, dones: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omar_module, "_BLOCK", block)
    arrays = omar(dones)
    dataset = read(save(tmp_path / "simple_spread" / "expert" / "seed_0_data", arrays), tmp_path)
    assert (dataset.card.scenario, dataset.card.layout) == ("simple_spread", "omar-folder-data")
    assert dataset.card.source == "omar/mpe/simple_spread/Expert"
    assert np.diff(dataset.episode_offsets).tolist() == [25] * 4
    batch = dataset.transitions(np.arange(100))
    for agent in range(3):
        np.testing.assert_array_equal(batch.observations[:, agent], arrays[f"obs_{agent}"])
        np.testing.assert_array_equal(batch.next_observations[:, agent], arrays[f"next_obs_{agent}"])
        np.testing.assert_array_equal(batch.actions[:, agent], arrays[f"acs_{agent}"].astype(np.float32))
    np.testing.assert_array_equal(batch.rewards, arrays["rews_0"])
    assert np.flatnonzero(batch.terminated).tolist() == ([49] if dones else [])
    assert np.flatnonzero(batch.truncated).tolist() == ([24, 74, 99] if dones else [24, 49, 74, 99])
    np.testing.assert_array_equal(batch.next_states, batch.next_observations.reshape(100, -1))


def test_omar_seeds_become_parts_and_states_are_read(tmp_path: Path) -> None:
    arrays = omar()
    states = np.random.default_rng(4).normal(size=(2, 100, 17)).astype(np.float32)
    for agent in range(3):
        arrays |= {f"states_{agent}": states[0], f"next_states_{agent}": states[1]}
    folder = tmp_path / "2halfcheetah" / "medium"
    for seed in range(3):
        save(folder / f"seed_{seed}_data", arrays)
    dataset = read(folder, tmp_path)
    assert [b.name for b in dataset.card.behaviours] == [f"medium/seed_{seed}_data" for seed in range(3)]
    assert [b.n_episodes for b in dataset.card.behaviours] == [4, 4, 4]
    batch = dataset.transitions(np.arange(100, 200))
    np.testing.assert_array_equal(batch.states, states[0])
    np.testing.assert_array_equal(batch.next_states[24::25], states[1][24::25])


def put(key: str, place: Any, value: Any) -> Callable[[Arrays], Any]:
    def edit(arrays: Arrays) -> None:
        arrays[key][place] = value

    return edit


def change(key: str, into: Callable[[Any], Any]) -> Callable[[Arrays], Any]:
    def edit(arrays: Arrays) -> None:
        arrays[key] = into(arrays[key])

    return edit


MADIFF_BAD: dict[str, tuple[Callable[[Arrays], Any], str]] = {
    "nan": (put("obs", (20, 1, 2), np.nan), r"'obs\.npy' row 20 is not finite"),
    "objects": (change("rewards", lambda r: r.astype(object)), r"rewards\.npy is not a readable NumPy array: .*Python objects"),
    "missing": (lambda arrays: arrays.pop("discounts"), r"'discounts\.npy' is missing"),
    "lengths": (put("path_lengths", 1, 26), r"'path_lengths\.npy' adds up to 39, obs\.npy has 38 rows"),
    "length": (put("path_lengths", 1, 0), r"'path_lengths\.npy' row 1 is not a length"),
    "action": (put("actions", (7, 2), 6), r"'actions\.npy' row 7 is .* 0 to 5"),
    "forbidden": (put("legals", 33, 0), r"'actions\.npy' row 33 of agent 0 .* not available"),
    "rewards": (put("rewards", (5, 1), 9), r"'rewards\.npy' row 5 differs between agents"),
    "rows": (change("states", lambda s: s[1:]), r"'states\.npy' has 37 rows, obs\.npy has 38"),
    "texts": (change("states", lambda s: s.astype(str)), r"'states\.npy' has type"),
    "flat": (change("obs", lambda o: o[:, 0]), r"'obs\.npy' has shape \(38, 7\)"),
}  # fmt: skip
OMAR_BAD: dict[str, tuple[Callable[[Arrays], Any], str]] = {
    "nan": (put("acs_1", (20, 1), np.nan), r"'acs_\*\.npy' row 20 is not finite"),
    "missing": (lambda arrays: arrays.pop("next_obs_2"), r"'next_obs_2\.npy' is missing"),
    "shape": (change("acs_2", lambda a: a[:, :1]), r"'acs_2\.npy' has shape \(100, 1\)"),
    "rows": (change("rews_1", lambda r: r[:-1]), r"'rews_1\.npy' has shape"),
    "flag": (put("dones_0", 8, 2), r"'dones' row 8 is neither"),
    "shuffled": (change("obs_0", lambda o: np.random.default_rng(0).permutation(o)), "episodes cannot be cut"),
    "rewards": (put("rews_2", 66, 5), r"'rews_\*\.npy' row 66 differs"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("maker", "name"), [("madiff", n) for n in MADIFF_BAD] + [("omar", n) for n in OMAR_BAD]
)
def test_bad_contents_are_named_and_leave_nothing(tmp_path: Path, maker: str, name: str) -> None:
    arrays = madiff() if maker == "madiff" else omar()
    edit, message = (MADIFF_BAD if maker == "madiff" else OMAR_BAD)[name]
    edit(arrays)
    path = save(tmp_path / "bad", arrays)
    (tmp_path / "out").mkdir()
    with pytest.raises(CorruptFileError, match=message) as caught:
        convert(path, tmp_path / "out" / "new.h5")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("make", [madiff, omar])
def test_cut_files_are_refused(tmp_path: Path, make: Callable[[], Arrays]) -> None:
    for file in sorted(save(tmp_path / "whole", make()).iterdir()):
        for keep in (0, 5, 90, file.stat().st_size - 1):
            folder = tmp_path / "cut"
            shutil.copytree(tmp_path / "whole", folder)
            (folder / file.name).write_bytes(file.read_bytes()[:keep])
            with pytest.raises(CorruptFileError, match=file.name):
                convert(folder, tmp_path / "out.h5")
            shutil.rmtree(folder)


def test_archives_and_folders_of_other_kinds(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", madiff())
    with (folder / "obs.npy").open("wb") as file:
        np.savez(file, obs=np.zeros(3))
    with pytest.raises(CorruptFileError, match=r"obs\.npy is an archive"):
        convert(folder, tmp_path / "out.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownNameError, match="no dataset folder of a known format"):
        convert(tmp_path / "empty", tmp_path / "out.h5")
