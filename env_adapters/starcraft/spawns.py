"""How an episode of a SMAC v1 map begins: units at their start points, fresh, in the order of the unit table."""

from __future__ import annotations

from itertools import product
from math import atan2, pi
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.jit import kernel
from env_adapters.starcraft import stats as st
from env_adapters.starcraft.ground import standable
from env_adapters.starcraft.maps import MapInfo
from env_adapters.starcraft.movement import snap
from env_adapters.starcraft.stats import unit_stats
from env_adapters.starcraft.table import (
    AIM,
    ENERGY,
    FACING_X,
    GIRTH,
    HEALTH,
    LAYER,
    N_FIELDS,
    OWNER,
    PLANE,
    RADIUS,
    REACH,
    SHIELD,
    SHOT_AT,
    TARGET,
    TYPE,
    X,
    Y,
)
from env_adapters.starcraft.units import UNITS, Mover

MARINE_GAP: Final = 2820 / 4096
"""Centre distance of Marines created together, measured in the real game: less than their separation radii."""
GIRTH_PER_SEPARATION: Final = MARINE_GAP / 0.75
"""Units keep each other off at this fraction of their separation radii (0.375 for a Marine)."""
_RINGS: Final = 12
_FROM_SOUTH: Final = pi / 2
_AIR: Final = float(Mover.AIR)


def _pattern() -> DoubleArray:
    """Offsets [candidates, 2] round a point, in diameters of the unit, in the order in which they are tried.

    The real game put 3 and 8 Marines at the centre, then south, east, north and west at `MARINE_GAP`, then on the
    diagonals at 0.75 cells. Farther places continue the square grid outwards; the order in between is a guess.
    """
    near = MARINE_GAP / 0.75
    grid = []
    for i, j in product(range(-_RINGS, _RINGS + 1), repeat=2):
        turn = (atan2(j, i) + _FROM_SOUTH) % (2 * pi)
        grid.append((i * i + j * j, turn, i, j))
    return np.array(
        [(i * near, j * near) if d == 1 else (i, j) for d, _, i, j in sorted(grid)], dtype=np.float64
    )


@kernel
def new_unit(
    game: DoubleArray, stats: DoubleArray, u: int, kind: int, owner: float, x: float, y: float
) -> None:
    """Put a fresh unit of type `kind` into column `u` of a table."""
    for field in range(N_FIELDS):
        game[field, u] = 0.0
    game[TYPE, u], game[OWNER, u] = kind, owner
    game[X, u], game[Y, u] = x, y
    game[FACING_X, u] = 1.0
    game[HEALTH, u], game[SHIELD, u] = stats[st.HEALTH_MAX, kind], stats[st.SHIELD_MAX, kind]
    game[ENERGY, u] = stats[st.ENERGY_START, kind]
    game[TARGET, u], game[SHOT_AT, u], game[AIM, u] = -1.0, -1.0, -1.0
    game[GIRTH, u] = stats[st.SEPARATION, kind] * GIRTH_PER_SEPARATION
    game[PLANE, u] = 1.0 if stats[st.MOVER, kind] == _AIR else 0.0
    game[LAYER, u] = stats[st.MOVER, kind]
    game[RADIUS, u] = stats[st.BODY_RADIUS, kind]
    game[REACH, u] = (
        stats[st.RANGE, kind] + stats[st.BODY_RADIUS, kind] if stats[st.RANGE, kind] >= 0.0 else -1.0
    )


def start_positions(info: MapInfo, player: int) -> DoubleArray:
    """Start positions [units, 2] of one player's units, in order of creation."""
    placed: list[tuple[float, float, float, bool, int]] = []
    for spawn in info.spawns:
        for _ in range(spawn.count):
            placed.append(_place(info, placed, spawn.unit, spawn.x, spawn.y, spawn.player))
    return np.array([(x, y) for x, y, _, _, owner in placed if owner == player], dtype=np.float64)


def _place(
    info: MapInfo,
    placed: list[tuple[float, float, float, bool, int]],
    name: str,
    x: float,
    y: float,
    player: int,
) -> tuple[float, float, float, bool, int]:
    """The first place of the pattern that is free: (x, y, girth, in the air, player)."""
    unit = next(unit for unit in UNITS if unit.name == name)
    girth = unit.separation_radius * GIRTH_PER_SEPARATION
    air = unit.mover == Mover.AIR
    floor = info.cells[unit.mover]
    for dx, dy in _pattern() * 2.0 * unit.separation_radius:
        at_x, at_y = snap(x + dx), snap(y + dy)
        if not standable(floor, at_x, at_y, unit.inner_radius):
            continue
        gaps = [
            (at_x - ox) ** 2 + (at_y - oy) ** 2 - (girth + og) ** 2
            for ox, oy, og, oa, _ in placed
            if oa == air
        ]
        if min(gaps, default=0.0) >= -1e-3:
            return at_x, at_y, girth, air, player
    raise ValueError(f"no room for a {name} near ({x}, {y}) on {info.name}")


def start_table(info: MapInfo) -> DoubleArray:
    """The unit table at the start of an episode [N_FIELDS, U]; each side sorted as SMAC sorts agents."""
    stats = unit_stats()
    sides = []
    for player in (1, 2):
        positions, rows = start_positions(info, player), info.team(player)
        order = sorted(range(len(rows)), key=lambda i: (UNITS[rows[i]].name, *positions[i]))
        sides.append([(rows[i], float(player), *positions[i]) for i in order])
    columns = sides[0] + sides[1]
    table = np.zeros((N_FIELDS, len(columns)))
    for u, column in enumerate(columns):
        new_unit(table, stats, u, *column)
    return table
