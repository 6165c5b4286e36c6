"""Orders to units, as the agents' actions and the maps' scripts give them.

An order that changes what a unit does cuts a backswing, a second blow and an attack that has not struck yet short;
repeating the order in force changes nothing.
"""

from __future__ import annotations

from env_adapters.api import DoubleArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.healing import MEDIVAC, is_patient
from env_adapters.starcraft.table import (
    AIM,
    GOAL_X,
    GOAL_Y,
    HEALTH,
    LOOK_IN,
    ORDER,
    ORDER_ATTACK,
    ORDER_ATTACK_MOVE,
    ORDER_HEAL,
    ORDER_HUNT,
    ORDER_IDLE,
    ORDER_MOVE,
    SCAN_IN,
    SIDE,
    TARGET,
    TYPE,
    WALKING,
    X,
    Y,
    squared_distance,
)
from env_adapters.starcraft.targets import can_hit
from env_adapters.starcraft.weapons import interrupt


@inner
def _give(game: DoubleArray, stats: DoubleArray, u: int, order: float, target: float) -> None:
    game[ORDER, u], game[TARGET, u] = order, target
    game[LOOK_IN, u], game[SIDE, u], game[SCAN_IN, u] = 0.0, 0.0, 0.0
    interrupt(game, stats, u)
    if game[TYPE, u] == MEDIVAC:
        game[AIM, u] = -1.0


@kernel
def order_stop(game: DoubleArray, stats: DoubleArray, u: int) -> None:
    """Order `u` to drop what it is doing."""
    _give(game, stats, u, ORDER_IDLE, -1.0)
    game[WALKING, u] = 0.0


@kernel
def order_move(game: DoubleArray, stats: DoubleArray, u: int, x: float, y: float) -> None:
    """Order `u` to walk to a point."""
    _give(game, stats, u, ORDER_MOVE, -1.0)
    game[GOAL_X, u], game[GOAL_Y, u], game[WALKING, u] = x, y, 1.0


@kernel
def order_attack(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> None:
    """Order `u` to attack `v`; refused, as in the game, where its weapon cannot hit `v`."""
    if (game[ORDER, u] == ORDER_ATTACK and game[TARGET, u] == v) or not can_hit(game, stats, u, v):
        return
    _give(game, stats, u, ORDER_ATTACK, float(v))
    game[WALKING, u] = 1.0


@kernel
def order_heal(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> None:
    """Order the Medivac `u` to heal `v`; refused for a unit that needs none or is in treatment."""
    if (game[ORDER, u] == ORDER_HEAL and game[TARGET, u] == v) or not is_patient(game, stats, u, v):
        return
    _give(game, stats, u, ORDER_HEAL, float(v))
    game[WALKING, u] = 1.0


@kernel
def order_attack_move(game: DoubleArray, stats: DoubleArray, u: int, x: float, y: float) -> None:
    """Order `u` to walk to a point and attack what it meets on the way; a Medivac heals on the way."""
    _give(game, stats, u, ORDER_ATTACK_MOVE, -1.0)
    game[GOAL_X, u], game[GOAL_Y, u], game[WALKING, u] = x, y, 1.0


@kernel
def order_hunt(game: DoubleArray, stats: DoubleArray, u: int) -> None:
    """Order `u` to attack the agents one after the other, the nearest first."""
    _give(game, stats, u, ORDER_HUNT, -1.0)
    game[WALKING, u] = 1.0


@kernel
def order_idle_enemies(game: DoubleArray, stats: DoubleArray, n_allies: int) -> None:
    """SMACv2's map script: every idle enemy attacks the agent nearest to it (Medivacs follow it).

    A unit that has found a target by itself is not idle.
    """
    for u in range(n_allies, game.shape[1]):
        if game[HEALTH, u] <= 0.0 or game[ORDER, u] != ORDER_IDLE or game[TARGET, u] >= 0.0:
            continue
        best, best_squared = -1, 1e18
        for v in range(n_allies):
            squared = squared_distance(game, u, v)
            if game[HEALTH, v] > 0.0 and squared < best_squared:
                best, best_squared = v, squared
        if best < 0:
            continue
        if game[TYPE, u] == MEDIVAC:
            order_attack_move(game, stats, u, game[X, best], game[Y, best])
        else:
            order_attack(game, stats, u, best)
