"""SMAC v1 maps: teams, start points, enemy goal and terrain, read from `maps.json`.

The numbers come from the maps' own scripts and terrain. Start offsets round a spawn point were measured
in the real game for teams of 3 and 8 Marines; see `START_OFFSETS`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.errors import unknown_name
from env_adapters.starcraft.units import ROW, UNITS

MAP_SIZE: Final = 32
"""Cells along each side of every SMAC map."""
PLAYABLE_LOW: Final = 2
"""First playable cell: the game removes a border of two cells."""
PLAYABLE_WIDTH: Final = 28
"""Cells between the borders; SMAC's max_distance_x and max_distance_y."""

_NEAR: Final = 2820 / 4096
_FAR: Final = 0.75
START_OFFSETS: Final = (
    (0.0, 0.0),
    (0.0, -_NEAR),
    (_NEAR, 0.0),
    (0.0, _NEAR),
    (-_NEAR, 0.0),
    (_FAR, -_FAR),
    (_FAR, _FAR),
    (-_FAR, _FAR),
    (-_FAR, -_FAR),
)
"""Where units created together at one point end up, in order of creation.

The positions of teams of 3 and 8 are those seen in the real game; the order in which 4 to 7 units fill
them is a guess in between.
"""


@dataclass(frozen=True)
class Spawn:
    """`count` units of one type, created together at one point."""

    player: int
    unit: str
    count: int
    x: float
    y: float


@dataclass(frozen=True)
class MapInfo:
    """One map as the SMAC layer and the engine need it."""

    name: str
    episode_limit: int
    ally_race: str
    enemy_race: str
    unit_type_bits: int
    map_type: str
    spawns: tuple[Spawn, ...]
    enemy_goal: tuple[tuple[float, float], ...]
    """Where the enemy group is ordered to attack-move."""
    pathable: BoolArray
    """[32, 32], indexed [x, y]."""

    def team(self, player: int) -> list[int]:
        """Rows of `UNITS` of one player's units, in order of creation."""
        return [
            ROW[spawn.unit] for spawn in self.spawns if spawn.player == player for _ in range(spawn.count)
        ]

    @property
    def max_reward(self) -> float:
        """SMAC's reward before scaling for killing every enemy and winning."""
        enemies = [UNITS[row] for row in self.team(2)]
        return sum(unit.health + unit.shield for unit in enemies) + 10.0 * len(enemies) + 200.0


def _pathable(rows: list[str]) -> BoolArray:
    bits = np.array([[(int(row, 16) >> (MAP_SIZE - 1 - x)) & 1 for row in rows] for x in range(MAP_SIZE)])
    grid = bits == 0
    border = np.ones_like(grid)
    border[PLAYABLE_LOW:-PLAYABLE_LOW, PLAYABLE_LOW:-PLAYABLE_LOW] = False
    return np.asarray(grid & ~border)


@cache
def _table() -> dict[str, dict[str, Any]]:
    path = Path(__file__).with_name("maps.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def names() -> list[str]:
    """Every map in the table."""
    return list(_table())


@cache
def load(name: str) -> MapInfo:
    """Look a map up; UnknownNameError with the nearest names."""
    if name not in _table():
        raise unknown_name("map", name, _table(), "harness ls maps")
    row = _table()[name]
    return MapInfo(
        name=name,
        episode_limit=row["limit"],
        ally_race=row["ally_race"],
        enemy_race=row["enemy_race"],
        unit_type_bits=row["unit_type_bits"],
        map_type=row["map_type"],
        spawns=tuple(Spawn(*spawn) for spawn in row["spawns"]),
        enemy_goal=tuple((x, y) for x, y in row["enemy_goal"]),
        pathable=_pathable(row["unpathable_rows"]),
    )


def start_positions(info: MapInfo, player: int) -> DoubleArray:
    """Start positions [units, 2] of one player's units, in order of creation."""
    points: list[tuple[float, float]] = []
    placed: dict[tuple[float, float], int] = {}
    for spawn in info.spawns:
        if spawn.player != player:
            continue
        for _ in range(spawn.count):
            n = placed.get((spawn.x, spawn.y), 0)
            dx, dy = START_OFFSETS[n]
            points.append((spawn.x + dx, spawn.y + dy))
            placed[(spawn.x, spawn.y)] = n + 1
    return np.array(points, dtype=np.float64)
