"""Films of MuJoCo robots, re-posed from recorded joint positions.

Where an OpenGL library is installed the picture is MuJoCo's own; elsewhere the robot is drawn from the side
as flat shapes. So a film always comes out, on any machine. A software OpenGL takes several times longer
than the flat drawing; MUJOCO_GL=disable in the environment asks for the latter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from env_adapters.api import DoubleArray
from env_adapters.rollout import Episode
from env_adapters.scenarios import find
from videos import gl
from videos.robots import find_robot, model_path
from videos.sideview import SideView
from videos.style import HEADER, MUTED, WHITE, Caption, Picture, banner, font, header, joined, step_counter

FPS = 20
STRIDE = 2
"""Environment steps per picture."""
SIZE = (480, 360)
"""Width and height in pixels, header included."""

_SPEED_WINDOW_S = 1.0


def film(episode: Episode, title: str) -> Iterator[Picture]:
    """Yield every STRIDE-th moment of an episode, FPS to a second; the last one stands for a second.

    Args:
        episode: with T + 1 frames whose arrays hold `qpos` [nq].
        title: who acts; stands in the header beside scenario and episode seed.

    Yields:
        1 + ceil(T / STRIDE) + FPS pictures, uint8 of `SIZE`.

    Raises:
        UnknownNameError: the scenario has no robot to film.
        MissingExtraError: MuJoCo, or Gymnasium with its models, is not installed.
    """
    scenario = find(episode.frames[0].scenario)
    robot = find_robot(scenario.id)
    qpos = np.stack([frame.arrays["qpos"] for frame in episode.frames]).astype(np.float64)
    returns = np.cumsum([0.0, *episode.rewards])
    shown = [*range(0, episode.length, STRIDE), episode.length]
    caption = Caption(scenario.id, title, episode.seed, f"{FPS * STRIDE * robot.step_s:g}x real time")
    for step, view in zip(shown, _views(model_path(robot), qpos[shown]), strict=True):
        strip = header(replace(caption, episode_return=returns[step]), SIZE[0])
        step_counter(strip, 64, step, scenario.episode_limit)
        _write_motion(strip, qpos[: step + 1, 0], robot.step_s)
        yield joined(strip, view)
    detail = f"{qpos[-1, 0] - qpos[0, 0]:.1f} m in {episode.length * robot.step_s:.1f} s"
    banner(view, f"return {returns[-1]:.0f}", WHITE, detail)
    yield from [joined(strip, view)] * FPS


def _views(model: Path, qpos: DoubleArray) -> Iterator[Image.Image]:
    """Pictures below the header, one per pose [F, nq]."""
    size = (SIZE[0], SIZE[1] - HEADER)
    count = 0
    with closing(gl.pictures(model, qpos, size)) as rendered:
        for picture in rendered:
            count += 1
            yield Image.fromarray(picture)
    if count < len(qpos):
        side_view = SideView(model, size)
        yield from map(side_view.draw, qpos[count:])


def _write_motion(strip: Image.Image, x: DoubleArray, step_s: float) -> None:
    """Distance from the start and mean speed over the last second, into the header's lower half."""
    window = min(len(x) - 1, round(_SPEED_WINDOW_S / step_s))
    speed = (x[-1] - x[-1 - window]) / (window * step_s) if window else 0.0
    pen = ImageDraw.Draw(strip)
    for column, value, unit in ((250, x[-1] - x[0], "m"), (400, speed, "m/s")):
        pen.text((column, 46), f"{value:.1f}", font=font(17), fill=WHITE, anchor="rm")
        pen.text((column + 6, 47), unit, font=font(13), fill=MUTED, anchor="lm")
