"""A robot drawn as flat shapes: a picture of a MuJoCo model that needs no OpenGL.

Every part is projected in parallel and painted from far to near, over its shadow straight below. Robots that move
in a plane are drawn straight from the side, by which nothing is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from env_adapters.api import DoubleArray
from videos.robots import SHOTS, floor_geom, geom_colours, import_mujoco, load_model, look_at
from videos.style import INK, MUTED, WHITE, Colour, font, mix

_ZOOM = 2  # drawn larger and reduced, which smooths edges
_SKY: Colour = (45, 50, 58)
_POST: Colour = (57, 63, 73)
_SOIL: tuple[Colour, Colour] = ((30, 33, 39), (36, 40, 47))
_FLOOR: tuple[Colour, Colour] = ((50, 55, 65), (66, 73, 85))
_SHADOW: Colour = (26, 29, 35)
_OUTLINE = 3
_GLEAM = 0.3  # share of white in the lit side of a part
_RIM = 24  # corners of a drawn circle

SPHERE: Final = 2
CAPSULE: Final = 3
CYLINDER: Final = 5
DRAWN: Final = (SPHERE, CAPSULE, CYLINDER)
"""Kinds of geoms (`mjtGeom`) that are drawn; no robot has others, apart from its floor."""


@dataclass(frozen=True)
class _Part:
    """One geom in pixels."""

    ends: DoubleArray
    """[2, 2], columns and rows of both ends of its axis; twice the centre of a sphere."""
    radius: float
    colour: Colour
    rims: DoubleArray | None = None
    """[2, R, 2], outlines of a cylinder's ends, the far one first."""


class Drawing:
    """Poses one robot and draws it; the same camera as with OpenGL, apart from perspective."""

    def __init__(self, task: str, size: tuple[int, int]) -> None:
        """Load a robot, a key of `SHOTS`; `size` is the picture's width and height.

        MissingExtraError without MuJoCo or Gymnasium.
        """
        self._model, self._mujoco, self._shot = load_model(task), import_mujoco(), SHOTS[task]
        self._data = self._mujoco.MjData(self._model)
        self._width, self._height = size[0] * _ZOOM, size[1] * _ZOOM
        self._scale = self._height / self._shot.view_m
        azimuth = math.radians(self._shot.azimuth)
        elevation = math.radians(0 if self._shot.planar else self._shot.elevation)
        right = (math.sin(azimuth), -math.cos(azimuth), 0.0)
        self._forward = np.array(
            (
                math.cos(elevation) * math.cos(azimuth),
                math.cos(elevation) * math.sin(azimuth),
                math.sin(elevation),
            )
        )
        self._plane = np.array((right, np.cross(right, self._forward)))  # [2, 3], right and up
        self._floor_z = float(self._model.geom_pos[floor_geom(self._model)][2])
        kinds = self._model.geom_type
        self._geoms = np.array([g for g in range(self._model.ngeom) if kinds[g] in DRAWN])
        self._colours = geom_colours(self._model)
        self._target = np.zeros(3)

    def draw(self, qpos: DoubleArray) -> Image.Image:
        """Picture of one pose [nq]."""
        self._data.qpos[:] = qpos
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_comPos(self._model, self._data)
        self._target = look_at(self._shot, self._data)
        image = Image.new("RGB", (self._width, self._height), _SKY if self._shot.planar else _FLOOR[0])
        pen = ImageDraw.Draw(image)
        if self._shot.planar:
            self._draw_track(pen)
        else:
            self._draw_squares(pen)
        parts = self._parts()
        self._draw_shadows(pen)
        for part in parts:
            _draw_part(pen, part)
        reduced = image.reduce(_ZOOM)
        if self._shot.planar:
            self._label_track(reduced)
        return reduced

    def _project(self, points: DoubleArray) -> DoubleArray:
        """Columns and rows [..., 2] of points [..., 3]."""
        right_up = (points - self._target) @ self._plane.T * self._scale
        middle = np.array((self._width, self._height)) / 2
        return np.asarray(middle + right_up * (1, -1))

    def _axes(self) -> DoubleArray:
        """Both ends [G, 2, 3] of every drawn geom's axis."""
        centres = self._data.geom_xpos[self._geoms]
        axes = self._data.geom_xmat[self._geoms].reshape(-1, 3, 3)[:, :, 2]
        half = np.where(
            self._model.geom_type[self._geoms] == SPHERE, 0, self._model.geom_size[self._geoms, 1]
        )
        reach = axes * half[:, None]
        return np.stack((centres - reach, centres + reach), axis=1)

    def _parts(self) -> list[_Part]:
        """All geoms, from far to near."""
        ends = self._project(self._axes())
        depth = self._data.geom_xpos[self._geoms] @ self._forward
        parts = []
        for index in np.argsort(-depth, kind="stable"):
            geom = int(self._geoms[index])
            radius = float(self._model.geom_size[geom, 0]) * self._scale
            rims = self._rims(geom) if self._model.geom_type[geom] == CYLINDER else None
            parts.append(_Part(ends[index], radius, self._colours[geom], rims))
        return parts

    def _rims(self, geom: int) -> DoubleArray:
        frame = self._data.geom_xmat[geom].reshape(3, 3)
        radius, half = self._model.geom_size[geom][:2]
        turn = np.linspace(0, 2 * np.pi, _RIM, endpoint=False)
        circle = radius * np.stack((np.cos(turn), np.sin(turn)), axis=1) @ frame[:, :2].T
        sides = (1, -1) if frame[:, 2] @ self._forward > 0 else (-1, 1)
        centre = self._data.geom_xpos[geom]
        return self._project(np.stack([centre + side * half * frame[:, 2] + circle for side in sides]))

    def _draw_shadows(self, pen: ImageDraw.ImageDraw) -> None:
        below = self._axes()
        below[..., 2] = self._floor_z
        radii = self._model.geom_size[self._geoms, 0]
        if self._shot.planar:
            columns, row = self._project(below)[..., 0], self._ground
            reach = radii[:, None] * self._scale
            pen.ellipse(((columns - reach).min(), row + 2, (columns + reach).max(), row + 12), fill=_SHADOW)
            return
        for outline in self._project(_outlines(below, radii)):
            pen.polygon(outline.ravel().tolist(), fill=_SHADOW)

    @property
    def _ground(self) -> float:
        """Row of a floor seen from the side."""
        return float(self._project(np.array((0, 0, self._floor_z)))[1])

    def _draw_squares(self, pen: ImageDraw.ImageDraw) -> None:
        """A chequered floor below the camera's target, as far as the picture shows it."""
        side = self._shot.square_m
        corners = (
            np.array(((-1, -1), (-1, 1), (1, -1), (1, 1))) / 2 * (self._width, self._height) / self._scale
        )
        seen = self._target + corners @ self._plane
        seen += ((self._floor_z - seen[:, 2]) / self._forward[2])[:, None] * self._forward
        low, high = np.floor(seen.min(axis=0) / side), np.ceil(seen.max(axis=0) / side)
        x, y = np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1)
        grid = np.stack((*np.meshgrid(x * side, y * side), np.full((len(y), len(x)), self._floor_z)), axis=-1)
        points = self._project(grid)
        for row in range(len(y) - 1):
            for column in range(int(x[0] + y[row]) % 2, len(x) - 1, 2):
                around = ((row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column))
                pen.polygon([tuple(points[place]) for place in around], fill=_FLOOR[1])

    def _metres(self) -> range:
        half = self._width / self._scale / 2
        return range(math.floor(self._target[0] - half), math.ceil(self._target[0] + half) + 1)

    def _column(self, x: float) -> float:
        return float(self._width / 2 + (x - self._target[0]) * self._scale)

    def _draw_track(self, pen: ImageDraw.ImageDraw) -> None:
        """The ground from the side, with a post at every metre."""
        ground = self._ground
        for metre in self._metres():
            left, right = self._column(metre), self._column(metre + 1)
            pen.line((left, 0, left, ground), fill=_POST, width=2)
            pen.rectangle((left, ground, right, self._height), fill=_SOIL[metre % 2])
            for column, length in ((left, 20), ((left + right) / 2, 10)):
                pen.line((column, ground, column, ground + length), fill=MUTED, width=2)
        pen.line((0, ground, self._width, ground), fill=MUTED, width=3)

    def _label_track(self, picture: Image.Image) -> None:
        pen = ImageDraw.Draw(picture)
        for metre in self._metres():
            place = (self._column(metre) / _ZOOM, self._ground / _ZOOM + 16)
            pen.text(place, f"{metre} m", font=font(12), fill=MUTED, anchor="mt")


def _outlines(axes: DoubleArray, radii: DoubleArray) -> DoubleArray:
    """Outlines [G, R, 3] of level capsules: axes [G, 2, 3] and radii [G]."""
    along = axes[:, 1, :2] - axes[:, 0, :2]
    start = np.arctan2(along[:, 1], along[:, 0])[:, None] + np.pi / 2
    turn = start + np.linspace(0, 2 * np.pi, _RIM, endpoint=False)
    circle = np.stack((np.cos(turn), np.sin(turn), np.zeros_like(turn)), axis=-1)
    return np.asarray(np.repeat(axes, _RIM // 2, axis=1) + radii[:, None, None] * circle)


def _draw_part(pen: ImageDraw.ImageDraw, part: _Part) -> None:
    if part.rims is not None:
        _draw_cylinder(pen, part.rims, part.colour)
        return
    gleam = mix(part.colour, WHITE, _GLEAM)
    lit = part.ends - (0.25 * part.radius, 0.35 * part.radius)
    for ends, radius, colour in (
        (part.ends, part.radius + _OUTLINE, INK),
        (part.ends, part.radius, part.colour),
        (lit, 0.35 * part.radius, gleam),
    ):
        pen.line(ends.ravel().tolist(), fill=colour, width=round(2 * radius))
        for x, y in ends:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _draw_cylinder(pen: ImageDraw.ImageDraw, rims: DoubleArray, colour: Colour) -> None:
    far, near = rims
    side = mix(colour, INK, _GLEAM)
    pen.polygon(far.ravel().tolist(), fill=side, outline=INK, width=_OUTLINE)
    for k in range(_RIM):
        corners = np.concatenate((far[[k - 1, k]], near[[k, k - 1]]))
        pen.polygon(corners.ravel().tolist(), fill=side)
    pen.polygon(near.ravel().tolist(), fill=colour, outline=INK, width=_OUTLINE)
