"""One robot of gymnasium-robotics as a `DecentralizedEnv`; `robotics` says what differs from upstream."""

from __future__ import annotations

from typing import Any, Final

import mujoco
import numpy as np

from env_adapters.api import (
    ActionArray,
    AgentView,
    DecentralizedEnv,
    DoubleArray,
    FloatArray,
    RenderState,
    Step,
    TeamSpec,
)
from env_adapters.errors import ActionError, InvalidValueError
from env_adapters.mamujoco import robots
from env_adapters.mamujoco.actions import check_joint_action, check_out_of_range
from env_adapters.mamujoco.partitions import make_parallel_env
from env_adapters.mamujoco.quiet import python_warnings
from env_adapters.snapshots import check_arrays, digest, pack, unpack

_DERIVED: Final = ("xpos", "xipos", "cinert", "cvel", "qfrc_actuator", "cfrc_ext")
"""What Gymnasium's robots read of `mjData` besides positions, velocities and controls. MuJoCo leaves it as the last
substep computed it, from positions and velocities that are gone, so that no state vector brings it back."""


class RoboticsEnv(DecentralizedEnv):
    """One robot of gymnasium-robotics, each agent driving its joints from its own neighbourhood.

    Rewards are upstream's team reward. `info` holds `steps` (int). Reaching the episode limit truncates. Pickling
    takes a snapshot along: what comes out is in the same situation.

    Args:
        scenario_id: versioned id that results carry.
        team: robot and partition.
        depth: upstream's agent_obsk, how many joints away an agent sees.
        out_of_range: one of `actions.OUT_OF_RANGE`.

    Attributes:
        actuators: per agent, the indices in the model of what its action drives, in the order of the components.
        joints: the same as names of joints.

    Raises:
        InvalidValueError: no such rule for actions out of range.
    """

    actuators: tuple[tuple[int, ...], ...]
    joints: tuple[tuple[str, ...], ...]

    def __init__(
        self, scenario_id: str, team: robots.RoboticsTeam, depth: int = 1, out_of_range: str = "clip"
    ) -> None:
        check_out_of_range(out_of_range)
        self._recipe = (scenario_id, team, depth, out_of_range)
        self._out_of_range = out_of_range
        self._env = make_parallel_env(team, depth)
        self._robot = self._env.single_agent_env.unwrapped
        model = self._robot.model
        self._agents: list[str] = list(self._env.possible_agents)
        self.actuators = tuple(
            tuple(int(joint.act_ids) for joint in part) for part in self._env.agent_action_partitions
        )
        self.joints = tuple(
            tuple(model.joint(int(model.actuator_trnid[i, 0])).name for i in part) for part in self.actuators
        )
        self._sizes = [len(part) for part in self.actuators]
        # Every robot's range is symmetric.
        self._scales: list[DoubleArray] = [
            model.actuator_ctrlrange[list(part), 1].copy() for part in self.actuators
        ]
        self.spec = TeamSpec(
            scenario=scenario_id,
            layout=f"{robots.ROBOTICS_PREFIX}{depth}",
            engine=f"mujoco/{mujoco.__version__}",
            n_agents=len(self._agents),
            observation_size=max(self._env.observation_space(agent).shape[0] for agent in self._agents),
            state_size=self._robot.observation_space.shape[0],
            action_kind="continuous",
            action_size=max(self._sizes),
            episode_limit=robots.ROBOTS[team.task].episode_limit,
            has_win=False,
        )
        self._started = False
        self._steps = 0
        self._reward = 0.0
        self._terminated = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._recipe, self.snapshot() if self._started else None)

    @property
    def _truncated(self) -> bool:
        return not self._terminated and self._steps >= self.spec.episode_limit

    def reset(self, episode_seed: int) -> Step:
        """Start the episode that this seed fully determines; InvalidValueError unless it is whole and 0 or more."""
        if not isinstance(episode_seed, (int, np.integer)) or episode_seed < 0:
            raise InvalidValueError(f"episode seed {episode_seed} is not a whole number of 0 or more")
        with python_warnings():
            self._env.reset(seed=int(episode_seed))
        self._started = True
        self._steps = 0
        self._reward = 0.0
        self._terminated = False
        return self._observe()

    def step(self, joint_action: ActionArray) -> Step:
        """Advance by float32[N, A] in [-1, 1].

        Raises:
            ActionError: wrong shape or type, a number that is not finite, no episode started; under the rule
                "error" also a number out of range.
        """
        if not self._started:
            raise ActionError(
                f"no episode of {self.spec.scenario} at step 0: reset the world before stepping it"
            )
        rule = self._out_of_range
        action = check_joint_action(joint_action, self.spec, self._sizes, self._steps, rule)
        self._reward = 0.0
        if not (self._terminated or self._truncated):
            scaled = {
                agent: row[:size] * scale
                for agent, row, size, scale in zip(
                    self._agents, action.astype(np.float64), self._sizes, self._scales, strict=True
                )
            }
            with python_warnings():
                # As upstream's own step, which would also build the observations.
                ctrl = self._env.map_local_actions_to_global_action(scaled)
                _, reward, terminated, _, _ = self._env.single_agent_env.step(ctrl)
                self._reward = float(reward)
                self._terminated = bool(terminated)
                self._steps += 1
        return self._observe()

    def state(self) -> FloatArray:
        """What Gymnasium's single agent driving the whole robot would observe [S]."""
        return np.asarray(self._env.state(), dtype=np.float32)

    def snapshot(self) -> bytes:
        """The whole world as bytes. The generator needs no place in it: only a seeded reset draws from it."""
        return pack(self._kind, self.spec, self._arrays() | {"reward": np.array(self._reward)})

    def restore(self, snapshot: bytes) -> Step:
        """Return to a snapshot of the same scenario, layout, engine and rule for actions out of range.

        Raises:
            MismatchError: a snapshot of another world.
            CorruptFileError: other bytes.
        """
        stored = unpack(self._kind, self.spec, snapshot)
        check_arrays(stored, self._arrays() | {"reward": np.array(self._reward)})
        self.reset(0)  # Clears what MuJoCo derives from the state, and readies a fresh instance.
        model, data = self._robot.model, self._robot.data
        mujoco.mj_setState(model, data, stored["integration"], mujoco.mjtState.mjSTATE_INTEGRATION)
        for name in _DERIVED:
            getattr(data, name)[:] = stored[name]
        self._steps = int(stored["steps"])
        self._reward = float(stored["reward"])
        self._terminated = bool(stored["terminated"])
        return self._observe()

    def state_hash(self) -> str:
        """Hex digest of MuJoCo's state and what is derived from it, the step, the end and the rule for actions."""
        return digest(self._arrays() | {"out_of_range": np.array(self._out_of_range)})

    def render_state(self) -> RenderState:
        """Joint positions `qpos` [nq] and velocities `qvel` [nv] (metres, radians, seconds), and `step`."""
        data = self._robot.data
        arrays = {"qpos": data.qpos.copy(), "qvel": data.qvel.copy(), "step": np.array(self._steps)}
        return RenderState("mujoco", self.spec.scenario, arrays)

    def close(self) -> None:
        """Release the simulator; safe to call twice."""
        self._env.close()

    @property
    def _kind(self) -> str:
        return f"mamujoco-robotics with out_of_range {self._out_of_range}"

    def _arrays(self) -> dict[str, Any]:
        """Everything that decides what this world shows now and its future."""
        model, data = self._robot.model, self._robot.data
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        integration: DoubleArray = np.empty(mujoco.mj_stateSize(model, kind))
        mujoco.mj_getState(model, data, integration, kind)
        return {
            "integration": integration,
            **{name: getattr(data, name) for name in _DERIVED},
            "steps": np.array(self._steps),
            "terminated": np.array(self._terminated),
        }

    def _observe(self) -> Step:
        views = []
        # What upstream's step and reset return; nothing public gives it after a restore.
        for i, features in enumerate(self._env._get_obs().values()):
            row = np.zeros(self.spec.observation_size, dtype=np.float32)
            row[: len(features)] = features
            views.append(AgentView(row, None, i, self._steps))
        return Step(tuple(views), self._reward, self._terminated, self._truncated, {"steps": self._steps})


def _rebuild(recipe: tuple[str, robots.RoboticsTeam, int, str], snapshot: bytes | None) -> RoboticsEnv:
    env = RoboticsEnv(*recipe)
    if snapshot is not None:
        env.restore(snapshot)
    return env
