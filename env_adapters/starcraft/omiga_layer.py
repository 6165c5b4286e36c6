"""The SMAC v1 variant under which the OMIGA data sets were recorded.

Same game, actions and rewards as SMAC v1; observations stand in another order and also carry last actions and
the agent's index, and each agent has a state vector of its own. Upstream: og_marl/custom_environments/
starcraft2_omiga/StarCraft2_Env.py (instadeepai/og-marl f4eb8f0) under the flags of its wrapper
smacv1_omiga.py: obs_last_action, obs_agent_id, use_state_agent, use_mustalive, add_center_xy.

An observation is [allies][enemies][moves][own], a row of an ally or the own block ending with the last action,
followed by the agent's one-hot, which alone is not zero for a dead agent. Masks and observations: smac_look.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.maps import PLAYABLE_WIDTH, MapInfo
from env_adapters.starcraft.smac_layer import (
    ALLY_BIT,
    CENTRE,
    COOLDOWN_MAX,
    ENEMY_BIT,
    HEALTH_MAX,
    MEDIVAC,
    N_FIXED_ACTIONS,
    N_MOVES,
    SHIELD_MAX,
    SIGHT,
    Blocks,
    Layer,
    Sizes,
    make_layer,
    sizes,
)
from env_adapters.starcraft.smac_options import SmacOptions
from env_adapters.starcraft.table import COOLDOWN, ENERGY, HEALTH, SHIELD, TYPE, X, Y

LAYOUT: Final = "smac-v1-omiga"
"""Layout id of these observations and states."""


def make_omiga_layer(info: MapInfo) -> Layer:
    """Collect what the kernels need of a map; `smac_look.look` fills the observations of this layout."""
    layer = make_layer(info, SmacOptions(obs_last_action=True))
    plain, n, m = layer.blocks, layer.n_allies, layer.n_enemies
    enemies = (n - 1) * plain.ally_width
    moves = enemies + m * plain.enemy_width
    # The own block has an ally's features: [1, 0, 0, 0] before and the last action behind.
    own = moves + N_MOVES
    blocks = Blocks(
        moves=moves,
        enemies=enemies,
        enemy_width=plain.enemy_width,
        allies=0,
        ally_width=plain.ally_width,
        own=own + 4,
        size=own + plain.ally_width + n,
    )
    return layer._replace(blocks=blocks, identity=True)


def omiga_sizes(layer: Layer) -> Sizes:
    """Lengths of the vectors of this layout; `state` is that of all agents' vectors together."""
    n, m = layer.n_allies, layer.n_enemies
    # Positions add two features to every row; visible or cooldown one to those of others.
    others = (n - 1) * (layer.blocks.ally_width + 3) + m * (layer.blocks.enemy_width + 3)
    state = n * (others + N_MOVES + layer.blocks.ally_width + 2 + n)
    return sizes(layer)._replace(state=state, reported_state=state)


@kernel
def omiga_state(
    game: DoubleArray, layer: Layer, available: BoolArray, last_actions: IntArray, out: FloatArray
) -> None:
    """Fill the state of one game: one vector per agent, one after the other.

    Args:
        game: the unit table [F, U].
        layer: made by `make_omiga_layer`.
        available: what `look` has filled, bool[N, A].
        last_actions: [N], -1 before the first step.
        out: float32[S].
    """
    n = layer.n_allies
    size = len(out) // n
    for k in range(len(out)):
        out[k] = 0.0
    for a in range(n):
        out[a * size + size - n + a] = 1.0
        if game[HEALTH, a] <= 0.0:
            continue
        at = a * size
        for u in range(n):
            if u != a:
                if game[HEALTH, u] > 0.0:
                    _ally(game, layer, a, u, last_actions[u], out, at)
                at += layer.blocks.ally_width + 3
        for e in range(layer.n_enemies):
            if game[HEALTH, n + e] > 0.0:
                out[at] = 1.0 if available[a, N_FIXED_ACTIONS + e] else 0.0
                _enemy(game, layer, a, n + e, out, at)
            at += layer.blocks.enemy_width + 3
        for k in range(N_MOVES):
            out[at + k] = 1.0 if available[a, 2 + k] else 0.0
        at += N_MOVES
        out[at] = 1.0
        _appearance(game, layer, a, last_actions[a], out, at + 4)


@inner
def _relative(game: DoubleArray, a: int, u: int, out: FloatArray, at: int) -> bool:
    """Fill [distance, dx, dy] of unit u as agent a measures them; whether u is in sight."""
    dx, dy = game[X, u] - game[X, a], game[Y, u] - game[Y, a]
    distance = sqrt(dx * dx + dy * dy)
    out[at] = distance / SIGHT
    out[at + 1] = dx / SIGHT
    out[at + 2] = dy / SIGHT
    return distance < SIGHT


@inner
def _ally(
    game: DoubleArray, layer: Layer, a: int, u: int, last_action: int, out: FloatArray, at: int
) -> None:
    """Fill the row of ally u: [visible, distance, dx, dy, charge, health, shield?, x, y, type?, last action]."""
    if _relative(game, a, u, out, at + 1):
        out[at] = 1.0
    kind = int(game[TYPE, u])
    charge = game[ENERGY, u] if layer.heals and kind == MEDIVAC else game[COOLDOWN, u]
    out[at + 4] = charge / layer.types[COOLDOWN_MAX, kind]
    _appearance(game, layer, u, last_action, out, at + 5)


@inner
def _appearance(game: DoubleArray, layer: Layer, u: int, last_action: int, out: FloatArray, at: int) -> None:
    """Fill [health, shield?, x, y, type?, last action] of an agent's unit, positions from the map's centre."""
    kind = int(game[TYPE, u])
    out[at] = game[HEALTH, u] / layer.types[HEALTH_MAX, kind]
    at += 1
    if layer.ally_shields:
        out[at] = game[SHIELD, u] / layer.types[SHIELD_MAX, kind]
        at += 1
    out[at] = (game[X, u] - CENTRE) / PLAYABLE_WIDTH
    out[at + 1] = (game[Y, u] - CENTRE) / PLAYABLE_WIDTH
    at += 2
    if layer.type_bits > 0:
        out[at + int(layer.types[ALLY_BIT, kind])] = 1.0
        at += layer.type_bits
    if last_action >= 0:
        out[at + last_action] = 1.0


@inner
def _enemy(game: DoubleArray, layer: Layer, a: int, u: int, out: FloatArray, at: int) -> None:
    """Fill the row of an enemy behind its first feature: [distance, dx, dy, visible, health, shield?, type?, x, y]."""
    if _relative(game, a, u, out, at + 1):
        out[at + 4] = 1.0
    kind = int(game[TYPE, u])
    out[at + 5] = game[HEALTH, u] / layer.types[HEALTH_MAX, kind]
    at += 6
    if layer.enemy_shields:
        out[at] = game[SHIELD, u] / layer.types[SHIELD_MAX, kind]
        at += 1
    if layer.type_bits > 0:
        out[at + int(layer.types[ENEMY_BIT, kind])] = 1.0
        at += layer.type_bits
    out[at] = (game[X, u] - CENTRE) / PLAYABLE_WIDTH
    out[at + 1] = (game[Y, u] - CENTRE) / PLAYABLE_WIDTH
