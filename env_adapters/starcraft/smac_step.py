"""One environment step of many SMAC games: orders, eight game loops, reward, outcome, observation."""

from __future__ import annotations

from math import cos, pi, sin
from typing import Final, NamedTuple

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.starcraft.combat import next_uniform
from env_adapters.starcraft.engine import advance, order_attack, order_attack_move, order_move, order_stop
from env_adapters.starcraft.jit import kernel
from env_adapters.starcraft.smac_layer import (
    MOVE_AMOUNT,
    N_FIXED_ACTIONS,
    Layer,
    available_actions,
    global_state,
    observe,
)
from env_adapters.starcraft.smac_reward import ONGOING, WIN_REWARD, WON, battle_reward, outcome
from env_adapters.starcraft.stats import Stats
from env_adapters.starcraft.table import ENEMY, FACING_X, FACING_Y, HEALTH, OWNER, SHIELD, X, Y
from env_adapters.starcraft.units import LOOPS_PER_STEP

_STEP_X: Final = (0.0, 0.0, MOVE_AMOUNT, -MOVE_AMOUNT)
_STEP_Y: Final = (MOVE_AMOUNT, -MOVE_AMOUNT, 0.0, 0.0)


class Batch(NamedTuple):
    """Everything that decides the future of B games; a snapshot is a copy of these arrays."""

    table: DoubleArray
    """Unit tables [B, N_FIELDS, U]."""
    generators: np.ndarray
    """uint64[B, 1], one random generator per game."""
    counted: BoolArray
    """Deaths already rewarded [B, U]."""
    last_actions: IntArray
    """[B, N], -1 before the first step."""
    steps: IntArray
    """[B]"""
    codes: IntArray
    """Outcome of each game [B], see smac_reward."""
    rewards: DoubleArray
    """Scaled reward of the last step [B]."""


def reset_games(batch: Batch, start: DoubleArray, goal: DoubleArray, games: IntArray) -> None:
    """Put `games` back to the start table [N_FIELDS, U] and send the enemy group to `goal`."""
    batch.table[games] = start
    batch.counted[games] = False
    batch.last_actions[games] = -1
    batch.steps[games] = 0
    batch.codes[games] = ONGOING
    batch.rewards[games] = 0.0
    _begin_episodes(batch, goal, games)


@kernel
def _begin_episodes(batch: Batch, goal: DoubleArray, games: IntArray) -> None:
    """Give every unit a random facing and the enemy its order, in formation.

    A group order keeps each unit's offset from the centre of the group, as seen in the real game's traces.
    """
    n_units = batch.table.shape[2]
    for b in games:
        game = batch.table[b]
        centre_x = centre_y = n_enemies = 0.0
        for u in range(n_units):
            angle = 2.0 * pi * next_uniform(batch.generators[b])
            game[FACING_X, u], game[FACING_Y, u] = cos(angle), sin(angle)
            if game[OWNER, u] == ENEMY:
                centre_x, centre_y, n_enemies = centre_x + game[X, u], centre_y + game[Y, u], n_enemies + 1.0
        for u in range(n_units):
            if game[OWNER, u] == ENEMY:
                x, y = game[X, u] - centre_x / n_enemies, game[Y, u] - centre_y / n_enemies
                order_attack_move(game, u, goal[0] + x, goal[1] + y)


@kernel
def observe_games(
    batch: Batch,
    layer: Layer,
    pathable: BoolArray,
    games: IntArray,
    available: BoolArray,
    observations: FloatArray,
) -> None:
    """Refresh masks [B, N, A] and observations [B, N, D] of `games`."""
    for b in games:
        available_actions(batch.table[b], layer, pathable, available[b])
        observe(batch.table[b], layer, available[b], observations[b])


@kernel
def state_games(batch: Batch, layer: Layer, out: FloatArray) -> None:
    """Fill the global states [B, S]."""
    for b in range(out.shape[0]):
        global_state(batch.table[b], layer, batch.last_actions[b], out[b])


@kernel
def first_unavailable(actions: IntArray, available: BoolArray, running: BoolArray) -> int:
    """Flat index b * N + a of the first action of a running game that is not available, -1 for none."""
    n_games, n_agents, n_actions = available.shape
    for b in range(n_games):
        for a in range(n_agents):
            action = actions[b, a]
            if running[b] and (action < 0 or action >= n_actions or not available[b, a, action]):
                return b * n_agents + a
    return -1


@kernel
def _give_orders(game: DoubleArray, layer: Layer, actions: IntArray) -> None:
    for a in range(layer.n_allies):
        action = actions[a]
        if action == 1:
            order_stop(game, a)
        elif 2 <= action < N_FIXED_ACTIONS:
            order_move(game, a, game[X, a] + _STEP_X[action - 2], game[Y, a] + _STEP_Y[action - 2])
        elif action >= N_FIXED_ACTIONS:
            order_attack(game, a, layer.n_allies + action - N_FIXED_ACTIONS)


@kernel
def step_games(
    batch: Batch,
    layer: Layer,
    stats: Stats,
    pathable: BoolArray,
    reward_unit: float,
    running: BoolArray,
    actions: IntArray,
    available: BoolArray,
    observations: FloatArray,
) -> None:
    """Play one environment step of every running game and refresh its masks and observations.

    `reward_unit` is the unscaled reward worth 1 (max_reward / 20).
    """
    previous = np.empty(batch.table.shape[2])
    for b in range(len(running)):
        batch.rewards[b] = 0.0
        if not running[b]:
            continue
        game = batch.table[b]
        for u in range(len(previous)):
            previous[u] = game[HEALTH, u] + game[SHIELD, u]
        _give_orders(game, layer, actions[b])
        advance(game, stats, pathable, batch.generators[b], LOOPS_PER_STEP)
        for a in range(layer.n_allies):
            batch.last_actions[b, a] = actions[b, a]
        batch.steps[b] += 1
        reward = battle_reward(game, layer, previous, batch.counted[b])
        batch.codes[b] = outcome(game, layer)
        if batch.codes[b] == WON:
            reward += WIN_REWARD
        batch.rewards[b] = reward / reward_unit
        available_actions(game, layer, pathable, available[b])
        observe(game, layer, available[b], observations[b])
