"""One environment step of many SMACv2 games, and how their episodes begin and are seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.engine import advance
from env_adapters.starcraft.generate import Plan, Scenario, generate
from env_adapters.starcraft.heuristic import order_heuristically
from env_adapters.starcraft.orders import order_attack, order_heal, order_idle_enemies
from env_adapters.starcraft.random import next_uniform
from env_adapters.starcraft.script import face_anywhere
from env_adapters.starcraft.smac_layer import N_FIXED_ACTIONS
from env_adapters.starcraft.smac_reward import Rules
from env_adapters.starcraft.smac_step import Batch, conclude_step, note_life, order_fixed
from env_adapters.starcraft.smacv2_actions import (
    available_actions,
    mark_doomed,
    offer_all_targets,
    order_goes_through,
    target_of,
    turn_views,
)
from env_adapters.starcraft.smacv2_layer import EPISODE_LIMIT, Layer, Memory, begin_memory
from env_adapters.starcraft.smacv2_observation import observe
from env_adapters.starcraft.smacv2_state import global_state
from env_adapters.starcraft.smacv2_visibility import draw_visits, forget_dead
from env_adapters.starcraft.spawns import new_unit
from env_adapters.starcraft.table import ALLY, ENEMY, HEALTH
from env_adapters.starcraft.units import LOOPS_PER_STEP


class Terrain(NamedTuple):
    """What the engine needs to know of the arena."""

    stats: DoubleArray
    """Unit numbers, see stats.py."""
    cells: np.ndarray
    """int8[3, x, y], see ground.py."""
    ways: np.ndarray
    """uint16, see ground.py."""


@kernel
def begin_games(
    batch: Batch, memory: Memory, stats: DoubleArray, plan: Plan, scenario: Scenario, games: IntArray
) -> None:
    """Draw teams, positions and capabilities of `games` and put the units into their tables."""
    n_allies = plan.n_allies
    for b in games:
        generate(batch.generators[b], plan, scenario)
        begin_memory(memory, b)
        for u in range(len(scenario.types)):
            owner = ALLY if u < n_allies else ENEMY
            new_unit(batch.table[b], stats, u, scenario.types[u], owner, scenario.x[u], scenario.y[u])
        for a in range(n_allies):
            memory.attack_probability[b, a] = scenario.attack_probability[a]
            memory.health_level[b, a] = scenario.health_level[a]
            for e in range(scenario.enemy_mask.shape[1]):
                memory.enemy_mask[b, a, e] = scenario.enemy_mask[a, e]
        face_anywhere(batch.table[b], batch.generators[b])


@inner
def _give_orders(
    game: DoubleArray,
    memory: Memory,
    b: int,
    layer: Layer,
    stats: DoubleArray,
    generator: np.ndarray,
    actions: IntArray,
) -> None:
    turn_views(memory, b, layer, actions)
    for a in range(layer.n_allies):
        action = actions[a]
        target = target_of(game, layer, a, action)
        if target < 0:
            if action < N_FIXED_ACTIONS:
                order_fixed(game, stats, a, action)
            continue
        draw = next_uniform(generator) if layer.stochastic_attack else 0.0
        if not order_goes_through(game, memory, b, layer, a, target, draw):
            continue
        if target < layer.n_allies:
            order_heal(game, stats, a, target)
        else:
            order_attack(game, stats, a, target)


@kernel
def play_games(
    batch: Batch,
    memory: Memory,
    layer: Layer,
    rules: Rules,
    terrain: Terrain,
    heuristic: int,
    kill_loops: int,
    available: BoolArray,
    running: BoolArray,
    actions: IntArray,
) -> None:
    """Play one environment step of every running game.

    Args:
        batch: the games.
        memory: what they carry besides.
        layer: the scenario.
        rules: rewards and outcomes.
        terrain: the arena.
        heuristic: 0 for agents that follow `actions`, 1 for upstream's heuristic_ai, 2 with heuristic_rest.
        kill_loops: agents below their health level die so many game loops before the end of the step.
        available: bool[B, N, A].
        running: bool[B].
        actions: int64[B, N].
    """
    previous = np.empty(batch.table.shape[2])
    doomed = np.zeros(layer.n_allies, dtype=np.bool_)
    for b in range(len(running)):
        batch.rewards[b] = 0.0
        if not running[b]:
            continue
        game, generator = batch.table[b], batch.generators[b]
        note_life(game, previous)
        if layer.stochastic_health:
            mark_doomed(game, memory, b, layer, doomed)
        if heuristic > 0:
            order_heuristically(
                game,
                terrain.stats,
                layer.n_allies,
                layer.heals,
                heuristic == 2,
                layer.first_target,
                available[b],
                batch.heuristic_targets[b],
            )
        else:
            _give_orders(game, memory, b, layer, terrain.stats, generator, actions[b])
        order_idle_enemies(game, terrain.stats, layer.n_allies)
        loops = LOOPS_PER_STEP - kill_loops if layer.stochastic_health else LOOPS_PER_STEP
        advance(game, terrain.stats, terrain.cells, terrain.ways, generator, layer.n_allies, loops)
        if layer.stochastic_health:
            for a in range(layer.n_allies):
                if doomed[a]:
                    game[HEALTH, a] = 0.0
            advance(game, terrain.stats, terrain.cells, terrain.ways, generator, layer.n_allies, kill_loops)
        conclude_step(batch, b, rules, previous, actions[b])
        forget_dead(game, memory, b, layer)


@kernel
def look_at_games(
    batch: Batch,
    memory: Memory,
    layer: Layer,
    visitors: np.ndarray,
    running: BoolArray,
    available: BoolArray,
    observations: FloatArray,
) -> None:
    """Refresh masks [B, N, A] and observations [B, N, D] of the running games.

    `visitors` uint64[B, 1] are the generators of who looks when and is told of whom; they are not the engine's, so
    that what agents see never changes what happens.
    """
    order = np.empty(layer.n_allies, dtype=np.int64)
    draws = np.empty(layer.n_enemies * max(1, layer.n_allies - 1))
    for b in range(len(running)):
        if running[b]:
            game, elapsed = batch.table[b], batch.steps[b] / EPISODE_LIMIT
            available_actions(game, memory, b, layer, available[b])
            draw_visits(visitors[b], layer, order, draws)
            last = batch.last_actions[b]
            observe(game, memory, b, layer, available[b], last, elapsed, order, draws, observations[b])
            offer_all_targets(game, layer, available[b])


@kernel
def state_games(
    batch: Batch, memory: Memory, layer: Layer, observations: FloatArray, out: FloatArray
) -> None:
    """Fill the global states [B, S]."""
    for b in range(out.shape[0]):
        if layer.obs_instead_of_state:
            n, size = observations.shape[1], observations.shape[2]
            for a in range(n):
                for k in range(size):
                    out[b, a * size + k] = observations[b, a, k]
        else:
            elapsed = batch.steps[b] / EPISODE_LIMIT
            global_state(batch.table[b], memory, b, layer, batch.last_actions[b], elapsed, out[b])
