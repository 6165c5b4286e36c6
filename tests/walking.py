"""A tiny world whose episodes have random lengths, and a random team, for tests of collecting."""

from __future__ import annotations

import dataclasses

import numpy as np

from datasets.collect import Behaviour
from env_adapters.api import (
    ActionArray,
    AgentView,
    BoolArray,
    DecentralizedEnv,
    FloatArray,
    IntArray,
    RenderState,
    Step,
    TeamSpec,
)
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

    def snapshot(self) -> bytes:
        raise AssertionError("collecting takes no snapshots")

    def restore(self, snapshot: bytes) -> Step:
        raise AssertionError("collecting takes no snapshots")

    def render_state(self) -> RenderState:
        raise AssertionError("collecting films nothing")


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
