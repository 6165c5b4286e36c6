"""Collecting is a function of its inputs, never of the batch or of timing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from walking import CONTINUOUS, SPEC, RandomPolicy, Walk, team, walks

from datasets.collect import collect, episode_seed
from datasets.formats.native import open_dataset
from env_adapters.api import (
    FloatArray,
    TeamSpec,
)
from env_adapters.errors import InvalidValueError, OutputError
from env_adapters.rollout import Episode
from env_adapters.vector import LoopVectorEnv


@pytest.mark.parametrize("spec", [SPEC, CONTINUOUS], ids=["discrete", "continuous"])
@pytest.mark.parametrize("n_transitions", [1, 40, 500])
def test_batch_size_does_not_enter(tmp_path: Path, spec: TeamSpec, n_transitions: int) -> None:
    files = []
    for n_games in (1, 4, 16):
        path = tmp_path / f"{n_games}.h5"
        behaviours = [team(0.7), team(0.3, largest=1)] if n_transitions > 1 else [team()]
        card = collect(walks(n_games, spec), behaviours, n_transitions, seed=3, path=path)
        files.append((card.sha256, path.read_bytes()))
        assert card.n_transitions >= n_transitions
    assert files[0] == files[1] == files[2]
    other = collect(walks(4, spec), [team()], n_transitions, seed=4, path=tmp_path / "other.h5")
    assert other.sha256 != files[0][0]


def replay(seed: int, behaviour: int, index: int, largest: int) -> Episode:
    """One episode played by hand, the slow and obvious way."""
    env, policy = Walk(), RandomPolicy(largest)
    episode = Episode(episode_seed(seed, behaviour, index))
    step = env.reset(episode.seed)
    policy.begin(np.array([episode.seed]), np.array([0]))
    while not (step.terminated or step.truncated):
        observations = np.array([[view.observation for view in step.views]])
        masks = np.array([[view.available_actions for view in step.views]])
        actions = policy.act(observations, masks)[0]
        episode.observations.append(observations[0])
        episode.actions.append(actions)
        step = env.step(actions)
        episode.rewards.append(step.reward)
    episode.observations.append(np.array([view.observation for view in step.views]))
    episode.won = bool(step.info["won"])
    return episode


def test_every_episode_is_what_its_seed_says(tmp_path: Path) -> None:
    card = collect(walks(5), [team(0.6), team(0.4, largest=1)], 120, seed=9, path=tmp_path / "data.h5")
    dataset = open_dataset(tmp_path / "data.h5")
    counts = [behaviour.n_episodes for behaviour in card.behaviours]
    expected = [replay(9, 0, i, 3) for i in range(counts[0])] + [replay(9, 1, i, 1) for i in range(counts[1])]
    for index, episode in enumerate(expected):
        stored = dataset.episode(index)
        assert (stored.seed, stored.won) == (episode.seed, episode.won)
        np.testing.assert_array_equal(stored.observations, episode.observations)
        np.testing.assert_array_equal(stored.actions, episode.actions)
        np.testing.assert_array_equal(stored.rewards, np.asarray(episode.rewards, dtype=np.float32))
    lengths = [episode.length for episode in expected]
    assert sum(lengths[: counts[0]]) >= 72 > sum(lengths[: counts[0] - 1])
    assert sum(lengths[counts[0] :]) >= 48 > sum(lengths[counts[0] : -1])
    assert dataset.n_episodes == sum(counts)
    assert card.win_rate == sum(episode.won is True for episode in expected) / len(expected)


def test_larger_dataset_begins_with_the_smaller(tmp_path: Path) -> None:
    collect(walks(3), [team()], 50, seed=1, path=tmp_path / "small.h5")
    collect(walks(2), [team()], 200, seed=1, path=tmp_path / "large.h5")
    small, large = open_dataset(tmp_path / "small.h5"), open_dataset(tmp_path / "large.h5")
    assert large.n_episodes > small.n_episodes
    assert large.episode_seeds[: small.n_episodes].tolist() == small.episode_seeds.tolist()
    np.testing.assert_array_equal(large.rewards[: small.n_transitions], small.rewards)


def test_episode_seeds_are_distinct() -> None:
    seeds = {episode_seed(s, b, e) for s in range(4) for b in range(4) for e in range(200)}
    assert len(seeds) == 3200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_card_and_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    behaviours = [team(0.5), team(0.5, largest=1)]
    path = tmp_path / "data.h5"
    card = collect(walks(4), behaviours, 60, seed=2, path=path, progress=lambda *pair: seen.append(pair))
    assert card == open_dataset(path).card
    assert [record.name for record in card.behaviours] == ["random-3", "random-1"]
    assert len(seen) == card.n_episodes
    assert seen == sorted(seen)
    assert seen[-1] == (card.n_transitions, 60)
    open_dataset(path).check_matches(SPEC)


@pytest.mark.parametrize(
    ("shares", "n_transitions", "seed", "message"),
    [
        ([1.0], 0, 0, "cannot collect 0"),
        ([1.0], 10, -1, "the seed is -1"),
        ([0.5], 10, 0, "with sum 1"),
        ([1.5, -0.5], 10, 0, "make them positive"),
        ([float("nan")], 10, 0, "with sum 1"),
        ([], 10, 0, "with sum 1"),
        ([0.99, 0.01], 10, 0, "'random-3' would play none of 10"),
    ],
)
def test_wrong_requests(
    tmp_path: Path, shares: list[float], n_transitions: int, seed: int, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        collect(walks(1), [team(share) for share in shares], n_transitions, seed, tmp_path / "data.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_world_leaves_no_file(tmp_path: Path) -> None:
    class Broken(Walk):
        def state(self) -> FloatArray:
            return self.sums * np.float32("nan") if self.steps == 2 else self.sums.copy()

    with pytest.raises(InvalidValueError, match=r"states of the episode of seed .*, row 2"):
        collect(LoopVectorEnv(Broken, 2), [team()], 100, 0, tmp_path / "data.h5")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        collect(walks(2), [team()], 100, 0, tmp_path / "file" / "data.h5")
