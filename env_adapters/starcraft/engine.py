"""The embedded combat engine: one game loop at a time over a unit table.

Every game loop has four phases: blows that are due land, all at the same instant; the dead leave the fight; each
unit turns, begins an attack or proposes a step, according to its order; the steps are carried out together. What
is modelled, what is measured and what is guessed stands in docs/engine.md.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.jit import inlined, inner, kernel
from env_adapters.starcraft.crowd import move_together, untangle
from env_adapters.starcraft.healing import MEDIVAC, choose_patient, heal, is_patient, within
from env_adapters.starcraft.movement import face, walk
from env_adapters.starcraft.table import (
    AIM,
    BACKSWING,
    COOLDOWN,
    HEALTH,
    NEXT_X,
    NEXT_Y,
    ORDER,
    ORDER_ATTACK,
    ORDER_HEAL,
    ORDER_IDLE,
    RADIUS,
    REACH,
    SHOT_AT,
    STEP_LENGTH,
    TARGET,
    TYPE,
    WALKING,
    WINDUP,
    X,
    Y,
    squared_distance,
)
from env_adapters.starcraft.targets import choose_target
from env_adapters.starcraft.units import HEAL_RANGE
from env_adapters.starcraft.weapons import begin_attack, bury, land_blows, recover, recovers

ENGINE: Final = "embedded-sc2"
"""Name of this engine in results."""
BUILD: Final = 2
"""Raised by every change that alters any trajectory."""
_TURN_LOOPS: Final = 3.0
"""Units begin to turn to their target this long before they may attack; every unit turns half round in that time."""


@inlined
def _attack(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> bool:
    """One loop of `u` attacking `v` from where it stands, in range or not; True where it should follow."""
    squared = squared_distance(game, u, v)
    reach = game[REACH, u] + game[RADIUS, v]
    if squared > reach * reach:
        return True
    if game[COOLDOWN, u] <= _TURN_LOOPS:
        scale = 1.0 / max(sqrt(squared), 1e-9)
        ready = face(game, stats, u, (game[X, v] - game[X, u]) * scale, (game[Y, v] - game[Y, u]) * scale)
        if ready and game[COOLDOWN, u] <= 0.0:
            begin_attack(game, stats, u, v, squared)
    return False


@inner
def _treat(game: DoubleArray, stats: DoubleArray, u: int, passive: bool) -> int:
    """One loop of the Medivac `u`: the patient to follow, -1 for none, -2 to stay.

    The agents' own Medivacs heal only whom they are told to.
    """
    game[AIM, u] = -1.0
    if game[ORDER, u] == ORDER_HEAL:
        patient = int(game[TARGET, u])
        if not is_patient(game, stats, u, patient):
            game[ORDER, u], game[TARGET, u] = ORDER_IDLE, -1.0
            return -2
    else:
        patient = -1 if passive else choose_patient(game, stats, u)
    if patient >= 0 and within(game, u, patient, HEAL_RANGE):
        heal(game, stats, u, patient)
        return -2
    return patient


@inlined
def _ordered_target(game: DoubleArray, u: int) -> int:
    """Whom an agent's unit attacks: nobody but an ordered target that lives. Its death ends the order."""
    if game[ORDER, u] != ORDER_ATTACK:
        return -1
    target = int(game[TARGET, u])
    if game[HEALTH, target] <= 0.0:
        game[ORDER, u], game[TARGET, u] = ORDER_IDLE, -1.0
        return -1
    return target


@inlined
def _act(game: DoubleArray, stats: DoubleArray, ways: np.ndarray, u: int, passive: bool) -> None:
    """One loop of one living unit that is not winding up. The agents' units never choose a target themselves."""
    if game[TYPE, u] == MEDIVAC:
        target = _treat(game, stats, u, passive)
        follow = target >= 0
    else:
        target = _ordered_target(game, u) if passive else choose_target(game, stats, u)
        follow = target >= 0 and _attack(game, stats, u, target)
    if game[BACKSWING, u] > 0.0:
        return
    if follow or (target == -1 and game[ORDER, u] != ORDER_IDLE):
        walk(game, stats, ways, u, target)


@kernel
def act_all(game: DoubleArray, stats: DoubleArray, ways: np.ndarray, n_passive: int) -> None:
    """One loop of every unit: what it does where it stands, and in NEXT_X, NEXT_Y the step it proposes."""
    n_units = game.shape[1]
    for u in range(n_units):
        game[NEXT_X, u], game[NEXT_Y, u] = game[X, u], game[Y, u]
    for u in range(n_units):
        if game[HEALTH, u] <= 0.0 or game[WINDUP, u] > 0.0:
            continue
        walked = game[WALKING, u]
        game[WALKING, u] = 0.0
        if u >= n_passive or game[ORDER, u] != ORDER_IDLE:
            _act(game, stats, ways, u, u < n_passive)
        if walked > 0.0 and game[WALKING, u] == 0.0:
            game[STEP_LENGTH, u] = 0.0


@kernel
def advance(
    game: DoubleArray,
    stats: DoubleArray,
    cells: np.ndarray,
    ways: np.ndarray,
    generator: np.ndarray,
    n_passive: int,
    loops: int,
) -> None:
    """Play game loops of one game in place.

    Args:
        game: unit table [N_FIELDS, U].
        stats: unit numbers, see stats.py.
        cells: int8[3, x, y], see ground.py.
        ways: uint16[cells, cells] or [0, 0], see ground.py.
        generator: uint64[1], the game's own random generator.
        n_passive: the first so many columns are agents, which act only on orders.
        loops: game loops to play.
    """
    recovering = recovers(game, stats)
    for u in range(game.shape[1]):
        game[SHOT_AT, u] = -1.0
    for _ in range(loops):
        if land_blows(game, stats, generator):
            bury(game, stats)
        if recovering:
            recover(game, stats)
        act_all(game, stats, ways, n_passive)
        move_together(game, stats, cells)
    untangle(game, stats, cells)
