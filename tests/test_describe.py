"""Describing counts right and finds what is planted: illegal actions, wrong flags, duplicates."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from walking import CONTINUOUS, SPEC, team, walks

from datasets.collect import collect
from datasets.describe import MAX_LISTED, describe
from datasets.describe_text import format_description
from datasets.formats.native import NativeWriter, open_dataset
from datasets.schema import BehaviourRecord, Dataset
from env_adapters.rollout import Episode


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


def test_histogram_of_equal_lengths_is_one_bar(tmp_path: Path) -> None:
    collect(walks(2), [team(largest=0)], 40, seed=1, path=tmp_path / "still.h5")
    found = describe(open_dataset(tmp_path / "still.h5"))
    assert found.length_histogram.counts.tolist() == [3]
    assert found.length_histogram.edges.tolist() == [14.5, 15.5]
    assert found.action_usage.tolist() == [1.0, 0.0, 0.0, 0.0]


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
