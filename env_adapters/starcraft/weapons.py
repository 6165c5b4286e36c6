"""Attacks: wind-up, strike, missiles, second blows, lances, bursts; damage, recovery and death."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft import units
from env_adapters.starcraft.random import next_uniform
from env_adapters.starcraft.stats import (
    ARMOR,
    BACKSWING_LOOPS,
    CLOSE_RANGE,
    CLOSE_WINDUP,
    DAMAGE,
    ENERGY_GAIN,
    ENERGY_MAX,
    FLIGHT_PER_CELL,
    HEALTH_MAX,
    LIFE_GAIN,
    PERIOD,
    SECOND_BLOW,
    SHIELD_GAIN,
    SHIELD_MAX,
    SLOP,
    STRUCTURE,
    WINDUP_LOOPS,
)
from env_adapters.starcraft.table import (
    AIM,
    BACKSWING,
    BURN,
    BURN_BLOWS,
    COOLDOWN,
    ENEMY,
    ENERGY,
    FLIGHT,
    GIRTH,
    HEALTH,
    OWNER,
    PLANE,
    RADIUS,
    REACH,
    SHIELD,
    SHIELD_WAIT,
    SHOT_AT,
    TARGET,
    TYPE,
    WALKING,
    WINDUP,
    X,
    Y,
    distance_between,
)
from env_adapters.starcraft.targets import call_for_help
from env_adapters.starcraft.units import LOOPS_PER_SECOND, ROW

_DELAY_LOW: Final = units.RANDOM_DELAY_S[0] * LOOPS_PER_SECOND
_DELAY_SPAN: Final = (units.RANDOM_DELAY_S[1] - units.RANDOM_DELAY_S[0]) * LOOPS_PER_SECOND
_SHIELD_DELAY: Final = units.SHIELD_REGEN_DELAY_S * LOOPS_PER_SECOND
_LANCE_DELAY: Final = ceil(units.LANCE_DELAY_S * LOOPS_PER_SECOND)
_LANCES: Final = 2
_COLOSSUS: Final = float(ROW["Colossus"])
_BANELING: Final = float(ROW["Baneling"])
_CLOSE: Final = -1.0
"""In FLIGHT while a close attack winds up: it will strike without a missile."""


@kernel
def reach(game: DoubleArray, u: int, v: int) -> float:
    """Centre distance at which the weapon of `u` reaches `v`: range plus both radii."""
    return game[REACH, u] + game[RADIUS, v]


@inner
def begin_attack(game: DoubleArray, stats: DoubleArray, u: int, v: int, squared: float) -> None:
    """Start the wind-up of an attack of `u` on `v`, `squared` distance away, with the close weapon if that reaches."""
    kind = int(game[TYPE, u])
    game[AIM, u] = v
    game[WINDUP, u] = stats[WINDUP_LOOPS, kind]
    if stats[CLOSE_RANGE, kind] >= 0.0 and game[PLANE, v] == 0.0:
        close = stats[CLOSE_RANGE, kind] + game[RADIUS, u] + game[RADIUS, v]
        if squared <= close * close:
            game[WINDUP, u] = stats[CLOSE_WINDUP, kind]
            game[FLIGHT, u] = _CLOSE


@inner
def interrupt(game: DoubleArray, stats: DoubleArray, u: int) -> None:
    """Drop an attack that has not struck yet (its cooldown has not begun), a backswing and a second blow."""
    game[WINDUP, u], game[BACKSWING, u] = 0.0, 0.0
    if game[FLIGHT, u] < 0.0 or stats[SECOND_BLOW, int(game[TYPE, u])] > 0.0:
        game[FLIGHT, u] = 0.0


@inner
def _wound(game: DoubleArray, stats: DoubleArray, v: int, damage: float) -> None:
    """One blow on `v`: shields absorb first, armour reduces what reaches life."""
    absorbed = min(game[SHIELD, v], damage)
    game[SHIELD, v] -= absorbed
    if damage > absorbed:
        game[HEALTH, v] -= max(units.MIN_DAMAGE, damage - absorbed - stats[ARMOR, int(game[TYPE, v])])
    game[SHIELD_WAIT, v] = _SHIELD_DELAY


@inner
def _hit(game: DoubleArray, stats: DoubleArray, u: int, v: int, damage: float) -> None:
    """A blow of `u` on `v`; the enemy's units near `v` learn of it."""
    _wound(game, stats, v, damage)
    game[SHOT_AT, u] = v
    if game[OWNER, v] == ENEMY:
        call_for_help(game, stats, u, v)


@inner
def _hit_with_weapon(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> None:
    _hit(game, stats, u, v, stats[DAMAGE + int(game[TYPE, v]), int(game[TYPE, u])])


@inner
def _sweep(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> None:
    """The lances of `u` touch every opponent on the ground along a line through `v` across the line of fire."""
    game[SHOT_AT, u] = v
    x, y = game[X, v], game[Y, v]
    dx, dy = x - game[X, u], y - game[Y, u]
    length = max(1e-9, sqrt(dx * dx + dy * dy))
    for w in range(game.shape[1]):
        if game[HEALTH, w] <= 0.0 or game[OWNER, w] == game[OWNER, u] or game[PLANE, w] > 0.0:
            continue
        rx, ry = game[X, w] - x, game[Y, w] - y
        along = (ry * dx - rx * dy) / length
        past = max(0.0, abs(along) - units.LANCE_HALF_WIDTH)
        ahead = (rx * dx + ry * dy) / length
        touch = units.LANCE_RADIUS + game[RADIUS, w]
        if past * past + ahead * ahead <= touch * touch:
            if game[BURN, w] <= 0.0:
                game[BURN, w] = _LANCE_DELAY
            game[BURN_BLOWS, w] += _LANCES
            if game[OWNER, w] == ENEMY:
                call_for_help(game, stats, u, w)


@inner
def _burst(game: DoubleArray, stats: DoubleArray, u: int) -> None:
    """The Baneling `u`, dying, hurts every opponent on the ground whose edge is near."""
    for v in range(game.shape[1]):
        if game[HEALTH, v] <= 0.0 or game[OWNER, v] == game[OWNER, u] or game[PLANE, v] > 0.0:
            continue
        if distance_between(game, u, v) - game[RADIUS, v] <= units.BURST_RADIUS:
            if stats[STRUCTURE, int(game[TYPE, v])] > 0.0:
                _hit(game, stats, u, v, units.BURST_STRUCTURE_DAMAGE)
            else:
                _hit_with_weapon(game, stats, u, v)


@inner
def _strike(game: DoubleArray, stats: DoubleArray, u: int, generator: np.ndarray) -> None:
    """The wind-up of `u` is over: strike or launch, unless the target has died or slipped away."""
    v, kind = int(game[AIM, u]), int(game[TYPE, u])
    close = game[FLIGHT, u] < 0.0
    game[FLIGHT, u] = 0.0
    distance = distance_between(game, u, v)
    if game[HEALTH, v] <= 0.0 or distance > reach(game, u, v) + stats[SLOP, kind]:
        return
    game[BACKSWING, u] = stats[BACKSWING_LOOPS, kind]
    delay = _DELAY_LOW + _DELAY_SPAN * next_uniform(generator)
    game[COOLDOWN, u] = max(0.0, stats[PERIOD, kind] + delay - stats[WINDUP_LOOPS, kind])
    if game[TYPE, u] == _BANELING:
        game[HEALTH, u] = 0.0
        game[SHOT_AT, u] = v
    elif game[TYPE, u] == _COLOSSUS:
        _sweep(game, stats, u, v)
    elif stats[FLIGHT_PER_CELL, kind] > 0.0 and not close:
        game[FLIGHT, u] = max(1.0, np.ceil(distance * stats[FLIGHT_PER_CELL, kind]))
    else:
        _hit_with_weapon(game, stats, u, v)
        game[FLIGHT, u] = stats[SECOND_BLOW, kind]


@inner
def _arrive(game: DoubleArray, stats: DoubleArray, u: int) -> None:
    """The missile or second blow of `u` lands; a missile needs nobody behind it, a blow its striker in range."""
    v, kind = int(game[AIM, u]), int(game[TYPE, u])
    if game[HEALTH, v] <= 0.0:
        return
    if stats[SECOND_BLOW, kind] > 0.0 and (
        game[HEALTH, u] <= 0.0 or distance_between(game, u, v) > reach(game, u, v) + stats[SLOP, kind]
    ):
        return
    _hit_with_weapon(game, stats, u, v)


@inner
def _burn(game: DoubleArray, stats: DoubleArray, v: int) -> None:
    """The lances that have touched `v` do their damage."""
    damage = stats[DAMAGE + int(game[TYPE, v]), int(_COLOSSUS)]
    for _ in range(int(game[BURN_BLOWS, v])):
        _wound(game, stats, v, damage)
    game[BURN_BLOWS, v] = 0.0


@inner
def _land(game: DoubleArray, stats: DoubleArray, u: int, generator: np.ndarray) -> None:
    """Count one loop down for `u`, which winds up, has something in the air or has been swept; land what is due."""
    if game[WINDUP, u] > 0.0:
        game[WINDUP, u] -= 1.0
        if game[WINDUP, u] <= 0.0:
            _strike(game, stats, u, generator)
    elif game[FLIGHT, u] > 0.0:
        game[FLIGHT, u] -= 1.0
        if game[FLIGHT, u] <= 0.0:
            _arrive(game, stats, u)
    if game[BURN, u] > 0.0:
        game[BURN, u] -= 1.0
        if game[BURN, u] <= 0.0:
            _burn(game, stats, u)


@kernel
def land_blows(game: DoubleArray, stats: DoubleArray, generator: np.ndarray) -> bool:
    """Let every blow land that is due in this game loop, those of units dying in it included.

    Returns whether somebody may have died.
    """
    for u in range(game.shape[1]):
        game[COOLDOWN, u] = max(0.0, game[COOLDOWN, u] - 1.0)
        game[BACKSWING, u] = max(0.0, game[BACKSWING, u] - 1.0)
    landed = False
    for u in range(game.shape[1]):
        if game[WINDUP, u] > 0.0 or game[FLIGHT, u] > 0.0 or game[BURN, u] > 0.0:
            _land(game, stats, u, generator)
            landed = True
    return landed


@kernel
def bury(game: DoubleArray, stats: DoubleArray) -> None:
    """Take units without life out of the fight; dying Banelings burst, which may kill more."""
    again = True
    while again:
        again = False
        for u in range(game.shape[1]):
            if game[HEALTH, u] > 0.0 or game[GIRTH, u] < 0.0:
                continue
            game[HEALTH, u], game[GIRTH, u], game[WINDUP, u] = 0.0, -1.0, 0.0
            game[TARGET, u], game[WALKING, u], game[BURN, u] = -1.0, 0.0, 0.0
            if game[TYPE, u] == _BANELING:
                _burst(game, stats, u)
                again = True


@inner
def recover(game: DoubleArray, stats: DoubleArray) -> None:
    """One loop of shield, life and energy recovery."""
    for u in range(game.shape[1]):
        if game[HEALTH, u] <= 0.0:
            continue
        kind = int(game[TYPE, u])
        if stats[LIFE_GAIN, kind] > 0.0:
            game[HEALTH, u] = min(stats[HEALTH_MAX, kind], game[HEALTH, u] + stats[LIFE_GAIN, kind])
        if stats[SHIELD_GAIN, kind] > 0.0:
            if game[SHIELD_WAIT, u] > 0.0:
                game[SHIELD_WAIT, u] -= 1.0
            else:
                game[SHIELD, u] = min(stats[SHIELD_MAX, kind], game[SHIELD, u] + stats[SHIELD_GAIN, kind])
        if stats[ENERGY_GAIN, kind] > 0.0:
            game[ENERGY, u] = min(stats[ENERGY_MAX, kind], game[ENERGY, u] + stats[ENERGY_GAIN, kind])


@inner
def recovers(game: DoubleArray, stats: DoubleArray) -> bool:
    """Whether any unit of this game ever recovers anything."""
    for u in range(game.shape[1]):
        kind = int(game[TYPE, u])
        if stats[LIFE_GAIN, kind] + stats[SHIELD_GAIN, kind] + stats[ENERGY_GAIN, kind] > 0.0:
            return True
    return False
