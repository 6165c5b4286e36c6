"""SMAC's own scripted agents (`heuristic_ai`): attack the nearest enemy until it dies, heal the nearest hurt ally.

They see everything and order what is not available, as upstream's `get_agent_action_heuristic` does
(oxwhirl/smac d6aab33); `heuristic_rest` makes them walk towards a target that is not available.
"""

from __future__ import annotations

from typing import Final

from env_adapters.api import BoolArray, DoubleArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.healing import MEDIVAC
from env_adapters.starcraft.maps import PLAYABLE_WIDTH
from env_adapters.starcraft.orders import order_attack, order_heal, order_move
from env_adapters.starcraft.smac_layer import MOVE_AMOUNT
from env_adapters.starcraft.stats import HEALTH_MAX
from env_adapters.starcraft.table import HEALTH, TYPE, X, Y, squared_distance
from env_adapters.starcraft.units import ROW

_FARTHEST: Final = 2.0 * PLAYABLE_WIDTH * PLAYABLE_WIDTH
_MARAUDER: Final = float(ROW["Marauder"])


@inner
def _wants(game: DoubleArray, stats: DoubleArray, a: int, u: int) -> bool:
    """Whether agent `a` would choose unit `u`: a hurt ally for a Medivac, else an enemy it may attack."""
    if game[HEALTH, u] <= 0.0:
        return False
    if game[TYPE, a] == MEDIVAC:
        return bool(game[TYPE, u] != MEDIVAC and game[HEALTH, u] != stats[HEALTH_MAX, int(game[TYPE, u])])
    return not (game[TYPE, a] == _MARAUDER and game[TYPE, u] == MEDIVAC)


@inner
def _keeps(game: DoubleArray, stats: DoubleArray, a: int, u: int) -> bool:
    """Whether agent `a` stays with the unit it chose before."""
    if u < 0 or game[HEALTH, u] <= 0.0:
        return False
    return bool(game[TYPE, a] != MEDIVAC or game[HEALTH, u] != stats[HEALTH_MAX, int(game[TYPE, u])])


@kernel
def order_heuristically(
    game: DoubleArray,
    stats: DoubleArray,
    n_allies: int,
    heals: bool,
    rest: bool,
    first_target: int,
    available: BoolArray,
    targets: IntArray,
) -> None:
    """Give every living agent its order.

    Args:
        game: unit table [N_FIELDS, U].
        stats: unit numbers.
        n_allies: N.
        heals: whether target actions of Medivacs name allies.
        rest: upstream's `heuristic_rest`.
        first_target: index of the first target action.
        available: the agents' masks, bool[N, A].
        targets: columns chosen before [N], -1 for none; updated.
    """
    for a in range(n_allies):
        if game[HEALTH, a] <= 0.0:
            continue
        healer = heals and game[TYPE, a] == MEDIVAC
        if not _keeps(game, stats, a, targets[a]):
            targets[a] = -1
            nearest = _FARTHEST
            for u in range(0 if healer else n_allies, n_allies if healer else game.shape[1]):
                squared = squared_distance(game, a, u)
                if squared < nearest and _wants(game, stats, a, u):
                    targets[a], nearest = u, squared
        target = targets[a]
        if target < 0:
            continue
        slot = target if healer else target - n_allies
        if rest and not available[a, first_target + slot]:
            dx, dy = game[X, target] - game[X, a], game[Y, target] - game[Y, a]
            if abs(dx) > abs(dy):
                order_move(
                    game, stats, a, game[X, a] + (MOVE_AMOUNT if dx > 0.0 else -MOVE_AMOUNT), game[Y, a]
                )
            else:
                order_move(
                    game, stats, a, game[X, a], game[Y, a] + (MOVE_AMOUNT if dy > 0.0 else -MOVE_AMOUNT)
                )
        elif healer:
            order_heal(game, stats, a, target)
        else:
            order_attack(game, stats, a, target)
