"""A tiny cooperative world for tests: agents on a line walk to the right-hand wall against a random wind."""

from __future__ import annotations

import numpy as np

from env_adapters.api import (
    ActionArray,
    AgentView,
    BoolArray,
    DecentralizedEnv,
    FloatArray,
    RenderState,
    Step,
    TeamSpec,
)
from env_adapters.errors import ActionError
from env_adapters.snapshots import Arrays, digest, pack, unpack

STAY, LEFT, RIGHT = range(3)


class ToyTeamEnv(DecentralizedEnv):
    """N agents on cells 0 … length-1; the team wins when all stand on the last cell.

    Actions: 0 stay, 1 left, 2 right; a move into a wall is not available. The wind pushes one agent left now
    and then. Reward: mean progress in cells, and 10 for the win. Observation [3]: own cell, nearest
    team-mate's cell and steps left, each divided by its largest value. State [N + 1]: every cell and the
    steps left.

    Args:
        n_agents: N.
        length: number of cells.
        episode_limit: steps after which an episode is cut.
        scenario: versioned id.
    """

    def __init__(
        self, n_agents: int = 2, length: int = 5, episode_limit: int = 12, scenario: str = "toy-v1"
    ) -> None:
        self.length = length
        self.spec = TeamSpec(
            scenario=scenario,
            layout="toy-v1",
            engine="toy/1",
            n_agents=n_agents,
            observation_size=3,
            state_size=n_agents + 1,
            action_kind="discrete",
            action_size=3,
            episode_limit=episode_limit,
            has_win=True,
        )
        self.seed = -1
        self.steps = 0
        self.reward = 0.0
        self.cells = np.zeros(n_agents, dtype=np.int64)

    def draws(self) -> np.random.Generator:
        """The generator of this step: a function of seed and step, so that it needs no place in a snapshot."""
        return np.random.default_rng([self.seed, self.steps])

    @property
    def won(self) -> bool:
        """Whether every agent stands on the last cell."""
        return bool((self.cells == self.length - 1).all())

    @property
    def truncated(self) -> bool:
        """Whether the time is up."""
        return not self.won and self.steps >= self.spec.episode_limit

    def available(self) -> BoolArray:
        """[N, A]"""
        mask = np.ones((self.spec.n_agents, self.spec.action_size), dtype=np.bool_)
        mask[:, LEFT] = self.cells > 0
        mask[:, RIGHT] = self.cells < self.length - 1
        return mask

    def reset(self, episode_seed: int) -> Step:
        """Put every agent on a random cell of the left half."""
        self.seed, self.steps, self.reward = int(episode_seed), 0, 0.0
        self.cells = self.draws().integers(self.length // 2, size=self.spec.n_agents)
        return self.observe()

    def step(self, joint_action: ActionArray) -> Step:
        """Move, then let the wind blow; a world that has ended stays as it is."""
        actions = self.checked(joint_action)
        self.reward = 0.0
        if not (self.won or self.truncated):
            before = self.cells.mean()
            self.advance(actions)
            self.reward = float(self.cells.mean() - before) + 10.0 * self.won
        return self.observe()

    def advance(self, actions: ActionArray) -> None:
        """One step of the world's rules."""
        rng = self.draws()
        self.cells += np.array([0, -1, 1])[actions]
        if rng.random() < 0.3:
            self.cells[rng.integers(self.spec.n_agents)] -= 1
        self.cells = self.cells.clip(0, self.length - 1)
        self.steps += 1

    def checked(self, joint_action: ActionArray) -> ActionArray:
        """The actions, or ActionError."""
        actions = np.asarray(joint_action)
        where = f"of {self.spec.scenario} at step {self.steps}"
        if self.seed < 0:
            raise ActionError(f"no episode {where}: reset the world before stepping it")
        if actions.shape != (self.spec.n_agents,) or not np.issubdtype(actions.dtype, np.integer):
            raise ActionError(f"joint action {where} must be {self.spec.n_agents} integers")
        for agent, (action, mask) in enumerate(zip(actions, self.available(), strict=True)):
            if action not in np.flatnonzero(mask):
                raise ActionError(f"action {action} of agent {agent} {where} is not available")
        return actions.astype(np.int64)

    def observe(self) -> Step:
        """This moment."""
        last, left = self.length - 1, self.steps_left()
        mask = self.available()
        views = []
        for agent, cell in enumerate(self.cells):
            others = np.delete(self.cells, agent)
            mate = others[np.abs(others - cell).argmin()] if others.size else cell
            observation = np.array([cell / last, mate / last, left], dtype=np.float32)
            views.append(AgentView(observation, mask[agent], agent, self.steps))
        info = {"steps": self.steps, "won": self.won}
        return Step(tuple(views), self.reward, self.won, self.truncated, info)

    def steps_left(self) -> float:
        """Share of the episode's time that is left."""
        return 1.0 - self.steps / self.spec.episode_limit

    def state(self) -> FloatArray:
        """[N + 1]"""
        return np.append(self.cells / (self.length - 1), self.steps_left()).astype(np.float32)

    def future(self) -> Arrays:
        """Everything that decides the future of this world."""
        return {"cells": self.cells, "steps": np.array(self.steps), "seed": np.array(self.seed)}

    def snapshot(self) -> bytes:
        """The world as bytes."""
        return pack("toy", self.spec, {**self.future(), "reward": np.array(self.reward)})

    def restore(self, snapshot: bytes) -> Step:
        """Return to a snapshot."""
        arrays = unpack("toy", self.spec, snapshot)
        self.cells = arrays["cells"]
        self.seed, self.steps = int(arrays["seed"]), int(arrays["steps"])
        self.reward = float(arrays["reward"])
        return self.observe()

    def state_hash(self) -> str:
        """Hex digest of `future`."""
        return digest(self.future())

    def render_state(self) -> RenderState:
        """Cells and step (no renderer draws this world)."""
        arrays = {"cells": self.cells.copy(), "step": np.array(self.steps)}
        return RenderState("mujoco", self.spec.scenario, arrays)


class LongToy(ToyTeamEnv):
    """So long a line that random play always runs into the time limit."""

    def __init__(self) -> None:
        super().__init__(length=60)
