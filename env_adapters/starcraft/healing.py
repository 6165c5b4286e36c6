"""Medivacs: whom they heal and what it costs. They have no weapon."""

from __future__ import annotations

from typing import Final

from env_adapters.api import DoubleArray
from env_adapters.jit import inner
from env_adapters.starcraft import units
from env_adapters.starcraft.stats import BIOLOGICAL, HEALTH_MAX
from env_adapters.starcraft.table import (
    AIM,
    ENERGY,
    HEALTH,
    OWNER,
    RADIUS,
    SHOT_AT,
    TARGET,
    TYPE,
    squared_distance,
)
from env_adapters.starcraft.units import LOOPS_PER_SECOND, ROW

MEDIVAC: Final = float(ROW["Medivac"])
_HEAL_PER_LOOP: Final = units.HEAL_PER_S / LOOPS_PER_SECOND


@inner
def _hurt(game: DoubleArray, stats: DoubleArray, v: int) -> bool:
    """Whether `v` is alive, biological and below full life."""
    kind = int(game[TYPE, v])
    return bool(0.0 < game[HEALTH, v] < stats[HEALTH_MAX, kind] and stats[BIOLOGICAL, kind] > 0.0)


@inner
def is_patient(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> bool:
    """Whether the Medivac `u` may heal `v`: a hurt friend that no other Medivac is healing."""
    if game[OWNER, v] != game[OWNER, u] or not _hurt(game, stats, v):
        return False
    for w in range(game.shape[1]):
        if w != u and game[TYPE, w] == MEDIVAC and game[HEALTH, w] > 0.0 and game[AIM, w] == v:
            return False
    return True


@inner
def within(game: DoubleArray, u: int, v: int, distance: float) -> bool:
    """Whether the edges of two units are at most `distance` apart."""
    centres = distance + game[RADIUS, u] + game[RADIUS, v]
    return bool(squared_distance(game, u, v) <= centres * centres)


@inner
def choose_patient(game: DoubleArray, stats: DoubleArray, u: int) -> int:
    """Whom the enemy's Medivac `u` heals: its patient, else the friend in scan range with the least life left.

    Ties go to the nearest. Returns -1 for none, or without the energy to begin.
    """
    patient = int(game[TARGET, u])
    if patient >= 0 and game[ENERGY, u] > 0.0 and is_patient(game, stats, u, patient):
        return patient
    game[TARGET, u] = -1.0
    if game[ENERGY, u] < units.HEAL_MIN_ENERGY:
        return -1
    best, best_life, best_squared = -1, 1.0, 0.0
    for v in range(game.shape[1]):
        if not is_patient(game, stats, u, v) or not within(game, u, v, units.HEAL_SCAN_RANGE):
            continue
        life = game[HEALTH, v] / stats[HEALTH_MAX, int(game[TYPE, v])]
        squared = squared_distance(game, u, v)
        if best < 0 or life < best_life or (life == best_life and squared < best_squared):
            best, best_life, best_squared = v, life, squared
    game[TARGET, u] = best
    return best


@inner
def heal(game: DoubleArray, stats: DoubleArray, u: int, v: int) -> None:
    """One loop of healing of `v` by `u`, as far as its energy goes; AIM marks the patient."""
    missing = stats[HEALTH_MAX, int(game[TYPE, v])] - game[HEALTH, v]
    life = min(_HEAL_PER_LOOP, missing, game[ENERGY, u] / units.ENERGY_PER_LIFE)
    game[HEALTH, v] += life
    game[ENERGY, u] -= life * units.ENERGY_PER_LIFE
    game[AIM, u], game[SHOT_AT, u] = v, v
