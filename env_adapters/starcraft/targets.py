"""Whom a unit attacks: orders, the nearest opponent in scan range, calls for help."""

from __future__ import annotations

from math import sqrt
from typing import Final

from env_adapters.api import DoubleArray
from env_adapters.jit import inlined, inner
from env_adapters.starcraft.stats import DAMAGE, SCAN
from env_adapters.starcraft.table import (
    ENEMY,
    HEALTH,
    ORDER,
    ORDER_ATTACK,
    ORDER_ATTACK_MOVE,
    ORDER_HUNT,
    ORDER_IDLE,
    OWNER,
    RADIUS,
    REACH,
    SCAN_IN,
    TARGET,
    TYPE,
    squared_distance,
)
from env_adapters.starcraft.units import CALL_FOR_HELP_RADIUS, LEASH_RADIUS

_CLOSING: Final = 0.5
"""No two units come nearer to each other than this in one game loop, cells: two Zerglings and a push."""
_RADIUS_MAX: Final = 1.0


@inlined
def can_hit(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> bool:
    """Whether the weapon of `u`, if it has one, can harm `v` at all."""
    return stats[DAMAGE + int(game[TYPE, v]), int(game[TYPE, u])] > 0.0


@inner
def nearest_opponent(game: DoubleArray, stats: DoubleArray, u: int) -> int:
    """The nearest living opponent that `u` can harm, by centre distance, -1 for none."""
    best, best_squared = -1, 1e18
    for v in range(game.shape[1]):
        if game[OWNER, v] != game[OWNER, u] and game[HEALTH, v] > 0.0 and can_hit(game, stats, u, v):
            squared = squared_distance(game, u, v)
            if squared < best_squared:
                best, best_squared = v, squared
    return best


@inner
def _scan(game: DoubleArray, stats: DoubleArray, u: int) -> int:
    """The nearest opponent within scan range, -1 for none; then also notes how long nobody can come into it."""
    best = nearest_opponent(game, stats, u)
    if best < 0:
        return best
    squared = squared_distance(game, u, best)
    within = stats[SCAN, int(game[TYPE, u])] + game[RADIUS, u]
    if squared <= (within + game[RADIUS, best]) ** 2:
        return best
    game[SCAN_IN, u] = max(0.0, (sqrt(squared) - within - _RADIUS_MAX) // _CLOSING)
    return -1


@inlined
def choose_target(game: DoubleArray, stats: DoubleArray, u: int) -> int:
    """The unit that `u`, one of the enemy's, attacks now, -1 for none.

    An ordered target is kept until it dies. Otherwise a target in range is kept; one out of range is dropped for
    the nearest opponent in scan range, and chased as long as there is none.
    """
    order = game[ORDER, u]
    target = int(game[TARGET, u])
    if target >= 0:
        if game[HEALTH, target] <= 0.0:
            target = -1
            if order == ORDER_ATTACK:
                game[ORDER, u] = ORDER_IDLE
        elif order in (ORDER_ATTACK, ORDER_HUNT):
            return target
        else:
            squared = squared_distance(game, u, target)
            if squared <= (game[REACH, u] + game[RADIUS, target]) ** 2:
                return target
            if squared > LEASH_RADIUS * LEASH_RADIUS:
                target = -1
    if order == ORDER_HUNT:
        target = nearest_opponent(game, stats, u)
        if target < 0:
            game[ORDER, u] = ORDER_IDLE
    elif game[SCAN_IN, u] > 0.0:
        game[SCAN_IN, u] -= 1.0
    else:
        found = _scan(game, stats, u)
        target = found if found >= 0 else target
    game[TARGET, u] = target
    return target


@inner
def call_for_help(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> None:
    """The enemy's unit `v` is under attack by `u`: it and friends nearby that attack nobody turn on `u`."""
    for w in range(game.shape[1]):
        if game[OWNER, w] != ENEMY or game[HEALTH, w] <= 0.0 or game[TARGET, w] >= 0.0:
            continue
        if game[ORDER, w] != ORDER_IDLE and game[ORDER, w] != ORDER_ATTACK_MOVE:
            continue
        near = squared_distance(game, v, w) <= CALL_FOR_HELP_RADIUS * CALL_FOR_HELP_RADIUS
        if near and can_hit(game, stats, w, u):
            game[TARGET, w] = u
