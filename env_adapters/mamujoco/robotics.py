"""Multi-Agent MuJoCo as gymnasium-robotics ships it (`mamujoco_v1`), one world at a time.

Known differences from `mamujoco_v1.parallel_env`:

* Observations are float32 and zero-padded at the end to the widest agent's length D. HalfCheetah 6x1 has
  9 9 8 9 9 8 features: own joint position and velocity, positions of the neighbouring joints sorted by
  name, then position (height, pitch) and velocity (x, z, pitch) of the torso. The two feet get one zero.
* Actions outside [-1, 1] are clipped before the world sees them. Upstream clamps the torque but charges the
  control cost on the raw number.
* A world that has ended stays as it is: reward 0, same observation.

Values are otherwise upstream's, bit for bit. They are not comparable with MuJoCo 2.1 scores: the engine
has changed the mass of capsules since.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from env_adapters.api import (
    ActionArray,
    AgentView,
    DecentralizedEnv,
    DoubleArray,
    FloatArray,
    IntArray,
    RenderState,
    Step,
    TeamSpec,
    VectorEnv,
)
from env_adapters.errors import ActionError, unknown_name
from env_adapters.snapshots import Arrays, digest, pack, unpack
from env_adapters.vector import LoopVectorEnv

_KIND = "mamujoco-robotics"


def _import_mamujoco() -> Any:
    """Import `mamujoco_v1` without the notice about Adroit hands that its package prints to stderr."""
    notifications = importlib.import_module("farama_notifications").notifications
    notice = notifications.pop("gymnasium_robotics", None)
    try:
        from gymnasium_robotics import mamujoco_v1
    finally:
        if notice is not None:
            notifications["gymnasium_robotics"] = notice
    return mamujoco_v1


mamujoco_v1 = _import_mamujoco()


@dataclass(frozen=True)
class Robot:
    """One way to split a robot among agents, in the words of `mamujoco_v1.parallel_env`.

    A snapshot holds MuJoCo's integration state. That is exact for robots whose observation and reward read
    positions and velocities only (HalfCheetah, Hopper, Walker2d, Swimmer); Ant and Humanoid also read body
    positions and contact forces of the last substep, which no state vector carries. Every actuator must
    have the control range [-1, 1].
    """

    task: str
    """Upstream scenario, a Gymnasium v5 environment."""
    partition: str
    """Upstream agent_conf: agents x joints per agent."""
    observation_depth: int
    """Upstream agent_obsk: how many joints away an agent sees."""
    episode_limit: int
    """Steps after which an episode is cut; Gymnasium's limit for the task."""


ROBOTS: dict[str, Robot] = {"6halfcheetah": Robot("HalfCheetah", "6x1", 1, 1000)}
"""Robots by scenario name."""


@contextlib.contextmanager
def _without_settotalmass_warning() -> Iterator[None]:
    """Drop the one warning that compiling HalfCheetah's model gives; every other becomes a Python warning.

    With no handler set MuJoCo prints to stderr and appends to MUJOCO_LOG.TXT in the working directory.
    """
    messages: list[str] = []
    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(messages.append)  # An exception in the handler would abort the process.
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(previous)
    for message in messages:
        if "'settotalmass' is deprecated" not in message:
            warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=3)


class RoboticsEnv(DecentralizedEnv):
    """One robot of `ROBOTS`, each agent driving its joints from its own neighbourhood.

    Rewards are upstream's team reward. `info` holds `steps` (int). Reaching the episode limit truncates.
    """

    def __init__(self, scenario_id: str, robot: Robot) -> None:
        with _without_settotalmass_warning():
            # No TimeLimit wrapper: its counter would not follow a restored snapshot.
            self._env = mamujoco_v1.parallel_env(
                robot.task,
                robot.partition,
                agent_obsk=robot.observation_depth,
                max_episode_steps=-1,
                disable_env_checker=True,
            )
        self._agents: list[str] = list(self._env.possible_agents)
        spaces = [self._env.observation_space(agent) for agent in self._agents]
        self.spec = TeamSpec(
            scenario=scenario_id,
            layout=f"mamujoco-robotics-obsk{robot.observation_depth}",
            engine=f"mujoco/{mujoco.__version__}",
            n_agents=len(self._agents),
            observation_size=max(space.shape[0] for space in spaces),
            state_size=self._env.single_agent_env.observation_space.shape[0],
            action_kind="continuous",
            action_size=self._env.action_space(self._agents[0]).shape[0],
            episode_limit=robot.episode_limit,
            has_win=False,
        )
        self._features = self._feature_table()
        self._started = False
        self._steps = 0
        self._reward = 0.0
        self._terminated = False

    @property
    def _truncated(self) -> bool:
        return not self._terminated and self._steps >= self.spec.episode_limit

    def reset(self, episode_seed: int) -> Step:
        """Start the episode that this seed (0 or more) fully determines."""
        self._env.reset(seed=int(episode_seed))
        self._started = True
        self._steps = 0
        self._reward = 0.0
        self._terminated = False
        return self._observe()

    def step(self, joint_action: ActionArray) -> Step:
        """Advance by float32[N, A] in [-1, 1]; numbers outside are clipped.

        Raises:
            ActionError: wrong shape or type, a number that is not finite, or no episode started.
        """
        action = self._checked(joint_action)
        self._reward = 0.0
        if not (self._terminated or self._truncated):
            # As upstream's own step, less the observations that it builds feature by feature.
            ctrl = self._env.map_local_actions_to_global_action(dict(zip(self._agents, action, strict=True)))
            _, reward, terminated, _, _ = self._env.single_agent_env.step(ctrl)
            self._reward = float(reward)
            self._terminated = bool(terminated)
            self._steps += 1
        return self._observe()

    def state(self) -> FloatArray:
        """What a single agent driving the whole robot would observe: positions without x, then velocities."""
        return np.asarray(self._env.state(), dtype=np.float32)

    def snapshot(self) -> bytes:
        """The whole world as bytes. The generator needs no place in it: only a seeded reset draws from it."""
        return pack(_KIND, self.spec, {**self._future(), "reward": np.array(self._reward)})

    def restore(self, snapshot: bytes) -> Step:
        """Return to a snapshot; raises MismatchError for another world, CorruptFileError for other bytes."""
        arrays = unpack(_KIND, self.spec, snapshot)
        self.reset(0)  # Clears what MuJoCo derives from the state, and readies a fresh instance.
        robot = self._env.single_agent_env.unwrapped
        mujoco.mj_setState(
            robot.model, robot.data, arrays["integration"], mujoco.mjtState.mjSTATE_INTEGRATION
        )
        self._steps = int(arrays["steps"])
        self._reward = float(arrays["reward"])
        self._terminated = bool(arrays["terminated"])
        return self._observe()

    def state_hash(self) -> str:
        """Hex digest of MuJoCo's integration state (warm start included), the step and the end."""
        return digest(self._future())

    def render_state(self) -> RenderState:
        """Joint positions `qpos` [nq] and velocities `qvel` [nv] (metres, radians, seconds), and `step`."""
        data = self._env.single_agent_env.unwrapped.data
        arrays = {"qpos": data.qpos.copy(), "qvel": data.qvel.copy(), "step": np.array(self._steps)}
        return RenderState("mujoco", self.spec.scenario, arrays)

    def close(self) -> None:
        """Release the simulator; safe to call twice."""
        self._env.close()

    def _future(self) -> Arrays:
        """Everything that decides the future of this world."""
        robot = self._env.single_agent_env.unwrapped
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        integration: DoubleArray = np.empty(mujoco.mj_stateSize(robot.model, kind))
        mujoco.mj_getState(robot.model, robot.data, integration, kind)
        return {
            "integration": integration,
            "steps": np.array(self._steps),
            "terminated": np.array(self._terminated),
        }

    def _feature_table(self) -> IntArray:
        """[N, D], which state feature each observation feature is; S, one past the last, is the padding."""
        table = np.full(
            (self.spec.n_agents, self.spec.observation_size), self.spec.state_size, dtype=np.int64
        )
        for row, features in zip(table, self._env.observation_factorization.values(), strict=True):
            row[: len(features)] = features
        return table

    def _observe(self) -> Step:
        observations = np.append(self._env.state(), 0.0)[self._features].astype(np.float32)
        views = tuple(AgentView(row, None, i, self._steps) for i, row in enumerate(observations))
        return Step(views, self._reward, self._terminated, self._truncated, {"steps": self._steps})

    def _checked(self, joint_action: ActionArray) -> FloatArray:
        action = np.asarray(joint_action)
        where = f"of {self.spec.scenario} at step {self._steps}"
        shape = (self.spec.n_agents, self.spec.action_size)
        if not self._started:
            raise ActionError(f"no episode {where}: reset the world before stepping it")
        if action.shape != shape:
            raise ActionError(f"joint action {where} has shape {action.shape}, expected {shape}")
        if not np.issubdtype(action.dtype, np.floating):
            raise ActionError(
                f"joint action {where} has type {action.dtype}, expected floating-point numbers"
            )
        if not np.isfinite(action).all():
            agent = int(np.argwhere(~np.isfinite(action))[0, 0])
            raise ActionError(f"action of agent {agent} {where} is not finite: {action[agent].tolist()}")
        clipped: FloatArray = np.clip(action, -1.0, 1.0).astype(np.float32)
        return clipped


def make_single(scenario_id: str, name: str) -> DecentralizedEnv:
    """Build one world of `ROBOTS[name]`; UnknownNameError for a name that is not there."""
    if name not in ROBOTS:
        raise unknown_name("robot", name, ROBOTS, "harness ls maps")
    return RoboticsEnv(scenario_id, ROBOTS[name])


def make_vector(scenario_id: str, name: str, n_games: int) -> VectorEnv:
    """Build `n_games` independent worlds of `ROBOTS[name]`, stepped one after the other."""
    return LoopVectorEnv(lambda: make_single(scenario_id, name), n_games)
