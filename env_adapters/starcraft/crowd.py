"""Carrying out the steps that units propose: nobody leaves the ground, nobody presses into another.

How the real game keeps units apart is not published; the rule and its numbers are ours.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.jit import inlined, inner, kernel
from env_adapters.starcraft.ground import ROOMY, standable
from env_adapters.starcraft.movement import GRID, snap
from env_adapters.starcraft.stats import INNER, MOVER, STEP_MAX
from env_adapters.starcraft.table import (
    GIRTH,
    LAYER,
    NEXT_X,
    NEXT_Y,
    ORDER,
    ORDER_IDLE,
    OWNER,
    TARGET,
    TYPE,
    WALKING,
    X,
    Y,
)

_ROUNDS: Final = 3
"""How often units in a crowd are pushed apart in one loop."""
_TANGLED: Final = 0.7
"""Units nearer than this fraction of touching distance are pushed apart even where they stand..."""
_NUDGE: Final = 0.1
"""...by so many cells each, once per call of the engine."""


@inner
def _keep_on_ground(
    game: DoubleArray, stats: DoubleArray, cells: np.ndarray, u: int, x: float, y: float
) -> None:
    """Let `u` propose the point (x, y), or where it slides to along ground it cannot stand on, or nothing new."""
    kind = int(game[TYPE, u])
    floor, inner = cells[int(stats[MOVER, kind])], stats[INNER, kind]
    if standable(floor, x, y, inner):
        game[NEXT_X, u], game[NEXT_Y, u] = x, y
    elif standable(floor, x, game[NEXT_Y, u], inner):
        game[NEXT_X, u] = x
    elif standable(floor, game[NEXT_X, u], y, inner):
        game[NEXT_Y, u] = y


@inner
def _push(game: DoubleArray, stats: DoubleArray, cells: np.ndarray, u: int, dx: float, dy: float) -> None:
    """Push the proposed step of `u` by (dx, dy), as far as the ground allows."""
    x, y = snap(game[NEXT_X, u] + dx), snap(game[NEXT_Y, u] + dy)
    if stats[STEP_MAX, int(game[TYPE, u])] == 0.0:
        return
    if cells[0, int(x), int(y)] == ROOMY:
        game[NEXT_X, u], game[NEXT_Y, u] = x, y
    else:
        _keep_on_ground(game, stats, cells, u, x, y)


@inlined
def _makes_room(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> bool:
    """Whether `v` is an idle friend of `u` that can walk: those are pushed aside."""
    friend = game[OWNER, u] == game[OWNER, v] and game[ORDER, v] == ORDER_IDLE and game[TARGET, v] < 0.0
    return bool(friend and stats[STEP_MAX, int(game[TYPE, v])] > 0.0)


@inlined
def _contacts(game: DoubleArray, u: int) -> int:
    """How many units, `u` included, would touch `u` after this loop."""
    x, y, girth, layer = game[NEXT_X, u], game[NEXT_Y, u], game[GIRTH, u], game[LAYER, u]
    contacts = 0
    for v in range(game.shape[1]):
        dx, dy = game[NEXT_X, v] - x, game[NEXT_Y, v] - y
        touch = girth + game[GIRTH, v]
        if dx * dx + dy * dy < touch * touch and game[GIRTH, v] > 0.0 and game[LAYER, v] == layer:
            contacts += 1
    return contacts


@inner
def _keep_off(game: DoubleArray, stats: DoubleArray, cells: np.ndarray, u: int) -> None:
    """Move the step that `u` proposes out of other units: idle friends take the push, two on their way share it."""
    for v in range(game.shape[1]):
        dx, dy = game[NEXT_X, u] - game[NEXT_X, v], game[NEXT_Y, u] - game[NEXT_Y, v]
        touch, squared = game[GIRTH, u] + game[GIRTH, v], dx * dx + dy * dy
        if squared >= touch * touch or u == v or game[GIRTH, v] < 0.0 or game[LAYER, v] != game[LAYER, u]:
            continue
        if squared == 0.0:  # one upon the other: apart along an arbitrary axis
            dx = 1.0 / GRID if u < v else -1.0 / GRID
            squared = dx * dx
        push = touch / sqrt(squared) - 1.0
        share = 1.0 if _makes_room(game, stats, u, v) else 0.5 if game[WALKING, v] > 0.0 else 0.0
        if share > 0.0:
            _push(game, stats, cells, v, -dx * push * share, -dy * push * share)
        if share < 1.0:
            _push(game, stats, cells, u, dx * push * (1.0 - share), dy * push * (1.0 - share))


@inlined
def _moving(game: DoubleArray, u: int) -> bool:
    return game[NEXT_X, u] != game[X, u] or game[NEXT_Y, u] != game[Y, u]


@kernel
def move_together(game: DoubleArray, stats: DoubleArray, cells: np.ndarray) -> None:
    """Carry out the steps that all units proposed in this loop, keeping units off each other.

    In a crowd some overlap remains, as a few rounds of pushing do not settle everything.
    """
    for u in range(game.shape[1]):
        x, y = game[NEXT_X, u], game[NEXT_Y, u]
        if _moving(game, u) and cells[0, int(x), int(y)] != ROOMY:
            game[NEXT_X, u], game[NEXT_Y, u] = game[X, u], game[Y, u]
            _keep_on_ground(game, stats, cells, u, x, y)
    for _ in range(_ROUNDS):
        touching = False
        for u in range(game.shape[1]):
            if _moving(game, u) and _contacts(game, u) > 1:
                touching = True
                _keep_off(game, stats, cells, u)
        if not touching:
            break
    for u in range(game.shape[1]):
        game[X, u], game[Y, u] = game[NEXT_X, u], game[NEXT_Y, u]


@kernel
def untangle(game: DoubleArray, stats: DoubleArray, cells: np.ndarray) -> None:
    """Push units apart a little that have come to stand deep in each other, as may happen between walls."""
    for u in range(game.shape[1]):
        game[NEXT_X, u], game[NEXT_Y, u] = game[X, u], game[Y, u]
    for u in range(game.shape[1]):
        for v in range(u + 1, game.shape[1]):
            dx, dy = game[NEXT_X, u] - game[NEXT_X, v], game[NEXT_Y, u] - game[NEXT_Y, v]
            deep, squared = _TANGLED * (game[GIRTH, u] + game[GIRTH, v]), dx * dx + dy * dy
            if (
                squared >= deep * deep
                or min(game[GIRTH, u], game[GIRTH, v]) < 0.0
                or game[LAYER, u] != game[LAYER, v]
            ):
                continue
            if squared == 0.0:  # one upon the other: apart along an arbitrary axis
                dx, squared = 1.0, 1.0
            scale = _NUDGE / sqrt(squared)
            _push(game, stats, cells, u, dx * scale, dy * scale)
            _push(game, stats, cells, v, -dx * scale, -dy * scale)
    for u in range(game.shape[1]):
        game[X, u], game[Y, u] = game[NEXT_X, u], game[NEXT_Y, u]
