"""The robots of the public offline datasets: 6halfcheetah, 3hopper and 2ant in two flavours.

`mamujoco-omiga-v2` is what the OMIGA and OG-MARL data were recorded in: Gym's v2 robots with the constants of MuJoCo
2.0 and 2.1; every agent sees the whole observation and its one-hot index, standardised over that one vector.
`mamujoco-gymnasium-v5` is Gymnasium's v5 robot of today; every agent sees its whole observation.

In both the team reward is the robot's, and the episode limit truncates. The old wrappers flag it as an end
(`done`); data written in their convention keeps its own flags.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from env_adapters.api import ActionArray, DecentralizedEnv, Step, VectorEnv
from env_adapters.errors import ActionError, unknown_name
from env_adapters.mamujoco.robots import DATASET_TEAMS
from env_adapters.mamujoco.versions import import_mujoco
from env_adapters.vector import SingleEnv

import_mujoco()  # Before others import it: checks the version and survives a broken MUJOCO_GL.

from env_adapters.mamujoco.world import MujocoVectorEnv  # noqa: E402


def make_vector(scenario_id: str, name: str, n_games: int, **options: Any) -> VectorEnv:
    """Build `n_games` worlds of `DATASET_TEAMS[name]`; the builder that the scenario table names.

    Raises:
        UnknownNameError: no such robot, layout or option.
        InvalidValueError: an option's value makes no sense.
        MissingExtraError: Gymnasium, which brings the models, is not installed.
    """
    known = ("layout", "out_of_range", "n_threads")
    for option in options:
        if option not in known:
            raise unknown_name("option of a robot", option, known, "docs/mujoco.md")
    if name not in DATASET_TEAMS:
        raise unknown_name("robot", name, DATASET_TEAMS, "harness ls maps")
    return MujocoVectorEnv(scenario_id, DATASET_TEAMS[name], n_games, **options)


def make_single(scenario_id: str, name: str, **options: Any) -> DecentralizedEnv:
    """Build one world; options and errors as for `make_vector`."""
    vector = make_vector(scenario_id, name, 1, **options)
    assert isinstance(vector, MujocoVectorEnv)
    return MujocoEnv(vector)


class MujocoEnv(SingleEnv):
    """One robot; as `SingleEnv` with less work per step."""

    def __init__(self, vector: MujocoVectorEnv) -> None:
        super().__init__(vector)
        self._robot = vector
        self._agents = tuple(range(self.spec.n_agents))
        self._shape = (self.spec.n_agents, self.spec.action_size)
        self._masks = (None,) * self.spec.n_agents

    def step(self, joint_action: ActionArray) -> Step:
        """Advance; a world that has ended stays as it is."""
        robot, action = self._robot, np.asarray(joint_action)
        if action.shape != self._shape:
            raise ActionError(
                f"joint action of {self.spec.scenario} has shape {action.shape}, expected {self._shape}"
            )
        robot.advance(cast(ActionArray, action[None]))
        return robot.single(self._agents, self._masks)
