"""The orders that a map's own script gives the enemy at the start of an episode."""

from __future__ import annotations

from math import cos, pi, sin
from typing import NamedTuple

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.jit import inner
from env_adapters.starcraft.maps import EnemyOrder, MapInfo
from env_adapters.starcraft.orders import order_attack_move, order_hunt
from env_adapters.starcraft.random import next_uniform
from env_adapters.starcraft.table import FACING_X, FACING_Y, X, Y


class Script(NamedTuple):
    """The enemy's first order."""

    attack_move: bool
    hunt: bool
    from_x: float
    """One end of the segment on which the goal of the attack-move is drawn; the other may be the same point."""
    from_y: float
    to_x: float
    to_y: float


def make_script(info: MapInfo) -> Script:
    """The order that the script of a SMAC v1 map gives."""
    ends = info.enemy_goal or ((0.0, 0.0),)
    order = info.enemy_order
    return Script(order == EnemyOrder.ATTACK_MOVE, order == EnemyOrder.HUNT, *ends[0], *ends[-1])


@inner
def face_anywhere(game: DoubleArray, generator: np.ndarray) -> None:
    """Turn every unit to a random side, as the game does with units that a script creates."""
    for u in range(game.shape[1]):
        angle = 2.0 * pi * next_uniform(generator)
        game[FACING_X, u], game[FACING_Y, u] = cos(angle), sin(angle)


@inner
def begin_script(
    game: DoubleArray, stats: DoubleArray, script: Script, n_allies: int, generator: np.ndarray
) -> None:
    """Give the enemy its order.

    A group's attack-move keeps each unit's offset from the centre of the group, as the real game's traces show.
    """
    n_units = game.shape[1]
    if script.hunt:
        for u in range(n_allies, n_units):
            order_hunt(game, stats, u)
    if not script.attack_move:
        return
    along = next_uniform(generator)
    goal_x = script.from_x + along * (script.to_x - script.from_x)
    goal_y = script.from_y + along * (script.to_y - script.from_y)
    centre_x = centre_y = 0.0
    for u in range(n_allies, n_units):
        centre_x, centre_y = centre_x + game[X, u], centre_y + game[Y, u]
    centre_x, centre_y = centre_x / (n_units - n_allies), centre_y / (n_units - n_allies)
    for u in range(n_allies, n_units):
        order_attack_move(game, stats, u, goal_x + game[X, u] - centre_x, goal_y + game[Y, u] - centre_y)
