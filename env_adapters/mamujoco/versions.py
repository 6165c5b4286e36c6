"""Which MuJoCo this project plays on, and how it is imported."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
from typing import Any, Final

from env_adapters.errors import MismatchError

_FIRST: Final = (3, 17)
"""Oldest version with everything the worlds call; `mujoco.batch` is the newest of it."""
_BEYOND: Final = 5
"""First major version that nothing was tested on."""


def installed_mujoco() -> str | None:
    """Version of the installed MuJoCo, or None where no package says so (absent, or not from a package)."""
    for distribution in ("mujoco", "mujoco-core"):  # From 4.0 on the simulator comes without the viewer, too.
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def check_mujoco() -> None:
    """Refuse a MuJoCo that the worlds were not made for; quiet where none is installed, as importing it says so.

    Raises:
        MismatchError: older than 3.17, 5 or newer, or of a version that is not a number.
    """
    version = installed_mujoco()
    if version is None:
        return
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or not _FIRST <= (int(numbers[1]), int(numbers[2])) < (_BEYOND, 0):
        raise MismatchError(
            f"mujoco {version} is installed, but Multi-Agent MuJoCo needs {_FIRST[0]}.{_FIRST[1]} or newer and "
            f"older than {_BEYOND}; install it with: pip install 'mujoco>=3.17,<4'"
        )


def import_mujoco() -> Any:
    """Import MuJoCo after `check_mujoco`; without OpenGL where it dies of the one that MUJOCO_GL names.

    Nothing here draws with it, and an environment variable that is meant for films must not stop a simulation.

    Raises:
        ModuleNotFoundError: MuJoCo is not installed.
        MismatchError: as `check_mujoco`.
    """
    check_mujoco()  # First, because a version that is refused may fail in ways that hide the reason.
    try:
        return importlib.import_module("mujoco")
    except ModuleNotFoundError:
        raise
    except Exception:  # each missing library fails in a way of its own
        named = os.environ.pop("MUJOCO_GL", None)
        if named is None:
            raise
    os.environ["MUJOCO_GL"] = "disable"
    try:
        return importlib.import_module("mujoco")
    finally:
        os.environ["MUJOCO_GL"] = named
