"""SMACv2's action masks, and what its actions do before the game engine sees an order."""

from __future__ import annotations

from env_adapters.api import BoolArray, DoubleArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.maps import MAP_SIZE
from env_adapters.starcraft.smac_layer import MEDIVAC, MOVE_AMOUNT, N_FIXED_ACTIONS
from env_adapters.starcraft.smacv2_cone import reaches
from env_adapters.starcraft.smacv2_layer import Layer, Memory
from env_adapters.starcraft.table import HEALTH, TYPE, X, Y


@inner
def _pathable_at(layer: Layer, x: float, y: float) -> bool:
    """Coordinates are cut towards zero, as upstream's int() does."""
    column, row = int(x), int(y)
    return 0 <= column < MAP_SIZE and 0 <= row < MAP_SIZE and layer.pathable[column, row] != 0


@inner
def _heals(game: DoubleArray, layer: Layer, a: int) -> bool:
    return layer.heals and int(game[TYPE, a]) == MEDIVAC


@kernel
def target_of(game: DoubleArray, layer: Layer, a: int, action: int) -> int:
    """Column of the unit that an action of agent a aims at (an ally's for a Medivac), -1 if it aims at nobody."""
    slot = action - layer.first_target
    if slot < 0:
        return -1
    return slot if _heals(game, layer, a) else layer.n_allies + slot


@kernel
def available_actions(game: DoubleArray, memory: Memory, b: int, layer: Layer, out: BoolArray) -> None:
    """Fill the action masks of one game, bool[N, A], with targets by range and cone.

    Observations need exactly these masks. Without `action_mask` the agents get `offer_all_targets` on top,
    after the observations are made.
    """
    n, first_target = layer.n_allies, layer.first_target
    step = MOVE_AMOUNT / 2.0
    for a in range(n):
        for k in range(out.shape[1]):
            out[a, k] = False
        if game[HEALTH, a] <= 0.0:
            out[a, 0] = True
            continue
        x, y, kind, view = game[X, a], game[Y, a], int(game[TYPE, a]), int(memory.fov[b, a])
        out[a, 1] = True
        out[a, 2] = _pathable_at(layer, x, y + step)
        out[a, 3] = _pathable_at(layer, x, y - step)
        out[a, 4] = _pathable_at(layer, x + step, y)
        out[a, 5] = _pathable_at(layer, x - step, y)
        for k in range(N_FIXED_ACTIONS, first_target):
            out[a, k] = True
        heals, shoot = layer.heals and kind == MEDIVAC, layer.shoot[kind]
        first, count = (0, n) if heals else (n, layer.n_enemies)
        for t in range(count):
            u = first + t
            if game[HEALTH, u] > 0.0 and not (heals and int(game[TYPE, u]) == MEDIVAC):
                out[a, first_target + t] = reaches(layer, view, shoot, game[X, u] - x, game[Y, u] - y)


@kernel
def offer_all_targets(game: DoubleArray, layer: Layer, out: BoolArray) -> None:
    """Make every living target of every living agent available, bool[N, A]; no-op where masks are on."""
    if layer.action_mask:
        return
    n = layer.n_allies
    for a in range(n):
        heals = _heals(game, layer, a)
        first, count = (0, n) if heals else (n, layer.n_enemies)
        for t in range(count):
            u = first + t
            if game[HEALTH, a] > 0.0 and game[HEALTH, u] > 0.0:
                out[a, layer.first_target + t] = not (heals and int(game[TYPE, u]) == MEDIVAC)


@kernel
def order_goes_through(
    game: DoubleArray, memory: Memory, b: int, layer: Layer, a: int, target: int, draw: float
) -> bool:
    """Whether agent a's order to attack or heal `target` reaches the game; else the unit keeps its old order.

    `draw` is uniform in [0, 1), read only with stochastic attacks.
    """
    if layer.stochastic_attack and draw > memory.attack_probability[b, a]:
        return False
    dx, dy = game[X, target] - game[X, a], game[Y, target] - game[Y, a]
    return reaches(layer, int(memory.fov[b, a]), layer.shoot[int(game[TYPE, a])], dx, dy)


@kernel
def turn_views(memory: Memory, b: int, layer: Layer, actions: IntArray) -> None:
    """Turn every agent of game b that chose a look action; `actions` int64[N]."""
    for a in range(layer.n_allies):
        if N_FIXED_ACTIONS <= actions[a] < layer.first_target:
            memory.fov[b, a] = actions[a] - N_FIXED_ACTIONS


@kernel
def mark_doomed(game: DoubleArray, memory: Memory, b: int, layer: Layer, out: BoolArray) -> None:
    """Mark the living agents whose share of life is under their health level, bool[N]; for stochastic health only.

    Upstream looks at the life that agents had when the step began and kills them `kill_unit_step_mul` loops before
    it ends, so whoever falls below the level during a step lives until the next.
    """
    for a in range(layer.n_allies):
        ratio = game[HEALTH, a] / layer.health_max[int(game[TYPE, a])]
        out[a] = game[HEALTH, a] > 0.0 and ratio < memory.health_level[b, a]
