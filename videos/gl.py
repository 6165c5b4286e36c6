"""Pictures of a MuJoCo model through OpenGL, rendered by a child process.

MuJoCo binds its OpenGL library when it is first imported, from the variable MUJOCO_GL, and dies there when
the library is missing. By the time a film is made the simulator has imported MuJoCo without one. So rendering
has a process of its own, which also keeps a crashing or hanging driver away from the evaluation.
"""

from __future__ import annotations

import ctypes
import io
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from env_adapters.api import DoubleArray
from videos.robots import load_model
from videos.style import Picture

_LIBRARIES = {"osmesa": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"), "egl": ("libEGL.so.1",)}
_NONE = ("disable", "disabled", "off", "false", "0")
_START_LIMIT_S = 20.0
_FLOOR = (0.36, 0.41, 0.48, 1.0)  # tints the white squares of the checkerboard, which outshine the robot


def find_backend() -> str | None:
    """Value for MUJOCO_GL: the user's own, else a headless library that loads here; None without any.

    OSMesa goes first because the library is all it needs; EGL also needs a driver, which shows only in use.
    MUJOCO_GL=disable is MuJoCo's own way to ask for none.
    """
    chosen = os.environ.get("MUJOCO_GL")
    if chosen:
        return None if chosen.lower() in _NONE else chosen
    return next((name for name, files in _LIBRARIES.items() if any(map(_loads, files))), None)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def pictures(model: Path, qpos: DoubleArray, size: tuple[int, int]) -> Generator[Picture]:
    """Yield one picture per pose, or fewer: the iterator ends early where OpenGL is missing or fails.

    Args:
        model: MuJoCo XML file.
        qpos: [F, nq], joint positions of F poses.
        size: width and height in pixels.

    Yields:
        uint8[height, width, 3]; the camera follows the robot.
    """
    backend = find_backend()
    if backend is None:
        return
    request = io.BytesIO()
    np.savez(request, model=np.array(str(model)), qpos=qpos, size=np.array(size))
    child = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, "MUJOCO_GL": backend},
    )
    watchdog = threading.Timer(_START_LIMIT_S, child.kill)
    watchdog.start()
    try:
        yield from _read(child, request.getvalue(), (size[1], size[0], 3), watchdog)
    finally:
        watchdog.cancel()
        child.kill()
        child.wait()


def _read(
    child: subprocess.Popen[bytes], request: bytes, shape: tuple[int, int, int], watchdog: threading.Timer
) -> Iterator[Picture]:
    assert child.stdin is not None and child.stdout is not None
    with child.stdout, child.stdin:
        try:
            child.stdin.write(request)
            child.stdin.close()
        except OSError:  # the child died while it was starting
            return
        while len(data := child.stdout.read(int(np.prod(shape)))) == np.prod(shape):
            watchdog.cancel()
            yield np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _serve() -> None:
    """The child: read one request from standard input, write raw pictures to standard output."""
    import mujoco

    request = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    model = load_model(Path(str(request["model"])))
    floor = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    model.geom_rgba[floor] = _FLOOR
    model.geom_size[floor, :2] = 0  # endless; HalfCheetah outruns the 40 m that its file draws
    model.mat_texrepeat[model.geom_matid[floor]] = 0.5  # squares of 1 m
    data = mujoco.MjData(model)
    width, height = (int(n) for n in request["size"])
    with mujoco.Renderer(model, height, width) as renderer:
        for flag in ("SHADOW", "REFLECTION", "SKYBOX"):  # 5 to 7 times faster without
            renderer.scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        camera = _tracking_camera()
        for qpos in request["qpos"]:
            data.qpos[:] = qpos
            mujoco.mj_forward(model, data)
            renderer.update_scene(data, camera)
            sys.stdout.buffer.write(renderer.render().tobytes())


def _tracking_camera() -> Any:
    """A camera that stays beside the first body; Gymnasium's default one lets the robot run out of sight."""
    import mujoco

    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultCamera(camera)
    camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
    camera.trackbodyid = 1
    camera.distance, camera.azimuth, camera.elevation = 3.0, 90.0, -10.0
    return camera


if __name__ == "__main__":
    _serve()
