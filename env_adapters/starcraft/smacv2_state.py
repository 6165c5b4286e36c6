"""SMACv2's global state: agents, enemies, last actions, time."""

from __future__ import annotations

from typing import Final

from env_adapters.api import DoubleArray, FloatArray, IntArray
from env_adapters.jit import kernel
from env_adapters.starcraft.maps import MAP_SIZE, PLAYABLE_WIDTH
from env_adapters.starcraft.smac_layer import MEDIVAC
from env_adapters.starcraft.smacv2_layer import N_TYPE_BITS, Layer, Memory
from env_adapters.starcraft.smacv2_observation import health_feature, write_capabilities
from env_adapters.starcraft.table import COOLDOWN, ENERGY, HEALTH, SHIELD, TYPE, X, Y

_CENTRE: Final = MAP_SIZE / 2.0


@kernel
def global_state(
    game: DoubleArray,
    memory: Memory,
    b: int,
    layer: Layer,
    last_actions: IntArray,
    elapsed: float,
    out: FloatArray,
) -> None:
    """Fill the global state of one game, float32[S], for layers without `obs_instead_of_state`.

    Args:
        game: unit table [F, U].
        memory: extra state of all games; row `b` is read.
        b: the game's row in `memory`.
        layer: the scenario.
        last_actions: int64[N], -1 before the first step.
        elapsed: steps taken / episode limit.
        out: float32[S].
    """
    for k in range(len(out)):
        out[k] = 0.0
    end = 0
    for u in range(layer.n_allies + layer.n_enemies):
        agent = u < layer.n_allies
        at, end = end, end + (layer.ally_state_width if agent else layer.enemy_state_width)
        if game[HEALTH, u] <= 0.0:
            continue
        kind = int(game[TYPE, u])
        out[at] = health_feature(game, memory, b, layer, u)
        if agent:
            at += 1
            charge = game[ENERGY, u] if layer.heals and kind == MEDIVAC else game[COOLDOWN, u]
            out[at] = charge / layer.cooldown_max[kind]
        out[at + 1] = (game[X, u] - _CENTRE) / PLAYABLE_WIDTH
        out[at + 2] = (game[Y, u] - _CENTRE) / PLAYABLE_WIDTH
        at += 3
        if layer.shields:
            out[at] = game[SHIELD, u] / layer.shield_max[kind]
            at += 1
        if agent:
            at = write_capabilities(memory, b, layer, u, u, out, at)
            if layer.n_views > 0:
                out[at] = layer.look[memory.fov[b, u], 0]
                out[at + 1] = layer.look[memory.fov[b, u], 1]
        out[end - N_TYPE_BITS + layer.type_bit[kind]] = 1.0
    at = end
    if layer.state_last_action:
        for a in range(layer.n_allies):
            if last_actions[a] >= 0:
                out[at + last_actions[a]] = 1.0
            at += layer.n_actions
    if layer.state_timestep_number:
        out[at] = elapsed
