"""Bridges between one world and many: each adapter implements one side and gets the other for free."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from env_adapters.api import (
    ActionArray,
    AgentView,
    DecentralizedEnv,
    FloatArray,
    IntArray,
    RenderState,
    Step,
    VectorEnv,
    VectorStep,
    check_available,
    check_episode_seeds,
    check_joint_actions,
)
from env_adapters.errors import ActionError, InvalidValueError
from env_adapters.snapshots import pack, unpack


class SingleEnv(DecentralizedEnv):
    """Game 0 of a batch of one, as a `DecentralizedEnv`."""

    def __init__(self, vector: VectorEnv) -> None:
        if vector.n_games != 1:
            raise ValueError(f"SingleEnv wraps a batch of one game, not {vector.n_games}")
        self._vector = vector
        self.spec = vector.spec
        self._steps = 0

    def _unpack(self, step: VectorStep) -> Step:
        available = step.available_actions
        views = tuple(
            AgentView(step.observations[0, i], None if available is None else available[0, i], i, self._steps)
            for i in range(self.spec.n_agents)
        )
        info = {key: values[0].item() for key, values in step.info.items()}
        return Step(views, float(step.rewards[0]), bool(step.terminated[0]), bool(step.truncated[0]), info)

    def reset(self, episode_seed: int) -> Step:
        """Start the episode of this seed, a 64-bit whole number; InvalidValueError for any other."""
        whole = isinstance(episode_seed, (int, np.integer)) and -(2**63) <= episode_seed < 2**63
        if not whole:
            raise InvalidValueError(f"episode seed {episode_seed} is not a 64-bit whole number")
        self._steps = 0
        return self._unpack(self._vector.reset(np.array([episode_seed], dtype=np.int64)))

    def step(self, joint_action: ActionArray) -> Step:
        """Advance; a world that has ended stays as it is."""
        step = self._vector.step(cast(ActionArray, np.asarray(joint_action)[None]))
        self._steps = int(step.info["steps"][0])
        return self._unpack(step)

    def state(self) -> FloatArray:
        """Global state [S]."""
        state: FloatArray = self._vector.state()[0]
        return state

    def snapshot(self) -> bytes:
        """The world as bytes."""
        return self._vector.snapshot()

    def restore(self, snapshot: bytes) -> Step:
        """Return to a snapshot."""
        step = self._vector.restore(snapshot)
        self._steps = int(step.info["steps"][0])
        return self._unpack(step)

    def state_hash(self) -> str:
        """Hex digest of the world."""
        return self._vector.state_hash(0)

    def render_state(self) -> RenderState:
        """What a renderer needs."""
        return self._vector.render_state(0)

    def close(self) -> None:
        """Close the batch."""
        self._vector.close()


class LoopVectorEnv(VectorEnv):
    """B single worlds stepped one after the other, as a `VectorEnv`."""

    def __init__(self, make: Callable[[], DecentralizedEnv], n_games: int) -> None:
        self._envs = [make() for _ in range(n_games)]
        self.n_games = n_games
        self.spec = self._envs[0].spec
        self._last: list[Step | None] = [None] * n_games

    def _gather(self) -> VectorStep:
        steps = self._steps()
        observations = np.stack([[view.observation for view in step.views] for step in steps]).astype(
            np.float32
        )
        masks = [[view.available_actions for view in step.views] for step in steps]
        available = None if masks[0][0] is None else np.array(masks, dtype=np.bool_)
        info = {key: np.array([step.info[key] for step in steps]) for key in steps[0].info}
        info["steps"] = np.array([step.views[0].step for step in steps], dtype=np.int64)
        return VectorStep(
            observations,
            available,
            np.array([step.reward for step in steps], dtype=np.float64),
            np.array([step.terminated for step in steps]),
            np.array([step.truncated for step in steps]),
            info,
        )

    def _steps(self) -> list[Step]:
        steps = [step for step in self._last if step is not None]
        if len(steps) < self.n_games:
            raise ActionError(f"{self.spec.scenario}: reset every game before stepping")
        return steps

    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        """Start episodes in `games` (default: all)."""
        chosen = range(self.n_games) if games is None else games
        for seed, game in zip(check_episode_seeds(episode_seeds, len(chosen)), chosen, strict=True):
            self._last[game] = self._envs[game].reset(int(seed))
        return self._gather()

    def step(self, joint_actions: ActionArray) -> VectorStep:
        """Advance the games that have not ended."""
        check_joint_actions(joint_actions, self.spec, self.n_games)
        steps = self._steps()
        for game, last in enumerate(steps):
            if not (last.terminated or last.truncated):
                check_available(joint_actions[game], last.views, self.spec, game)
        for game, last in enumerate(steps):
            if last.terminated or last.truncated:
                self._last[game] = last._replace(reward=0.0)
            else:
                self._last[game] = self._envs[game].step(joint_actions[game])
        return self._gather()

    def state(self) -> FloatArray:
        """Global states [B, S]."""
        return np.stack([env.state() for env in self._envs])

    def snapshot(self) -> bytes:
        """All games; ended flags travel inside each world's own snapshot."""
        arrays = {
            f"game{i}": np.frombuffer(env.snapshot(), dtype=np.uint8) for i, env in enumerate(self._envs)
        }
        return pack(f"loop:{self.n_games}", self.spec, arrays)

    def restore(self, snapshot: bytes) -> VectorStep:
        """Return to a snapshot of as many games."""
        arrays = unpack(f"loop:{self.n_games}", self.spec, snapshot)
        for i, env in enumerate(self._envs):
            self._last[i] = env.restore(arrays[f"game{i}"].tobytes())
        return self._gather()

    def state_hash(self, game: int) -> str:
        """Hex digest of one game."""
        return self._envs[game].state_hash()

    def render_state(self, game: int) -> RenderState:
        """What a renderer needs of one game."""
        return self._envs[game].render_state()

    def close(self) -> None:
        """Close every world."""
        for env in self._envs:
            env.close()
