"""Walking: a heading round standing units, then simultaneous steps that never press units deeper together.

Positions and steps are rounded to multiples of 1/4096 cell, as the real game's positions show. How units find
their way round each other is our own rule; the real one is not published.
"""

from __future__ import annotations

from math import cos, radians, sin, sqrt
from typing import Final

import numpy as np

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.starcraft.combat import face
from env_adapters.starcraft.jit import kernel
from env_adapters.starcraft.stats import Stats
from env_adapters.starcraft.table import (
    HEALTH,
    NEXT_X,
    NEXT_Y,
    ORDER,
    ORDER_IDLE,
    OWNER,
    SIDE,
    TARGET,
    TYPE,
    WALKING,
    X,
    Y,
)

_GRID: Final = 4096.0
_SLACK: Final = 2.0 / _GRID
"""Positions are rounded, so distances are compared with this tolerance."""
_LOOK_AHEAD: Final = 1.5
"""Cells ahead in which a walking unit looks for standing units."""
_TURNS: Final = 7
_TURN_COS: Final = np.array([cos(radians(22.5 * k)) for k in range(_TURNS + 1)])
_TURN_SIN: Final = np.array([sin(radians(22.5 * k)) for k in range(_TURNS + 1)])
"""Headings tried: straight, then up to 157.5 degrees to either side."""


@kernel
def snap(value: float) -> float:
    """Round to the grid of positions."""
    return np.rint(value * _GRID) / _GRID


@kernel
def walkable(pathable: BoolArray, x: float, y: float, clearance: float) -> bool:
    """Whether a unit of this inner radius can stand here, tested at its four extremes."""
    low_x, high_x = int(x - clearance), int(x + clearance)
    low_y, high_y = int(y - clearance), int(y + clearance)
    if low_x < 0 or low_y < 0 or high_x >= pathable.shape[0] or high_y >= pathable.shape[1]:
        return False
    column, row = int(x), int(y)
    return bool(
        pathable[low_x, row]
        and pathable[high_x, row]
        and pathable[column, low_y]
        and pathable[column, high_y]
    )


@kernel
def _pushable(game: DoubleArray, u: int, v: int) -> bool:
    """Idle friends make room."""
    return game[OWNER, u] == game[OWNER, v] and game[ORDER, v] == ORDER_IDLE and game[TARGET, v] < 0.0


@kernel
def _clear(game: DoubleArray, stats: Stats, u: int, dx: float, dy: float, ahead: float) -> bool:
    """Whether no standing unit is in the way of `u` along the unit vector (dx, dy)."""
    reach = ahead + stats.separation[int(game[TYPE, u])]
    for v in range(game.shape[1]):
        away_x, away_y = game[X, v] - game[X, u], game[Y, v] - game[Y, u]
        far = reach + stats.separation[int(game[TYPE, v])]
        if away_x * away_x + away_y * away_y >= far * far:
            continue
        if v == u or game[HEALTH, v] <= 0.0 or game[WALKING, v] > 0.0 or _pushable(game, u, v):
            continue
        along = away_x * dx + away_y * dy
        aside = abs(away_x * dy - away_y * dx)
        if along > 0.0 and aside < far - ahead - _SLACK:
            return False
    return True


@kernel
def _heading(
    game: DoubleArray, stats: Stats, u: int, dx: float, dy: float, ahead: float
) -> tuple[float, float]:
    """The heading nearest to (dx, dy) that leads past the units standing in the way."""
    if _clear(game, stats, u, dx, dy, ahead):
        game[SIDE, u] = 0.0
        return dx, dy
    first = game[SIDE, u] if game[SIDE, u] != 0.0 else 1.0
    for k in range(1, 2 * _TURNS + 1):
        if game[SIDE, u] == 0.0:  # undecided: widen on both sides in turn
            turn, side = (k + 1) // 2, first if k % 2 else -first
        else:
            turn, side = (k, first) if k <= _TURNS else (k - _TURNS, -first)
        c, s = _TURN_COS[turn], _TURN_SIN[turn] * side
        x, y = dx * c - dy * s, dx * s + dy * c
        if _clear(game, stats, u, x, y, ahead):
            game[SIDE, u] = side
            return x, y
    return dx, dy


@kernel
def walk(game: DoubleArray, stats: Stats, u: int, goal_x: float, goal_y: float) -> bool:
    """Propose this loop's step of `u` towards a point (in NEXT_X, NEXT_Y); True when it gets there."""
    kind = int(game[TYPE, u])
    dx, dy = goal_x - game[X, u], goal_y - game[Y, u]
    distance = sqrt(dx * dx + dy * dy)
    if distance < 1.0 / _GRID or stats.step[kind] == 0.0:
        return True
    game[WALKING, u] = 1.0
    dx, dy = _heading(game, stats, u, dx / distance, dy / distance, min(distance, _LOOK_AHEAD))
    face(game, stats, u, dx, dy)
    length = min(stats.step[kind], distance)
    game[NEXT_X, u] = game[X, u] + snap(dx * length)
    game[NEXT_Y, u] = game[Y, u] + snap(dy * length)
    return distance <= stats.step[kind]


@kernel
def _give_way(game: DoubleArray, stats: Stats, v: int, dx: float, dy: float, pathable: BoolArray) -> bool:
    """Move the idle unit `v` by (dx, dy) if the ground allows."""
    x, y = snap(game[NEXT_X, v] + dx), snap(game[NEXT_Y, v] + dy)
    if not walkable(pathable, x, y, stats.inner[int(game[TYPE, v])]):
        return False
    game[NEXT_X, v], game[NEXT_Y, v] = x, y
    return True


@kernel
def _touch(game: DoubleArray, stats: Stats, u: int, v: int) -> float:
    """Distance at which `u` and `v` touch."""
    return stats.separation[int(game[TYPE, u])] + stats.separation[int(game[TYPE, v])]


@kernel
def _apart(game: DoubleArray, stats: Stats, u: int, v: int, dx: float, dy: float) -> bool:
    """Whether units (dx, dy) away from each other do not even touch."""
    touch = _touch(game, stats, u, v)
    return dx * dx + dy * dy >= touch * touch


@kernel
def _allowed_gap(game: DoubleArray, stats: Stats, u: int, v: int) -> float:
    """Least distance that `u` and `v` may have after this loop: touching, or as deep as they are now."""
    dx, dy = game[X, u] - game[X, v], game[Y, u] - game[Y, v]
    return min(_touch(game, stats, u, v), sqrt(dx * dx + dy * dy))


@kernel
def _settle(game: DoubleArray, stats: Stats, u: int, pathable: BoolArray) -> None:
    """Correct the step that `u` proposes: out of other units and off unwalkable ground, or no step at all."""
    for v in range(game.shape[1]):
        if v == u or game[HEALTH, v] <= 0.0:
            continue
        dx, dy = game[NEXT_X, u] - game[NEXT_X, v], game[NEXT_Y, u] - game[NEXT_Y, v]
        if _apart(game, stats, u, v, dx, dy):
            continue
        gap = _allowed_gap(game, stats, u, v)
        distance = sqrt(dx * dx + dy * dy)
        if distance >= gap - _SLACK or distance < 1e-6:
            continue
        push = (gap - distance) / distance
        if _pushable(game, u, v) and _give_way(game, stats, v, -dx * push, -dy * push, pathable):
            continue
        game[NEXT_X, u], game[NEXT_Y, u] = (
            snap(game[NEXT_X, u] + dx * push),
            snap(game[NEXT_Y, u] + dy * push),
        )
    inner = stats.inner[int(game[TYPE, u])]
    x, y = game[NEXT_X, u], game[NEXT_Y, u]
    if not walkable(pathable, x, y, inner):
        if walkable(pathable, x, game[Y, u], inner):
            game[NEXT_Y, u] = game[Y, u]
        elif walkable(pathable, game[X, u], y, inner):
            game[NEXT_X, u] = game[X, u]
        else:
            game[NEXT_X, u], game[NEXT_Y, u] = game[X, u], game[Y, u]


@kernel
def _collides(game: DoubleArray, stats: Stats, u: int) -> bool:
    for v in range(game.shape[1]):
        if v == u or game[HEALTH, v] <= 0.0:
            continue
        dx, dy = game[NEXT_X, u] - game[NEXT_X, v], game[NEXT_Y, u] - game[NEXT_Y, v]
        if _apart(game, stats, u, v, dx, dy):
            continue
        gap = _allowed_gap(game, stats, u, v) - 2.0 * _SLACK
        if dx * dx + dy * dy < gap * gap:
            return True
    return False


@kernel
def _moving(game: DoubleArray, u: int) -> bool:
    return game[NEXT_X, u] != game[X, u] or game[NEXT_Y, u] != game[Y, u]


@kernel
def move_together(game: DoubleArray, stats: Stats, pathable: BoolArray) -> None:
    """Carry out the steps that all units proposed in this loop.

    A unit that would still press into another stays where it is; that may block others, so the check is
    repeated until nobody is pressed. Where nobody moves, nobody is.
    """
    for u in range(game.shape[1]):
        if _moving(game, u):
            _settle(game, stats, u, pathable)
    settled = False
    while not settled:
        settled = True
        for u in range(game.shape[1]):
            if _moving(game, u) and game[HEALTH, u] > 0.0 and _collides(game, stats, u):
                game[NEXT_X, u], game[NEXT_Y, u] = game[X, u], game[Y, u]
                settled = False
    for u in range(game.shape[1]):
        game[X, u], game[Y, u] = game[NEXT_X, u], game[NEXT_Y, u]
