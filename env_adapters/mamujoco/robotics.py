"""Multi-Agent MuJoCo as gymnasium-robotics ships it (`mamujoco_v1`), one world at a time.

Known differences from `mamujoco_v1.parallel_env`:

* Observations are float32 and zero-padded at the end to the widest agent's length D.
* Actions are in [-1, 1] for every robot and scaled to its control range: Humanoid's is +-0.4, Pusher's +-2. They
  have the length A of the widest agent (Humanoid drives 9 and 8 joints, Pusher 3, 1 and 3); what an agent has no
  joint for is ignored.
* Actions outside [-1, 1] are clipped before the world sees them, unless the option `out_of_range` says "error"
  or "upstream". Upstream clamps the torque but charges the control cost on the raw number.
* A world that has ended stays as it is: reward 0, same observation. A robot that falls at the time limit has
  terminated and is not truncated as well.
* Three worlds are built differently or not at all: see `partitions`.
* agent_obsk=None is refused: upstream then makes one agent of the whole robot.

Values are otherwise upstream's, bit for bit, and so are its peculiarities: under the name of Humanoid's joint
abdomen_y stand position and velocity of abdomen_z and the other way round; agents of Walker2d see velocities as
they are, `state()` cuts them at +-10; Swimmer's joints show a velocity of the body beside their own. Values are
not comparable with MuJoCo 2.1 scores: the engine has changed the mass of capsules since.
"""

from __future__ import annotations

import re
from types import EllipsisType
from typing import Any, Final

import numpy as np

from env_adapters.api import DecentralizedEnv, VectorEnv
from env_adapters.errors import InvalidValueError, MismatchError, UnknownNameError, unknown_name
from env_adapters.mamujoco import robots
from env_adapters.mamujoco.versions import import_mujoco
from env_adapters.vector import LoopVectorEnv

import_mujoco()  # Before others import it: checks the version and survives a broken MUJOCO_GL.

from env_adapters.mamujoco.robotics_world import RoboticsEnv  # noqa: E402

_FARTHEST: Final = 99
"""No robot has joints as far apart as this; a larger agent_obsk would only take longer."""


def observation_depth(name: str, layout: str | None, agent_obsk: int | EllipsisType | None = ...) -> int:
    """How many joints away an agent sees, of the layout or the option that says so; 1 where neither does.

    Args:
        name: scenario, for messages.
        layout: `mamujoco-robotics-v1-obskK`, K from 0 to 99, or None.
        agent_obsk: K, or ... where it is not given.

    Raises:
        UnknownNameError: no such layout.
        MismatchError: a layout of another flavour, or one that says something else than `agent_obsk`.
        InvalidValueError: `agent_obsk` is None or not a whole number from 0 to 99.
    """
    if agent_obsk is None:
        raise InvalidValueError(
            f"agent_obsk None makes one agent of the whole robot; for agents that all see everything play "
            f"{', '.join(robots.DATASET_TEAMS)} in layout {robots.GYMNASIUM}"
        )
    if not isinstance(agent_obsk, EllipsisType):
        whole = isinstance(agent_obsk, (int, np.integer)) and not isinstance(agent_obsk, bool)
        if not whole or not 0 <= agent_obsk <= _FARTHEST:
            raise InvalidValueError(
                f"agent_obsk is {agent_obsk!r}; give a whole number from 0 to {_FARTHEST}"
            )
    if layout is None:
        return 1 if isinstance(agent_obsk, EllipsisType) else int(agent_obsk)
    found = re.fullmatch(robots.ROBOTICS_PREFIX + r"(0|[1-9]\d?)", str(layout))
    if found is None:
        kind = MismatchError if layout in robots.FLAVOURS else UnknownNameError
        raise kind(
            f"map '{name}' cannot be played in layout '{layout}'; it can in {', '.join(robots.ROBOTICS)} "
            f"and so on to obsk{_FARTHEST}"
        )
    if agent_obsk not in (..., int(found[1])):
        raise MismatchError(f"layout '{layout}' and agent_obsk {agent_obsk} contradict each other; give one")
    return int(found[1])


def make_single(
    scenario_id: str,
    name: str,
    layout: str | None = None,
    *,
    agent_obsk: int | EllipsisType | None = ...,
    out_of_range: str = "clip",
    **unknown: Any,
) -> DecentralizedEnv:
    """Build one world.

    Args:
        scenario_id: versioned id that results carry.
        name: scenario name, a row of `robots.ROBOTICS_TEAMS`.
        layout: `mamujoco-robotics-v1-obskK`; default K is 1.
        agent_obsk: K, in place of a layout.
        out_of_range: "clip", "error" or "upstream", see `actions.OUT_OF_RANGE`.
        unknown: nothing; gives an unknown option one clear error.

    Raises:
        UnknownNameError: no such scenario, layout or option.
        MismatchError: a layout of another flavour, or layout and agent_obsk contradict each other.
        InvalidValueError: an option's value makes no sense.
    """
    if unknown:
        raise unknown_name(
            "option", next(iter(unknown)), ("layout", "agent_obsk", "out_of_range"), "docs/mujoco.md"
        )
    if name not in robots.ROBOTICS_TEAMS:
        raise unknown_name("map", name, robots.ROBOTICS_TEAMS, "harness ls maps")
    depth = observation_depth(name, layout, agent_obsk)
    return RoboticsEnv(scenario_id, robots.ROBOTICS_TEAMS[name], depth, out_of_range)


def make_vector(scenario_id: str, name: str, n_games: int, **options: Any) -> VectorEnv:
    """Build `n_games` independent worlds, stepped one after the other; options and errors as for `make_single`."""
    return LoopVectorEnv(lambda: make_single(scenario_id, name, **options), n_games)
