"""Rules of a batch catch the bugs they are there for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toys import LongToy, ToyTeamEnv

from env_adapters.api import ActionArray, IntArray, VectorStep
from env_adapters.conformance import ConformanceError, check_vector_adapter
from env_adapters.errors import ActionError
from env_adapters.vector import LoopVectorEnv


class ToyBatch(LoopVectorEnv):
    def __init__(self, n_games: int) -> None:
        super().__init__(LongToy, n_games)

    def toy(self, game: int) -> ToyTeamEnv:
        env = self._envs[game]
        assert isinstance(env, ToyTeamEnv)
        return env


class NeighbourMatters(ToyBatch):
    def step(self, joint_actions: ActionArray) -> VectorStep:
        if self.n_games > 1 and self.toy(1).cells[0] > 1:
            self.toy(0).cells[0] += 1
        return super().step(joint_actions)


class PositionMatters(ToyBatch):
    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        chosen = np.arange(self.n_games) if games is None else games
        return super().reset(episode_seeds + (chosen == 3), games)


class BatchSizeMatters(ToyBatch):
    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        return super().reset(episode_seeds + (self.n_games == 1), games)


class ResetsEveryGame(ToyBatch):
    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        if games is not None:
            super().reset(np.arange(self.n_games))
        return super().reset(episode_seeds, games)


class HashOfGameZero(ToyBatch):
    def state_hash(self, game: int) -> str:
        return super().state_hash(0)


class SingleFloatRewards(ToyBatch):
    def step(self, joint_actions: ActionArray) -> VectorStep:
        step = super().step(joint_actions)
        return step._replace(rewards=step.rewards.astype(np.float32))


class OtherSpec(ToyBatch):
    def __init__(self, n_games: int) -> None:
        super().__init__(n_games)
        self.spec = dataclasses.replace(self.spec, episode_limit=13)


class RewardsOfEndedGames(ToyBatch):
    def step(self, joint_actions: ActionArray) -> VectorStep:
        step = super().step(joint_actions)
        return step._replace(rewards=step.rewards + (step.info["steps"] == self.spec.episode_limit))


BATCH_PLANTS = [
    (NeighbourMatters, "games do not depend on their neighbours", "of game 0 differs"),
    (PositionMatters, "games do not depend on their position", "of game 3 differs"),
    (BatchSizeMatters, "games do not depend on the batch size", "of game 0 differs"),
    (ResetsEveryGame, "a partial reset leaves other games alone", "of game 0 differs"),
    (HashOfGameZero, "games do not depend on their neighbours", "state_hash of game 1 differs at moment 0"),
    (SingleFloatRewards, "types", "rewards at step 1 is float32, expected float64"),
    (OtherSpec, "spec", "episode_limit=13"),
    (RewardsOfEndedGames, "games do not depend on their neighbours", "reward of game 0 differs at moment 12"),
]


@pytest.mark.parametrize(
    ("plant", "rule", "detail"), BATCH_PLANTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_bug_of_a_batch_is_named(plant: type[ToyBatch], rule: str, detail: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_vector_adapter(plant, LongToy)
    assert caught.value.rule == rule, str(caught.value)
    assert detail in str(caught.value)


class StepsBeforeItChecks(ToyBatch):
    """A batch that moves game 0 before it finds a wrong action in the last game."""

    def step(self, joint_actions: ActionArray) -> VectorStep:
        if self.n_games > 1 and np.shape(joint_actions) == (self.n_games, 2) and not self.toy(0).truncated:
            try:
                self.toy(self.n_games - 1).checked(joint_actions[-1])
            except ActionError:
                self._last[0] = self.toy(0).step(joint_actions[0])
                raise
        return super().step(joint_actions)


def test_a_half_made_step_is_named() -> None:
    with pytest.raises(ConformanceError, match="a wrong action changes nothing: a state hash changed"):
        check_vector_adapter(StepsBeforeItChecks, LongToy)
