"""Targets, turning, wind-ups and strikes of one game loop."""

from __future__ import annotations

from math import cos, radians, sqrt
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.starcraft.jit import kernel
from env_adapters.starcraft.stats import Stats
from env_adapters.starcraft.table import (
    AIM,
    BACKSWING,
    COOLDOWN,
    FACING_X,
    FACING_Y,
    HEALTH,
    ORDER,
    ORDER_ATTACK,
    ORDER_IDLE,
    ORDER_MOVE,
    OWNER,
    SHIELD,
    SHOT_AT,
    TARGET,
    TYPE,
    WINDUP,
    distance_between,
)
from env_adapters.starcraft.units import (
    ARC_SLOP_DEG,
    LOOPS_PER_SECOND,
    MIN_DAMAGE,
    MIN_SCAN_RANGE,
    RANDOM_DELAY_S,
    RANGE_SLOP,
)

_ARC_COS: Final = cos(radians(ARC_SLOP_DEG))
_DELAY_LOW: Final = RANDOM_DELAY_S[0] * LOOPS_PER_SECOND
_DELAY_SPAN: Final = (RANDOM_DELAY_S[1] - RANDOM_DELAY_S[0]) * LOOPS_PER_SECOND


@kernel
def next_uniform(generator: np.ndarray) -> float:
    """Uniform number in [0, 1) from a SplitMix64 generator held in `generator` (uint64[1])."""
    generator[0] += np.uint64(0x9E3779B97F4A7C15)
    z = generator[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def reach(game: DoubleArray, stats: Stats, u: int, v: int) -> float:
    """Centre distance at which the weapon of `u` reaches `v`: range plus both radii."""
    me, other = int(game[TYPE, u]), int(game[TYPE, v])
    return stats.range[me] + stats.radius[me] + stats.radius[other]


@kernel
def _strike(game: DoubleArray, stats: Stats, u: int) -> None:
    """The attack of `u` lands: shields absorb first, armour reduces what reaches life."""
    v = int(game[AIM, u])
    game[BACKSWING, u] = stats.backswing[int(game[TYPE, u])]
    if distance_between(game, u, v) > reach(game, stats, u, v) + RANGE_SLOP:
        return
    damage = stats.damage[int(game[TYPE, u])]
    absorbed = min(game[SHIELD, v], damage)
    game[SHIELD, v] -= absorbed
    if damage > absorbed:
        game[HEALTH, v] -= max(MIN_DAMAGE, damage - absorbed - stats.armor[int(game[TYPE, v])])
    game[SHOT_AT, u] = v


@kernel
def land_strikes(game: DoubleArray, stats: Stats) -> None:
    """Count down wind-ups and let every attack that is due land, those of units dying this loop included."""
    n_units = game.shape[1]
    for u in range(n_units):
        if game[HEALTH, u] <= 0.0:
            continue
        game[COOLDOWN, u] = max(0.0, game[COOLDOWN, u] - 1.0)
        game[BACKSWING, u] = max(0.0, game[BACKSWING, u] - 1.0)
    for u in range(n_units):
        if game[WINDUP, u] <= 0.0:
            continue
        game[WINDUP, u] -= 1.0
        if game[WINDUP, u] <= 0.0:
            game[WINDUP, u] = 0.0
            if game[HEALTH, int(game[AIM, u])] > 0.0:
                _strike(game, stats, u)
    for u in range(n_units):
        if game[HEALTH, u] <= 0.0:
            game[HEALTH, u], game[WINDUP, u] = 0.0, 0.0


@kernel
def _nearest_in_scan(game: DoubleArray, stats: Stats, u: int) -> int:
    """Nearest living opponent that `u` notices by itself, -1 for none; the lower column wins a tie."""
    best, best_distance = -1, np.inf
    kind = int(game[TYPE, u])
    scan = max(stats.range[kind], MIN_SCAN_RANGE) + stats.radius[kind]
    for v in range(game.shape[1]):
        if game[OWNER, v] == game[OWNER, u] or game[HEALTH, v] <= 0.0:
            continue
        distance = distance_between(game, u, v)
        if distance <= scan + stats.radius[int(game[TYPE, v])] and distance < best_distance:
            best, best_distance = v, distance
    return best


@kernel
def choose_target(game: DoubleArray, stats: Stats, u: int, passive: bool) -> int:
    """The unit that `u` attacks now, -1 for none. Keeps a target in range, else prefers one it can see nearer."""
    order = game[ORDER, u]
    target = int(game[TARGET, u])
    alive = target >= 0 and game[HEALTH, target] > 0.0
    if order == ORDER_ATTACK:
        if not alive:
            game[ORDER, u] = ORDER_IDLE
            target = -1
    elif order == ORDER_MOVE or (order == ORDER_IDLE and passive):
        target = -1
    elif not alive or distance_between(game, u, target) > reach(game, stats, u, target):
        found = _nearest_in_scan(game, stats, u)
        if found >= 0 or not alive:
            target = found
    game[TARGET, u] = target
    return target


@kernel
def face(game: DoubleArray, stats: Stats, u: int, dx: float, dy: float) -> bool:
    """Turn towards the unit vector (dx, dy) as far as one loop allows; True when a weapon may start."""
    fx, fy = game[FACING_X, u], game[FACING_Y, u]
    kind = int(game[TYPE, u])
    turn_cos, turn_sin = stats.turn_cos[kind], stats.turn_sin[kind]
    if fx * dx + fy * dy >= turn_cos:
        game[FACING_X, u], game[FACING_Y, u] = dx, dy
        return True
    if fx * dy - fy * dx < 0.0:
        turn_sin = -turn_sin
    fx, fy = fx * turn_cos - fy * turn_sin, fx * turn_sin + fy * turn_cos
    norm = sqrt(fx * fx + fy * fy)
    game[FACING_X, u], game[FACING_Y, u] = fx / norm, fy / norm
    return (fx * dx + fy * dy) / norm >= _ARC_COS


@kernel
def begin_attack(game: DoubleArray, stats: Stats, u: int, v: int, generator: np.ndarray) -> None:
    """Start the wind-up of an attack of `u` on `v`; the weapon's period, with its random delay, starts to run."""
    kind = int(game[TYPE, u])
    game[AIM, u] = v
    game[WINDUP, u] = max(1.0, np.ceil(stats.windup[kind]))
    game[COOLDOWN, u] = stats.period[kind] + _DELAY_LOW + _DELAY_SPAN * next_uniform(generator)
