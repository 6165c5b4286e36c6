"""Keeping MuJoCo and its packages from writing to stderr and into the working directory."""

from __future__ import annotations

import contextlib
import importlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Final

import mujoco

_HARMLESS: Final = "'settotalmass' is deprecated"
"""Compiling Gymnasium's HalfCheetah says so; the attribute still does what it did."""

_lock = threading.Lock()
_inside = 0
_previous: Any = None
_messages: list[str] = []


PENDING: Final[list[str]] = []
"""What MuJoCo warned of outside `python_warnings`, in worlds that are stepped too often to enter it each time."""


def collect_warnings() -> None:
    """Keep warnings of MuJoCo in `PENDING` from now on, unless this process has a handler of its own."""
    with _lock:
        if _inside == 0 and mujoco.get_mju_user_warning() is None:
            mujoco.set_mju_user_warning(PENDING.append)


def report_pending() -> None:
    """Give pending warnings as Python's RuntimeWarning, each text once."""
    messages = list(dict.fromkeys(PENDING))
    PENDING.clear()
    for message in messages:
        warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=3)


@contextlib.contextmanager
def python_warnings() -> Iterator[None]:
    """Turn what MuJoCo warns of into Python's RuntimeWarning, given at the end; drop the one that is harmless.

    With no handler set MuJoCo prints to stderr and appends to MUJOCO_LOG.TXT in the working directory. The
    handler is one for the whole process: the first thread that enters sets it, the last that leaves takes it
    back.
    """
    global _inside, _previous
    with _lock:
        if _inside == 0:
            _previous = mujoco.get_mju_user_warning()
            mujoco.set_mju_user_warning(_messages.append)  # An exception in it would abort the process.
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                mujoco.set_mju_user_warning(_previous)
            messages = [message for message in _messages if _HARMLESS not in message]
            _messages.clear()
    for message in messages:
        warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=3)


def import_robotics() -> Any:
    """Import the package `gymnasium_robotics` without the notice about Adroit hands that it prints to stderr."""
    notifications = importlib.import_module("farama_notifications").notifications
    notice = notifications.pop("gymnasium_robotics", None)
    try:
        return importlib.import_module("gymnasium_robotics")
    finally:
        if notice is not None:
            notifications["gymnasium_robotics"] = notice
