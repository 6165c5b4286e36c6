"""The SMACv2 layer's numbers: what its kernels know of a scenario and keep of a game besides the unit table.

Follows oxwhirl/smacv2 (commit 577ab5a) element by element; the kernels are in `smacv2_actions`,
`smacv2_observation` and `smacv2_state`. Unit types differ from game to game, so everything that depends on a type
is looked up by the table's TYPE row; a scenario fixes only race and team sizes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from env_adapters.api import BoolArray, DoubleArray
from env_adapters.jit import kernel
from env_adapters.starcraft.maps import MAP_SIZE
from env_adapters.starcraft.smac_layer import N_FIXED_ACTIONS
from env_adapters.starcraft.smacv2_options import MAX_FOV_ACTIONS, SmacV2Options
from env_adapters.starcraft.units import ROW, UNITS

EPISODE_LIMIT: Final = 200
"""Steps; upstream's registry gives every generated scenario the same limit."""
RACE_TYPES: Final = {
    "T": ("Marine", "Marauder", "Medivac"),
    "P": ("Stalker", "Zealot", "Colossus"),
    "Z": ("Zergling", "Hydralisk", "Baneling"),
}
"""Unit types of each race in the order of the type one-hot, equal for both sides."""
CLAMP: Final = 1e-7
"""Upstream's EPS: least size of the x component of a look vector before its slope is taken."""
N_TYPE_BITS: Final = 3
"""Every race has three unit types."""
NOBODY: Final = -1
"""In `Memory.enemy_tags`: no agent has found this enemy."""

_SIGHT: Final[dict[str, float]] = {
    "Stalker": 10, "Zealot": 9, "Colossus": 10, "Zergling": 8, "Baneling": 8, "Hydralisk": 9,
    "Marine": 9, "Marauder": 10, "Medivac": 11,
}  # fmt: skip
_SHOOT: Final[dict[str, float]] = {
    "Stalker": 6, "Zealot": 0.1, "Colossus": 7, "Zergling": 0.1, "Baneling": 0.25, "Hydralisk": 5,
    "Marine": 5, "Marauder": 6, "Medivac": 4,
}  # fmt: skip
_EQUAL_SIGHT: Final = 9.0
_EQUAL_SHOOT: Final = 6.0
"""Ranges in cells where they do not go by unit type."""

_PLAIN_OPTIONS: Final = (
    "action_mask",
    "fully_observable",
    "obs_all_health",
    "obs_last_action",
    "obs_pathing_grid",
    "obs_terrain_height",
    "obs_own_pos",
    "obs_starcraft",
    "obs_timestep_number",
    "obs_instead_of_state",
    "state_last_action",
    "state_timestep_number",
    "observe_attack_probs",
    "observe_teammate_health",
    "observe_teammate_types",
)
"""Options that the layer holds unchanged under their own names."""


Layer = np.record
"""What the kernels need of a scenario and its options: one record with the fields of `LAYER_FIELDS`.

A record and not a named tuple: passed as one pointer, it compiles three times as fast.
"""

LAYER_FIELDS: Final = np.dtype(
    [
        ("n_allies", np.int64),
        ("n_enemies", np.int64),
        ("n_actions", np.int64),
        ("first_target", np.int64),  # index of the first target action
        ("n_views", np.int64),  # look directions, 0 without a cone
        ("move_width", np.int64),  # features of an observation: movement,
        ("enemy_width", np.int64),  # one enemy,
        ("ally_width", np.int64),  # one team mate,
        ("own_width", np.int64),  # the agent itself,
        ("seen_vitals", np.int64),  # of which health and shield of a unit in sight,
        ("own_vitals", np.int64),  # and the agent's own
        ("ally_state_width", np.int64),  # features of the state: one agent,
        ("enemy_state_width", np.int64),  # one enemy
        ("half_angle", np.float64),  # half the width of the view cone in radians
        ("prob_obs_enemy", np.float64),
        ("shields", np.bool_),  # units have shield features (Protoss on both sides)
        ("heals", np.bool_),  # Medivacs heal allies through their target actions (Terran)
        ("exact", np.bool_),  # the enemy block vanishes as upstream's does
        ("stochastic_attack", np.bool_),
        ("stochastic_health", np.bool_),
        ("mask_enemies", np.bool_),
        ("obs_own_health", np.bool_),
        ("special_team", np.bool_),  # rows of team mates have more or less than health, shield and type
        *((name, np.bool_) for name in _PLAIN_OPTIONS),
        ("type_bit", np.int64, len(UNITS)),  # by unit row: position in the type one-hot,
        ("health_max", np.float64, len(UNITS)),  # divisors of the ratios,
        ("shield_max", np.float64, len(UNITS)),
        ("cooldown_max", np.float64, len(UNITS)),
        ("sight", np.float64, len(UNITS)),  # sight range in cells, the divisor of distances,
        ("shoot", np.float64, len(UNITS)),  # largest centre distance of a target in cells
        ("look", np.float64, (MAX_FOV_ACTIONS, 2)),  # look directions as unit vectors
        # Arctan of a direction's slope, as upstream takes it for a target to the west (0) or east (1).
        ("look_angle", np.float64, (MAX_FOV_ACTIONS, 2)),
        ("pathable", np.uint8, (MAP_SIZE, MAP_SIZE)),  # indexed [x, y]
        ("terrain_height", np.float64, (MAP_SIZE, MAP_SIZE)),  # indexed [x, y], 0 to 1 as upstream parses it
    ],
    align=True,
)


class Memory(NamedTuple):
    """What B games carry from step to step besides their unit tables; a snapshot is a copy of these arrays."""

    obs_enemies: np.ndarray
    """uint8[B, E, N], 1 where agent N may see enemy E."""
    enemy_tags: np.ndarray
    """int16[B, E], the agent that found enemy E first, NOBODY for none."""
    fov: np.ndarray
    """int8[B, N], index of the direction each agent looks in."""
    attack_probability: DoubleArray
    """[B, N] chance that an attack order goes through."""
    health_level: DoubleArray
    """[B, N] share of life below which an agent dies."""
    enemy_mask: np.ndarray
    """uint8[B, N, E], 1 where agent N is not shown health and type of enemy E."""


def _set_look_directions(layer: Layer) -> None:
    """Fill in the look directions, their angles and the width of the cone."""
    count = int(layer.n_views)
    turns = [2 * np.pi * (k / count) for k in range(count)]
    look = np.array([(np.cos(turn), np.sin(turn)) for turn in turns], dtype=np.float64).reshape(count, 2)
    x, y = look[:, 0], look[:, 1]
    layer.look[:count] = look
    layer.look_angle[:count, 0] = np.arctan(y / np.minimum(x, -CLAMP))
    layer.look_angle[:count, 1] = np.arctan(y / np.maximum(x, CLAMP))
    layer.half_angle = (2 * np.pi) / count / 2 if count else 0.0


def _set_types(layer: Layer, race: str, options: SmacV2Options) -> None:
    """Fill in what depends on a unit's type."""
    for bit, name in enumerate(RACE_TYPES[race]):
        layer.type_bit[ROW[name]] = bit
    for row, unit in enumerate(UNITS):
        layer.health_max[row] = unit.health
        layer.shield_max[row] = unit.shield
        layer.cooldown_max[row] = unit.smac_cooldown_max
        layer.sight[row] = _SIGHT.get(unit.name, 0.0) if options.use_unit_ranges else _EQUAL_SIGHT
        shoot = max(_SHOOT.get(unit.name, 0.0), options.min_attack_range)
        layer.shoot[row] = shoot if options.use_unit_ranges else _EQUAL_SHOOT


def _set_widths(layer: Layer) -> None:
    """Fill in how many features each part of an observation and of the state has."""
    vitals = 1 + int(layer.shields)
    capabilities = int(layer.stochastic_attack) + int(layer.stochastic_health) + N_TYPE_BITS
    view = 2 if layer.n_views else 0
    layer.move_width = 4 + 8 * int(layer.obs_pathing_grid) + 9 * int(layer.obs_terrain_height)
    layer.seen_vitals = vitals if layer.obs_all_health else 0
    layer.own_vitals = vitals if layer.obs_own_health else 0
    layer.enemy_width = 4 + layer.seen_vitals + N_TYPE_BITS
    layer.ally_width = 4 + layer.seen_vitals + capabilities
    layer.ally_width += int(layer.obs_last_action) * layer.n_actions
    layer.own_width = layer.own_vitals + 2 * int(layer.obs_own_pos) + view + capabilities
    layer.ally_state_width = 3 + vitals + view + capabilities
    layer.enemy_state_width = 2 + vitals + N_TYPE_BITS


def make_layer(
    race: str,
    n_allies: int,
    n_enemies: int,
    options: SmacV2Options,
    pathable: BoolArray,
    terrain_height: DoubleArray,
) -> Layer:
    """Collect what the kernels need of a scenario.

    Args:
        race: "T", "P" or "Z", for both sides.
        n_allies: number of agents.
        n_enemies: number of enemies.
        options: upstream's options.
        pathable: bool[32, 32], indexed [x, y].
        terrain_height: float64[32, 32], indexed [x, y], read only with `obs_terrain_height`.
    """
    layer: Layer = np.zeros(1, dtype=(np.record, LAYER_FIELDS))[0]
    layer.n_allies, layer.n_enemies = n_allies, n_enemies
    layer.n_views = options.num_fov_actions if options.conic_fov else 0
    layer.first_target = N_FIXED_ACTIONS + layer.n_views
    layer.shields, layer.heals = race == "P", race == "T"
    layer.n_actions = layer.first_target + (max(n_allies, n_enemies) if layer.heals else n_enemies)
    layer.exact = options.exact_observations
    layer.prob_obs_enemy = options.prob_obs_enemy
    layer.stochastic_attack = options.attack_probability is not None
    layer.stochastic_health = options.health_level is not None
    layer.mask_enemies = options.mask_probability is not None
    layer.obs_own_health = options.obs_own_health or options.obs_all_health
    for name in _PLAIN_OPTIONS:
        layer[name] = getattr(options, name)
    capabilities = layer.stochastic_attack or layer.stochastic_health
    layer.special_team = capabilities or layer.obs_last_action or not layer.observe_teammate_types
    layer.pathable[:], layer.terrain_height[:] = pathable, terrain_height
    _set_look_directions(layer)
    _set_types(layer, race, options)
    _set_widths(layer)
    return layer


def sizes(layer: Layer) -> tuple[int, int, int]:
    """(observation size D, state size S, number of actions A)."""
    n, m = int(layer.n_allies), int(layer.n_enemies)
    observation = int(layer.obs_timestep_number)
    if layer.obs_starcraft:
        rows = m * layer.enemy_width + (n - 1) * layer.ally_width
        observation += int(layer.move_width + rows + layer.own_width)
    state = int(n * layer.ally_state_width + m * layer.enemy_state_width)
    state += int(layer.state_last_action) * n * int(layer.n_actions) + int(layer.state_timestep_number)
    return observation, n * observation if layer.obs_instead_of_state else state, int(layer.n_actions)


def new_memory(layer: Layer, n_games: int) -> Memory:
    """Memory of `n_games` games, each as at the start of an episode without stochastic capabilities."""
    n, m = layer.n_allies, layer.n_enemies
    memory = Memory(
        obs_enemies=np.zeros((n_games, m, n), dtype=np.uint8),
        enemy_tags=np.zeros((n_games, m), dtype=np.int16),
        fov=np.zeros((n_games, n), dtype=np.int8),
        attack_probability=np.ones((n_games, n), dtype=np.float64),
        health_level=np.zeros((n_games, n), dtype=np.float64),
        enemy_mask=np.zeros((n_games, n, m), dtype=np.uint8),
    )
    for b in range(n_games):
        begin_memory(memory, b)
    return memory


@kernel
def begin_memory(memory: Memory, b: int) -> None:
    """Forget every enemy of game b and let all agents look east, as at a reset."""
    for e in range(memory.enemy_tags.shape[1]):
        memory.enemy_tags[b, e] = NOBODY
        for a in range(memory.fov.shape[1]):
            memory.obs_enemies[b, e, a] = 0
    for a in range(memory.fov.shape[1]):
        memory.fov[b, a] = 0
