"""Collecting is a function of its inputs, never of the batch; describing finds what is planted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from datasets.collect import Behaviour, collect, episode_seed
from datasets.describe import MAX_LISTED, describe, format_description
from datasets.formats.native import NativeWriter, open_dataset
from datasets.schema import BehaviourRecord, Dataset
from env_adapters.api import (
    ActionArray,
    AgentView,
    BoolArray,
    DecentralizedEnv,
    FloatArray,
    IntArray,
    Step,
    TeamSpec,
)
from env_adapters.errors import InvalidValueError, OutputError
from env_adapters.rollout import Episode
from env_adapters.vector import LoopVectorEnv

SPEC = TeamSpec("walk-v1", "walk-obs-v1", "toy/1", 2, 3, 2, "discrete", 4, 15, True)
CONTINUOUS = dataclasses.replace(SPEC, action_kind="continuous", action_size=2, has_win=False)


class Walk(DecentralizedEnv):
    """Two walkers add up the numbers of their actions; an episode ends at a sum that its seed decides."""

    def __init__(self, spec: TeamSpec = SPEC) -> None:
        self.spec = spec

    def reset(self, episode_seed: int) -> Step:
        self.rng = np.random.default_rng(episode_seed)
        self.goal = float(self.rng.integers(3, 40))
        self.sums = np.zeros(2, dtype=np.float32)
        self.steps = 0
        self.noise = 0.0
        return self.moment(0.0)

    def step(self, joint_action: ActionArray) -> Step:
        moves = joint_action if joint_action.ndim == 1 else joint_action.sum(axis=1)
        self.sums += np.asarray(moves, dtype=np.float32)
        self.noise = float(self.rng.normal())
        self.steps += 1
        return self.moment(float(moves.sum()) + self.noise)

    def moment(self, reward: float) -> Step:
        won = bool(self.sums.sum() >= self.goal)
        masks = np.arange(4) <= np.array([[3], [1 + self.steps % 3]])
        views = tuple(
            AgentView(
                np.array([self.sums[i], self.noise, self.steps], dtype=np.float32),
                masks[i] if self.spec.action_kind == "discrete" else None,
                i,
                self.steps,
            )
            for i in range(2)
        )
        return Step(views, reward, won, self.steps >= self.spec.episode_limit and not won, {"won": won})

    def state(self) -> FloatArray:
        return self.sums.copy()

    def state_hash(self) -> str:
        return f"{self.sums}{self.steps}{self.noise}"


class RandomPolicy:
    """Uniform over available actions, with one generator per episode."""

    def __init__(self, largest: int = 3) -> None:
        self.largest = largest
        self.generators: dict[int, np.random.Generator] = {}

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        for seed, game in zip(episode_seeds.tolist(), games.tolist(), strict=True):
            self.generators[game] = np.random.default_rng([seed, 1])

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        n_games, n_agents = observations.shape[:2]
        if available_actions is None:
            draws = [self.generators[g].uniform(-1, 1, (n_agents, 2)) for g in range(n_games)]
            return np.array(draws, dtype=np.float32)
        actions = np.zeros((n_games, n_agents), dtype=np.int64)
        for game in range(n_games):
            for agent in range(n_agents):
                allowed = np.flatnonzero(available_actions[game, agent, : self.largest + 1])
                actions[game, agent] = self.generators[game].choice(allowed)
        return actions


def team(share: float = 1.0, largest: int = 3) -> Behaviour:
    return Behaviour(RandomPolicy(largest), f"random-{largest}", "none", share, "sample")


def walks(n_games: int, spec: TeamSpec = SPEC) -> LoopVectorEnv:
    return LoopVectorEnv(lambda: Walk(spec), n_games)


# --- collect --------------------------------------------------------------------------------------------


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


# --- describe -------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    collect(walks(4), [team(0.5), team(0.5, largest=1)], 300, seed=5, path=tmp_path / "walk.h5")
    return open_dataset(tmp_path / "walk.h5")


def changed(dataset: Dataset, name: str, index: tuple[int, ...], value: float) -> Dataset:
    """A copy of the dataset with one number changed."""
    arrays = dict(dataset.arrays())
    arrays[name] = arrays[name].copy()
    arrays[name][index] = value
    return Dataset(dataset.card, **arrays)


def test_sound_dataset(dataset: Dataset) -> None:
    found = describe(dataset)
    assert found.is_sound
    assert found.legal_share == 1.0
    assert found.n_duplicates == 0
    assert found.returns == dataset.card.returns
    assert found.win_rate == dataset.card.win_rate
    assert dataset.card.win_rate not in (None, 0.0, 1.0)
    assert found.return_histogram.counts.sum() == found.length_histogram.counts.sum() == dataset.n_episodes
    assert found.length_histogram.edges[[0, -1]].tolist() == [
        np.diff(dataset.episode_offsets).min(),
        np.diff(dataset.episode_offsets).max(),
    ]
    usage = [np.mean(dataset.actions == action) for action in range(4)]
    np.testing.assert_allclose(found.action_usage, usage)


def test_coverage_counts_distinct_pairs(dataset: Dataset) -> None:
    rows = np.arange(dataset.n_transitions)
    batch = dataset.transitions(rows)
    pairs = {(batch.states[row].tobytes(), batch.actions[row].tobytes()) for row in rows}
    found = describe(dataset)
    assert found.state_coverage == len(pairs) / len(rows)
    assert found.state_coverage < 1.0
    assert found.observation_coverage > found.state_coverage


def test_illegal_actions_are_found(dataset: Dataset) -> None:
    assert dataset.available_actions is not None
    first = int(dataset.episode_offsets[1])
    row = first + 2 + 1  # step 2 of episode 1
    action = int(dataset.actions[first + 2, 1])
    found = describe(changed(dataset, "available_actions", (row, 1, action), False))
    assert (found.n_illegal, found.illegal) == (1, ((1, first + 2, 1, action),))
    assert found.legal_share == 1.0 - 1 / (2 * dataset.n_transitions)
    assert not found.is_sound
    everything = dataclasses.replace(dataset, available_actions=np.zeros_like(dataset.available_actions))
    found = describe(everything)
    assert (found.legal_share, len(found.illegal)) == (0.0, MAX_LISTED)
    assert found.n_illegal == 2 * dataset.n_transitions


@pytest.mark.parametrize(
    ("flag", "step", "value", "problem"),
    [
        ("terminated", 0, True, "flagged as an end, but the episode goes on"),
        ("truncated", 1, True, "flagged as an end, but the episode goes on"),
        ("both", -1, True, "last transition is both terminated and truncated"),
        ("neither", -1, False, "last transition is neither terminated nor truncated"),
    ],
)
def test_wrong_terminal_flags_are_found(
    dataset: Dataset, flag: str, step: int, value: bool, problem: str
) -> None:
    first, end = (int(offset) for offset in dataset.episode_offsets[2:4])
    transition = end - 1 if step < 0 else first + step
    for name in (flag,) if step >= 0 else ("terminated", "truncated"):
        dataset = changed(dataset, name, (transition,), value)
    found = describe(dataset)
    assert found.terminal_problems == ((2, transition, problem),)
    assert found.n_terminal_problems == 1
    assert f"transition {transition} (episode 2): {problem}" in format_description(found)


def test_duplicates_are_found(tmp_path: Path, dataset: Dataset) -> None:
    played = [dataset.episode(index) for index in (0, 1, 0, 2, 1)]
    with NativeWriter(tmp_path / "twice.h5", SPEC, seed=0) as writer:
        for number, stored in enumerate(played):
            assert stored.available_actions is not None
            writer.append(
                Episode(
                    seed=number,
                    rewards=stored.rewards.tolist(),
                    terminated=bool(stored.terminated[-1]),
                    truncated=bool(stored.truncated[-1]),
                    won=stored.won,
                    observations=list(stored.observations),
                    available_actions=list(stored.available_actions),
                    states=list(stored.states),
                    actions=[row.astype(np.int64) for row in stored.actions],
                )
            )
        writer.finish([BehaviourRecord("copy", "none", "sample", 5)])
    found = describe(open_dataset(tmp_path / "twice.h5"))
    assert found.duplicates == ((2, 0), (4, 1))
    assert found.n_duplicates == 2
    assert found.observation_coverage < 1.0


def test_continuous_actions(tmp_path: Path) -> None:
    collect(walks(3, CONTINUOUS), [team()], 60, seed=5, path=tmp_path / "walk.h5")
    dataset = open_dataset(tmp_path / "walk.h5")
    found = describe(dataset)
    assert found.win_rate is None
    assert found.is_sound
    np.testing.assert_allclose(found.action_usage, np.abs(dataset.actions).mean(axis=(0, 1)), rtol=1e-6)
    first = int(dataset.episode_offsets[1])
    outside = describe(changed(dataset, "actions", (first, 1, 0), 1.5))
    assert [(bad.transition, bad.agent) for bad in outside.illegal] == [(first, 1)]
    assert "mean magnitude of each action component" in format_description(found)


def test_text(dataset: Dataset) -> None:
    lines = format_description(describe(dataset)).splitlines()
    card = dataset.card
    assert lines[0] == "walk-v1  layout walk-obs-v1  engine toy/1"
    assert lines[1] == f"{card.n_transitions} transitions in {card.n_episodes} episodes, seed 5"
    assert f"win rate {card.win_rate:.1%}" in lines
    assert "legal actions 100.0000% (0 illegal)" in lines
    bars = [line.count("#") for line in lines[lines.index("episode returns") + 1 :][:10]]
    counts = describe(dataset).return_histogram.counts
    assert max(bars) == 40
    assert all((bar > 0) == (count > 0) for bar, count in zip(bars, counts.tolist(), strict=True))
    assert all(len(line) <= 100 and line == line.rstrip() for line in lines)
