"""The robots that are filmed: their models, how each is looked at, and their colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from env_adapters.api import DoubleArray, IntArray
from env_adapters.errors import MissingExtraError, unknown_name
from env_adapters.mamujoco import versions
from env_adapters.mamujoco.robots import DATASET_TEAMS, ROBOTICS_TEAMS, ROBOTS
from env_adapters.scenarios import find
from videos.style import BLUE, ORANGE, WHITE, Colour, mix

VIEW_PER_DISTANCE: Final = 2 * float(np.tan(np.radians(45) / 2))
"""Height of the view over the camera's distance, at what it looks at; MuJoCo's cameras open 45 degrees."""

_TRUNK: Final[Colour] = (205, 211, 220)
_FIXED: Final[Colour] = (112, 120, 133)
_LIMBS: Final[tuple[Colour, ...]] = (BLUE, ORANGE, (0, 158, 115), (204, 121, 167))
_LIGHTEST: Final = 0.5  # share of white at the end of a limb


@dataclass(frozen=True)
class Shot:
    """How a robot is filmed; the same camera with and without OpenGL."""

    azimuth: float
    """Degrees; 90 looks along +y, so that +x is to the right."""
    elevation: float
    """Degrees; -90 looks straight down."""
    distance: float
    """Metres from the camera to what it looks at."""
    target: tuple[float, float, float]
    """What the camera looks at; x and y count from the robot's centre of mass where it follows."""
    square_m: float = 1.0
    """Side of the floor's squares."""
    stride: int = 2
    """Environment steps per picture."""
    follows: bool = True
    """Whether the camera travels with the robot."""
    planar: bool = False
    """Whether the robot moves in the x-z plane, and is best drawn straight from the side."""
    gauge: Literal["distance", "height"] | None = "distance"
    """What the header measures: way and speed along x (qpos[0]), height of the torso (qpos[2]), or nothing."""
    fall: str = "ENDED"
    """Headline of an episode that ended before its limit."""

    @property
    def view_m(self) -> float:
        """Height of the view in metres, at what the camera looks at."""
        return self.distance * VIEW_PER_DISTANCE


SHOTS: Final = {
    "HalfCheetah": Shot(90, -10, 3, (0, 0, 0.7), planar=True),
    "Hopper": Shot(90, -10, 3, (0, 0, 0.8), planar=True, stride=3, fall="FELL"),
    "Walker2d": Shot(90, -10, 3, (0, 0, 0.8), planar=True, stride=3, fall="FELL"),
    "Ant": Shot(115, -28, 4.6, (0, 0, 0.4), fall="LOST BALANCE"),
    "Swimmer": Shot(90, -90, 5.0, (0, 0, 0)),
    "ManySegmentSwimmer": Shot(90, -90, 20.0, (0, 0, 0), square_m=2.0),
    "Humanoid": Shot(125, -16, 3.0, (0, 0, 0.85), stride=3, fall="FELL"),
    "HumanoidStandup": Shot(125, -20, 3.0, (0, 0, 0.6), stride=3, gauge="height"),
    "Reacher": Shot(90, -90, 0.8, (0, 0, 0), square_m=0.1, stride=1, follows=False, gauge=None),
    "Pusher": Shot(270, -50, 1.9, (0.25, -0.3, -0.2), square_m=0.2, stride=1, follows=False, gauge=None),
}
"""By task of env_adapters.mamujoco.robots.ROBOTS."""


def find_task(scenario: str) -> str:
    """The robot of a scenario name or id, a key of `SHOTS`; UnknownNameError where the scenario has none."""
    name = find(scenario).name
    team = DATASET_TEAMS.get(name) or ROBOTICS_TEAMS.get(name)
    if team is None or team.task not in SHOTS:
        raise unknown_name("robot to film", name, [*DATASET_TEAMS, *ROBOTICS_TEAMS], "harness ls maps")
    return team.task


def load_model(task: str) -> Any:
    """Compile a robot's model (`mujoco.MjModel`), quietly; MissingExtraError without MuJoCo or Gymnasium."""
    import_mujoco()
    from env_adapters.mamujoco import legacy

    return legacy.load_model(ROBOTS[task], legacy=False)


def import_mujoco() -> Any:
    """MuJoCo, see `versions.import_mujoco`; MissingExtraError if not installed."""
    try:
        return versions.import_mujoco()
    except ModuleNotFoundError as error:
        raise MissingExtraError("a robot film", "mujoco") from error


def look_at(shot: Shot, data: Any) -> DoubleArray:
    """What the camera looks at [3], for a pose whose centres of mass are known (`mj_comPos`)."""
    target = np.array(shot.target, dtype=np.float64)
    if shot.follows:
        target[:2] += data.subtree_com[1][:2]
    return target


def floor_geom(model: Any) -> int:
    """Index of the plane that the robot stands on; every model has one."""
    return int(np.argmax(model.geom_type == 0))  # mjGEOM_PLANE


def geom_colours(model: Any) -> list[Colour]:
    """One colour per geom: grey for the trunk, a hue per limb that lightens towards its end.

    The robot is the first body with all that hangs from it. Other bodies, such as a target, keep their colour.
    """
    parents, bodies = model.body_parentid, model.geom_bodyid
    robot = {1}
    for body in range(2, model.nbody):
        if parents[body] in robot:
            robot.add(body)
    trunk = _trunk(parents, robot)
    colours: list[Colour] = []
    for geom, body in enumerate(bodies):
        if body in robot:
            colours.append(_limb_colour(parents, int(body), robot, trunk))
        elif body == 0:
            colours.append(_FIXED)
        else:
            red, green, blue = (round(255 * float(share)) for share in model.geom_rgba[geom][:3])
            colours.append((red, green, blue))
    return colours


def _trunk(parents: IntArray, robot: set[int]) -> set[int]:
    """The first body, and all from which limbs branch off or that lie on the way there."""
    branching = {body for body in robot if np.count_nonzero(parents == body) > 1}
    trunk = {1}
    for body in branching:
        while body > 1:
            trunk.add(body)
            body = int(parents[body])
    return trunk


def _limb_colour(parents: IntArray, body: int, robot: set[int], trunk: set[int]) -> Colour:
    if body in trunk:
        return _TRUNK
    first, depth = body, 0
    while parents[first] not in trunk:
        first, depth = int(parents[first]), depth + 1
    limbs = [other for other in sorted(robot - trunk) if parents[other] in trunk]
    end = max(_depth(parents, other, first) for other in robot)
    return mix(_LIMBS[limbs.index(first) % len(_LIMBS)], WHITE, _LIGHTEST * depth / max(end, 1))


def _depth(parents: IntArray, body: int, ancestor: int) -> int:
    """How many joints lie between a body and its ancestor, -1 where it is none."""
    depth = 0
    while body > ancestor:
        body, depth = int(parents[body]), depth + 1
    return depth if body == ancestor else -1
