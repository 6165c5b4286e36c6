"""What is drawn on the arena: units, bars, orders, shots and the fallen. Places are pixels right + i * down."""

from __future__ import annotations

import cmath
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from videos.silhouettes import Outline, silhouette
from videos.style import INK, WHITE, Colour, font, mix

HEALTH: Colour = (139, 214, 124)
HEALTH_LOW: Colour = (240, 228, 66)
HEALTH_LOST: Colour = WHITE
SHIELD: Colour = (205, 220, 255)

_WEDGE = np.array([0.6, -0.3 + 0.38j, -0.3 - 0.38j])
_DASH = 9.0
_BAR_WIDTH, _BAR_HEIGHT = 46, 8
FADE_STEPS = 8.0
"""Time until the cross of a fallen unit is gone."""
REACH = 2.6
"""No mark of a unit but its bars lies further from it than this many of its radii."""
BARS = 36.0
"""Height that the bars add, enlarged pixels."""


class Pen:
    """Draws on a cut-out of the arena, in place; opacity runs from 0 to 1."""

    def __init__(self, image: Image.Image, corner: complex) -> None:
        self._draw = ImageDraw.Draw(image, "RGBA")
        self._corner = corner

    def _box(self, at: complex, radius: float) -> tuple[float, float, float, float]:
        at -= self._corner
        return at.real - radius, at.imag - radius, at.real + radius, at.imag + radius

    def polygon(self, points: Outline, fill: Colour) -> None:
        """Filled outline with a dark rim."""
        points = points - self._corner
        flat = np.column_stack([points.real, points.imag]).ravel().tolist()
        self._draw.line(flat + flat[:4], fill=INK, width=5)  # polygon's own wide rim is ten times slower
        self._draw.polygon(flat, fill=fill)

    def disc(self, at: complex, radius: float, fill: Colour, opacity: float = 1.0) -> None:
        """Filled circle."""
        self._draw.ellipse(self._box(at, radius), fill=(*fill, round(255 * opacity)))

    def ring(self, at: complex, radius: float, colour: Colour, width: int, opacity: float = 1.0) -> None:
        """Circle."""
        self._draw.ellipse(self._box(at, radius), outline=(*colour, round(255 * opacity)), width=width)

    def line(self, start: complex, end: complex, colour: Colour, width: int, opacity: float = 1.0) -> None:
        """Straight stroke."""
        start, end = start - self._corner, end - self._corner
        ends = (start.real, start.imag, end.real, end.imag)
        self._draw.line(ends, fill=(*colour, round(255 * opacity)), width=width)

    def rectangle(self, corner: complex, width: float, height: float, fill: Colour) -> None:
        """Filled rectangle from its upper left corner; nothing where it is narrower than a pixel."""
        left, top = corner.real - self._corner.real, corner.imag - self._corner.imag
        if width >= 1:
            self._draw.rectangle((left, top, left + width - 1, top + height - 1), fill=fill)

    def text(self, at: complex, text: str, size: int, fill: Colour) -> None:
        """Text centred at a place."""
        at -= self._corner
        self._draw.text((at.real, at.imag), text, font=font(size), fill=fill, anchor="mm")


def unit(
    pen: Pen, at: complex, radius: float, facing: float, unit_type: int, colour: Colour, label: str
) -> None:
    """A living unit: silhouette in its side's colour, turned to where it faces, with a label on it."""
    shape = silhouette(unit_type)
    turn = radius * cmath.exp(1j * facing)
    for limb in shape.limbs:
        pen.polygon((limb * turn).conjugate() + at, mix(colour, WHITE, 0.45))
    pen.polygon((shape.body * turn).conjugate() + at, colour)
    if label:
        pen.text(at, label, max(18, min(28, round(radius * 1.2))), INK)
    else:
        pen.polygon((_WEDGE * turn).conjugate() + at, INK)


def bars(pen: Pen, at: complex, radius: float, health: Sequence[float], shield: Sequence[float]) -> None:
    """Health bar above a unit and, for units that have one, the shield bar above that.

    Args:
        pen: draws.
        at: the unit's place.
        radius: the unit's, in pixels.
        health: now, at the end of the step, and at most; the part being lost is white.
        shield: now and at most.
    """
    now, after, most = health
    width = max(_BAR_WIDTH, round(radius * 1.8))
    corner = at + complex(-width / 2, -radius * 0.95 - _BAR_HEIGHT)
    pen.rectangle(corner - (2 + 2j), width + 4, _BAR_HEIGHT + 4, INK)
    full = width / max(most, 1e-9)
    left = HEALTH if min(now, after) > most / 3 else HEALTH_LOW
    pen.rectangle(corner, full * now, _BAR_HEIGHT, HEALTH_LOST)
    pen.rectangle(corner, full * min(now, after), _BAR_HEIGHT, left)
    if shield[1] > 0:
        above = corner - 1j * (_BAR_HEIGHT + 2)
        pen.rectangle(above - (2 + 2j), width + 4, _BAR_HEIGHT + 2, INK)
        pen.rectangle(above, width * shield[0] / shield[1], _BAR_HEIGHT - 2, SHIELD)


def shot(
    pen: Pen, shooter: complex, target: complex, radii: tuple[float, float], colour: Colour, glow: float
) -> None:
    """A hit: line from edge to edge, flash at the muzzle, ring at the impact; `glow` falls from 1 to 0."""
    way = target - shooter
    if abs(way) < 1e-9 or glow <= 0:
        return
    towards = way / abs(way)
    muzzle, impact = shooter + towards * radii[0] * 1.3, target - towards * radii[1] * 0.6
    bright = mix(colour, WHITE, 0.6)
    pen.line(muzzle, impact, colour, 9, 0.35 * glow)
    pen.line(muzzle, impact, bright, 3, 0.3 + 0.7 * glow)
    pen.disc(muzzle, 4 + 6 * glow, bright, glow)
    pen.ring(impact, radii[1] * (1.35 - 0.55 * glow), WHITE, 4, glow)
    pen.disc(impact, 3 + 5 * glow, WHITE, glow)


def target_line(pen: Pen, agent: complex, target: complex, colour: Colour) -> None:
    """Thin dashes from an agent to the unit it chose to act on."""
    way = target - agent
    for k in range(1, int(abs(way) / _DASH / 2)):
        start = agent + way / abs(way) * _DASH * 2 * k
        pen.line(start, start + way / abs(way) * _DASH, colour, 3, 0.6)


def move_arrow(pen: Pen, agent: complex, radius: float, heading: complex, colour: Colour) -> None:
    """Arrowhead beside an agent; `heading` is right + i * up."""
    tip = agent + heading.conjugate() * (1.4 * radius + 30)  # clear of the bars
    back, side = -heading.conjugate() * radius * 0.55, 1j * heading.conjugate() * radius * 0.55
    pen.line(tip, tip + back + side, colour, 5, 0.9)
    pen.line(tip, tip + back - side, colour, 5, 0.9)


def fallen(pen: Pen, at: complex, radius: float, colour: Colour, age: float) -> None:
    """A cross where a unit fell `age` steps ago; it fades, and a ring spreads in the first step."""
    if 0 <= age < 1:
        pen.ring(at, radius * (1 + 1.2 * age), WHITE, 4, 1 - age)
    strength = 1 - age / FADE_STEPS
    if strength <= 0:
        return
    for arm in (1 + 1j, 1 - 1j):
        pen.line(at - arm * radius * 0.7, at + arm * radius * 0.7, INK, 11, strength)
        pen.line(at - arm * radius * 0.62, at + arm * radius * 0.62, colour, 6, strength)
