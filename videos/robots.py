"""The MuJoCo models of the robots that are filmed, loaded without noise."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from env_adapters.errors import MissingExtraError, unknown_name
from env_adapters.scenarios import find


@dataclass(frozen=True)
class Robot:
    """One robot as Gymnasium ships it."""

    model_file: str
    """Name in Gymnasium's folder of MuJoCo models."""
    step_s: float
    """Simulated seconds per environment step."""


_ROBOTS = {"6halfcheetah": Robot("half_cheetah.xml", 0.05)}  # 5 physics steps of 0.01 s


def find_robot(scenario: str) -> Robot:
    """The robot of a scenario id; UnknownNameError where the scenario has none."""
    name = find(scenario).name
    if name not in _ROBOTS:
        raise unknown_name("robot to film", name, _ROBOTS, "harness ls maps")
    return _ROBOTS[name]


def model_path(robot: Robot) -> Path:
    """Path of the model inside the installed Gymnasium, which is not imported; MissingExtraError without it."""
    found = importlib.util.find_spec("gymnasium")
    if found is None or found.origin is None:
        raise MissingExtraError("a robot film", "mujoco")
    return Path(found.origin).parent / "envs" / "mujoco" / "assets" / robot.model_file


def load_model(path: Path) -> Any:
    """Compile a model (`mujoco.MjModel`); MissingExtraError without MuJoCo.

    The models use an attribute that newer compilers call deprecated. Unless silenced, MuJoCo prints that and
    writes a log file into the current folder.
    """
    try:
        import mujoco
    except ImportError as error:
        raise MissingExtraError("a robot film", "mujoco") from error
    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    finally:
        mujoco.set_mju_user_warning(previous)
