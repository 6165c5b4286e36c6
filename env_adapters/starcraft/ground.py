"""What units can stand on, and the way round walls.

From every cell to every other, a table names the corner to walk to first on the shortest way that keeps clear
of the walls (visibility graph; Lozano-Perez and Wesley, 1979). Open or convex arenas need none: the way is straight.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.jit import inner, kernel

BLOCKED: Final = 0
STANDABLE: Final = 1
ROOMY: Final = 2
"""Standable, and so are all cells around."""
_CLEARANCE: Final = 0.5
"""Cells kept from walls on the way: the inner radius of the widest unit on the ground."""
_CORNER_OFFSET: Final = 0.625
"""How far along both axes a way's corner lies from the corner of the wall."""
_PER_CELL: Final = 8
"""Ways name positions in eighths of a cell."""
_SAMPLES_PER_CELL: Final = 4
_NEAR_SQUARED: Final = 4
"""Within two cells of a goal that nobody can stand on, units press straight on at it."""

Cells = npt.NDArray[np.int8]
"""[3 movers, x, y]: BLOCKED, STANDABLE or ROOMY."""
Ways = npt.NDArray[np.uint16]
"""[cells, cells] (cell = x * size + y): 0 for straight on, else 256 * 8x + 8y of the corner; [0, 0] if never needed."""


@kernel
def standable(cells: np.ndarray, x: float, y: float, clearance: float) -> bool:
    """Whether a unit of this inner radius can stand at a point of int8[x, y], tested at its four extremes."""
    low_x, high_x = int(x - clearance), int(x + clearance)
    low_y, high_y = int(y - clearance), int(y + clearance)
    if low_x < 0 or low_y < 0 or high_x >= cells.shape[0] or high_y >= cells.shape[1]:
        return False
    column, row = int(x), int(y)
    return bool(cells[low_x, row] and cells[high_x, row] and cells[column, low_y] and cells[column, high_y])


@kernel
def first_corner(ways: np.ndarray, x: float, y: float, goal_x: float, goal_y: float) -> tuple[float, float]:
    """The next corner on the way from (x, y) to a goal, or the goal itself; everything inside the map."""
    size = int(sqrt(ways.shape[0]))
    corner = int(ways[int(x) * size + int(y), int(goal_x) * size + int(goal_y)])
    if corner == 0:
        return goal_x, goal_y
    return (corner // 256) / _PER_CELL, (corner % 256) / _PER_CELL


def roominess(walkable: BoolArray) -> npt.NDArray[np.int8]:
    """BLOCKED, STANDABLE or ROOMY for every cell of bool[x, y]."""
    padded = np.pad(walkable, 1)
    width, height = walkable.shape
    around = [padded[i : i + width, j : j + height] for i in range(3) for j in range(3)]
    return walkable.astype(np.int8) + np.all(around, axis=0).astype(np.int8)


@inner
def _line_is_clear(cells: np.ndarray, x: float, y: float, to_x: float, to_y: float) -> bool:
    distance = sqrt((to_x - x) ** 2 + (to_y - y) ** 2)
    n = int(distance * _SAMPLES_PER_CELL) + 1
    for k in range(1, n):
        if not standable(cells, x + (to_x - x) * k / n, y + (to_y - y) * k / n, _CLEARANCE - 0.01):
            return False
    return True


@kernel
def _sight_lines(cells: np.ndarray, origins: DoubleArray, ends: DoubleArray, out: DoubleArray) -> None:
    """Fill out[i, j] with the length of the line from origin i to end j, inf where walls are in the way."""
    for i in range(origins.shape[0]):
        for j in range(ends.shape[0]):
            x, y, to_x, to_y = origins[i, 0], origins[i, 1], ends[j, 0], ends[j, 1]
            clear = _line_is_clear(cells, x, y, to_x, to_y)
            out[i, j] = sqrt((to_x - x) ** 2 + (to_y - y) ** 2) if clear else np.inf


def _lines(cells: np.ndarray, origins: DoubleArray, ends: DoubleArray) -> DoubleArray:
    out = np.empty((len(origins), len(ends)))
    _sight_lines(cells, origins, ends, out)
    return out


def _corners(walkable: BoolArray) -> DoubleArray:
    """Points [corners, 2] just off every convex corner of the walls of bool[x, y]."""
    points = []
    for x in range(1, walkable.shape[0]):
        for y in range(1, walkable.shape[1]):
            block = walkable[x - 1 : x + 1, y - 1 : y + 1]
            if block.sum() == 3:
                (i, j) = np.argwhere(~block)[0]
                points.append((x + _CORNER_OFFSET * (1 - 2 * i), y + _CORNER_OFFSET * (1 - 2 * j)))
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def find_ways(walkable: BoolArray) -> Ways:
    """The table of ways over bool[x, y]; [0, 0] for an arena without corners to walk round."""
    corners = _corners(walkable)
    if len(corners) == 0:
        return np.zeros((0, 0), dtype=np.uint16)
    cells = walkable.astype(np.int8)
    spots = np.argwhere(walkable)
    centres = np.asarray(spots + 0.5, dtype=np.float64)
    straight = np.isfinite(_lines(cells, centres, centres))
    between = _lines(cells, corners, corners)
    for k in range(len(corners)):  # Floyd and Warshall
        between = np.minimum(between, between[:, k, None] + between[None, k, :])
    to_corner = _lines(cells, centres, corners)
    onward = np.min(between[:, None, :] + to_corner[None, :, :], axis=2)
    first = np.empty(straight.shape, dtype=np.int64)
    for spot in range(len(spots)):
        first[spot] = (to_corner[spot][:, None] + onward).argmin(axis=0)
    codes = np.rint(corners * _PER_CELL).astype(np.uint16)
    ways = (codes[:, 0] * 256 + codes[:, 1])[first]
    ways[straight] = 0
    return _for_every_cell(walkable, spots, ways)


def _for_every_cell(walkable: BoolArray, spots: npt.NDArray[np.int64], ways: Ways) -> Ways:
    """Cells that nobody can stand on take the ways of the nearest that can be stood on.

    From afar the way to such a cell leads to the middle of that nearest one: straight on at the goal itself a unit would
    run into the wall before it.
    """
    every = np.argwhere(np.ones_like(walkable))
    squared = ((every[:, None, :] - spots[None, :, :]) ** 2).sum(axis=2)
    nearest = squared.argmin(axis=1)
    full = np.ascontiguousarray(ways[np.ix_(nearest, nearest)])
    middles = spots[nearest] * _PER_CELL + _PER_CELL // 2
    apart = ((spots[nearest][:, None, :] - spots[nearest][None, :, :]) ** 2).sum(axis=2)
    detour = (full == 0) & ~walkable.ravel()[None, :] & (apart > _NEAR_SQUARED)
    return np.where(detour, (middles[:, 0] * 256 + middles[:, 1]).astype(np.uint16)[None, :], full)
