"""Walking: a heading round standing units, and the step that a unit proposes.

Positions and steps are rounded to multiples of 1/4096 cell, as the real game's positions show. How units find
their way round each other is our own rule; the real one is not published. Carrying steps out: crowd.py.
"""

from __future__ import annotations

from math import cos, radians, sin, sqrt
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.jit import inlined, inner, kernel
from env_adapters.starcraft.ground import first_corner
from env_adapters.starcraft.stats import MOVER, STEP_GAIN, STEP_MAX, TURN_COS, TURN_SIN
from env_adapters.starcraft.table import (
    FACING_X,
    FACING_Y,
    GIRTH,
    GOAL_X,
    GOAL_Y,
    HEAD_X,
    HEAD_Y,
    LAYER,
    LOOK_IN,
    NEXT_X,
    NEXT_Y,
    ORDER,
    ORDER_IDLE,
    OWNER,
    SIDE,
    STEP_LENGTH,
    TARGET,
    TYPE,
    WALKING,
    X,
    Y,
)
from env_adapters.starcraft.units import ARC_SLOP_DEG

GRID: Final = 4096.0
_ARC_COS: Final = cos(radians(ARC_SLOP_DEG))
_SLACK: Final = 2.0 / GRID
"""Positions are rounded, so distances are compared with this tolerance."""
_LOOK_AHEAD: Final = 1.5
"""Cells ahead in which a walking unit looks for standing units."""
_LOOK_EVERY: Final = 4.0
"""Game loops between two looks where others are near..."""
_LOOK_RARELY: Final = 8.0
"""...and where nobody is within `_LONELY` cells of touching."""
_LONELY: Final = _LOOK_AHEAD + 3.0
_TURNS: Final = 7
_TURN_COS: Final = np.array([cos(radians(22.5 * k)) for k in range(_TURNS + 1)])
_TURN_SIN: Final = np.array([sin(radians(22.5 * k)) for k in range(_TURNS + 1)])
"""Headings tried: straight, then up to 157.5 degrees to either side."""


@kernel
def snap(value: float) -> float:
    """Round to the grid of positions."""
    return np.rint(value * GRID) / GRID


@inlined
def face(game: DoubleArray, stats: DoubleArray, u: int, dx: float, dy: float) -> bool:
    """Turn towards the unit vector (dx, dy) as far as one loop allows; True when a weapon may start."""
    fx, fy = game[FACING_X, u], game[FACING_Y, u]
    kind = int(game[TYPE, u])
    turn_cos, turn_sin = stats[TURN_COS, kind], stats[TURN_SIN, kind]
    if fx * dx + fy * dy >= turn_cos:
        game[FACING_X, u], game[FACING_Y, u] = dx, dy
        return True
    if fx * dy - fy * dx < 0.0:
        turn_sin = -turn_sin
    fx, fy = fx * turn_cos - fy * turn_sin, fx * turn_sin + fy * turn_cos
    norm = sqrt(fx * fx + fy * fy)
    game[FACING_X, u], game[FACING_Y, u] = fx / norm, fy / norm
    return (fx * dx + fy * dy) / norm >= _ARC_COS


@inlined
def _obstacles(game: DoubleArray, u: int, target: int, dx: float, dy: float, ahead: float) -> int:
    """How many standing units are in the way of `u` along the unit vector (dx, dy): not its target, nor idle friends."""
    x, y, girth, layer, owner = game[X, u], game[Y, u], game[GIRTH, u], game[LAYER, u], game[OWNER, u]
    blocked = 0
    for v in range(game.shape[1]):
        ax, ay = game[X, v] - x, game[Y, v] - y
        touch = girth + game[GIRTH, v]
        far = ahead + touch
        solid = game[WALKING, v] == 0.0 and (
            game[OWNER, v] != owner or game[ORDER, v] != ORDER_IDLE or game[TARGET, v] >= 0.0
        )
        hit = (
            ax * ax + ay * ay < far * far
            and ax * dx + ay * dy > 0.0
            and abs(ax * dy - ay * dx) < touch - _SLACK
        )
        if solid and hit and game[GIRTH, v] > 0.0 and game[LAYER, v] == layer and v != target:
            blocked += 1
    return blocked


@inlined
def _neighbours(game: DoubleArray, u: int) -> int:
    """How many units of the same layer are near enough to matter within the next loops, `u` included."""
    x, y, girth, layer = game[X, u], game[Y, u], game[GIRTH, u], game[LAYER, u]
    near = 0
    for v in range(game.shape[1]):
        ax, ay = game[X, v] - x, game[Y, v] - y
        far = _LONELY + girth + game[GIRTH, v]
        if ax * ax + ay * ay < far * far and game[GIRTH, v] > 0.0 and game[LAYER, v] == layer:
            near += 1
    return near


@inner
def _detour(game: DoubleArray, u: int, target: int, dx: float, dy: float, ahead: float) -> None:
    """Choose the free heading nearest to (dx, dy), on the side the unit has begun to walk round, if any."""
    side = game[SIDE, u]
    game[HEAD_X, u], game[HEAD_Y, u] = dx, dy
    for k in range(1, 2 * _TURNS + 1):
        if side == 0.0:  # undecided: widen on both sides in turn, left first
            turn, sign = (k + 1) // 2, 1.0 if k % 2 else -1.0
        else:
            turn, sign = (k, side) if k <= _TURNS else (k - _TURNS, -side)
        c, s = _TURN_COS[turn], _TURN_SIN[turn] * sign
        x, y = dx * c - dy * s, dx * s + dy * c
        if _obstacles(game, u, target, x, y, ahead) == 0:
            game[SIDE, u], game[HEAD_X, u], game[HEAD_Y, u] = sign, x, y
            return


@inlined
def _look(game: DoubleArray, u: int, target: int, dx: float, dy: float, ahead: float) -> None:
    """Look for a free way; the next look is due in LOOK_IN game loops."""
    if _neighbours(game, u) <= 1:
        game[LOOK_IN, u], game[SIDE, u] = _LOOK_RARELY, 0.0
        return
    game[LOOK_IN, u] = _LOOK_EVERY
    if _obstacles(game, u, target, dx, dy, ahead) == 0:
        game[SIDE, u] = 0.0
    else:
        _detour(game, u, target, dx, dy, ahead)


@inlined
def _speed_up(game: DoubleArray, stats: DoubleArray, u: int) -> float:
    """Cells that `u` covers in this loop; units with a slow acceleration gain speed while they walk."""
    kind = int(game[TYPE, u])
    length = min(stats[STEP_MAX, kind], game[STEP_LENGTH, u] + stats[STEP_GAIN, kind])
    game[STEP_LENGTH, u] = length
    return length


@inlined
def walk(game: DoubleArray, stats: DoubleArray, ways: np.ndarray, u: int, target: int) -> None:
    """Propose this loop's step of `u` towards its target, or with target -1 the goal of its order.

    The step stands in NEXT_X, NEXT_Y; being at the goal ends the order.
    """
    goal_x = game[X, target] if target >= 0 else game[GOAL_X, u]
    goal_y = game[Y, target] if target >= 0 else game[GOAL_Y, u]
    x, y = goal_x, goal_y
    if ways.shape[0] > 0 and stats[MOVER, int(game[TYPE, u])] == 0.0:
        x, y = first_corner(ways, game[X, u], game[Y, u], goal_x, goal_y)
    dx, dy = x - game[X, u], y - game[Y, u]
    distance = sqrt(dx * dx + dy * dy)
    step = _speed_up(game, stats, u)
    if distance >= 1.0 / GRID and step > 0.0:
        game[WALKING, u] = 1.0
        dx, dy = dx / distance, dy / distance
        if game[LOOK_IN, u] <= 0.0:
            _look(game, u, target, dx, dy, min(distance, _LOOK_AHEAD))
        game[LOOK_IN, u] -= 1.0
        if game[SIDE, u] != 0.0:
            dx, dy = game[HEAD_X, u], game[HEAD_Y, u]
        face(game, stats, u, dx, dy)
        length = min(step, distance)
        game[NEXT_X, u] = game[X, u] + snap(dx * length)
        game[NEXT_Y, u] = game[Y, u] + snap(dy * length)
    if target < 0 and distance <= step and game[SIDE, u] == 0.0 and x == goal_x and y == goal_y:
        game[ORDER, u] = ORDER_IDLE
