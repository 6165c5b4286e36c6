"""HDF5 by others: OMIGA's robots and PyMARL's episodes, and files that are damaged or lie."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from agents.checkpoints import check_fits, load_checkpoint
from datasets.convert import convert
from datasets.formats import pymarl, streams
from datasets.formats.native import open_dataset
from datasets.formats.source import Reading
from datasets.schema import Dataset
from env_adapters import scenarios
from env_adapters.errors import CorruptFileError, MismatchError

Arrays = dict[str, Any]
ROWS = (1001, 41, 1001, 3)


def omiga(d: int = 14, n: int = 3) -> Arrays:
    rng = np.random.default_rng(0)
    t = sum(ROWS)
    o = rng.normal(size=(t, n, d))
    o = (o - o.mean(-1, keepdims=True)) / o.std(-1, keepdims=True)
    ended = np.zeros((t, n))
    ended[np.cumsum(ROWS) - 1] = 1
    return {
        "o": o,
        "s": o.copy(),
        "a": rng.uniform(-1.2, 1.2, (t, n, 1)).astype(np.float32),
        "r": rng.normal(size=(t, 1)),
        "d": ended,
    }


def cfcql() -> Arrays:
    """5m_vs_6m, 70 steps at most: episodes of 4 steps (won or lost), 70 (limit), 1 and 69."""
    rng = np.random.default_rng(1)
    n_episodes, moments, n, a = 4, 71, 5, 12
    filled, terminated = np.zeros((n_episodes, moments, 1)), np.zeros((n_episodes, moments, 1))
    for episode, (length, ends) in enumerate([(4, True), (70, False), (1, True), (69, True)]):
        filled[episode, : length + 1] = 1
        terminated[episode, length - 1] = ends
    masks = rng.random((n_episodes, moments, n, a)) < 0.5
    actions = rng.integers(0, a, (n_episodes, moments, n, 1))
    np.put_along_axis(masks, actions, True, axis=3)
    return {
        "state": rng.normal(size=(n_episodes, moments, 98)).astype(np.float32) * filled,
        "obs": (rng.normal(size=(n_episodes, moments, n, 55)) * filled[..., None]).astype(np.float32),
        "actions": actions,
        "avail_actions": masks.astype(np.int32),
        "probs": np.ones((n_episodes, moments, n, a), np.float32),
        "reward": rng.normal(size=(n_episodes, moments, 1)).astype(np.float32),
        "terminated": terminated.astype(np.uint8),
        "filled": filled.astype(np.int64),
    }


def save(path: Path, arrays: Arrays, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            file.create_dataset(key, data=values, **options)
    return path


def read(path: Path, tmp_path: Path, **reading: Any) -> Dataset:
    convert(path, tmp_path / "out.h5", reading=Reading(**reading))
    return open_dataset(tmp_path / "out.h5")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "chunks": True, "shuffle": True}])
@pytest.mark.parametrize("block_bytes", [1 << 25, 1 << 12])
def test_omiga_robots(
    tmp_path: Path, options: Any, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_BLOCK_BYTES", block_bytes)
    arrays = omiga()
    dataset = read(save(tmp_path / "Hopper-v2-3x1-medium-replay.hdf5", arrays, **options), tmp_path)
    card = dataset.card
    assert (card.scenario, card.layout) == ("3hopper-v1", "mamujoco-omiga-v2+standardised_state")
    assert card.behaviours[0].name == "medium-replay"
    assert card.source == "omiga/mamujoco/3hopper/Medium-Replay"
    assert (card.observation_size, card.state_size, card.action_size) == (14, 14, 1)
    assert np.diff(dataset.episode_offsets).tolist() == [1000, 40, 1000, 2]
    first = 0
    for index, rows in enumerate(ROWS):
        episode = dataset.episode(index)
        moments = slice(first, first + rows)
        np.testing.assert_array_equal(episode.observations, arrays["o"][moments].astype(np.float32))
        np.testing.assert_array_equal(episode.states, arrays["s"][moments, 0].astype(np.float32))
        np.testing.assert_array_equal(episode.actions, arrays["a"][moments][:-1])
        np.testing.assert_array_equal(episode.rewards, arrays["r"][moments][:-1, 0].astype(np.float32))
        assert episode.truncated[-1] == (rows == 1001) != episode.terminated[-1]
        first += rows


def test_omigas_observations_are_the_simulators_but_its_states_are_not(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    dataset = read(save(tmp_path / "Hopper-v2-3x1-expert.hdf5", omiga()), tmp_path)
    with scenarios.make_vector("3hopper", 1) as env, pytest.raises(MismatchError, match="state_size 14"):
        dataset.check_matches(env.spec)
    dataset.check_matches(dataclasses.replace(env.spec, state_size=14))
    for layout in ("mamujoco-gymnasium-v4", "mamujoco-omiga-v2+other_option"):
        with pytest.raises(
            MismatchError, match=rf"layout mamujoco-omiga-v2\+standardised_state, .* {layout[:9]}"
        ):
            dataset.check_matches(dataclasses.replace(env.spec, state_size=14, layout=layout))


@pytest.mark.slow
def test_omigas_robots_can_be_trained_on_and_played(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    read(save(tmp_path / "Hopper-v2-3x1-expert.hdf5", omiga()), tmp_path)

    def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments], cwd=tmp_path, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip

    trained = harness("train", "--agent", "vgm2p", "--dataset", "out.h5", "--out", "run",
                      "--steps", "2", "--batch-size", "4", "--hidden", "8")  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    assert (checkpoint.agent.spec.layout, checkpoint.agent.spec.state_size) == ("mamujoco-omiga-v2", 14)
    with scenarios.make_vector("3hopper", 1) as env:
        check_fits(checkpoint, env.spec)
    command = trained.stdout.split("next: harness ")[1].split()
    played = harness(*command, "--episodes", "1")
    assert played.returncode == 0, played.stderr
    refused = harness("train", "--agent", "vgm2p", "--dataset", "out.h5", "--layout", "mamujoco-gymnasium-v4")
    assert refused.returncode != 0 and "mamujoco-omiga-v2+standardised_state" in refused.stderr


@pytest.mark.parametrize("block_bytes", [1 << 25, 1])
def test_cfcql(tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymarl, "_BLOCK_BYTES", block_bytes)
    arrays = cfcql()
    dataset = read(save(tmp_path / "5m_vs_6m_medium_replay.h5", arrays), tmp_path)
    assert (dataset.card.scenario, dataset.card.layout) == ("5m_vs_6m-v1", "smac-v1")
    assert dataset.card.behaviours[0].name == "medium_replay"
    assert dataset.card.source == "cfcql/smac_v1/5m_vs_6m/Medium-Replay"
    with scenarios.make_vector("5m_vs_6m", 1) as env:
        dataset.check_matches(env.spec)
    assert np.diff(dataset.episode_offsets).tolist() == [4, 70, 1, 69]
    for index, length in enumerate((4, 70, 1, 69)):
        episode = dataset.episode(index)
        np.testing.assert_array_equal(episode.observations, arrays["obs"][index, : length + 1])
        np.testing.assert_array_equal(episode.states, arrays["state"][index, : length + 1].astype(np.float32))
        np.testing.assert_array_equal(
            episode.available_actions, arrays["avail_actions"][index, : length + 1] == 1
        )
        np.testing.assert_array_equal(episode.actions, arrays["actions"][index, :length, :, 0])
        np.testing.assert_array_equal(episode.rewards, arrays["reward"][index, :length, 0])
        assert (episode.terminated[-1], episode.truncated[-1]) == (length != 70, length == 70)
        assert not (episode.terminated | episode.truncated)[:-1].any()


def test_pymarl_data_of_unknown_makers_get_a_layout_of_their_own(tmp_path: Path) -> None:
    arrays = cfcql()
    del arrays["probs"]
    path = save(tmp_path / "5m_vs_6m.h5", arrays)
    assert read(path, tmp_path).card.layout == "pymarl-smac_v1-data"
    assert read(path, tmp_path).card.source == ""
    assert read(path, tmp_path, layout="smac-v1").card.layout == "smac-v1"
    odd = dataclasses.asdict(read(path, tmp_path, map="other").card)
    assert (odd["scenario"], odd["layout"]) == ("other", "pymarl-pymarl-data")


def put(key: str, place: Any, value: Any) -> Callable[[Arrays], None]:
    def edit(arrays: Arrays) -> None:
        arrays[key][place] = value

    return edit


def replace(key: str, change: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    def edit(arrays: Arrays) -> None:
        arrays[key] = change(arrays[key])

    return edit


OMIGA_BAD: dict[str, tuple[Callable[[Arrays], None], str]] = {
    "nan": (put("o", (1500, 2, 3), np.nan), "'o' row 1500 is not finite"),
    "infinite": (put("a", (3, 0), np.inf), "'a' row 3 is not finite"),
    "overflow": (put("r", 2000, 1e300), "'r' row 2000 is not finite"),
    "no ends": (replace("d", np.zeros_like), "'d' flags no end"),
    "odd flag": (put("d", (77, 0), 0.5), "'d' row 77 is neither 0 nor 1"),
    "short": (replace("r", lambda r: r[:-1]), "'r' has 2045 rows, others have 2046"),
    "flat": (replace("o", lambda o: o[:, 0]), r"'o' has shape \(2046, 14\)"),
    "agents": (replace("a", lambda a: a[:, :2]), r"'a' has shape \(2046, 2, 1\) for 3 agents"),
    "texts": (replace("r", lambda r: np.array([b"x"] * len(r))), r"'r' has type \|S1"),
    "objects": (replace("r", lambda r: np.array(["x"] * len(r), dtype=h5py.string_dtype())), "'r' has type object"),
    "complex": (replace("r", lambda r: r.astype(complex)), "'r' has type complex128"),
    "scalar": (replace("r", lambda r: 3.0), "'r' is not an array"),
}  # fmt: skip
PYMARL_BAD: dict[str, tuple[Callable[[Arrays], None], str]] = {
    "missing": (lambda arrays: arrays.pop("reward"), "'reward' is missing"),
    "nan": (put("obs", (1, 60, 2, 3), np.nan), "'obs' episode 1, step 60, agent 2 is not finite"),
    "unknown action": (put("actions", (3, 5, 0), 12), "'actions' episode 3, step 5 is .* 0 to 11"),
    "forbidden action": (put("avail_actions", (0, 2), 0), "'actions' episode 0, step 2 of agent 0 .* not available"),
    "holes": (put("filled", (1, 5), 0), "'filled' episode 1, step 5 is not ones followed by zeros"),
    "after the end": (put("filled", (0, slice(0, 9)), 1), "episode 0 covers 9 moments, but the end is flagged after 4"),
    "empty episode": (put("filled", 1, 0), "episode 1 covers 0 moments"),
    "flag": (put("terminated", (2, 0), 3), "'terminated' episode 2, step 0 is neither"),
    "shape": (replace("reward", lambda r: r[:, :50]), r"'reward' has shape \(4, 50, 1\)"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("maker", "name"), [("omiga", n) for n in OMIGA_BAD] + [("cfcql", n) for n in PYMARL_BAD]
)
def test_bad_contents_are_named_and_leave_nothing(tmp_path: Path, maker: str, name: str) -> None:
    arrays = omiga() if maker == "omiga" else cfcql()
    edit, message = (OMIGA_BAD if maker == "omiga" else PYMARL_BAD)[name]
    edit(arrays)
    path = save(tmp_path / "5m_vs_6m_bad.h5", arrays)
    (tmp_path / "out").mkdir()
    with pytest.raises(CorruptFileError, match=message) as caught:
        convert(path, tmp_path / "out" / "new.h5")
    assert "5m_vs_6m_bad.h5" in str(caught.value) and "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_cut_files_are_refused_at_every_length(tmp_path: Path) -> None:
    path = save(tmp_path / "a.h5", {key: values[:2] for key, values in cfcql().items()}, chunks=True)
    whole = path.read_bytes()
    for length in (0, 1, 8, 100, 2000, *range(4096, len(whole), len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError, match=r"a\.h5"):
            convert(path, tmp_path / "out.h5")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.h5"]


def test_arrays_outside_the_file_are_refused(tmp_path: Path) -> None:
    arrays = omiga()
    save(tmp_path / "other.h5", arrays)
    rewards = arrays.pop("r")
    path = tmp_path / "a.h5"

    def refused(message: str) -> None:
        with pytest.raises(CorruptFileError, match=message):
            convert(path, tmp_path / "out.h5")

    save(path, arrays)
    with h5py.File(path, "a") as file:
        file["r"] = h5py.ExternalLink("other.h5", "r")
    refused("'r' is a link to elsewhere")
    save(path, arrays)
    with h5py.File(path, "a") as file:
        file["r"] = h5py.SoftLink("/o")
    refused("'r' is a link to elsewhere")
    save(path, arrays)
    (tmp_path / "raw").write_bytes(rewards.tobytes())
    with h5py.File(path, "a") as file:
        file.create_dataset(
            "r", rewards.shape, rewards.dtype, external=[(str(tmp_path / "raw"), 0, rewards.nbytes)]
        )
    refused("'r' is stored outside the file")
    save(path, arrays)
    virtual = h5py.VirtualLayout(rewards.shape, rewards.dtype)
    virtual[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "r", shape=rewards.shape)
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("r", virtual)
    refused("'r' is stored outside the file")


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((10**15, 1), {"chunks": (1000, 1)}, "impossible shape"),
        ((2046, 10**9), {"chunks": (1, 1000)}, "impossible shape"),
        ((5 * 10**8, 1), {"chunks": (1000, 1), "compression": "gzip"}, "claims 4000000000 bytes, but \\d{4} are stored"),
        ((2046, 1), {"chunks": (2046, 1)}, "claims 16368 bytes, but 0 are stored"),
        ((9 * 10**8, 1), {"chunks": (4 * 10**8, 1), "compression": "gzip"}, "chunks .* too large"),
    ],
)  # fmt: skip
def test_sizes_that_the_file_cannot_fill_are_refused(
    tmp_path: Path, shape: tuple[int, ...], options: Any, message: str
) -> None:
    arrays = omiga()
    del arrays["r"]
    path = save(tmp_path / "a.h5", arrays)
    with h5py.File(path, "a") as file:
        rewards = file.create_dataset("r", shape, np.float64, **options)
        if message.startswith("claims 4000000"):
            rewards[:1000] = np.random.default_rng(0).normal(size=(1000, 1))
    with pytest.raises(CorruptFileError, match=f"'r' .*{message}"):
        convert(path, tmp_path / "out.h5")


def test_hdf5_of_other_kinds(tmp_path: Path) -> None:
    path = save(tmp_path / "a.h5", {"x": np.zeros(3), "y": np.zeros(3)})
    with pytest.raises(CorruptFileError, match="no known format: it holds x, y"):
        convert(path, tmp_path / "out.h5")
