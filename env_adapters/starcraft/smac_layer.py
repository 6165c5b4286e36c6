"""The SMAC v1 layer: availability, observation and state, computed from a unit table.

The numbers agree with the upstream environment element by element (float32 of double arithmetic), tested
on tables recorded from it. Sections named below are those of upstream's behaviour: move features,
enemies, allies, own features; health and cooldown ratios. Rewards: smac_reward.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.starcraft.jit import kernel
from env_adapters.starcraft.maps import MAP_SIZE, PLAYABLE_WIDTH, MapInfo
from env_adapters.starcraft.table import COOLDOWN, ENERGY, HEALTH, SHIELD, TYPE, X, Y, distance_between
from env_adapters.starcraft.units import ROW, UNITS

LAYOUT: Final = "smac-v1"
"""Observation layout id of this layer with default options."""
N_FIXED_ACTIONS: Final = 6
"""no-op, stop, north, south, east, west; then one action per target."""
SIGHT: Final = 9.0
SHOOT_RANGE: Final = 6.0
MOVE_AMOUNT: Final = 2.0
"""Cells that a move order asks for."""
MEDIVAC: Final = ROW["Medivac"]
"""Row of the Medivac in `UNITS`."""
_CENTRE: Final = MAP_SIZE / 2.0
_ALLY_BITS: Final = {
    "stalkers_and_zealots": ("Stalker", "Zealot"),
    "colossi_stalkers_zealots": ("Colossus", "Stalker", "Zealot"),
    "MMM": ("Marauder", "Marine", "Medivac"),
    "bane": ("Baneling", "Zergling"),
}
_ENEMY_BITS: Final = {**_ALLY_BITS, "stalkers_and_zealots": ("Zealot", "Stalker")}
"""Upstream numbers the enemy's Zealot before its Stalker on these maps, unlike the agents' own."""


class Layer(NamedTuple):
    """Everything the kernels need to know about a map, as scalars and arrays."""

    n_allies: int
    n_enemies: int
    ally_shields: bool
    enemy_shields: bool
    type_bits: int
    signed_reward: bool
    """Whether the agents' own losses count against them (upstream's reward_only_positive=False)."""
    heals: bool
    """Whether Medivacs heal allies through their target actions (map type MMM)."""
    ally_bit: np.ndarray
    """int64[unit rows], position in the type one-hot."""
    enemy_bit: np.ndarray
    health_max: DoubleArray
    """[unit rows]"""
    shield_max: DoubleArray
    cooldown_max: DoubleArray


def make_layer(info: MapInfo, signed_reward: bool = False) -> Layer:
    """Collect what the kernels need of a map."""
    bits = np.zeros((2, len(UNITS)), dtype=np.int64)
    for side, names in enumerate((_ALLY_BITS, _ENEMY_BITS)):
        for position, name in enumerate(names.get(info.map_type, ())):
            bits[side, ROW[name]] = position
    return Layer(
        n_allies=len(info.team(1)),
        n_enemies=len(info.team(2)),
        ally_shields=info.ally_race == "P",
        enemy_shields=info.enemy_race == "P",
        type_bits=info.unit_type_bits,
        signed_reward=signed_reward,
        heals=info.map_type == "MMM",
        ally_bit=bits[0],
        enemy_bit=bits[1],
        health_max=np.array([unit.health for unit in UNITS], dtype=np.float64),
        shield_max=np.array([unit.shield for unit in UNITS], dtype=np.float64),
        cooldown_max=np.array([unit.smac_cooldown_max for unit in UNITS], dtype=np.float64),
    )


def sizes(layer: Layer) -> tuple[int, int, int]:
    """(observation size D, state size S, number of actions A)."""
    n, m, bits = layer.n_allies, layer.n_enemies, layer.type_bits
    ally, enemy = int(layer.ally_shields), int(layer.enemy_shields)
    actions = N_FIXED_ACTIONS + m
    observation = 4 + m * (5 + enemy + bits) + (n - 1) * (5 + ally + bits) + 1 + ally + bits
    state = n * (4 + ally + bits) + m * (3 + enemy + bits) + n * actions
    return observation, state, actions


@kernel
def _pathable_at(pathable: BoolArray, x: float, y: float) -> bool:
    """Coordinates are cut towards zero, as upstream's int() does."""
    column, row = int(x), int(y)
    return 0 <= column < pathable.shape[0] and 0 <= row < pathable.shape[1] and bool(pathable[column, row])


@kernel
def available_actions(game: DoubleArray, layer: Layer, pathable: BoolArray, out: BoolArray) -> None:
    """Fill the action masks of one game, bool[N, A]."""
    n = layer.n_allies
    reach = MOVE_AMOUNT / 2.0
    for a in range(n):
        for k in range(out.shape[1]):
            out[a, k] = False
        if game[HEALTH, a] <= 0.0:
            out[a, 0] = True
            continue
        x, y = game[X, a], game[Y, a]
        out[a, 1] = True
        out[a, 2] = _pathable_at(pathable, x, y + reach)
        out[a, 3] = _pathable_at(pathable, x, y - reach)
        out[a, 4] = _pathable_at(pathable, x + reach, y)
        out[a, 5] = _pathable_at(pathable, x - reach, y)
        if layer.heals and int(game[TYPE, a]) == MEDIVAC:
            for t in range(n):
                if int(game[TYPE, t]) != MEDIVAC and game[HEALTH, t] > 0.0:
                    out[a, N_FIXED_ACTIONS + t] = distance_between(game, a, t) <= SHOOT_RANGE
            continue
        for e in range(layer.n_enemies):
            if game[HEALTH, n + e] > 0.0:
                out[a, N_FIXED_ACTIONS + e] = distance_between(game, a, n + e) <= SHOOT_RANGE


@kernel
def _health_ratio(game: DoubleArray, layer: Layer, u: int) -> float:
    return game[HEALTH, u] / layer.health_max[int(game[TYPE, u])]


@kernel
def _shield_and_type(
    game: DoubleArray, layer: Layer, u: int, shields: bool, bits: np.ndarray, out: FloatArray, at: int
) -> None:
    """Write [shield ratio?, type one-hot?] of one unit from index `at` on."""
    kind = int(game[TYPE, u])
    if shields:
        out[at] = game[SHIELD, u] / layer.shield_max[kind]
        at += 1
    if layer.type_bits > 0:
        out[at + bits[kind]] = 1.0


@kernel
def _seen(
    game: DoubleArray, layer: Layer, a: int, u: int, first: float, distance: float, out: FloatArray, at: int
) -> None:
    """Write [first, distance, dx, dy, health ratio] of a unit in sight, distances in units of the sight range."""
    out[at] = first
    out[at + 1] = distance / SIGHT
    out[at + 2] = (game[X, u] - game[X, a]) / SIGHT
    out[at + 3] = (game[Y, u] - game[Y, a]) / SIGHT
    out[at + 4] = _health_ratio(game, layer, u)


@kernel
def observe(game: DoubleArray, layer: Layer, available: BoolArray, out: FloatArray) -> None:
    """Fill the observations of one game, float32[N, D], from the table and its masks."""
    n, m = layer.n_allies, layer.n_enemies
    enemy_width = 5 + int(layer.enemy_shields) + layer.type_bits
    ally_width = 5 + int(layer.ally_shields) + layer.type_bits
    for a in range(n):
        row = out[a]
        for k in range(out.shape[1]):
            row[k] = 0.0
        if game[HEALTH, a] <= 0.0:
            continue
        for k in range(4):
            row[k] = 1.0 if available[a, 2 + k] else 0.0
        at = 4
        for e in range(m):
            distance = distance_between(game, a, n + e)
            if game[HEALTH, n + e] > 0.0 and distance < SIGHT:
                _seen(
                    game,
                    layer,
                    a,
                    n + e,
                    1.0 if available[a, N_FIXED_ACTIONS + e] else 0.0,
                    distance,
                    row,
                    at,
                )
                _shield_and_type(game, layer, n + e, layer.enemy_shields, layer.enemy_bit, row, at + 5)
            at += enemy_width
        for t in range(n):
            if t == a:
                continue
            distance = distance_between(game, a, t)
            if game[HEALTH, t] > 0.0 and distance < SIGHT:
                _seen(game, layer, a, t, 1.0, distance, row, at)
                _shield_and_type(game, layer, t, layer.ally_shields, layer.ally_bit, row, at + 5)
            at += ally_width
        row[at] = _health_ratio(game, layer, a)
        _shield_and_type(game, layer, a, layer.ally_shields, layer.ally_bit, row, at + 1)


@kernel
def global_state(game: DoubleArray, layer: Layer, last_actions: np.ndarray, out: FloatArray) -> None:
    """Fill the global state of one game, float32[S]; `last_actions` int64[N], -1 for none."""
    n, m = layer.n_allies, layer.n_enemies
    for k in range(len(out)):
        out[k] = 0.0
    ally_width = 4 + int(layer.ally_shields) + layer.type_bits
    enemy_width = 3 + int(layer.enemy_shields) + layer.type_bits
    for u in range(n + m):
        if game[HEALTH, u] <= 0.0:
            continue
        kind = int(game[TYPE, u])
        at = u * ally_width if u < n else n * ally_width + (u - n) * enemy_width
        out[at] = _health_ratio(game, layer, u)
        if u < n:
            charge = game[ENERGY, u] if layer.heals and kind == MEDIVAC else game[COOLDOWN, u]
            out[at + 1] = charge / layer.cooldown_max[kind]
            at += 1
        out[at + 1] = (game[X, u] - _CENTRE) / PLAYABLE_WIDTH
        out[at + 2] = (game[Y, u] - _CENTRE) / PLAYABLE_WIDTH
        if u < n:
            _shield_and_type(game, layer, u, layer.ally_shields, layer.ally_bit, out, at + 3)
        else:
            _shield_and_type(game, layer, u, layer.enemy_shields, layer.enemy_bit, out, at + 3)
    at = n * ally_width + m * enemy_width
    for a in range(n):
        if last_actions[a] >= 0:
            out[at + last_actions[a]] = 1.0
        at += N_FIXED_ACTIONS + m


def enemy_features(n_agents: int, observation_size: int, n_actions: int) -> IntArray:
    """Indices [enemies, 4] of (attackable, distance, dx, dy) of each enemy in a smac-v1 observation.

    Needs only the sizes of a team's specification, for maps whose two sides have equally wide rows.
    """
    n_enemies = n_actions - N_FIXED_ACTIONS
    # observation = 4 move bits + m * width + (n - 1) * width + (width - 4) own features
    width = observation_size // (n_enemies + n_agents)
    return 4 + width * np.arange(n_enemies, dtype=np.int64)[:, None] + np.arange(4, dtype=np.int64)
