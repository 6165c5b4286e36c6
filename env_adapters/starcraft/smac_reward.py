"""The SMAC v1 layer: reward and outcome of one step, computed from a unit table."""

from __future__ import annotations

from typing import Final

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.starcraft.jit import kernel
from env_adapters.starcraft.smac_layer import MEDIVAC, Layer
from env_adapters.starcraft.table import HEALTH, SHIELD, TYPE

DEATH_VALUE: Final = 10.0
NEGATIVE_SCALE: Final = 0.5
"""Weight of the agents' own losses in the signed reward."""
WIN_REWARD: Final = 200.0
REWARD_SCALE: Final = 20.0

ONGOING: Final = 2
LOST: Final = -1
WON: Final = 1
BOTH_DEAD: Final = 0


@kernel
def _loss_of(game: DoubleArray, u: int, previous: DoubleArray) -> float:
    """Health and shield that `u` lost in this step; all it had if it died."""
    if game[HEALTH, u] <= 0.0:
        return previous[u]
    return previous[u] - (game[HEALTH, u] + game[SHIELD, u])


@kernel
def battle_reward(game: DoubleArray, layer: Layer, previous: DoubleArray, counted: BoolArray) -> float:
    """Unscaled reward of one step: damage and deaths of the enemy, and with signed_reward half the own ones.

    Args:
        game: the table after the step.
        layer: the map.
        previous: health plus shield of every unit before the step, [U].
        counted: deaths already rewarded, [U]; updated.
    """
    damage, deaths, own_damage = 0.0, 0.0, 0.0
    for u in range(layer.n_allies + layer.n_enemies):
        if counted[u]:
            continue
        died = game[HEALTH, u] <= 0.0
        counted[u] = died
        if u >= layer.n_allies:
            damage += _loss_of(game, u, previous)
            deaths += DEATH_VALUE if died else 0.0
        elif layer.signed_reward:
            own_damage += NEGATIVE_SCALE * _loss_of(game, u, previous)
            deaths -= DEATH_VALUE * NEGATIVE_SCALE if died else 0.0
    return damage + deaths - own_damage if layer.signed_reward else abs(damage + deaths)


@kernel
def outcome(game: DoubleArray, layer: Layer) -> int:
    """ONGOING, WON, LOST or BOTH_DEAD. On maps with Medivacs a side of Medivacs alone cannot win."""
    n = layer.n_allies
    allies = enemies = fighters = lone_medivacs = 0
    for u in range(n + layer.n_enemies):
        if game[HEALTH, u] <= 0.0:
            continue
        medivac = layer.heals and int(game[TYPE, u]) == MEDIVAC
        if u < n:
            allies += 1
            fighters += 0 if medivac else 1
        else:
            enemies += 1
            lone_medivacs += 1 if medivac else 0
    if (allies == 0 and enemies > 0) or (layer.heals and fighters == 0):
        return LOST
    if (allies > 0 and enemies == 0) or (layer.heals and enemies == 1 and lone_medivacs == 1):
        return WON
    if allies == 0 and enemies == 0:
        return BOTH_DEAD
    return ONGOING
