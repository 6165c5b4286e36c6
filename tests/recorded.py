"""Recorded episodes for tests of the dataset file, and comparison of a file with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from datasets.formats.native import NativeWriter
from datasets.schema import BehaviourRecord, Dataset, DatasetCard
from env_adapters.api import TeamSpec
from env_adapters.rollout import Episode

DISCRETE = TeamSpec("line-v1", "line-obs-v1", "toy/1", 2, 3, 4, "discrete", 5, 9, True)
CONTINUOUS = dataclasses.replace(DISCRETE, action_kind="continuous", action_size=2, has_win=False)


def make_episode(
    rng: np.random.Generator, length: int, spec: TeamSpec = DISCRETE, masks: bool = True
) -> Episode:
    """A random but well-formed episode."""
    n, discrete = spec.n_agents, spec.action_kind == "discrete"
    actions: Any = rng.integers(0, spec.action_size, (length, n))
    if not discrete:
        actions = rng.uniform(-1, 1, (length, n, spec.action_size)).astype(np.float32)
    available = np.ones((length + 1, n, spec.action_size), dtype=np.bool_)
    available[-1] = rng.random((n, spec.action_size)) < 0.5
    terminated = bool(rng.random() < 0.5)
    return Episode(
        seed=int(rng.integers(1 << 62)),
        rewards=rng.normal(size=length).astype(np.float32).tolist(),
        terminated=terminated,
        truncated=not terminated,
        won=bool(rng.random() < 0.5) if spec.has_win else None,
        observations=list(rng.normal(size=(length + 1, n, spec.observation_size)).astype(np.float32)),
        available_actions=list(available) if masks else [],
        states=list(rng.normal(size=(length + 1, spec.state_size)).astype(np.float32)),
        actions=list(actions),
    )


def write(path: Path, episodes: list[Episode], spec: TeamSpec = DISCRETE) -> DatasetCard:
    """Store episodes as one behaviour's."""
    with NativeWriter(path, spec, seed=7) as writer:
        for episode in episodes:
            writer.append(episode)
        return writer.finish([BehaviourRecord("random", "none", "sample", len(episodes))])


def some_episodes() -> list[Episode]:
    """Four episodes, eleven transitions."""
    rng = np.random.default_rng(0)
    return [make_episode(rng, length) for length in (3, 1, 5, 2)]


def assert_holds(dataset: Dataset, episodes: list[Episode]) -> None:
    """Compare a dataset with what was recorded, bit for bit, by episode and by transition."""
    assert dataset.n_episodes == len(episodes)
    batch = dataset.transitions(np.arange(dataset.n_transitions))
    t = 0
    for index, episode in enumerate(episodes):
        stored = dataset.episode(index)
        masks = episode.available_actions
        assert (stored.seed, stored.won, stored.length) == (episode.seed, episode.won, episode.length)
        np.testing.assert_array_equal(stored.observations, episode.observations)
        np.testing.assert_array_equal(stored.states, episode.states)
        np.testing.assert_array_equal(stored.actions, episode.actions)
        np.testing.assert_array_equal(stored.rewards, np.asarray(episode.rewards, dtype=np.float32))
        for step in range(episode.length):
            ends = step == episode.length - 1
            np.testing.assert_array_equal(batch.observations[t], episode.observations[step])
            np.testing.assert_array_equal(batch.next_observations[t], episode.observations[step + 1])
            np.testing.assert_array_equal(batch.states[t], episode.states[step])
            np.testing.assert_array_equal(batch.next_states[t], episode.states[step + 1])
            np.testing.assert_array_equal(batch.actions[t], episode.actions[step])
            assert batch.rewards[t] == np.float32(episode.rewards[step])
            assert batch.terminated[t] == (ends and episode.terminated)
            assert batch.truncated[t] == (ends and episode.truncated)
            if batch.available_actions is None or batch.next_available_actions is None:
                assert not masks
            else:
                np.testing.assert_array_equal(batch.available_actions[t], masks[step])
                np.testing.assert_array_equal(batch.next_available_actions[t], masks[step + 1])
            t += 1
    assert t == dataset.n_transitions


def flip(path: Path, byte: int, bit: int) -> None:
    """Flip one bit; a second call undoes it."""
    with path.open("r+b") as file:
        file.seek(byte)
        value = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([value ^ (1 << bit)]))
