"""One environment step of many SMAC v1 games: orders, eight game loops, reward, outcome; then what agents see."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.engine import advance
from env_adapters.starcraft.healing import MEDIVAC
from env_adapters.starcraft.heuristic import order_heuristically
from env_adapters.starcraft.omiga_layer import omiga_state
from env_adapters.starcraft.orders import order_attack, order_heal, order_move, order_stop
from env_adapters.starcraft.script import Script, begin_script, face_anywhere
from env_adapters.starcraft.smac_layer import MOVE_AMOUNT, N_FIXED_ACTIONS, Layer, global_state
from env_adapters.starcraft.smac_look import look
from env_adapters.starcraft.smac_reward import ONGOING, Rules, battle_reward, outcome, step_reward
from env_adapters.starcraft.table import HEALTH, SHIELD, TYPE, X, Y
from env_adapters.starcraft.units import LOOPS_PER_STEP

_STEP_X: Final = (0.0, 0.0, MOVE_AMOUNT, -MOVE_AMOUNT)
_STEP_Y: Final = (MOVE_AMOUNT, -MOVE_AMOUNT, 0.0, 0.0)


class Batch(NamedTuple):
    """What decides the future of B games; a snapshot is a copy of these arrays."""

    table: DoubleArray
    """Unit tables [B, N_FIELDS, U]."""
    generators: np.ndarray
    """uint64[B, 1], one random generator per game."""
    counted: BoolArray
    """Deaths already rewarded [B, U]."""
    last_actions: IntArray
    """[B, N], -1 before the first step."""
    heuristic_targets: IntArray
    """[B, N], columns that the scripted agents attack or heal, -1 for none."""
    steps: IntArray
    """[B]"""
    codes: IntArray
    """Outcome of each game [B], see smac_reward."""
    rewards: DoubleArray
    """Scaled reward of the last step [B]."""


def new_batch(n_games: int, n_fields: int, n_allies: int, n_enemies: int) -> Batch:
    """Games that have not begun."""
    n_units = n_allies + n_enemies
    return Batch(
        table=np.zeros((n_games, n_fields, n_units)),
        generators=np.zeros((n_games, 1), dtype=np.uint64),
        counted=np.zeros((n_games, n_units), dtype=np.bool_),
        last_actions=np.full((n_games, n_allies), -1, dtype=np.int64),
        heuristic_targets=np.full((n_games, n_allies), -1, dtype=np.int64),
        steps=np.zeros(n_games, dtype=np.int64),
        codes=np.full(n_games, ONGOING, dtype=np.int64),
        rewards=np.zeros(n_games),
    )


def clear_games(batch: Batch, games: IntArray) -> None:
    """Forget everything about the last episodes of `games` but their tables and generators."""
    batch.counted[games] = False
    batch.last_actions[games] = -1
    batch.heuristic_targets[games] = -1
    batch.steps[games] = 0
    batch.codes[games] = ONGOING
    batch.rewards[games] = 0.0


@kernel
def begin_games(batch: Batch, stats: DoubleArray, script: Script, games: IntArray) -> None:
    """Begin episodes on tables that hold the start positions."""
    n_allies = batch.last_actions.shape[1]
    for b in games:
        face_anywhere(batch.table[b], batch.generators[b])
        begin_script(batch.table[b], stats, script, n_allies, batch.generators[b])


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


@inner
def order_fixed(game: DoubleArray, stats: DoubleArray, a: int, action: int) -> None:
    """Give agent `a` the order of a fixed action: stop or a move; no-op is none."""
    if action == 1:
        order_stop(game, stats, a)
    elif action >= 2:
        order_move(game, stats, a, game[X, a] + _STEP_X[action - 2], game[Y, a] + _STEP_Y[action - 2])


@inner
def _give_orders(game: DoubleArray, stats: DoubleArray, layer: Layer, actions: IntArray) -> None:
    for a in range(layer.n_allies):
        target = actions[a] - N_FIXED_ACTIONS
        if target < 0:
            order_fixed(game, stats, a, actions[a])
        elif layer.heals and game[TYPE, a] == MEDIVAC:
            order_heal(game, stats, a, target)
        else:
            order_attack(game, stats, a, layer.n_allies + target)


@inner
def note_life(game: DoubleArray, out: DoubleArray) -> None:
    """Fill out[U] with health plus shield of every unit."""
    for u in range(len(out)):
        out[u] = game[HEALTH, u] + game[SHIELD, u]


@inner
def conclude_step(batch: Batch, b: int, rules: Rules, previous: DoubleArray, actions: IntArray) -> None:
    """Count the step of game `b`: last actions, reward and outcome."""
    game = batch.table[b]
    for a in range(len(actions)):
        batch.last_actions[b, a] = actions[a]
    batch.steps[b] += 1
    reward = battle_reward(game, rules, previous, batch.counted[b])
    batch.codes[b] = outcome(game, rules)
    batch.rewards[b] = step_reward(reward, batch.codes[b], rules)


@kernel
def step_games(
    batch: Batch,
    layer: Layer,
    rules: Rules,
    stats: DoubleArray,
    cells: np.ndarray,
    ways: np.ndarray,
    heuristic: int,
    pathable: BoolArray,
    heights: DoubleArray,
    running: BoolArray,
    actions: IntArray,
    available: BoolArray,
    observations: FloatArray,
) -> None:
    """Play one environment step of every running game and refresh its masks and observations.

    `heuristic` is 0 for agents that follow `actions`, 1 for upstream's heuristic_ai, 2 with heuristic_rest.
    """
    previous = np.empty(batch.table.shape[2])
    for b in range(len(running)):
        batch.rewards[b] = 0.0
        if not running[b]:
            continue
        game = batch.table[b]
        note_life(game, previous)
        if heuristic > 0:
            targets = batch.heuristic_targets[b]
            order_heuristically(
                game,
                stats,
                layer.n_allies,
                layer.heals,
                heuristic == 2,
                N_FIXED_ACTIONS,
                available[b],
                targets,
            )
        else:
            _give_orders(game, stats, layer, actions[b])
        advance(game, stats, cells, ways, batch.generators[b], layer.n_allies, LOOPS_PER_STEP)
        conclude_step(batch, b, rules, previous, actions[b])
        last, step = batch.last_actions[b], batch.steps[b]
        look(game, layer, pathable, heights, last, step, available[b], observations[b])


@kernel
def look_at_games(
    batch: Batch,
    layer: Layer,
    pathable: BoolArray,
    heights: DoubleArray,
    begun: BoolArray,
    available: BoolArray,
    observations: FloatArray,
) -> None:
    """Refresh masks [B, N, A] and observations [B, N, D] of the games that are True in `begun`."""
    for b in range(len(begun)):
        if begun[b]:
            last, step = batch.last_actions[b], batch.steps[b]
            look(batch.table[b], layer, pathable, heights, last, step, available[b], observations[b])


@kernel
def state_games(batch: Batch, layer: Layer, observations: FloatArray, out: FloatArray) -> None:
    """Fill the global states [B, S]."""
    for b in range(out.shape[0]):
        global_state(batch.table[b], layer, observations[b], batch.last_actions[b], batch.steps[b], out[b])


@kernel
def omiga_state_games(batch: Batch, layer: Layer, available: BoolArray, out: FloatArray) -> None:
    """Fill the states [B, S] of the OMIGA layout."""
    for b in range(out.shape[0]):
        omiga_state(batch.table[b], layer, available[b], batch.last_actions[b], out[b])
