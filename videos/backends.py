"""Which OpenGL can draw robots here: looks for libraries, and asks a short-lived process for a picture.

MuJoCo binds its OpenGL library when it is first imported, from the variable MUJOCO_GL, and dies there when the
library is missing. By the time a film is made the simulator has imported MuJoCo without one. So drawing has a
process of its own (videos.gl_worker), which also keeps a crashing or hanging driver away from the evaluation.
This module needs the standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LIBRARIES = {"egl": ("libEGL.so.1",), "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")}
_NONE = ("disable", "disabled", "off", "false", "0")
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")


@dataclass(frozen=True)
class Device:
    """What answered when asked for a picture."""

    backend: str
    """Value for MUJOCO_GL; empty for the system's own."""
    renderer: str
    """The driver's name for itself, such as `llvmpipe (LLVM 15.0.6, 256 bits)`."""

    @property
    def software(self) -> bool:
        """Whether the CPU draws."""
        return any(word in self.renderer.lower() for word in _SOFTWARE)


def chosen() -> str | None:
    """The user's own MUJOCO_GL in lower case, None where it is unset or empty."""
    return os.environ.get("MUJOCO_GL", "").strip().lower() or None


def candidates() -> tuple[str, ...]:
    """Values for MUJOCO_GL worth trying here, best first; empty where robots must be drawn without OpenGL.

    The user's own choice stands alone; MUJOCO_GL=disable is MuJoCo's way to ask for none. EGL goes first because
    it uses a GPU where there is one, but it also needs a driver, which shows only in use. OSMesa is a library that
    needs nothing else. Outside Linux the system brings OpenGL along.
    """
    own = chosen()
    if own is not None:
        return () if own in _NONE else (own,)
    if sys.platform != "linux":
        return ("",)
    return tuple(name for name, files in _LIBRARIES.items() if any(map(_loads, files)))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def start(backend: str, *arguments: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start videos.gl_worker over one OpenGL; its standard output is a pipe, what it complains about is dropped.

    Args:
        backend: value for MUJOCO_GL.
        arguments: the worker's own.
        folder: where it runs and may leave log files.
    """
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "MUJOCO_GL": backend}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment.pop("PYOPENGL_PLATFORM", None)  # MuJoCo refuses one that differs from MUJOCO_GL
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "videos.gl_worker", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
    )


@contextmanager
def limited(child: subprocess.Popen[bytes], limit_s: float) -> Iterator[None]:
    """Kill a child that keeps the body waiting for longer than this."""
    watchdog = threading.Timer(limit_s, child.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


def find_device(limit_s: float) -> Device | None:
    """Really ask each candidate in turn for a picture; the first that gives one, None where none does.

    TimeoutError, whose text is the backend, when one has not answered by then.
    """
    end = time.monotonic() + limit_s
    for backend in candidates():
        with tempfile.TemporaryDirectory(prefix="marl-harness-probe-") as name:
            child = start(backend, folder=Path(name))
            with child, limited(child, max(end - time.monotonic(), 0.0)):
                answer, _ = child.communicate()
        if child.returncode == 0:
            return Device(backend, answer.decode(errors="replace").strip())
        if time.monotonic() >= end:
            raise TimeoutError(backend)
    return None
