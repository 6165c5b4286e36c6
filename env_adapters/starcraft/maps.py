"""SMAC v1 maps: teams, start points, enemy orders and terrain, read from `maps.json`.

The numbers come from the maps' own scripts and terrain; what happens to them at the start of an episode is in
spawns.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.errors import unknown_name
from env_adapters.starcraft.ground import Cells, Ways, find_ways, roominess
from env_adapters.starcraft.units import ROW

MAP_SIZE: Final = 32
"""Cells along each side of every SMAC map."""
PLAYABLE_LOW: Final = 2
"""First playable cell: the game removes a border of two cells."""
PLAYABLE_WIDTH: Final = 28
"""Cells between the borders; SMAC's max_distance_x and max_distance_y."""


def playable_area() -> BoolArray:
    """The cells inside the border that the game removes, bool[32, 32]."""
    inside = np.zeros((MAP_SIZE, MAP_SIZE), dtype=np.bool_)
    inside[PLAYABLE_LOW:-PLAYABLE_LOW, PLAYABLE_LOW:-PLAYABLE_LOW] = True
    return inside


class EnemyOrder(StrEnum):
    """What the map's script orders the enemy to do at the start."""

    NONE = "none"
    ATTACK_MOVE = "attack_move"
    HUNT = "hunt"
    """Attack the agents themselves, wherever they are."""


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
    enemy_order: EnemyOrder
    enemy_goal: tuple[tuple[float, float], ...]
    """Where the enemy group attack-moves: a point, or the two ends of a segment to draw it from."""
    pathable: BoolArray
    """[32, 32], indexed [x, y]: where units on the ground can be."""
    levels: DoubleArray
    """[32, 32], indexed [x, y]: cliff levels, ramps in between."""

    @cached_property
    def cells(self) -> Cells:
        """Where each kind of mover can stand, see ground.py. Cliff-walkers climb every cliff of the map."""
        inside = playable_area()
        cliff = self.pathable | (inside & (self.levels > 0))
        return np.stack([roominess(walkable) for walkable in (self.pathable, cliff, inside)])

    @cached_property
    def ways(self) -> Ways:
        """The ways round the map's walls, see ground.py."""
        return find_ways(self.pathable)

    @property
    def terrain_height(self) -> DoubleArray:
        """Heights [32, 32] as upstream reads them from the current game, which mirrors them north to south.

        One cliff level is 2 cells high, 16 steps of the game's height image; that the lowest lies at 0 is assumed.
        """
        return (127.0 + 16.0 * self.levels[:, ::-1]) / 255.0

    def team(self, player: int) -> list[int]:
        """Rows of `UNITS` of one player's units, in order of creation."""
        return [
            ROW[spawn.unit] for spawn in self.spawns if spawn.player == player for _ in range(spawn.count)
        ]


def _levels(rows: list[str] | None) -> DoubleArray:
    """Cliff levels [x, y]; a ramp (r) lies between levels 1 and 2."""
    if rows is None:
        return np.zeros((MAP_SIZE, MAP_SIZE))
    return np.array([[1.5 if row[x] == "r" else float(row[x]) for row in rows] for x in range(MAP_SIZE)])


def _pathable(rows: list[str]) -> BoolArray:
    bits = np.array([[(int(row, 16) >> (MAP_SIZE - 1 - x)) & 1 for row in rows] for x in range(MAP_SIZE)])
    grid = bits == 0
    return np.asarray(grid & playable_area())


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
        enemy_order=EnemyOrder(row["enemy_order"]),
        enemy_goal=tuple((x, y) for x, y in row["enemy_goal"]),
        pathable=_pathable(row["unpathable_rows"]),
        levels=_levels(row.get("cliff_levels")),
    )
