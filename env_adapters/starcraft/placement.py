"""Where units end up that are created on top of each other or where nobody can stand: the nearest free spot.

The real game's search is not published. Ours is deterministic: each unit in turn takes the first free candidate of a
fixed spiral round its wanted point. Candidates form a lattice of a quarter of a cell, nearest first; of equally near
ones the most southern direction goes first, then counterclockwise, as the real game spreads Marines.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.units import Mover

_AIR: Final = int(Mover.AIR)
STEP: Final = 0.25
"""Cells between neighbouring candidates."""


class Body(NamedTuple):
    """What placement needs of unit types, one row each."""

    footing: IntArray
    """Each type's `units.Mover`, the first index of `grids`."""
    separation: DoubleArray
    """Cells; two units keep at least the sum of theirs between their centres."""
    inner: DoubleArray
    """Cells; every grid cell that a disc of this radius touches must be free."""


def spiral(radius: float) -> DoubleArray:
    """Candidate offsets [K, 2] within `radius` cells in the order in which they are tried, (0, 0) first."""
    reach = int(radius / STEP)
    grid = np.arange(-reach, reach + 1)
    dx, dy = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
    squared = dx * dx + dy * dy
    from_south = np.arctan2(dx, -dy) % (2 * np.pi)
    order = np.lexsort((from_south, squared))
    order = order[squared[order] <= (radius / STEP) ** 2]
    return np.ascontiguousarray(np.stack((dx[order], dy[order]), axis=1) * STEP)


@kernel
def stands(grids: BoolArray, footing: int, inner: float, x: float, y: float) -> bool:
    """Whether a disc of radius `inner` round (x, y) touches only cells that are True in its grid [3, W, H]."""
    if x < inner or y < inner:
        return False
    low_x, high_x, low_y, high_y = int(x - inner), int(x + inner), int(y - inner), int(y + inner)
    if high_x >= grids.shape[1] or high_y >= grids.shape[2]:
        return False
    for column in range(low_x, high_x + 1):
        for row in range(low_y, high_y + 1):
            dx, dy = x - min(max(x, column), column + 1.0), y - min(max(y, row), row + 1.0)
            if dx * dx + dy * dy <= inner * inner and not grids[footing, column, row]:
                return False
    return True


@inner
def _first_candidate(kinds: IntArray, wanted: DoubleArray, body: Body, taken: IntArray, u: int) -> int:
    """The first candidate worth a look: what was full for an earlier unit here is full for one that is no smaller."""
    kind, first = kinds[u], 0
    for v in range(u):
        if wanted[0, v] == wanted[0, u] and wanted[1, v] == wanted[1, u] and taken[v] >= first:
            other = kinds[v]
            smaller = (
                body.separation[other] <= body.separation[kind] and body.inner[other] <= body.inner[kind]
            )
            if smaller and body.footing[other] == body.footing[kind]:
                first = taken[v] + 1
    return first


@kernel
def place(
    kinds: IntArray,
    wanted: DoubleArray,
    body: Body,
    grids: BoolArray,
    low: float,
    high: float,
    candidates: DoubleArray,
    x: DoubleArray,
    y: DoubleArray,
) -> int:
    """Place units one after another, each at its first free candidate.

    Args:
        kinds: int64[U], each unit's row in `body`.
        wanted: float64[2, U], wanted x and y of the centres.
        body: sizes of the unit types.
        grids: bool[3, W, H], where units may stand by footing, indexed [footing, x, y].
        low: least coordinate of the playable area; inner radii stay inside it.
        high: largest coordinate of the playable area, itself outside.
        candidates: float64[K, 2] as `spiral` makes them.
        x: float64[U], filled with where the units go.
        y: float64[U], likewise.

    Returns:
        Number of units that found no spot among the candidates; they stay at their wanted point.
    """
    taken = np.empty(len(kinds), dtype=np.int64)
    near = np.empty((3, len(kinds)))  # x, y and squared clearance of the units that can be in the way
    lost = 0
    for u in range(len(kinds)):
        kind, home_x, home_y = kinds[u], wanted[0, u], wanted[1, u]
        inner, footing = body.inner[kind], body.footing[kind]
        n_near = 0
        for v in range(u):
            if (footing == _AIR) == (body.footing[kinds[v]] == _AIR):
                gap = body.separation[kind] + body.separation[kinds[v]]
                near[0, n_near], near[1, n_near], near[2, n_near] = x[v], y[v], gap * gap
                n_near += 1
        x[u], y[u], taken[u] = home_x, home_y, len(candidates)
        for k in range(_first_candidate(kinds, wanted, body, taken, u), len(candidates)):
            at_x, at_y = home_x + candidates[k, 0], home_y + candidates[k, 1]
            if min(at_x, at_y) < low + inner or max(at_x, at_y) >= high - inner:
                continue
            free = True
            for v in range(n_near):
                dx, dy = at_x - near[0, v], at_y - near[1, v]
                free = free and dx * dx + dy * dy >= near[2, v]
            if free and stands(grids, footing, inner, at_x, at_y):
                x[u], y[u], taken[u] = at_x, at_y, k
                break
        lost += int(taken[u] == len(candidates))
    return lost
