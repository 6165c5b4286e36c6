"""Conditions: what agents see when observations are lost or late, and who plays for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from toys import ToyTeamEnv

from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamPolicy
from env_adapters.errors import InvalidValueError, UnknownNameError
from env_adapters.rollout import Episode, Recording, play
from env_adapters.vector import LoopVectorEnv
from harness.conditions import Conditions, UnreliableObservations, disturbed, swaps

SPEC = ToyTeamEnv(n_agents=3).spec


class Watcher:
    """Keeps what it is shown [B, N, D] and acts by the first feature."""

    def __init__(self) -> None:
        self.shown: list[FloatArray] = []
        self.masks: list[BoolArray | None] = []

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        pass

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        self.shown.append(observations.copy())
        self.masks.append(available_actions)
        return np.zeros(observations.shape[:2], dtype=np.int64)


def moments(n: int, n_games: int = 1) -> list[FloatArray]:
    """Observation [B, 3, 1] whose only feature is the step, plus a tenth of the game."""
    games = np.arange(n_games, dtype=np.float32)[:, None, None] / 10.0
    return [np.zeros((n_games, 3, 1), dtype=np.float32) + t + games for t in range(n)]


def shown(drop: float, delay: int, seeds: Sequence[int], n: int = 40) -> np.ndarray:
    """[T, B, N]"""
    watcher = Watcher()
    team = UnreliableObservations(watcher, 3, len(seeds), drop, delay)
    team.begin(np.array(seeds), np.arange(len(seeds)))
    for observation in moments(n, 1):
        team.act(observation.repeat(len(seeds), axis=0), None)
    return np.stack(watcher.shown)[..., 0]


def nobody(name: str) -> TeamPolicy:
    raise UnknownNameError(f"unknown agent '{name}'")


def test_default_conditions_return_the_policy_itself() -> None:
    watcher = Watcher()
    assert disturbed(watcher, Conditions(), SPEC, 4, nobody) is watcher
    assert disturbed(watcher, Conditions(execution="decentralized"), SPEC, 4, nobody) is watcher


@pytest.mark.parametrize("delay", [1, 3])
def test_delayed_agents_see_the_first_moment_until_the_next_one_arrives(delay: int) -> None:
    expected = np.maximum(np.arange(40) - delay, 0)
    np.testing.assert_array_equal(shown(0.0, delay, [7])[:, 0, 0], expected)


def test_a_lost_observation_leaves_the_last_one_that_arrived() -> None:
    seen = shown(0.3, 0, [7, 8], n=400)
    steps = np.arange(400)[:, None, None]
    assert (seen[0] == 0).all()
    arrived = seen == steps
    assert np.array_equal(seen[1:], np.where(arrived[1:], steps[1:], seen[:-1]))
    assert 0.25 < 1.0 - arrived[1:].mean() < 0.35
    assert (arrived.any(axis=2) != arrived.all(axis=2)).any(), "agents lose at different moments"
    assert (arrived[:, 0] != arrived[:, 1]).any(), "episodes differ"


def test_a_certain_loss_leaves_the_first_observation_for_good() -> None:
    assert (shown(1.0, 0, [7]) == 0).all()


def test_a_larger_probability_loses_what_a_smaller_one_loses() -> None:
    lost = [shown(drop, 0, [7]) != np.arange(40)[:, None, None] for drop in (0.1, 0.5)]
    assert lost[0].any() and (lost[1] | ~lost[0]).all() and lost[1].sum() > lost[0].sum()


def test_late_and_lost_is_the_lossy_channel_seen_later() -> None:
    np.testing.assert_array_equal(shown(0.4, 2, [7])[2:], shown(0.4, 0, [7])[:-2])


def test_losses_depend_on_the_episode_alone() -> None:
    together = shown(0.4, 1, [1, 2, 3])
    for game, seed in enumerate([1, 2, 3]):
        np.testing.assert_array_equal(together[:, game], shown(0.4, 1, [seed])[:, 0])


def test_masks_stay_current() -> None:
    watcher = Watcher()
    team = UnreliableObservations(watcher, 3, 1, 1.0, 2)
    team.begin(np.array([1]), np.arange(1))
    masks = [np.full((1, 3, 4), t % 2 == 0) for t in range(5)]
    for observation, mask in zip(moments(5), masks, strict=True):
        team.act(observation, mask)
    for mask, handed in zip(masks, watcher.masks, strict=True):
        np.testing.assert_array_equal(mask, handed)


def test_a_new_episode_in_one_game_forgets_its_channel_and_leaves_the_others() -> None:
    watcher = Watcher()
    team = UnreliableObservations(watcher, 3, 2, 0.0, 2)
    team.begin(np.array([1, 2]), np.arange(2))
    for t, observation in enumerate(moments(6, 2)):
        if t == 3:
            team.begin(np.array([3]), np.array([1]))
        team.act(observation, None)
    seen = np.stack(watcher.shown)[:, :, 0, 0]
    np.testing.assert_allclose(seen[:, 0], [0, 0, 0, 1, 2, 3])
    np.testing.assert_allclose(seen[:, 1], [0.1, 0.1, 0.1, 3.1, 3.1, 3.1])


def played(conditions: Conditions, n_games: int, seeds: Sequence[int]) -> dict[int, Episode]:
    class Walk:
        """Moves by its own cell and by chance."""

        def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
            pass

        def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
            assert available_actions is not None
            wanted = np.where(observations[..., 2] * 12 % 2 < 1, 2, 1)
            allowed = np.take_along_axis(available_actions, wanted[..., None], axis=-1)[..., 0]
            return np.where(allowed, wanted, 0)

    def team_of(name: str) -> Any:
        return Watcher()

    env = LoopVectorEnv(lambda: ToyTeamEnv(n_agents=3, length=9), n_games)
    policy = disturbed(Walk(), conditions, env.spec, n_games, team_of)
    return {episode.seed: episode for episode in play(env, policy, seeds, Recording(transitions=True))}


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(drop_observation=0.5),
        Conditions(delay_observation=2),
        Conditions(drop_observation=0.3, delay_observation=1, swap_agent=("1=noop",)),
    ],
)
def test_results_do_not_depend_on_the_batch(conditions: Conditions) -> None:
    seeds = list(range(20, 27))
    alone = played(conditions, 1, seeds)
    plain = played(Conditions(), 1, seeds)
    assert any(alone[seed].rewards != plain[seed].rewards for seed in seeds), "the condition does something"
    for n_games in (3, 7, 10):
        batch = played(conditions, n_games, seeds[::-1])
        for seed in seeds:
            assert batch[seed].rewards == alone[seed].rewards
            np.testing.assert_array_equal(batch[seed].actions, alone[seed].actions)


def test_a_swapped_agent_is_played_by_another_team() -> None:
    episode = played(Conditions(swap_agent=("1=noop",)), 1, [3])[3]
    actions = np.stack(episode.actions)
    assert (actions[:, 1] == 0).all() and (actions[:, [0, 2]] != 0).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drop_observation": 1.5}, "--drop-observation is 1.5; give a number from 0 to 1"),
        ({"drop_observation": float("nan")}, "--drop-observation is nan"),
        ({"delay_observation": -1}, "--delay-observation is -1; give at least 0"),
        ({"delay_observation": 12}, "end after 12 steps"),
        ({"swap_agent": ("random",)}, "'random' is not INDEX=AGENT"),
        ({"swap_agent": ("=random",)}, "is not INDEX=AGENT"),
        ({"swap_agent": ("0=",)}, "is not INDEX=AGENT"),
        ({"swap_agent": ("-1=random",)}, "is not INDEX=AGENT"),
        ({"swap_agent": ("1.0=random",)}, "is not INDEX=AGENT"),
        ({"swap_agent": ("²=random",)}, "is not INDEX=AGENT"),
        ({"swap_agent": ("3=random",)}, "3=random: there are agents 0 to 2"),
        ({"swap_agent": ("1=random", "1=noop")}, "names agent 1 twice"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        disturbed(Watcher(), replace(Conditions(), **change), SPEC, 1, nobody)


def test_an_unknown_player_is_named() -> None:
    with pytest.raises(UnknownNameError, match="'nobody'"):
        disturbed(Watcher(), Conditions(swap_agent=("1=nobody",)), SPEC, 1, nobody)


def test_code_can_play_for_an_agent() -> None:
    assert swaps(Conditions(swap_agent=("2=a=b.py:make", "0=vgm2p")), 3) == {2: "a=b.py:make", 0: "vgm2p"}
