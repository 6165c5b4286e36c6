"""The SMAC v1 layer: what a map and its options make of a unit table, and the global state.

Every number agrees bit for bit with upstream (oxwhirl/smac d6aab33): double arithmetic in upstream's order,
rounded once to float32. Observations and available actions: smac_look. Rewards: smac_reward.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from env_adapters.api import DoubleArray, FloatArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.maps import MAP_SIZE, PLAYABLE_WIDTH, MapInfo
from env_adapters.starcraft.smac_options import SmacOptions
from env_adapters.starcraft.table import COOLDOWN, ENERGY, HEALTH, SHIELD, TYPE, X, Y
from env_adapters.starcraft.units import ROW, UNITS

N_FIXED_ACTIONS: Final = 6
"""no-op, stop, north, south, east, west; then one action per target."""
SIGHT: Final = 9.0
"""Cells an agent sees, between centres, exclusive; also the unit of relative positions."""
SHOOT_RANGE: Final = 6.0
"""Cells within which targets are available, between centres, inclusive."""
MOVE_AMOUNT: Final = 2.0
"""Cells that a move order asks for."""
MEDIVAC: Final = ROW["Medivac"]
"""Row of the Medivac in `UNITS`."""
CENTRE: Final = MAP_SIZE / 2.0
"""Both coordinates of the point from which states measure positions."""
N_MOVES: Final = 4
"""Move bits of an observation."""
N_PATHING: Final = 8
"""Cells of obs_pathing_grid."""
N_HEIGHTS: Final = 9
"""Cells of obs_terrain_height: those of obs_pathing_grid and the agent's own."""
HEALTH_MAX: Final = 0
"""Row of `Layer.types`; so are the next four."""
SHIELD_MAX: Final = 1
COOLDOWN_MAX: Final = 2
"""Divisor of the weapon cooldown in the state, in loops; of the energy for the Medivac."""
ALLY_BIT: Final = 3
"""Position of an ally's type in the type one-hot."""
ENEMY_BIT: Final = 4
"""Position of an enemy's type in the type one-hot."""
_ALLY_BITS: Final = {
    "stalkers_and_zealots": ("Stalker", "Zealot"),
    "colossi_stalkers_zealots": ("Colossus", "Stalker", "Zealot"),
    "MMM": ("Marauder", "Marine", "Medivac"),
    "bane": ("Baneling", "Zergling"),
}
_ENEMY_BITS: Final = {**_ALLY_BITS, "stalkers_and_zealots": ("Zealot", "Stalker")}
"""Upstream numbers the enemy's Zealot before its Stalker on these maps, unlike the agents' own."""


class Blocks(NamedTuple):
    """Where the parts of an observation [D] begin, and how wide one row of them is."""

    moves: int
    """Four move bits, then pathing and heights if asked for."""
    enemies: int
    enemy_width: int
    allies: int
    ally_width: int
    own: int
    """[health?, shield?, type one-hot?] of the agent itself.

    An ally's row ends with the same features of it, health only with obs_all_health, and its last action."""
    size: int
    """D"""


class Layer(NamedTuple):
    """Everything the kernels need to know about a map and its options."""

    blocks: Blocks
    n_allies: int
    n_enemies: int
    episode_limit: int
    ally_shields: bool
    enemy_shields: bool
    type_bits: int
    heals: bool
    """Whether Medivacs heal allies through their target actions (map type MMM)."""
    all_health: bool
    own_health: bool
    last_action: bool
    """Whether observations tell the allies' last actions."""
    pathing: bool
    heights: bool
    timestep: bool
    identity: bool
    """Whether own features carry [1, 0, 0, 0] before, and last action and agent one-hot behind (OMIGA)."""
    observations_as_state: bool
    state_last_action: bool
    state_timestep: bool
    types: DoubleArray
    """[5, unit rows]: HEALTH_MAX, SHIELD_MAX, COOLDOWN_MAX of each type, and its ALLY_BIT and ENEMY_BIT."""


class Sizes(NamedTuple):
    """Lengths of a layout's vectors, and the lengths that upstream's size functions report.

    They differ with `obs_timestep_number`: upstream forgets the unused zero before the timestep.
    """

    observation: int
    state: int
    actions: int
    reported_observation: int
    reported_state: int


def _blocks(info: MapInfo, options: SmacOptions) -> Blocks:
    n, m, bits = len(info.team(1)), len(info.team(2)), info.unit_type_bits
    ally_health = 1 + int(info.ally_race == "P")
    enemy_health = 1 + int(info.enemy_race == "P")
    enemy_width = 4 + bits + (enemy_health if options.obs_all_health else 0)
    ally_width = 4 + bits + (ally_health if options.obs_all_health else 0)
    if options.obs_last_action:
        ally_width += N_FIXED_ACTIONS + m
    enemies = N_MOVES + N_PATHING * options.obs_pathing_grid + N_HEIGHTS * options.obs_terrain_height
    allies = enemies + m * enemy_width
    own = allies + (n - 1) * ally_width
    own_width = bits + (ally_health if options.obs_own_health else 0)
    timestep = 2 if options.obs_timestep_number else 0
    return Blocks(0, enemies, enemy_width, allies, ally_width, own, own + own_width + timestep)


def _types(info: MapInfo) -> DoubleArray:
    table = np.zeros((5, len(UNITS)))
    table[HEALTH_MAX] = [unit.health for unit in UNITS]
    table[SHIELD_MAX] = [unit.shield for unit in UNITS]
    table[COOLDOWN_MAX] = [unit.smac_cooldown_max for unit in UNITS]
    for side, names in ((ALLY_BIT, _ALLY_BITS), (ENEMY_BIT, _ENEMY_BITS)):
        for position, name in enumerate(names.get(info.map_type, ())):
            table[side, ROW[name]] = position
    return table


def make_layer(info: MapInfo, options: SmacOptions) -> Layer:
    """Collect what the kernels need of a map and the options (those of the reward go to `smac_reward`)."""
    return Layer(
        blocks=_blocks(info, options),
        n_allies=len(info.team(1)),
        n_enemies=len(info.team(2)),
        episode_limit=info.episode_limit,
        ally_shields=info.ally_race == "P",
        enemy_shields=info.enemy_race == "P",
        type_bits=info.unit_type_bits,
        heals=info.map_type == "MMM",
        all_health=options.obs_all_health,
        own_health=options.obs_own_health,
        last_action=options.obs_last_action,
        pathing=options.obs_pathing_grid,
        heights=options.obs_terrain_height,
        timestep=options.obs_timestep_number,
        identity=False,
        observations_as_state=options.obs_instead_of_state,
        state_last_action=options.state_last_action,
        state_timestep=options.state_timestep_number,
        types=_types(info),
    )


def sizes(layer: Layer) -> Sizes:
    """Lengths of the vectors of a layer made by `make_layer`."""
    n, m, bits = layer.n_allies, layer.n_enemies, layer.type_bits
    actions = N_FIXED_ACTIONS + m
    observation = layer.blocks.size
    reported = observation - int(layer.timestep)
    if layer.observations_as_state:
        return Sizes(observation, n * observation, actions, reported, n * reported)
    state = n * (4 + int(layer.ally_shields) + bits) + m * (3 + int(layer.enemy_shields) + bits)
    state += n * actions * layer.state_last_action + int(layer.state_timestep)
    return Sizes(observation, state, actions, reported, state)


@kernel
def global_state(
    game: DoubleArray,
    layer: Layer,
    observations: FloatArray,
    last_actions: IntArray,
    step: int,
    out: FloatArray,
) -> None:
    """Fill the global state of one game.

    Args:
        game: the unit table [F, U].
        layer: the map and the options.
        observations: what `look` has filled, [N, D]; read only with obs_instead_of_state.
        last_actions: [N], -1 before the first step.
        step: steps played.
        out: float32[S].
    """
    if layer.observations_as_state:
        n, size = observations.shape
        for a in range(n):
            for k in range(size):
                out[a * size + k] = observations[a, k]
        return
    for k in range(len(out)):
        out[k] = 0.0
    at = _units_state(game, layer, out)
    if layer.state_last_action:
        for a in range(layer.n_allies):
            if last_actions[a] >= 0:
                out[at + last_actions[a]] = 1.0
            at += N_FIXED_ACTIONS + layer.n_enemies
    if layer.state_timestep:
        out[at] = step / layer.episode_limit


@inner
def _units_state(game: DoubleArray, layer: Layer, out: FloatArray) -> int:
    """Fill one row per unit, zeros for the dead; returns the index behind the last."""
    n, m = layer.n_allies, layer.n_enemies
    ally_width = 4 + int(layer.ally_shields) + layer.type_bits
    enemy_width = 3 + int(layer.enemy_shields) + layer.type_bits
    for u in range(n + m):
        if game[HEALTH, u] <= 0.0:
            continue
        ally = u < n
        kind = int(game[TYPE, u])
        at = u * ally_width if ally else n * ally_width + (u - n) * enemy_width
        out[at] = game[HEALTH, u] / layer.types[HEALTH_MAX, kind]
        at += 1
        if ally:
            charge = game[ENERGY, u] if layer.heals and kind == MEDIVAC else game[COOLDOWN, u]
            out[at] = charge / layer.types[COOLDOWN_MAX, kind]
            at += 1
        out[at] = (game[X, u] - CENTRE) / PLAYABLE_WIDTH
        out[at + 1] = (game[Y, u] - CENTRE) / PLAYABLE_WIDTH
        at += 2
        if layer.ally_shields if ally else layer.enemy_shields:
            out[at] = game[SHIELD, u] / layer.types[SHIELD_MAX, kind]
            at += 1
        if layer.type_bits > 0:
            out[at + (int(layer.types[ALLY_BIT, kind]) if ally else int(layer.types[ENEMY_BIT, kind]))] = 1.0
    return n * ally_width + m * enemy_width


def enemy_features(n_agents: int, observation_size: int, n_actions: int) -> IntArray:
    """Indices [enemies, 4] of (attackable, distance, dx, dy) of each enemy in a smac-v1 observation.

    Needs only the sizes of a team's specification, for maps whose two sides have equally wide rows.
    """
    n_enemies = n_actions - N_FIXED_ACTIONS
    # observation = 4 move bits + m * width + (n - 1) * width + (width - 4) own features
    width = observation_size // (n_enemies + n_agents)
    return 4 + width * np.arange(n_enemies, dtype=np.int64)[:, None] + np.arange(4, dtype=np.int64)
