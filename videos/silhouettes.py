"""Outlines of unit types, seen from above, so that a reader tells them apart without colour.

Points are complex numbers x + iy in multiples of the unit's radius; the unit faces +x. A body holds a disc of
radius 0.5 round the centre, for a number; no part lies farther out than EXTENT.
"""

from __future__ import annotations

import cmath
import math
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from env_adapters.starcraft.units import UNITS
from videos.pen import Outline

EXTENT: Final = 2.1
"""In multiples of a unit's radius."""
LIGHT: Final = 0.45
"""Tint of weapons, legs and blades: this far from the side's colour to white."""
DARK: Final = -0.4
"""Tint of hollows: this far from the side's colour to black."""


class Part(NamedTuple):
    """One filled outline."""

    outline: Outline
    tint: float
    """0 for the side's colour, above for lighter, below for darker."""


Silhouette = tuple[Part, ...]
"""The parts of one unit type in drawing order."""


def _ring(corners: int, radius: float, inner: float | None = None, at: complex = 0j) -> Outline:
    """Regular polygon, or a star where every second corner lies at `inner`."""
    radii = [radius if inner is None or k % 2 == 0 else inner for k in range(corners)]
    return np.array([at + r * cmath.exp(2j * math.pi * k / corners) for k, r in enumerate(radii)])


def _oval(along: float, across: float) -> Outline:
    circle = _ring(24, 1.0)
    return np.asarray(circle.real * along + 1j * circle.imag * across)


def _mirrored(*half: complex) -> Outline:
    """Outline symmetric about the x axis, from the points of its left side, front to back."""
    return np.array([*half, *(point.conjugate() for point in reversed(half))])


def _stroke(*spine: complex, width: float) -> Outline:
    """Band along a path, `width` broad at its start and pointed at its end."""
    count = len(spine) - 1
    ways = [end - start for start, end in pairwise(spine)]
    side = [1j * way / abs(way) * width * (1 - k / count) / 2 for k, way in enumerate(ways)]
    left = [point + edge for point, edge in zip(spine, side, strict=False)]
    right = [point - edge for point, edge in zip(spine, side, strict=False)]
    return np.array([*left, spine[-1], *reversed(right)])


def _bar(start: complex, end: complex, width: float) -> Outline:
    """Rectangle along the line from `start` to `end`."""
    side = 1j * (end - start) / abs(end - start) * width / 2
    return np.array([start + side, end + side, end - side, start - side])


def _pair(outline: Outline, tint: float = LIGHT) -> Silhouette:
    """A part on the left and its mirror image on the right."""
    return Part(outline, tint), Part(outline.conjugate(), tint)


def _marine() -> Silhouette:
    """Round, with shoulder plates and one rifle at the right hand."""
    rifle = _bar(0.2 - 0.6j, 1.85 - 0.45j, 0.4)
    return *_pair(_ring(12, 0.5, at=-0.1 + 0.8j)), Part(rifle, LIGHT), Part(_ring(20, 0.88), 0)


def _marauder() -> Silhouette:
    """Broad box with a launcher on each arm."""
    launcher = _bar(0.0 + 0.95j, 1.45 + 0.95j, 0.5)
    body = _mirrored(0.8 + 0.4j, 0.55 + 0.95j, -0.45 + 1.15j, -0.85 + 0.75j)
    return *_pair(launcher), Part(body, 0), Part(_bar(-0.75 + 0.4j, -0.75 - 0.4j, 0.2), DARK)


def _medivac() -> Silhouette:
    """Aircraft: hull and cross wings, an engine at each tip, tail fin."""
    cross = (1.2 + 0.2j, 0.9 + 0.42j, 0.42 + 0.42j, 0.42 + 0.95j, -0.35 + 0.95j, -0.35 + 0.42j, -1.05 + 0.35j)
    engine, fin = _oval(0.65, 0.28) + 1.0j, _bar(-1.0 + 0.7j, -1.0 - 0.7j, 0.35)
    cockpit = _mirrored(1.1 + 0.14j, 0.68 + 0.24j)
    return *_pair(engine), Part(fin, LIGHT), Part(_mirrored(*cross), 0), Part(cockpit, DARK)


def _stalker() -> Silhouette:
    """Kite on four bent legs."""
    front = _stroke(0.2 + 0.2j, 0.8 + 1.05j, 1.75 + 1.15j, width=0.4)
    back = _stroke(-0.2 + 0.2j, -0.6 + 1.1j, -1.5 + 1.3j, width=0.4)
    body = np.array([1.3 + 0j, 0.1 + 0.75j, -1.0 + 0.3j, -1.0 - 0.3j, 0.1 - 0.75j])
    return *_pair(front), *_pair(back), Part(body, 0), Part(_ring(8, 0.2, at=0.8 + 0j), DARK)


def _zealot() -> Silhouette:
    """Arrowhead between two long blades."""
    blade = np.array([-0.3 + 0.85j, 0.2 + 0.7j, 2.0 + 0.6j, 0.5 + 1.2j])
    body = _mirrored(1.0 + 0.1j, 0.25 + 0.55j, -0.35 + 0.95j, -0.85 + 0.75j, -0.6 + 0.3j)
    return *_pair(blade), Part(body, 0)


def _colossus() -> Silhouette:
    """Narrow hull across four very long legs."""
    front, back = (_stroke(0.1j, x * 0.45 + 1.15j, x + 1.6j, width=0.3) for x in (1.1, -1.1))
    lance = _bar(0.1 + 0.55j, 0.85 + 0.55j, 0.2)
    return *_pair(front), *_pair(back), *_pair(lance), Part(_oval(0.52, 0.95), 0)


def _zergling() -> Silhouette:
    """Drop with a tail and two scythes."""
    scythe = np.array([0.1 + 0.45j, 0.6 + 1.25j, 1.75 + 0.85j, 0.8 + 0.95j, 0.5 + 0.4j])
    body = _mirrored(1.05 + 0.2j, 0.5 + 0.6j, -0.25 + 0.62j, -0.8 + 0.3j, -1.8 + 0.08j)
    return *_pair(scythe), Part(body, 0)


def _hydralisk() -> Silhouette:
    """Hood, broadest behind the head, on a long bent tail."""
    tail = _stroke(-0.1 + 0j, -0.9 + 0.15j, -1.4 - 0.4j, -2.05 + 0.1j, width=1.2)
    arm = _stroke(0.2 + 0.7j, 0.9 + 1.15j, 1.7 + 0.75j, width=0.35)
    hood = _mirrored(1.2 + 0.2j, 0.6 + 0.5j, -0.1 + 1.0j, -0.6 + 0.85j, -0.55 + 0.3j)
    return Part(tail, 0), *_pair(arm), Part(hood, 0), Part(_ring(8, 0.17, at=0.85 + 0j), DARK)


def _baneling() -> Silhouette:
    """Ball with spikes all round and a bright sac."""
    return Part(_ring(20, 1.35, inner=0.85), 0), Part(_ring(16, 0.62), LIGHT)


def _spine_crawler() -> Silhouette:
    """Four roots and one long tentacle."""
    root = _ring(8, 1.3, inner=0.72) * cmath.exp(0.25j * math.pi)
    tentacle = _stroke(0.2 + 0j, 1.0 + 0.3j, 1.5 + 0.2j, 2.05 - 0.15j, width=0.75)
    return Part(root, 0), Part(tentacle, LIGHT), Part(_ring(16, 0.5), DARK)


_BY_NAME: Final = {
    "Marine": _marine(),
    "Marauder": _marauder(),
    "Medivac": _medivac(),
    "Stalker": _stalker(),
    "Zealot": _zealot(),
    "Colossus": _colossus(),
    "Zergling": _zergling(),
    "Hydralisk": _hydralisk(),
    "Baneling": _baneling(),
    "SpineCrawler": _spine_crawler(),
}
_BY_TYPE: Final = {unit.id: _BY_NAME[unit.name] for unit in UNITS}
_OTHER: Final = (Part(_bar(0.6 + 0j, 1.3 + 0j, 0.22), LIGHT), Part(_ring(6, 1.0), 0))


def silhouette(unit_type: int) -> Silhouette:
    """Parts of a unit type id (StarCraft II catalogue numbers); a plain hexagon for types not listed."""
    return _BY_TYPE.get(unit_type, _OTHER)
