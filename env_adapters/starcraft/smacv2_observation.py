"""SMACv2's observations: move features, enemies, allies, own features, in upstream's order.

Who may see which enemy is decided in `smacv2_visibility`; distances are in units of the agent's sight range.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.maps import MAP_SIZE
from env_adapters.starcraft.smac_layer import MOVE_AMOUNT
from env_adapters.starcraft.smacv2_cone import sees
from env_adapters.starcraft.smacv2_layer import N_TYPE_BITS, Layer, Memory
from env_adapters.starcraft.smacv2_visibility import IN_SIGHT, UNKNOWN, visit
from env_adapters.starcraft.table import HEALTH, SHIELD, TYPE, X, Y

_NEAR: Final = int(MOVE_AMOUNT)
_FAR: Final = 2 * _NEAR
_AROUND_X: Final = np.array([0, 0, _FAR, -_FAR, _NEAR, -_NEAR, _NEAR, -_NEAR, 0])
_AROUND_Y: Final = np.array([_FAR, -_FAR, 0, 0, _NEAR, -_NEAR, -_NEAR, _NEAR, 0])
"""Cells around the agent whose walkability (the first 8) and height (all 9) it may observe."""
_HEALTH: Final = 0
_SHIELD: Final = 1
_BIT: Final = 2
"""Rows of the features that `_unit_features` prepares; the first two in the order of observations."""


@kernel
def health_feature(game: DoubleArray, memory: Memory, b: int, layer: Layer, u: int) -> float:
    """Share of life left; for an agent with a health level, the share of what it can lose."""
    ratio = game[HEALTH, u] / layer.health_max[int(game[TYPE, u])]
    if not layer.stochastic_health or u >= layer.n_allies:
        return ratio
    level = memory.health_level[b, u]
    return (1.0 / (1.0 - level)) * (ratio - level)


@kernel
def write_capabilities(
    memory: Memory, b: int, layer: Layer, viewer: int, a: int, row: FloatArray, at: int
) -> int:
    """Write [attack probability?, health level?] of agent a, which team mates may not see; returns the index after."""
    if layer.stochastic_attack:
        if layer.observe_attack_probs or viewer == a:
            row[at] = memory.attack_probability[b, a]
        at += 1
    if layer.stochastic_health:
        if layer.observe_teammate_health or viewer == a:
            row[at] = memory.health_level[b, a]
        at += 1
    return at


@inner
def _unit_features(game: DoubleArray, memory: Memory, b: int, layer: Layer, out: DoubleArray) -> None:
    """Fill what does not depend on who looks: float64[3, U] with health, shield and position in the type one-hot."""
    for u in range(out.shape[1]):
        kind = int(game[TYPE, u])
        out[_HEALTH, u] = health_feature(game, memory, b, layer, u)
        out[_SHIELD, u] = game[SHIELD, u] / layer.shield_max[kind] if layer.shields else 0.0
        out[_BIT, u] = layer.type_bit[kind]


@inner
def _write_surroundings(game: DoubleArray, layer: Layer, a: int, row: FloatArray) -> None:
    """Write walkability and height around agent a; off the map both are 1."""
    height_at = 12 if layer.obs_pathing_grid else 4
    for k in range(9):
        x, y = int(game[X, a]) + _AROUND_X[k], int(game[Y, a]) + _AROUND_Y[k]
        on_map = 0 <= x < MAP_SIZE and 0 <= y < MAP_SIZE
        if layer.obs_pathing_grid and k < 8:
            row[4 + k] = 0.0 if on_map and not layer.pathable[x, y] else 1.0
        if layer.obs_terrain_height:
            row[height_at + k] = layer.terrain_height[x, y] if on_map else 1.0


@inner
def _write_own(
    game: DoubleArray,
    memory: Memory,
    b: int,
    layer: Layer,
    units: DoubleArray,
    available: BoolArray,
    out: FloatArray,
) -> None:
    """Write movement features and own features of all living agents."""
    views, start = memory.fov[b], out.shape[1] - int(layer.obs_timestep_number) - layer.own_width
    for a in range(layer.n_allies):
        if game[HEALTH, a] <= 0.0:
            continue
        row, at = out[a], start
        for k in range(4):
            row[k] = 1.0 if available[a, 2 + k] else 0.0
        if layer.move_width > 4:
            _write_surroundings(game, layer, a, row)
        for k in range(layer.own_vitals):
            row[at + k] = units[k, a]
        at += layer.own_vitals
        if layer.stochastic_attack or layer.stochastic_health:
            at = write_capabilities(memory, b, layer, a, a, row, at)
        if layer.obs_own_pos:
            row[at] = game[X, a] / MAP_SIZE
            row[at + 1] = game[Y, a] / MAP_SIZE
            at += 2
        if layer.n_views > 0:
            row[at] = layer.look[views[a], 0]
            row[at + 1] = layer.look[views[a], 1]
            at += 2
        row[at + int(units[_BIT, a])] = 1.0


@inner
def _blank(row: FloatArray, start: int, end: int) -> None:
    for k in range(start, end):
        row[k] = 0.0


@inner
def _write_team_mate(
    memory: Memory,
    b: int,
    layer: Layer,
    units: DoubleArray,
    a: int,
    t: int,
    last_actions: IntArray,
    row: FloatArray,
    at: int,
) -> None:
    """Complete the row of team mate t, which starts at `at`, where options change it."""
    if layer.seen_vitals > 0 and layer.stochastic_health and not layer.observe_teammate_health:
        row[at + 4] = 0.0
    k = write_capabilities(memory, b, layer, a, t, row, at + 4 + layer.seen_vitals)
    if layer.observe_teammate_types:
        row[k + int(units[_BIT, t])] = 1.0
    if layer.obs_last_action and last_actions[t] >= 0:
        row[k + N_TYPE_BITS + last_actions[t]] = 1.0


@inner
def _write_others(
    game: DoubleArray,
    memory: Memory,
    b: int,
    layer: Layer,
    units: DoubleArray,
    available: BoolArray,
    last_actions: IntArray,
    knowledge: np.ndarray,
    out: FloatArray,
) -> None:
    """Write what all living agents see of enemies and team mates.

    One loop for both, without calls in its usual path: a call with arrays costs more than all the rest.
    """
    n, m, views, masks = layer.n_allies, layer.n_enemies, memory.fov[b], memory.enemy_mask[b]
    for a in range(n):
        if game[HEALTH, a] <= 0.0:
            continue
        x, y, view, row = game[X, a], game[Y, a], int(views[a]), out[a]
        sight = layer.sight[int(game[TYPE, a])]
        filled, at = False, layer.move_width
        for i in range(m + n):
            enemy = i < m
            u = n + i if enemy else i - m
            if u == a:
                continue
            dx, dy = game[X, u] - x, game[Y, u] - y
            distance = sqrt(dx * dx + dy * dy)
            visible = knowledge[a, i] == IN_SIGHT if enemy else sees(layer, view, sight, dx, dy, distance)
            if game[HEALTH, u] > 0.0 and (layer.fully_observable or visible):
                row[at] = 0.0 if enemy and not available[a, layer.first_target + i] else 1.0
                row[at + 1], row[at + 2], row[at + 3] = distance / sight, dx / sight, dy / sight
                masked = enemy and layer.mask_enemies and masks[a, i] != 0
                for k in range(0 if masked else layer.seen_vitals):
                    row[at + 4 + k] = units[k, u]
                if not enemy and layer.special_team:
                    _write_team_mate(memory, b, layer, units, a, u, last_actions, row, at)
                elif not masked:
                    row[at + 4 + layer.seen_vitals + int(units[_BIT, u])] = 1.0
                filled = True
            at += layer.enemy_width if enemy else layer.ally_width
            # Upstream's bug: an enemy that the agent does not know of wipes out the rows before it.
            if filled and layer.exact and enemy and knowledge[a, i] == UNKNOWN:
                _blank(row, layer.move_width, at)
                filled = False


@kernel
def observe(
    game: DoubleArray,
    memory: Memory,
    b: int,
    layer: Layer,
    available: BoolArray,
    last_actions: IntArray,
    elapsed: float,
    order: IntArray,
    draws: DoubleArray,
    out: FloatArray,
) -> int:
    """Fill the observations of one game and update what its agents know of the enemies.

    Args:
        game: unit table [F, U].
        memory: extra state of all games; row `b` is read, and obs_enemies and enemy_tags are updated.
        b: the game's row in `memory`.
        layer: the scenario.
        available: bool[N, A] as `available_actions` fills it (before `offer_all_targets`).
        last_actions: int64[N], -1 before the first step.
        elapsed: steps taken / episode limit.
        order: int64[N], the order in which agents are visited.
        draws: uniforms in [0, 1), E * (N - 1) of them if 0 < prob_obs_enemy < 1, else not read.
        out: float32[N, D].

    Returns:
        How many enemies were found; upstream takes N - 1 draws for each.
    """
    for a in range(out.shape[0]):
        _blank(out[a], 0, out.shape[1])
        if layer.obs_timestep_number:
            out[a, out.shape[1] - 1] = elapsed
    if not layer.obs_starcraft:
        return 0
    units = np.empty((3, game.shape[1]))
    _unit_features(game, memory, b, layer, units)
    _write_own(game, memory, b, layer, units, available, out)
    knowledge = np.empty((layer.n_allies, layer.n_enemies), dtype=np.uint8)
    n_found = visit(game, memory, b, layer, order, draws, knowledge)
    _write_others(game, memory, b, layer, units, available, last_actions, knowledge, out)
    return n_found
