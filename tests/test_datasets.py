"""The dataset in memory: what was recorded comes back, bit for bit, in episodes and in batches."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import CONTINUOUS, DISCRETE, assert_holds, make_episode, write

from datasets.formats.native import open_dataset
from datasets.schema import columns
from env_adapters.errors import (
    MismatchError,
)
from env_adapters.rollout import Episode


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    discrete=st.booleans(),
    masks=st.booleans(),
)
def test_round_trip(tmp_path: Path, lengths: list[int], seed: int, discrete: bool, masks: bool) -> None:
    rng = np.random.default_rng(seed)
    spec = DISCRETE if discrete else CONTINUOUS
    played = [make_episode(rng, length, spec, masks) for length in lengths]
    card = write(tmp_path / "data.h5", played, spec)
    dataset = open_dataset(tmp_path / "data.h5")
    assert dataset.card == card
    assert (card.n_episodes, card.n_transitions) == (len(lengths), sum(lengths))
    assert card.mean_episode_length == sum(lengths) / len(lengths)
    assert_holds(dataset, played)
    returns = dataset.episode_returns()
    np.testing.assert_allclose(
        returns, [episode.episode_return for episode in played], rtol=1e-12, atol=1e-12
    )
    assert (card.returns.min, card.returns.max) == (returns.min(), returns.max())
    assert card.returns.mean == pytest.approx(np.mean(returns), abs=1e-12)
    won = [episode.won is True for episode in played]
    assert card.win_rate == (sum(won) / len(won) if discrete else None)


def test_last_next_observation_is_the_episodes_own(path: Path, episodes: list[Episode]) -> None:
    dataset = open_dataset(path)
    last = dataset.episode_offsets[1:] - 1
    batch = dataset.transitions(last)
    for row, episode in enumerate(episodes):
        np.testing.assert_array_equal(batch.next_observations[row], episode.observations[-1])
    following = dataset.transitions(last[:-1] + 1).observations
    assert not np.any(np.all(batch.next_observations[:-1] == following, axis=(1, 2)))


def test_many_actions_and_types(tmp_path: Path) -> None:
    spec = dataclasses.replace(DISCRETE, action_size=300)
    episode = make_episode(np.random.default_rng(0), 4, spec)
    episode.actions[2][:] = 299
    write(tmp_path / "data.h5", [episode], spec)
    dataset = open_dataset(tmp_path / "data.h5")
    batch = dataset.transitions(np.array([2, 2]))
    assert dataset.actions.dtype == np.int16
    assert batch.actions.dtype == np.int64
    assert batch.observations.dtype == batch.rewards.dtype == np.float32
    assert batch.terminated.dtype == np.bool_
    np.testing.assert_array_equal(batch.actions, np.full((2, 2), 299))


@pytest.mark.parametrize("size", [128, 129])
def test_largest_action_survives(tmp_path: Path, size: int) -> None:
    spec = dataclasses.replace(DISCRETE, action_size=size)
    episode = make_episode(np.random.default_rng(0), 1, spec)
    episode.actions[0][:] = size - 1
    write(tmp_path / "data.h5", [episode], spec)
    assert open_dataset(tmp_path / "data.h5").transitions(np.array([0])).actions.tolist() == [[size - 1] * 2]


def test_same_episodes_same_bytes(tmp_path: Path, path: Path, episodes: list[Episode]) -> None:
    card = write(tmp_path / "again.h5", episodes)
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()
    episodes[2].rewards[0] = float(np.nextafter(np.float32(episodes[2].rewards[0]), np.float32(9)))
    assert write(tmp_path / "other.h5", episodes).sha256 != card.sha256


def test_arrays_are_read_only_memory_maps(path: Path) -> None:
    dataset = open_dataset(path)
    arrays = dataset.arrays()
    assert list(arrays) == list(columns(DISCRETE, True))
    for array in arrays.values():
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable
    assert np.shares_memory(dataset.episode(1).observations, arrays["observations"])


def test_any_hdf5_tool_reads_it(path: Path, episodes: list[Episode]) -> None:
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["observations"][:4], episodes[0].observations)
        assert file["terminated"].dtype == np.bool_
        assert json.loads(file["card"][()])["scenario"] == "line-v1"


@pytest.mark.parametrize("indices", [[-1], [11], [0, 3, 99]])
def test_wrong_indices(path: Path, indices: list[int]) -> None:
    dataset = open_dataset(path)
    assert dataset.n_transitions == 11
    with pytest.raises(IndexError, match="from 0 to 10"):
        dataset.transitions(np.array(indices))
    with pytest.raises(IndexError, match="from 0 to 3"):
        dataset.episode(-1)


def test_drawing_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    write(tmp_path / "data.h5", [make_episode(rng, 50) for _ in range(20)])
    dataset = open_dataset(tmp_path / "data.h5")
    draws = rng.integers(0, dataset.n_transitions, (200, 64))
    start = time.perf_counter()
    sizes = [len(dataset.transitions(indices).rewards) for indices in draws]
    duration_s = time.perf_counter() - start
    with capsys.disabled():
        print(f"\ntransitions(64): {len(draws) / duration_s:.0f} batches/s")
    assert sizes == [64] * 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenario": "other-v1"}, "scenario line-v1, but other-v1 needs scenario other-v1"),
        ({"layout": "obs-v2"}, "layout line-obs-v1, but line-v1 needs layout obs-v2"),
        ({"n_agents": 3}, "n_agents 2, .* n_agents 3"),
        ({"observation_size": 9}, "observation_size 3, .* observation_size 9"),
        ({"state_size": 9}, "state_size 4, .* state_size 9"),
        ({"action_kind": "continuous"}, "action_kind discrete, .* continuous"),
        ({"action_size": 6}, "action_size 5, .* action_size 6"),
    ],
)
def test_check_matches(path: Path, change: dict[str, Any], message: str) -> None:
    dataset = open_dataset(path)
    dataset.check_matches(DISCRETE)
    dataset.check_matches(dataclasses.replace(DISCRETE, engine="real/5", episode_limit=99))
    with pytest.raises(MismatchError, match=message):
        dataset.check_matches(dataclasses.replace(DISCRETE, **change))
