"""Pictures of a robot through OpenGL, made by a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from env_adapters.api import DoubleArray
from videos import backends
from videos.style import Picture

_PATIENCE_S = 20.0
"""How long one picture may take before its driver is given up; the first one waits for the child to start."""
_FINER = 1.5
"""Drawn larger and reduced, which smooths edges in half the time of OpenGL's own four samples per pixel."""

_broken: set[str] = set()
"""Backends that drew nothing when this process asked; they are not asked again."""


def pictures(task: str, qpos: DoubleArray, size: tuple[int, int]) -> Generator[Picture]:
    """Yield one picture per pose, or fewer: the iterator ends early where OpenGL is missing or fails.

    A backend that fails hands the rest of the film to the next one.

    Args:
        task: a robot of env_adapters.mamujoco.robots.ROBOTS, such as `Ant`.
        qpos: [F, nq], joint positions of F poses.
        size: width and height in pixels.

    Yields:
        uint8[height, width, 3]; the camera is the robot's own of videos.robots.SHOTS.
    """
    done = 0
    for backend in backends.candidates():
        if backend in _broken:
            continue
        before = done
        for picture in _drawn_by(backend, task, qpos[done:], size):
            done += 1
            yield picture
        if done == len(qpos):
            return
        if done == before:
            _broken.add(backend)


def _drawn_by(backend: str, task: str, qpos: DoubleArray, size: tuple[int, int]) -> Iterator[Picture]:
    with tempfile.TemporaryDirectory(prefix="marl-harness-film-") as name:
        request = Path(name, "request.npz")
        finer = tuple(round(_FINER * length) for length in size)
        np.savez(request, task=np.array(task), qpos=qpos, size=np.array(finer))
        with backends.start(backend, str(request), folder=Path(name)) as child:
            try:
                for picture in _received(child, finer):
                    yield np.asarray(picture.resize(size, Image.Resampling.BOX))
            finally:
                child.kill()
                child.wait()


def _received(child: subprocess.Popen[bytes], size: tuple[int, ...]) -> Iterator[Image.Image]:
    assert child.stdout is not None
    n_bytes = 3 * size[0] * size[1]
    while True:
        with backends.limited(child, _PATIENCE_S):
            data = child.stdout.read(n_bytes)
        if len(data) < n_bytes:
            return
        yield Image.frombuffer("RGB", (size[0], size[1]), data)
