"""A robot drawn from the side as flat shapes: a picture of a MuJoCo model that needs no OpenGL.

Bodies are projected along y. For planar robots such as HalfCheetah nothing is lost by that.
"""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw

from env_adapters.api import DoubleArray, IntArray
from videos.robots import load_model
from videos.style import BLUE, INK, MUTED, ORANGE, WHITE, Colour, font, mix

_ZOOM = 2  # drawn larger and reduced, which smooths edges
_METRES = 4.0  # width of the view
_HORIZON = 0.8  # height of the ground line in the picture, from the top
_SKY: Colour = (45, 50, 58)
_POST: Colour = (57, 63, 73)
_SOIL: tuple[Colour, Colour] = ((30, 33, 39), (36, 40, 47))
_LIMBS: tuple[Colour, ...] = (BLUE, ORANGE, (0, 158, 115), (204, 121, 167))
_TORSO: Colour = (205, 211, 220)
_SPHERE, _CAPSULE = 2, 3  # mjtGeom


class SideView:
    """Poses one model and draws it; the view keeps the first body in the middle."""

    def __init__(self, model: Path, size: tuple[int, int]) -> None:
        """Load a MuJoCo XML file; `size` is the picture's width and height. MissingExtraError without MuJoCo."""
        self._model = load_model(model)
        import mujoco

        self._pose = mujoco.mj_kinematics
        self._data = mujoco.MjData(self._model)
        self._width, self._height = size[0] * _ZOOM, size[1] * _ZOOM
        self._scale = self._width / _METRES
        self._ground = round(self._height * _HORIZON)
        kinds = self._model.geom_type
        self._geoms = [g for g in range(self._model.ngeom) if kinds[g] in (_SPHERE, _CAPSULE)]
        self._colours = [
            _limb_colour(self._model.body_parentid, self._model.geom_bodyid[g]) for g in self._geoms
        ]

    def draw(self, qpos: DoubleArray) -> Image.Image:
        """Picture of one pose [nq]."""
        self._data.qpos[:] = qpos
        self._pose(self._model, self._data)
        middle = float(self._data.xpos[1, 0])
        image = Image.new("RGB", (self._width, self._height), _SKY)
        pen = ImageDraw.Draw(image, "RGBA")
        metres = range(math.floor(middle - _METRES / 2), math.ceil(middle + _METRES / 2) + 1)
        self._draw_ground(pen, middle, metres)
        self._draw_robot(pen, middle)
        reduced = image.reduce(_ZOOM)
        letters = ImageDraw.Draw(reduced)
        for metre in metres:
            place = (self._column(metre, middle) / _ZOOM, self._ground / _ZOOM + 16)
            letters.text(place, f"{metre} m", font=font(12), fill=MUTED, anchor="mt")
        return reduced

    def _column(self, x: float, middle: float) -> float:
        return self._width / 2 + (x - middle) * self._scale

    def _draw_ground(self, pen: ImageDraw.ImageDraw, middle: float, metres: range) -> None:
        for metre in metres:
            left, right = self._column(metre, middle), self._column(metre + 1, middle)
            pen.line((left, 0, left, self._ground), fill=_POST, width=2)
            pen.rectangle((left, self._ground, right, self._height), fill=_SOIL[metre % 2])
            for half in (left, (left + right) / 2):
                pen.line(
                    (half, self._ground, half, self._ground + (20 if half == left else 10)),
                    fill=MUTED,
                    width=2,
                )
        pen.line((0, self._ground, self._width, self._ground), fill=MUTED, width=3)

    def _draw_robot(self, pen: ImageDraw.ImageDraw, middle: float) -> None:
        strokes = [self._stroke(geom, middle) for geom in self._geoms]
        columns = [end for start, stop, _ in strokes for end in (start[0], stop[0])]
        shadow = (min(columns), self._ground + 2, max(columns), self._ground + 12)
        pen.ellipse(shadow, fill=(*INK, 110))
        for (start, stop, radius), colour in zip(strokes, self._colours, strict=True):
            _capsule(pen, start, stop, radius + 3, INK)
            _capsule(pen, start, stop, radius, colour)

    def _stroke(self, geom: int, middle: float) -> tuple[tuple[float, float], tuple[float, float], float]:
        """Both ends and the radius of a capsule or sphere, in enlarged pixels."""
        centre, axis = self._data.geom_xpos[geom], self._data.geom_xmat[geom].reshape(3, 3)[:, 2]
        radius, half = self._model.geom_size[geom][:2]
        reach = axis * half * (self._model.geom_type[geom] == _CAPSULE)
        start, stop = (
            (self._column(end[0], middle), self._ground - end[2] * self._scale)
            for end in (centre - reach, centre + reach)
        )
        return start, stop, radius * self._scale


def _limb_colour(parents: IntArray, body: int) -> Colour:
    """Grey for the trunk (body 1); one hue per limb that hangs from it, lighter towards its end."""
    depth = 0
    while body > 1 and parents[body] > 1:
        body, depth = int(parents[body]), depth + 1
    if body <= 1:
        return _TORSO
    limb = [child for child in range(len(parents)) if parents[child] == 1].index(body)
    return mix(_LIMBS[limb % len(_LIMBS)], WHITE, 0.28 * depth)


def _capsule(
    pen: ImageDraw.ImageDraw,
    start: tuple[float, float],
    stop: tuple[float, float],
    radius: float,
    colour: Colour,
) -> None:
    pen.line((*start, *stop), fill=colour, width=round(2 * radius))
    for x, y in (start, stop):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
