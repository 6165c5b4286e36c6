"""Random positions for unit tables. Every coordinate is exactly a float32, as the game's messages hold it.

A style is a number stored in the golden files as `position_style`; 0 to 6 mean what the README of the
golden files says, 7 to 9 are the extreme ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from env_adapters.starcraft.maps import MAP_SIZE

Points = npt.NDArray[np.float64]

LATTICE_STYLE: Final = 2
EXACT_STYLE: Final = 4
CONE_STYLE: Final = 6
_DISTANCES: Final = (2, 4, 5, 6, 7, 8, 9, 10, 11)
_RELATIVE_OFF: Final = 2.0**-20
_AXES_AND_DIAGONALS: Final = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))


def as_float32(values: npt.ArrayLike) -> Points:
    """Values rounded to float32 and widened again."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def _uniform(rng: np.random.Generator, count: int) -> Points:
    return rng.uniform(0, MAP_SIZE, (count, 2))


def _cluster(rng: np.random.Generator, count: int) -> Points:
    spread = rng.choice([1.0, 3.0, 6.0])
    return np.clip(rng.uniform(6, 26, 2) + rng.normal(0, spread, (count, 2)), 0, MAP_SIZE)


def _lattice(rng: np.random.Generator, count: int) -> Points:
    reach = rng.choice([6, 12, 28])
    return rng.integers(0, 2 * (MAP_SIZE - reach) + 1, 2) / 2 + rng.integers(0, 2 * reach + 1, (count, 2)) / 2


def _edges(rng: np.random.Generator, count: int) -> Points:
    rims = np.array([0.0, 0.25, 1.0, 1.5, 2.0, 2.5, 29.5, 30.0, 30.5, 31.0, 31.25, 32.0])
    points = rng.choice(rims, (count, 2))
    inner = rng.random((count, 2)) < 0.3
    return np.where(inner, rng.uniform(0, MAP_SIZE, (count, 2)), points)


def _exact_distances(rng: np.random.Generator, count: int) -> Points:
    points = np.zeros((count, 2))
    points[0] = rng.integers(8 * 8, 24 * 8, 2) / 8
    for row in range(1, count):
        base = points[rng.integers(0, row)]
        points[row] = base + _exact_offset(rng)
        if (points[row] < 0).any() or (points[row] > MAP_SIZE).any():
            points[row] = rng.integers(0, MAP_SIZE * 8, 2) / 8
    return points


def _exact_offset(rng: np.random.Generator) -> Points:
    kind = rng.random()
    if kind < 0.1:
        return np.zeros(2)
    sign = rng.choice([-1.0, 1.0], 2)
    if kind < 0.3:
        pair = np.array([3.0, 4.0]) * rng.choice([1.0, 2.0])
        return np.asarray(sign * rng.permutation(pair))
    offset = np.array([float(rng.choice(_DISTANCES)), 0.0])
    if kind > 0.7:
        offset *= 1 + rng.choice([-1.0, 1.0]) * _RELATIVE_OFF
    return np.asarray(sign * rng.permutation(offset))


def _fine_grid(rng: np.random.Generator, count: int) -> Points:
    return rng.integers(0, MAP_SIZE * 4096 + 1, (count, 2)) / 4096


def _axes(rng: np.random.Generator, count: int) -> Points:
    centre = rng.integers(8 * 2, 24 * 2, 2) / 2
    directions = np.array(_AXES_AND_DIAGONALS)[rng.integers(0, 8, count)]
    return centre + directions * rng.integers(0, 15, (count, 1)) / 2


def _one_point(rng: np.random.Generator, count: int) -> Points:
    points = np.tile(rng.uniform(0, MAP_SIZE, 2), (count, 1))
    if rng.random() < 0.5:
        points[rng.random(count) < 0.5] += (float(rng.choice(_DISTANCES)), 0.0)
    return points


def _far_outside(rng: np.random.Generator, count: int) -> Points:
    near = rng.uniform(-8, MAP_SIZE + 8, (count, 2))
    far = rng.uniform(-1, 1, (count, 2)) * 10.0 ** rng.integers(2, 6, (count, 1))
    return np.where(rng.random((count, 1)) < 0.25, far, near)


def _beside_integers(rng: np.random.Generator, count: int) -> Points:
    lines = rng.integers(-2, MAP_SIZE + 3, (count, 2)).astype(np.float32)
    towards = rng.choice([-np.inf, np.inf], (count, 2)).astype(np.float32)
    beside = np.nextafter(lines, towards)
    return np.where(rng.random((count, 2)) < 0.7, beside, lines).astype(np.float64)


STYLES: Final[tuple[Callable[[np.random.Generator, int], Points], ...]] = (
    _uniform,
    _cluster,
    _lattice,
    _edges,
    _exact_distances,
    _fine_grid,
    _axes,
    _one_point,
    _far_outside,
    _beside_integers,
)
"""Generators by style number: draw `count` points [count, 2]."""


def draw(style: int, rng: np.random.Generator, count: int) -> Points:
    """Positions [count, 2] of one style before a step."""
    return as_float32(STYLES[style](rng, count))


def move(style: int, rng: np.random.Generator, before: Points) -> Points:
    """Positions after the step: all drawn anew in half of the tables, else some units move a little."""
    if rng.random() < 0.5:
        return draw(style, rng, len(before))
    offsets = rng.uniform(-1.5, 1.5, before.shape)
    if style in (LATTICE_STYLE, EXACT_STYLE, CONE_STYLE):
        offsets = np.round(offsets * 2) / 2
    axes = rng.random(before.shape) < 0.7
    walking = rng.random((len(before), 1)) < 0.4
    return as_float32(before + np.where(walking & axes, offsets, 0.0))
