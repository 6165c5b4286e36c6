"""What SMAC v1 agents may do and see: one kernel fills masks and observations from a unit table.

It computes each distance once and writes the features of a pair of allies to both. It serves two layouts,
which differ in where the blocks of an observation stand: upstream's own, and the one of the OMIGA data sets.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.smac_layer import (
    ALLY_BIT,
    ENEMY_BIT,
    HEALTH_MAX,
    MEDIVAC,
    MOVE_AMOUNT,
    N_FIXED_ACTIONS,
    N_HEIGHTS,
    N_MOVES,
    N_PATHING,
    SHIELD_MAX,
    SHOOT_RANGE,
    SIGHT,
    Layer,
)
from env_adapters.starcraft.table import HEALTH, SHIELD, TYPE, X, Y

_REACH: Final = MOVE_AMOUNT / 2.0
# The cells around an agent, in upstream's order; the last is its own.
_AROUND_X: Final = (0, 0, 4, -4, 2, -2, 2, -2, 0)
_AROUND_Y: Final = (4, -4, 0, 0, 2, -2, -2, 2, 0)


@kernel
def look(
    game: DoubleArray,
    layer: Layer,
    pathable: BoolArray,
    heights: DoubleArray,
    last_actions: IntArray,
    step: int,
    available: BoolArray,
    out: FloatArray,
) -> None:
    """Fill the available actions and the observations of one game.

    Args:
        game: the unit table [F, U].
        layer: the map and the options.
        pathable: bool[32, 32], indexed [x, y].
        heights: terrain heights in upstream's unit (0 to 1), float64[32, 32]; read only if asked for.
        last_actions: [N], -1 before the first step; read only if observations tell them.
        step: steps played.
        available: bool[N, A].
        out: float32[N, D].
    """
    for a in range(layer.n_allies):
        for k in range(available.shape[1]):
            available[a, k] = False
        for k in range(out.shape[1]):
            out[a, k] = 0.0
        if game[HEALTH, a] > 0.0:
            _look_at_itself(game, a, layer, pathable, heights, available, out)
        else:
            available[a, 0] = True
    _look_at_allies(game, layer, available, out)
    _look_at_enemies(game, layer, available, out)
    if layer.last_action:
        _tell_last_actions(layer, last_actions, out)
    if layer.identity:
        _tell_identities(game, layer, last_actions, out)
    if layer.timestep:
        for a in range(layer.n_allies):
            out[a, layer.blocks.size - 1] = step / layer.episode_limit


@inner
def _pathable_at(pathable: BoolArray, x: float, y: float) -> bool:
    """Coordinates are cut towards zero, as upstream's int() does."""
    column, row = int(x), int(y)
    return 0 <= column < pathable.shape[0] and 0 <= row < pathable.shape[1] and pathable[column, row]


@inner
def _look_at_itself(
    game: DoubleArray,
    a: int,
    layer: Layer,
    pathable: BoolArray,
    heights: DoubleArray,
    available: BoolArray,
    out: FloatArray,
) -> None:
    """Fill the fixed actions, move features and own features of a living agent."""
    x, y = game[X, a], game[Y, a]
    available[a, 1] = True
    available[a, 2] = _pathable_at(pathable, x, y + _REACH)
    available[a, 3] = _pathable_at(pathable, x, y - _REACH)
    available[a, 4] = _pathable_at(pathable, x + _REACH, y)
    available[a, 5] = _pathable_at(pathable, x - _REACH, y)
    for k in range(N_MOVES):
        out[a, layer.blocks.moves + k] = 1.0 if available[a, 2 + k] else 0.0
    if layer.pathing or layer.heights:
        _look_around(game, a, layer, pathable, heights, out)
    kind, at = int(game[TYPE, a]), layer.blocks.own
    if layer.own_health:
        out[a, at] = game[HEALTH, a] / layer.types[HEALTH_MAX, kind]
        at += 1
        if layer.ally_shields:
            out[a, at] = game[SHIELD, a] / layer.types[SHIELD_MAX, kind]
            at += 1
    if layer.type_bits > 0:
        out[a, at + int(layer.types[ALLY_BIT, kind])] = 1.0


@inner
def _look_around(
    game: DoubleArray, a: int, layer: Layer, pathable: BoolArray, heights: DoubleArray, out: FloatArray
) -> None:
    """Fill pathing and terrain heights of the cells around an agent; cells off the map count as 1."""
    x, y = int(game[X, a]), int(game[Y, a])
    at = layer.blocks.moves + N_MOVES
    heights_at = at + N_PATHING if layer.pathing else at
    for k in range(N_HEIGHTS):
        column, row = x + _AROUND_X[k], y + _AROUND_Y[k]
        inside = 0 <= column < pathable.shape[0] and 0 <= row < pathable.shape[1]
        if layer.pathing and k < N_PATHING:
            out[a, at + k] = 1.0 if not inside or pathable[column, row] else 0.0
        if layer.heights:
            out[a, heights_at + k] = heights[column, row] if inside else 1.0


@inner
def _look_at_allies(game: DoubleArray, layer: Layer, available: BoolArray, out: FloatArray) -> None:
    """Fill the rows that allies have for each other, and what Medivacs may heal."""
    width = layer.blocks.ally_width
    own = layer.blocks.own
    shown = layer.type_bits
    if layer.all_health:
        shown += 1 + int(layer.ally_shields)
    elif layer.own_health:
        own += 1 + int(layer.ally_shields)
    for u in range(1, layer.n_allies):
        if game[HEALTH, u] <= 0.0:
            continue
        x, y = game[X, u], game[Y, u]
        for a in range(u):
            if game[HEALTH, a] <= 0.0:
                continue
            dx, dy = x - game[X, a], y - game[Y, a]
            distance = sqrt(dx * dx + dy * dy)
            if layer.heals and distance <= SHOOT_RANGE:
                u_heals, a_heals = int(game[TYPE, u]) == MEDIVAC, int(game[TYPE, a]) == MEDIVAC
                available[u, N_FIXED_ACTIONS + a] = u_heals and not a_heals
                available[a, N_FIXED_ACTIONS + u] = a_heals and not u_heals
            if distance >= SIGHT:
                continue
            # Agent a leaves itself out, so u stands in row u - 1 of it.
            of_a = layer.blocks.allies + (u - 1) * width
            of_u = layer.blocks.allies + a * width
            far, right, up = distance / SIGHT, dx / SIGHT, dy / SIGHT
            out[a, of_a] = 1.0
            out[a, of_a + 1] = far
            out[a, of_a + 2] = right
            out[a, of_a + 3] = up
            out[u, of_u] = 1.0
            out[u, of_u + 1] = far
            # 0 - q instead of -q: equal positions give 0, never -0.
            out[u, of_u + 2] = 0.0 - right
            out[u, of_u + 3] = 0.0 - up
            for k in range(shown):
                out[a, of_a + 4 + k] = out[u, own + k]
                out[u, of_u + 4 + k] = out[a, own + k]


@inner
def _look_at_enemies(game: DoubleArray, layer: Layer, available: BoolArray, out: FloatArray) -> None:
    """Fill the rows of the enemies, and who may be attacked."""
    n, at = layer.n_allies, layer.blocks.enemies
    for e in range(layer.n_enemies):
        if game[HEALTH, n + e] > 0.0:
            x, y, kind = game[X, n + e], game[Y, n + e], int(game[TYPE, n + e])
            health = game[HEALTH, n + e] / layer.types[HEALTH_MAX, kind]
            shield = game[SHIELD, n + e] / layer.types[SHIELD_MAX, kind]
            for a in range(n):
                if game[HEALTH, a] <= 0.0:
                    continue
                dx, dy = x - game[X, a], y - game[Y, a]
                distance = sqrt(dx * dx + dy * dy)
                # A Medivac's slot e stands for healing ally e, also in what it sees of enemy e.
                if not (layer.heals and int(game[TYPE, a]) == MEDIVAC):
                    available[a, N_FIXED_ACTIONS + e] = distance <= SHOOT_RANGE
                if distance >= SIGHT:
                    continue
                out[a, at] = 1.0 if available[a, N_FIXED_ACTIONS + e] else 0.0
                out[a, at + 1] = distance / SIGHT
                out[a, at + 2] = dx / SIGHT
                out[a, at + 3] = dy / SIGHT
                then = at + 4
                if layer.all_health:
                    out[a, then] = health
                    then += 1
                    if layer.enemy_shields:
                        out[a, then] = shield
                        then += 1
                if layer.type_bits > 0:
                    out[a, then + int(layer.types[ENEMY_BIT, kind])] = 1.0
        at += layer.blocks.enemy_width


@inner
def _tell_last_actions(layer: Layer, last_actions: IntArray, out: FloatArray) -> None:
    """Fill the last actions of the allies that each agent sees."""
    actions_at = layer.blocks.ally_width - (N_FIXED_ACTIONS + layer.n_enemies)
    for a in range(layer.n_allies):
        at = layer.blocks.allies
        for u in range(layer.n_allies):
            if u == a:
                continue
            if out[a, at] > 0.0 and last_actions[u] >= 0:
                out[a, at + actions_at + last_actions[u]] = 1.0
            at += layer.blocks.ally_width


@inner
def _tell_identities(game: DoubleArray, layer: Layer, last_actions: IntArray, out: FloatArray) -> None:
    """Fill what the OMIGA layout adds to own features; the one-hot of the agent also when it is dead."""
    names_at = layer.blocks.size - layer.n_allies
    actions_at = names_at - (N_FIXED_ACTIONS + layer.n_enemies)
    for a in range(layer.n_allies):
        out[a, names_at + a] = 1.0
        if game[HEALTH, a] > 0.0:
            out[a, layer.blocks.own - 4] = 1.0
            if last_actions[a] >= 0:
                out[a, actions_at + last_actions[a]] = 1.0
