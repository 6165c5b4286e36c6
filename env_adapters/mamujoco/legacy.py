"""Models of the robots, and the two constants by which MuJoCo 2.0 and 2.1 differ from today's.

Changelog of MuJoCo, each confirmed by bisection: since 2.1.2 the inertia of a capsule is exact, before a capsule
weighed as a cylinder of length 2 h + r; since 3.5.0 the margins of two touching geoms are added, before the larger
one counted. MuJoCo 4.0 changed RK4 for free joints too, which moves Ant by 5e-7 per step and cannot be undone.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from env_adapters.mamujoco.quiet import python_warnings
from env_adapters.mamujoco.robots import OMIGA, ROBOTICS_TEAMS, Robot, model_path

_INERTIA = ("body_mass", "body_inertia", "body_ipos", "body_iquat")


def engine_id(layout: str) -> str:
    """Simulator and version, as results carry it; the legacy constants make another engine."""
    return f"mujoco/{mujoco.__version__}" + ("+2.1-constants" if layout == OMIGA else "")


def load_spec(robot: Robot) -> Any:
    """Description of a robot (`mujoco.MjSpec`), to be compiled under `quietly`.

    Raises:
        MissingExtraError: Gymnasium, which brings the model files, is not installed.
    """
    if robot.model_file is not None:
        return mujoco.MjSpec.from_file(str(model_path(robot)))
    from env_adapters.mamujoco.partitions import write_generated

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.xml")
        write_generated(next(team for team in ROBOTICS_TEAMS.values() if team.task == robot.task), path)
        return mujoco.MjSpec.from_file(str(path))


def load_model(robot: Robot, legacy: bool) -> mujoco.MjModel:
    """Compile the model of a robot.

    Args:
        robot: one of `ROBOTS`.
        legacy: with the inertias and contact margins of MuJoCo 2.0 and 2.1.

    Raises:
        MissingExtraError: Gymnasium, which brings the model files, is not installed.
    """
    with quietly():
        model = load_spec(robot).compile()
        if legacy:
            _make_legacy(model, load_spec(robot))
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Silence inside: MuJoCo's own and, for HalfCheetah's deprecated attribute, that of `MjSpec.compile`."""
    with python_warnings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*settotalmass")
        yield


def _make_legacy(model: mujoco.MjModel, spec: Any) -> None:
    old = _with_cylinders(model, spec)
    for field in _INERTIA:
        getattr(model, field)[:] = getattr(old, field)
    model.geom_margin[:] /= 2.0
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _with_cylinders(model: mujoco.MjModel, spec: Any) -> mujoco.MjModel:
    """The same bodies with every capsule replaced by the cylinder that it used to weigh as."""
    for index, geom in enumerate(spec.geoms):
        if geom.type == mujoco.mjtGeom.mjGEOM_CAPSULE:
            radius, half_length = model.geom_size[index][:2]
            geom.type = mujoco.mjtGeom.mjGEOM_CYLINDER
            geom.fromto[:] = np.nan  # place and size are given instead
            geom.pos, geom.quat = model.geom_pos[index], model.geom_quat[index]
            geom.size = [radius, half_length + radius / 2.0, 0.0]
    return spec.compile()
