"""Films of MuJoCo robots, re-posed from recorded joint positions.

Where an OpenGL works the picture is MuJoCo's own; elsewhere the robot is drawn as flat shapes. So a film always
comes out, on any machine. MUJOCO_GL=disable in the environment asks for the flat shapes, which are several times
quicker than a software OpenGL; `harness doctor` says which of the two is active.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from env_adapters.api import DoubleArray
from env_adapters.mamujoco.robots import ROBOTS
from env_adapters.rollout import Episode
from env_adapters.scenarios import find
from videos import backends, gl
from videos.drawing import Drawing
from videos.robots import SHOTS, Shot, find_task, load_model
from videos.style import (
    HEADER,
    MUTED,
    ORANGE,
    WHITE,
    Caption,
    Colour,
    Picture,
    banner,
    font,
    header,
    joined,
    step_counter,
)

FPS = 20
SIZE = (480, 360)
"""Width and height in pixels, header included."""

_SPEED_WINDOW_S = 1.0


_reported: set[str | None] = set()
"""Values of MUJOCO_GL that were reported as drawing nothing."""


def film(episode: Episode, title: str) -> Iterator[Picture]:
    """Yield every n-th moment of an episode, FPS to a second; the last one stands for a second.

    Args:
        episode: with T + 1 frames whose arrays hold `qpos` [nq].
        title: who acts; stands in the header beside scenario and episode seed.

    Yields:
        1 + ceil(T / n) + FPS pictures, uint8 of `SIZE`, where n is the `stride` of the robot's shot.

    Raises:
        UnknownNameError: the scenario has no robot to film.
        MissingExtraError: MuJoCo, or Gymnasium with its models, is not installed.
    """
    scenario = find(episode.frames[0].scenario)
    task = find_task(scenario.id)
    load_model(task)  # asked first, so that a missing package is named before a process is started
    shot, step_s = SHOTS[task], ROBOTS[task].step_s
    qpos = _without_gaps(np.stack([frame.arrays["qpos"] for frame in episode.frames]).astype(np.float64))
    returns = np.cumsum([0.0, *episode.rewards])
    shown = [*range(0, episode.length, shot.stride), episode.length]
    caption = Caption(scenario.id, title, episode.seed, f"{FPS * shot.stride * step_s:g}x real time")
    for step, view in zip(shown, _views(task, qpos[shown]), strict=True):
        strip = header(replace(caption, episode_return=returns[step]), SIZE[0])
        step_counter(strip, 64, step, scenario.episode_limit)
        _write_gauges(strip, shot, qpos[: step + 1], step_s)
        yield joined(strip, view)
    banner(view, *_outcome(episode, shot, scenario.episode_limit, _achieved(shot, qpos, step_s)))
    yield from [joined(strip, view)] * FPS


def _without_gaps(qpos: DoubleArray) -> DoubleArray:
    """Poses [F, nq] with the last finite one in place of those that a diverged simulation left."""
    finite = np.isfinite(qpos).all(axis=1)
    last = np.maximum.accumulate(np.where(finite, np.arange(len(qpos)), 0))
    return np.nan_to_num(qpos[last], posinf=0.0, neginf=0.0)


def _views(task: str, qpos: DoubleArray) -> Iterator[Image.Image]:
    """Pictures below the header, one per pose [F, nq]."""
    size = (SIZE[0], SIZE[1] - HEADER)
    count = 0
    with closing(gl.pictures(task, qpos, size)) as rendered:
        for picture in rendered:
            count += 1
            yield Image.fromarray(picture)
    if count == len(qpos):
        return
    chosen = backends.chosen()
    if chosen in backends.candidates() and chosen not in _reported:
        _reported.add(chosen)
        message = f"MUJOCO_GL={chosen} draws nothing here, so robots are drawn without OpenGL; unset it"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    yield from map(Drawing(task, size).draw, qpos[count:])


def _tenths(number: float) -> str:
    """With one decimal, and no minus before zero."""
    return f"{round(float(number), 1) + 0.0:.1f}"


def _write_gauges(strip: Image.Image, shot: Shot, qpos: DoubleArray, step_s: float) -> None:
    """What the shot measures, into the header's lower half, for the last of the poses [T, nq] so far."""
    if shot.gauge == "height":
        gauges = [(250, f"{qpos[-1, 2]:.2f}", "m high")]
    elif shot.gauge == "distance":
        x = qpos[:, 0]
        window = min(len(x) - 1, round(_SPEED_WINDOW_S / step_s))
        speed = (x[-1] - x[-1 - window]) / (window * step_s) if window else 0.0
        gauges = [(250, _tenths(x[-1] - x[0]), "m"), (400, _tenths(speed), "m/s")]
    else:
        return
    pen = ImageDraw.Draw(strip)
    for column, value, unit in gauges:
        pen.text((column, 46), value, font=font(17), fill=WHITE, anchor="rm")
        pen.text((column + 6, 47), unit, font=font(13), fill=MUTED, anchor="lm")


def _achieved(shot: Shot, qpos: DoubleArray, step_s: float) -> str:
    """What became of the robot over the whole episode [T + 1, nq], in words."""
    duration = f"{(len(qpos) - 1) * step_s:.1f} s"
    if shot.gauge == "height":
        return f"{qpos[-1, 2]:.2f} m high after {duration}"
    if shot.gauge == "distance":
        return f"{_tenths(qpos[-1, 0] - qpos[0, 0])} m in {duration}"
    return f"{len(qpos) - 1} steps in {duration}"


def _outcome(episode: Episode, shot: Shot, limit: int, achieved: str) -> tuple[str, Colour, str]:
    """Headline, its colour and the line below it."""
    returned = f"return {episode.episode_return:.{2 if abs(episode.episode_return) < 100 else 0}f}"
    if episode.terminated:
        return shot.fall, ORANGE, f"after {episode.length} of {limit} steps  ·  {returned}  ·  {achieved}"
    return returned, WHITE, achieved
