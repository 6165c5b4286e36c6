"""Outlines of unit types, seen from above, so that a reader tells them apart without colour.

Points are complex numbers x + iy in multiples of the unit's radius; the unit faces +x. A body leaves a disc
of radius 0.5 round the centre for a number.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Outline = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class Silhouette:
    """The parts of one unit type, drawn in this order."""

    limbs: tuple[Outline, ...]
    """Weapons, legs, blades: in a lighter tint, under the body."""
    body: Outline


def _ring(corners: int, radius: float, turn: float = 0.0, inner: float | None = None) -> Outline:
    """Regular polygon, or a star where every second corner lies at `inner`."""
    radii = [radius if inner is None or k % 2 == 0 else inner for k in range(corners)]
    return np.array([r * cmath.exp(1j * (turn + 2 * math.pi * k / corners)) for k, r in enumerate(radii)])


def _mirrored(*half: complex) -> Outline:
    """Outline symmetric about the x axis, from the points of its left side, front to back."""
    return np.array([*half, *(point.conjugate() for point in reversed(half))])


def _bar(start: complex, end: complex, width: float) -> Outline:
    """Rectangle along the line from `start` to `end`."""
    side = 1j * (end - start) / abs(end - start) * width / 2
    return np.array([start + side, end + side, end - side, start - side])


def _legs(length: float, width: float, *angles: float) -> tuple[Outline, ...]:
    return tuple(_bar(0j, length * cmath.exp(1j * math.radians(angle)), width) for angle in angles)


_DISC = _ring(24, 1.0)

_BY_TYPE = {
    48: Silhouette((_bar(0.5 - 0.3j, 1.7 - 0.3j, 0.42),), _DISC),  # Marine: one rifle
    51: Silhouette(  # Marauder: broad, two launchers
        (_bar(0.2 + 0.75j, 1.4 + 0.75j, 0.45), _bar(0.2 - 0.75j, 1.4 - 0.75j, 0.45)),
        _ring(8, 1.0, math.pi / 8),
    ),
    54: Silhouette(  # Medivac: a cross
        (_bar(-0.2 + 1.15j, 0.55 + 1.15j, 0.4), _bar(-0.2 - 1.15j, 0.55 - 1.15j, 0.4)),
        _mirrored(1.15 + 0.45j, 0.45 + 0.45j, 0.45 + 1.15j, -0.45 + 1.15j, -0.45 + 0.45j, -1.15 + 0.45j),
    ),
    74: Silhouette(  # Stalker: kite on four legs
        _legs(1.35, 0.24, 50, 140, 220, 310), np.array([1.35 + 0j, 0.85j, -0.95 + 0j, -0.85j])
    ),
    73: Silhouette(  # Zealot: arrowhead, two blades
        (_bar(0.0 + 0.8j, 1.5 + 0.55j, 0.26), _bar(0.0 - 0.8j, 1.5 - 0.55j, 0.26)),
        _mirrored(1.0 + 0.1j, -0.7 + 1.0j, -0.45 + 0.3j),
    ),
    4: Silhouette(
        _legs(1.45, 0.16, 0, 50, 130, 230, 310), _ring(24, 0.62)
    ),  # Colossus: small hull, long legs
    105: Silhouette(  # Zergling: swept dart
        (_bar(0.3 + 0.3j, 1.35 + 0.55j, 0.2), _bar(0.3 - 0.3j, 1.35 - 0.55j, 0.2)),
        _mirrored(0.95 + 0.25j, 0.2 + 0.65j, -1.2 + 0.95j, -0.55 + 0.2j),
    ),
    107: Silhouette(  # Hydralisk: hood and tail
        (_bar(-0.4 + 0j, -1.6 + 0j, 0.35),), _mirrored(1.1 + 0.2j, 0.55 + 0.95j, -0.35 + 0.8j, -0.85 + 0.2j)
    ),
    9: Silhouette((_bar(0.5 + 0j, 1.6 + 0j, 0.3),), _ring(20, 1.2, 0.0, 0.85)),  # Baneling: spiked ball
    98: Silhouette(
        (_bar(0.4 + 0j, 1.7 + 0j, 0.34),), _ring(4, 1.15, math.pi / 4)
    ),  # Spine Crawler: block, one spike
}

_OTHER = Silhouette((_bar(0.6 + 0j, 1.3 + 0j, 0.22),), _ring(6, 1.0))


def silhouette(unit_type: int) -> Silhouette:
    """Outline of a unit type id (StarCraft II catalogue numbers); a plain hexagon for types not listed."""
    return _BY_TYPE.get(unit_type, _OTHER)
