"""Who may see which enemy: the first agent to see it decides, by chance, who else is told.

Agents look in turn, in an order drawn at random. Order and draws are inputs, so that recorded ones can be replayed;
`draw_visits` makes them from a game's generator.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.random import next_uniform
from env_adapters.starcraft.smacv2_cone import sees
from env_adapters.starcraft.smacv2_layer import NOBODY, Layer, Memory
from env_adapters.starcraft.table import HEALTH, TYPE, X, Y

UNKNOWN: Final = 0
KNOWN: Final = 1
IN_SIGHT: Final = 2
"""What an agent knows of an enemy: nothing, that it may see it, and that it does."""


@kernel
def draw_visits(generator: np.ndarray, layer: Layer, order: IntArray, draws: DoubleArray) -> None:
    """Draw the visiting order int64[N] and, where they matter, the uniforms float64[E * (N - 1)].

    Takes N - 1 numbers from `generator` (uint64[1]) for the order, last place first, then len(draws) if
    0 < prob_obs_enemy < 1.
    """
    n = len(order)
    for k in range(n):
        order[k] = k
    for k in range(n - 1, 0, -1):
        other = int(next_uniform(generator) * (k + 1))
        order[k], order[other] = order[other], order[k]
    if 0.0 < layer.prob_obs_enemy < 1.0:
        for k in range(len(draws)):
            draws[k] = next_uniform(generator)


@inner
def _find(seen: np.ndarray, layer: Layer, a: int, e: int, draws: DoubleArray, n_drawn: int) -> None:
    """Agent a is the first to see enemy e: each team mate may see it too with prob_obs_enemy."""
    p = layer.prob_obs_enemy
    for other in range(layer.n_allies):
        if other == a:
            seen[e, a] = 1
            continue
        if p >= 1.0 or (p > 0.0 and draws[n_drawn] < p):
            seen[e, other] = 1
        n_drawn += 1


@kernel
def visit(
    game: DoubleArray,
    memory: Memory,
    b: int,
    layer: Layer,
    order: IntArray,
    draws: DoubleArray,
    knowledge: np.ndarray,
) -> int:
    """Let all living agents look for enemies in turn; returns how many enemies were found for the first time.

    Fills `knowledge`, uint8[N, E], with what each agent knew of each enemy when its turn was over.
    """
    n, n_found = layer.n_allies, 0
    seen, tags, views = memory.obs_enemies[b], memory.enemy_tags[b], memory.fov[b]
    for a in order:
        if game[HEALTH, a] <= 0.0:
            continue
        x, y, view, sight = game[X, a], game[Y, a], int(views[a]), layer.sight[int(game[TYPE, a])]
        for e in range(layer.n_enemies):
            dx, dy = game[X, n + e] - x, game[Y, n + e] - y
            visible = sees(layer, view, sight, dx, dy, sqrt(dx * dx + dy * dy))
            if visible and tags[e] == NOBODY:
                tags[e] = a
                _find(seen, layer, a, e, draws, n_found * (n - 1))
                n_found += 1
            knowledge[a, e] = UNKNOWN
            if seen[e, a] != 0:
                knowledge[a, e] = IN_SIGHT if visible else KNOWN
    return n_found


@inner
def _forget_enemy(memory: Memory, b: int, layer: Layer, e: int) -> None:
    memory.enemy_tags[b, e] = NOBODY
    for a in range(layer.n_allies):
        memory.obs_enemies[b, e, a] = 0


@kernel
def forget_dead(game: DoubleArray, memory: Memory, b: int, layer: Layer) -> None:
    """Clear what the dead knew and who knew the dead, after a step.

    A dead agent's column goes only if it had found an enemy: upstream's rule.
    """
    n = layer.n_allies
    for a in range(n):
        if game[HEALTH, a] <= 0.0:
            for e in range(layer.n_enemies):
                if memory.enemy_tags[b, e] == a:
                    _forget_enemy(memory, b, layer, e)
                    for other in range(layer.n_enemies):
                        memory.obs_enemies[b, other, a] = 0
    for e in range(layer.n_enemies):
        if game[HEALTH, n + e] <= 0.0:
            _forget_enemy(memory, b, layer, e)
