"""Shots by kind, bursts and view cones. The record names shooter and target of each shot; its kind is the shooter's.

Weapons and ranges are those of `env_adapters.starcraft.units`. Places and radii are enlarged pixels.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from env_adapters.starcraft.units import BURST_RADIUS, LANCE_HALF_WIDTH, UNITS
from videos.pen import Pen
from videos.style import WHITE, Colour, mix

HEAL: Final[Colour] = (72, 224, 150)
SPLASH: Final[Colour] = (190, 226, 60)
"""What a Baneling leaves behind."""

_ARRIVAL = 0.6  # progress at which a missile lands
_FINGER_TIPS = 1.4  # a slash reaches this far beyond a touching distance, for units drawn apart
_BURST_STEPS = 0.8
_CONE_CELLS = 3.5
_CONE_POINTS = 5


class Shot(NamedTuple):
    """One hit, or one treatment, at one instant."""

    start: complex
    end: complex
    radii: tuple[float, float]
    """Of the shooter and the target."""
    colour: Colour
    """The shooter's side's."""
    cell: float
    """Enlarged pixels per map cell."""
    progress: float
    """0 to 1."""

    @property
    def way(self) -> complex:
        """Direction of fire, length 1."""
        return (self.end - self.start) / max(abs(self.end - self.start), 1e-9)

    @property
    def muzzle(self) -> complex:
        """Where the shot leaves the shooter."""
        return self.start + self.way * self.radii[0] * 1.2

    @property
    def impact(self) -> complex:
        """Where it enters the target."""
        return self.end - self.way * self.radii[1] * 0.6

    @property
    def bright(self) -> Colour:
        """The side's colour, glowing."""
        return mix(self.colour, WHITE, 0.6)


def _spark(pen: Pen, shot: Shot, glow: float) -> None:
    pen.ring(shot.impact, 6 + 8 * (1 - glow), WHITE, 3, glow)
    pen.disc(shot.impact, 2 + 4 * glow, WHITE, glow)


def _bullet(pen: Pen, shot: Shot) -> None:
    """Tracer over the whole way at once."""
    glow = 1 - shot.progress
    pen.line(shot.muzzle, shot.impact, shot.colour, 7, 0.3 * glow)
    pen.line(shot.muzzle, shot.impact, shot.bright, 3, 0.3 + 0.7 * glow)
    pen.disc(shot.muzzle, 3 + 5 * glow, shot.bright, glow)
    _spark(pen, shot, glow)


def _missile(pen: Pen, shot: Shot) -> None:
    """Body with a tail that flies, then a blast."""
    if shot.progress >= _ARRIVAL:
        pen.disc(shot.impact, 13, shot.bright, 0.5 * (1 - shot.progress) / (1 - _ARRIVAL))
        _spark(pen, shot, (1 - shot.progress) / (1 - _ARRIVAL))
        return
    flown = shot.progress / _ARRIVAL
    at = shot.muzzle + (shot.impact - shot.muzzle) * flown
    tail = at - shot.way * min(1.3 * shot.cell, abs(at - shot.muzzle))
    pen.line(tail, at, shot.colour, 6, 0.6)
    pen.disc(at, 7, shot.bright)
    pen.disc(at, 4, WHITE)


def _slash(pen: Pen, shot: Shot) -> None:
    """Two arcs before the striker, where it touches its target."""
    glow = 1 - shot.progress
    reach = min(abs(shot.end - shot.start), sum(shot.radii) * _FINGER_TIPS)
    middle, radius = shot.start + shot.way * (reach - shot.radii[1] * 0.6), shot.radii[0] * 0.9
    for lean in (0.6, -0.6):
        bow = [lean + turn for turn in (-0.7, -0.25, 0.25, 0.7)]
        arc = np.array([middle + shot.way * radius * (cmath.exp(1j * turn) - 0.7) for turn in bow])
        pen.path(arc, shot.bright, 10, 0.4 * glow)
        pen.path(arc, WHITE, 4, glow)


def _lances(pen: Pen, shot: Shot) -> None:
    """Two beams that sweep across the line of fire, and the scorched line."""
    across = 1j * shot.way * LANCE_HALF_WIDTH * shot.cell
    reached = shot.end + across * (1 - 2 * shot.progress)
    pen.line(shot.end + across, reached, shot.bright, 9, 0.4)
    pen.line(shot.end + across, reached, WHITE, 3, 0.9)
    for side in (0.5, -0.5):
        eye = shot.start + shot.way * 1j * side * shot.radii[0]
        pen.line(eye, reached, shot.colour, 8, 0.4)
        pen.line(eye, reached, WHITE, 2, 0.9)
    pen.disc(reached, 8, WHITE)


def _tentacle(pen: Pen, shot: Shot) -> None:
    """Thrust to the target and back."""
    out = 1 - abs(1 - 2 * shot.progress) ** 2
    tip = shot.muzzle + (shot.impact - shot.muzzle) * out
    side = 1j * shot.way * shot.radii[0] * 0.25
    pen.polygon(np.array([shot.start + side, tip, shot.start - side]), mix(shot.colour, WHITE, 0.45), rim=3)
    pen.disc(tip, 6, WHITE, out)


def _heal(pen: Pen, shot: Shot) -> None:
    """Steady beam, and a plus sign that pulses on the patient."""
    pulse = 0.5 + 0.5 * math.cos(4 * math.pi * shot.progress)
    pen.line(shot.muzzle, shot.impact, HEAL, 10, 0.3 + 0.15 * pulse)
    pen.line(shot.muzzle, shot.impact, HEAL, 4, 0.95)
    pen.ring(shot.end, shot.radii[1] * 1.25, HEAL, 3, 0.9)
    for arm in (1, 1j):
        half = arm * (7 + 3 * pulse)
        pen.line(shot.impact - half, shot.impact + half, HEAL, 5)


_MEDIVAC, _BANELING = (
    next(unit.id for unit in UNITS if unit.name == name) for name in ("Medivac", "Baneling")
)
_OF_NAME: Final[dict[str, Callable[[Pen, Shot], None]]] = {
    "Marine": _bullet,
    "Marauder": _missile,
    "Medivac": _heal,
    "Stalker": _missile,
    "Zealot": _slash,
    "Colossus": _lances,
    "Zergling": _slash,
    "Hydralisk": _missile,
    "SpineCrawler": _tentacle,
}  # a Baneling's attack is its burst
_OF_TYPE: Final = {unit.id: _OF_NAME[unit.name] for unit in UNITS if unit.name in _OF_NAME}


def draw_shot(pen: Pen, shooter_type: int, shot: Shot) -> None:
    """Draw a shot the way a unit type (catalogue number) shoots; types not listed shoot bullets.

    Hydralisks strike with their arms at what they touch.
    """
    if shooter_type == _BANELING or shot.start == shot.end:
        return
    draw = _OF_TYPE.get(shooter_type, _bullet)
    touching = abs(shot.end - shot.start) < sum(shot.radii) * _FINGER_TIPS
    (_slash if draw is _missile and touching else draw)(pen, shot)


def lasts_all_step(unit_type: int) -> bool:
    """Whether a shot of this type is seen through the whole step: a treatment is, the rest come and go."""
    return unit_type == _MEDIVAC


def bursts(unit_type: int) -> bool:
    """Whether units of this type burst when they die."""
    return unit_type == _BANELING


def burst(pen: Pen, at: complex, cell: float, age: float) -> None:
    """The splash of a Baneling that died `age` steps ago, as far as it hurts."""
    if not 0 <= age < _BURST_STEPS:
        return
    share = age / _BURST_STEPS
    radius = BURST_RADIUS * cell * (0.4 + 0.6 * math.sqrt(share))
    pen.disc(at, radius, SPLASH, 0.35 * (1 - share))
    pen.ring(at, radius, SPLASH, 4, 0.9 * (1 - share))


def seen_directions(direction: float) -> tuple[float, ...]:
    """The directions in which an agent with a view cone sees: upstream's test does not tell due east from due west."""
    along_x = abs(math.sin(direction)) < 1e-6
    return (direction, direction + math.pi) if along_x else (direction,)


def view_cone(pen: Pen, at: complex, radius: float, direction: float, width: float, cell: float) -> None:
    """Where an agent looks: the near end of its cone, faint.

    Args:
        pen: draws.
        at: the agent's place.
        radius: the agent's.
        direction: radians, counter-clockwise from east.
        width: of the whole cone, radians.
        cell: enlarged pixels per map cell.
    """
    turns = np.linspace(direction - width / 2, direction + width / 2, _CONE_POINTS)
    rim = at + (_CONE_CELLS * cell + radius) * np.exp(-1j * turns)
    pen.polygon(np.array([at, *rim]), WHITE, 0.1)
    for end in (rim[0], rim[-1]):
        pen.line(at, complex(end), WHITE, 2, 0.35)


def reach(types: frozenset[int], cones: bool, cell: float) -> float:
    """Pixels by which effects of these unit types leave their units; lances stay within a Colossus's own size."""
    cells = [0.0]
    if _BANELING in types:
        cells.append(BURST_RADIUS + 0.2)
    if cones:
        cells.append(_CONE_CELLS + 1.2)
    return max(cells) * cell
