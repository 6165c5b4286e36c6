"""What is drawn at a unit: its body, bars and orders, and the cross where it fell.

Places and radii are enlarged pixels.
"""

from __future__ import annotations

from typing import Final

from env_adapters.starcraft.units import UNITS, Mover
from videos.pen import Pen
from videos.silhouettes import EXTENT
from videos.sprites import direction, text_sprite, unit_sprite
from videos.style import INK, WHITE, Colour

HEALTH: Final[Colour] = (139, 214, 124)
HEALTH_LOW: Final[Colour] = (240, 228, 66)
HEALTH_LOST: Final[Colour] = WHITE
SHIELD: Final[Colour] = (150, 150, 255)
ENERGY: Final[Colour] = (214, 120, 180)

FADE_STEPS: Final = 8.0
"""Time until the cross of a fallen unit is gone."""
REACH: Final = EXTENT + 0.6
"""No mark of a unit but its bars and its order lies further from it than this many of its radii."""
BARS: Final = 36.0
"""Height that the bars and a north arrow add, enlarged pixels."""

_FLYING = frozenset(unit.id for unit in UNITS if unit.mover is Mover.AIR)
_AIRBORNE = 0.8  # opacity
_BAR_WIDTH = 30
_TALL_FROM = 20.0  # radius from which bars are thicker
_DASH = 9.0


def flies(unit_type: int) -> bool:
    """Whether units of this type are in the air."""
    return unit_type in _FLYING


def unit(
    pen: Pen, at: complex, radius: float, facing: float, unit_type: int, colour: Colour, wedge: bool
) -> None:
    """The body of a living unit: silhouette in its side's colour, turned to where it faces.

    Units in the air throw a shadow and let those below be seen. A wedge marks the middle of units without a number.
    """
    opacity = 1.0
    if flies(unit_type):
        pen.disc(at + (0.5 + 0.8j) * radius, radius * 1.1, INK, 0.45)
        opacity = _AIRBORNE
    pen.stamp(unit_sprite(unit_type, colour, round(radius), direction(facing), wedge, opacity), at)


def number(pen: Pen, at: complex, radius: float, agent: int) -> None:
    """An agent's number in the middle of its body."""
    pen.stamp(text_sprite(str(agent), max(17, min(28, round(radius * 1.1))), INK), at)


def bars(
    pen: Pen,
    at: complex,
    radius: float,
    health: tuple[float, float, float],
    second: tuple[float, float, Colour] | None,
) -> None:
    """Health bar above a unit and, above that, the bar of its shield or energy.

    Args:
        pen: draws.
        at: the unit's place.
        radius: the unit's.
        health: now, at the end of the step, and at most; the part being lost is white.
        second: now, at most, and its colour; None for units without.
    """
    now, after, most = health
    height = 8 if radius >= _TALL_FROM else 6
    width = max(_BAR_WIDTH, round(radius * 1.9))
    corner = at + complex(-width / 2, -radius * 1.1 - height)
    pen.rectangle(corner - (2 + 2j), width + 4, height + 4, INK)
    full = width / max(most, 1e-9)
    left = HEALTH if min(now, after) > most / 3 else HEALTH_LOW
    pen.rectangle(corner, full * now, height, HEALTH_LOST)
    pen.rectangle(corner, full * min(now, after), height, left)
    if second is not None:
        filled, whole, colour = second
        above = corner - 1j * (height + 2)
        pen.rectangle(above - (2 + 2j), width + 4, height + 2, INK)
        pen.rectangle(above, width * filled / whole, height, colour)


def target_line(pen: Pen, agent: complex, target: complex, colour: Colour, opacity: float) -> None:
    """Thin dashes from an agent to the unit it chose to act on."""
    way = target - agent
    for k in range(1, int(abs(way) / _DASH / 2)):
        start = agent + way / abs(way) * _DASH * 2 * k
        pen.line(start, start + way / abs(way) * _DASH, colour, 3, opacity)


def move_arrow(pen: Pen, agent: complex, radius: float, heading: complex, colour: Colour) -> None:
    """Arrowhead beside an agent; `heading` is right + i * up."""
    clear = 30 if heading.imag > 0 else 8  # of the bars
    tip = agent + heading.conjugate() * (1.9 * radius + clear)
    back, side = -heading.conjugate() * radius * 0.5, 1j * heading.conjugate() * radius * 0.5
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
