"""Exploration noise: as often and as wide as asked, only what is allowed, and nothing of the batch in it."""

from __future__ import annotations

import numpy as np
import pytest
from walking import CONTINUOUS, SPEC

from datasets import noise
from datasets.noise import NoisyTeam
from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamSpec


class Still:
    """Always the same action: 0, or 0.9 on every component."""

    def __init__(self, spec: TeamSpec, n_games: int) -> None:
        shape = (n_games, spec.n_agents)
        self.actions: ActionArray = (
            np.zeros(shape, dtype=np.int64)
            if spec.action_kind == "discrete"
            else np.full((*shape, spec.action_size), 0.9, dtype=np.float32)
        )

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        pass

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        return self.actions


def noisy(spec: TeamSpec, n_games: int, **options: float) -> NoisyTeam:
    team = NoisyTeam(Still(spec, n_games), spec, n_games, **options)
    team.begin(np.arange(100, 100 + n_games), np.arange(n_games))
    return team


def played(team: NoisyTeam, n_games: int, steps: int, masks: BoolArray | None = None) -> ActionArray:
    """[steps, B, N, ...]"""
    blank = np.zeros((n_games, 2, 3), dtype=np.float32)
    return np.stack([team.act(blank, masks) for _ in range(steps)])


def test_epsilon_is_a_frequency_and_choices_are_uniform_over_what_is_available() -> None:
    masks = np.zeros((500, 2, 4), dtype=np.bool_)
    masks[:, 0, [0, 1, 3]] = True
    masks[:, 1, [2]] = True
    masks[250:, 1, [1]] = True
    actions = played(noisy(SPEC, 500, epsilon=0.3), 500, 200, masks)
    counts = np.bincount(actions[:, :, 0].ravel(), minlength=4) / actions[:, :, 0].size
    assert counts == pytest.approx([0.8, 0.1, 0.0, 0.1], abs=0.004)  # 4 standard errors
    only, two = actions[:, :250, 1], actions[:, 250:, 1]
    assert set(np.unique(only)) == {0, 2}, "one action left: that one, or the team's own"
    assert np.mean(only == 2) == pytest.approx(0.3, abs=0.01)
    assert np.mean(two == 1) == pytest.approx(0.15, abs=0.008) and set(np.unique(two)) == {0, 1, 2}


def test_everything_is_explored_with_epsilon_1_and_nothing_with_0() -> None:
    masks = np.ones((64, 2, 4), dtype=np.bool_)
    masks[:, 1, 1:] = False  # a dead agent, which has no-op alone
    actions = played(noisy(SPEC, 64, epsilon=1.0), 64, 500, masks)
    counts = np.bincount(actions[:, :, 0].ravel(), minlength=4)
    expected = counts.sum() / 4
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi-squared, 3 degrees of freedom, p = 0.001
    assert not actions[:, :, 1].any()
    assert not played(noisy(SPEC, 64), 64, 50, masks).any()
    assert set(np.unique(played(noisy(SPEC, 64, epsilon=1.0), 64, 50))) == {0, 1, 2, 3}, "without masks"


def test_agents_steps_games_and_decisions_are_independent() -> None:
    explored = played(noisy(SPEC, 300, epsilon=0.5), 300, 60, np.ones((300, 2, 4), dtype=np.bool_)) > 0
    signs = explored.astype(float) - explored.mean()
    for one, other in (
        (signs[1:], signs[:-1]),
        (signs[:, 1:], signs[:, :-1]),
        (signs[..., 0], signs[..., 1]),
    ):
        correlation = np.mean(one * other) / signs.var()
        assert abs(correlation) < 4.5 / np.sqrt(one.size)


def test_sigma_is_a_standard_deviation_and_actions_stay_in_bounds() -> None:
    shaken = played(noisy(CONTINUOUS, 200, sigma=0.02), 200, 250).astype(float) - 0.9
    assert shaken.shape == (250, 200, 2, 2)
    assert shaken.std() == pytest.approx(0.02, rel=0.01) and abs(shaken.mean()) < 4 * 0.02 / np.sqrt(2e5)
    assert np.mean(shaken**4) / np.var(shaken) ** 2 == pytest.approx(3.0, abs=0.05), "as tails of a Gaussian"
    assert abs(np.corrcoef(shaken.reshape(-1, 4).T) - np.eye(4)).max() < 0.02
    wide = played(noisy(CONTINUOUS, 50, sigma=1.0), 50, 50)
    assert wide.dtype == np.float32 and wide.min() == -1.0 and wide.max() == 1.0
    assert (played(noisy(CONTINUOUS, 3), 3, 5) == np.float32(0.9)).all()


@pytest.mark.parametrize(("spec", "kind"), [(SPEC, "epsilon"), (CONTINUOUS, "sigma")])
def test_an_episode_has_the_same_noise_in_any_game_at_any_time(spec: TeamSpec, kind: str) -> None:
    together = played(noisy(spec, 16, **{kind: 0.7}), 16, 30)
    alone = NoisyTeam(Still(spec, 1), spec, 1, **{kind: 0.7})
    for game in (0, 7, 15):
        alone.begin(np.array([100 + game]), np.array([0]))
        np.testing.assert_array_equal(played(alone, 1, 30)[:, 0], together[:, game])
    late = noisy(spec, 16, **{kind: 0.7})
    played(late, 16, 9)
    late.begin(np.array([107, 200]), np.array([3, 4]))
    again = played(late, 16, 21)
    np.testing.assert_array_equal(again[:, 3], together[:21, 7])
    np.testing.assert_array_equal(again[:, 0], together[9:, 0])
    assert not np.array_equal(again[:, 4], again[:, 3])


def test_the_hash_is_that_of_splitmix64() -> None:
    """The first outputs of SplitMix64 from state 0 and 1234567, as its reference code gives them."""
    weyl = noise._WEYL
    states = np.array([1, 2], dtype=np.uint64) * weyl
    assert [f"{word:016x}" for word in noise._mixed(states)] == ["e220a8397b1dcdaf", "6e789e6aa1b965f4"]
    other = noise._mixed(np.array([1234567], dtype=np.uint64) + np.array([1, 2], dtype=np.uint64) * weyl)
    assert other.tolist() == [6457827717110365317, 3203168211198807973]
