"""The robots and how they are split among agents: data that needs no simulator.

Actuators are numbered in the order of the model file. HalfCheetah: bthigh bshin bfoot fthigh fshin ffoot; Hopper:
thigh leg foot; Ant: hip4 ankle4 hip1 ankle1 hip2 ankle2 hip3 ankle3.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from env_adapters.errors import MissingExtraError

Split = tuple[tuple[int, ...], ...]
"""Per agent, the actuators that its action drives, in the order of the action's components."""


@dataclass(frozen=True)
class Robot:
    """One body, as Gymnasium ships it."""

    task: str
    """Gymnasium's name of the environment, without its version."""
    model_file: str | None
    """Name in Gymnasium's folder of MuJoCo models; None where gymnasium-robotics generates the model."""
    step_s: float
    """Simulated seconds per environment step."""
    episode_limit: int
    """Steps after which Gymnasium cuts an episode."""


ROBOTS: Final = {
    robot.task: robot
    for robot in (
        Robot("HalfCheetah", "half_cheetah.xml", 0.05, 1000),
        Robot("Hopper", "hopper.xml", 0.008, 1000),
        Robot("Ant", "ant.xml", 0.05, 1000),
        Robot("Walker2d", "walker2d_v5.xml", 0.008, 1000),
        Robot("Swimmer", "swimmer.xml", 0.04, 1000),
        Robot("Humanoid", "humanoid.xml", 0.015, 1000),
        Robot("HumanoidStandup", "humanoidstandup.xml", 0.015, 1000),
        Robot("Reacher", "reacher.xml", 0.02, 50),
        Robot("Pusher", "pusher_v5.xml", 0.05, 100),
        Robot("ManySegmentSwimmer", None, 0.04, 1000),
    )
}
"""Every robot by task."""


@dataclass(frozen=True)
class DatasetTeam:
    """A robot of the public offline datasets, split as they are."""

    task: str
    split: Split
    partition: str
    """What the field calls the split: agents x joints per agent."""


DATASET_TEAMS: Final = {
    "6halfcheetah": DatasetTeam("HalfCheetah", ((0,), (1,), (2,), (3,), (4,), (5,)), "6x1"),
    "3hopper": DatasetTeam("Hopper", ((0,), (1,), (2,)), "3x1"),
    # Front legs and rear legs; gymnasium-robotics calls left and right legs 2x4.
    "2ant": DatasetTeam("Ant", ((0, 1, 2, 3), (4, 5, 6, 7)), "2x4"),
}
"""By scenario name. The splits are those of TRPO-in-MARL, OMIGA, HARL and OG-MARL's omiga and omar wrappers."""

OMIGA: Final = "mamujoco-omiga-v2"
"""Layout id: robots, rewards and observations of the OMIGA data, which are Gym's `*-v2` on MuJoCo 2.0 or 2.1."""
GYMNASIUM: Final = "mamujoco-gymnasium-v5"
"""Layout id: Gymnasium's `*-v5` robots; every agent sees the whole observation."""
FLAVOURS: Final = (OMIGA, GYMNASIUM)
"""Layouts that the dataset teams can be played in."""


@dataclass(frozen=True)
class RoboticsTeam:
    """A robot and one of gymnasium-robotics' partitions of it."""

    task: str
    partition: str
    """Upstream agent_conf; Walker2d 6x1 is this project's, one agent per joint."""
    n_agents: int


ROBOTICS_TEAMS: Final = {
    f"{team.task.lower()}_{team.partition.replace('|', '-')}": team
    for team in (
        RoboticsTeam("HalfCheetah", "6x1", 6),
        RoboticsTeam("HalfCheetah", "2x3", 2),
        RoboticsTeam("Hopper", "3x1", 3),
        RoboticsTeam("Ant", "2x4", 2),
        RoboticsTeam("Ant", "2x4d", 2),
        RoboticsTeam("Ant", "4x2", 4),
        RoboticsTeam("Walker2d", "2x3", 2),
        RoboticsTeam("Walker2d", "6x1", 6),
        RoboticsTeam("Swimmer", "2x1", 2),
        RoboticsTeam("Humanoid", "9|8", 2),
        RoboticsTeam("HumanoidStandup", "9|8", 2),
        RoboticsTeam("Reacher", "2x1", 2),
        RoboticsTeam("Pusher", "3p", 3),
        RoboticsTeam("ManySegmentSwimmer", "10x2", 10),
    )
}
"""By scenario name, TASK_PARTITION in lower case."""

ROBOTICS_PREFIX: Final = "mamujoco-robotics-v1-obsk"
"""Start of the layout ids of gymnasium-robotics' `mamujoco_v1`; what follows is upstream's agent_obsk."""
ROBOTICS: Final = tuple(f"{ROBOTICS_PREFIX}{depth}" for depth in (1, 0))
"""Layouts to list, the default first; any agent_obsk from 0 to 99 can be played."""


def model_path(robot: Robot) -> Path:
    """Path of a robot's model in the installed Gymnasium, which is not imported.

    Raises:
        MissingExtraError: Gymnasium is not installed.
    """
    found = importlib.util.find_spec("gymnasium")
    if found is None or found.origin is None or robot.model_file is None:
        raise MissingExtraError(f"robot {robot.task}", "mujoco")
    return Path(found.origin).parent / "envs" / "mujoco" / "assets" / robot.model_file
