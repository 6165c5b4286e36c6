"""The embedded combat engine: one game loop at a time over a unit table.

Every game loop has four phases: attacks whose wind-up ends strike, all at the same instant; the dead stop
acting; each unit turns, begins an attack or proposes a step, according to its order; the steps are carried
out together. What is modelled, what is measured and what is guessed stands in docs/engine.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.starcraft.combat import begin_attack, choose_target, face, land_strikes, reach
from env_adapters.starcraft.jit import kernel
from env_adapters.starcraft.movement import move_together, walk
from env_adapters.starcraft.stats import Stats
from env_adapters.starcraft.table import (
    ALLY,
    BACKSWING,
    COOLDOWN,
    GOAL_X,
    GOAL_Y,
    HEALTH,
    NEXT_X,
    NEXT_Y,
    ORDER,
    ORDER_ATTACK,
    ORDER_ATTACK_MOVE,
    ORDER_IDLE,
    ORDER_MOVE,
    OWNER,
    SHOT_AT,
    TARGET,
    WALKING,
    WINDUP,
    X,
    Y,
    distance_between,
)

ENGINE: Final = "embedded-sc2"
"""Name of this engine in results."""
BUILD: Final = 1
"""Raised by every change that alters any trajectory."""


@kernel
def _act(game: DoubleArray, stats: Stats, u: int, generator: np.ndarray) -> None:
    """One loop of one living unit that is not winding up. The agents' units never choose a target themselves."""
    target = choose_target(game, stats, u, game[OWNER, u] == ALLY)
    game[WALKING, u] = 0.0
    if target >= 0:
        distance = distance_between(game, u, target)
        if distance <= reach(game, stats, u, target):
            scale = 1.0 / max(distance, 1e-9)
            ready = face(
                game, stats, u, (game[X, target] - game[X, u]) * scale, (game[Y, target] - game[Y, u]) * scale
            )
            if ready and game[COOLDOWN, u] <= 0.0:
                begin_attack(game, stats, u, target, generator)
        elif game[BACKSWING, u] <= 0.0:
            walk(game, stats, u, game[X, target], game[Y, target])
    elif game[ORDER, u] != ORDER_IDLE and game[BACKSWING, u] <= 0.0:
        arrived = walk(game, stats, u, game[GOAL_X, u], game[GOAL_Y, u])
        if arrived:
            game[ORDER, u] = ORDER_IDLE


@kernel
def advance(game: DoubleArray, stats: Stats, pathable: BoolArray, generator: np.ndarray, loops: int) -> None:
    """Play game loops of one game in place.

    Args:
        game: unit table [N_FIELDS, U].
        stats: unit numbers.
        pathable: bool[32, 32], indexed [x, y].
        generator: uint64[1], the game's own random generator.
        loops: game loops to play.
    """
    for u in range(game.shape[1]):
        game[SHOT_AT, u] = -1.0
    for _ in range(loops):
        land_strikes(game, stats)
        for u in range(game.shape[1]):
            game[NEXT_X, u], game[NEXT_Y, u] = game[X, u], game[Y, u]
        for u in range(game.shape[1]):
            if game[HEALTH, u] > 0.0 and game[WINDUP, u] <= 0.0:
                _act(game, stats, u, generator)
        move_together(game, stats, pathable)


@kernel
def order_move(game: DoubleArray, u: int, x: float, y: float) -> None:
    """Order `u` to walk to a point; cuts a backswing or an attack that has not struck yet short."""
    game[ORDER, u], game[TARGET, u] = ORDER_MOVE, -1.0
    game[GOAL_X, u], game[GOAL_Y, u] = x, y
    game[WALKING, u] = 1.0
    game[WINDUP, u], game[BACKSWING, u] = 0.0, 0.0


@kernel
def order_stop(game: DoubleArray, u: int) -> None:
    """Order `u` to drop what it is doing."""
    game[ORDER, u], game[TARGET, u] = ORDER_IDLE, -1.0
    game[WINDUP, u], game[BACKSWING, u] = 0.0, 0.0


@kernel
def order_attack(game: DoubleArray, u: int, v: int) -> None:
    """Order `u` to attack `v`; repeating the order in force changes nothing."""
    if game[ORDER, u] == ORDER_ATTACK and game[TARGET, u] == v:
        return
    game[ORDER, u], game[TARGET, u] = ORDER_ATTACK, float(v)
    game[WALKING, u] = 1.0
    game[WINDUP, u], game[BACKSWING, u] = 0.0, 0.0


@kernel
def order_attack_move(game: DoubleArray, u: int, x: float, y: float) -> None:
    """Order `u` to walk to a point and attack what it meets on the way."""
    game[ORDER, u], game[TARGET, u] = ORDER_ATTACK_MOVE, -1.0
    game[GOAL_X, u], game[GOAL_Y, u] = x, y
    game[WALKING, u] = 1.0
