"""Unit numbers in the engine's units (game loops and cells), as one array for the kernels.

`unit_stats()` is float64 [N_STATS, unit types]; the names below are its rows. From DAMAGE on, row
DAMAGE + t holds what one blow does to a unit of type t before armour, 0 where it cannot be hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, cos, radians, sin
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.starcraft import units
from env_adapters.starcraft.units import LOOPS_PER_SECOND, UNITS, Mover, UnitType, Weapon

HEALTH_MAX: Final = 0
SHIELD_MAX: Final = 1
ARMOR: Final = 2
BODY_RADIUS: Final = 3
SEPARATION: Final = 4
INNER: Final = 5
"""Clearance that the ground must give."""
STEP_MAX: Final = 6
"""Cells per loop."""
STEP_GAIN: Final = 7
"""Acceleration: cells per loop gained in each loop."""
TURN_COS: Final = 8
TURN_SIN: Final = 9
"""Largest turn in one loop."""
RANGE: Final = 10
"""Weapon range between edges, -1 without a weapon."""
PERIOD: Final = 11
WINDUP_LOOPS: Final = 12
"""Whole loops from the beginning of an attack to its strike, at least 1."""
BACKSWING_LOOPS: Final = 13
SECOND_BLOW: Final = 14
"""Whole loops to the second blow, 0 for none."""
FLIGHT_PER_CELL: Final = 15
"""Loops that a missile needs per cell, 0 for weapons without one."""
SLOP: Final = 16
CLOSE_RANGE: Final = 17
"""Range of the close weapon, -1 without one."""
CLOSE_WINDUP: Final = 18
SCAN: Final = 19
"""Distance between edges within which the unit looks for targets."""
SHIELD_GAIN: Final = 20
LIFE_GAIN: Final = 21
ENERGY_GAIN: Final = 22
"""Recovery per loop."""
ENERGY_MAX: Final = 23
ENERGY_START: Final = 24
MOVER: Final = 25
BIOLOGICAL: Final = 26
"""1 for units a Medivac can heal."""
STRUCTURE: Final = 27
DAMAGE: Final = 28
N_STATS: Final = DAMAGE + len(UNITS)


def _damage(weapon: Weapon, target: UnitType) -> float:
    if target.mover == Mover.AIR and not weapon.hits_air:
        return 0.0
    attribute, bonus = weapon.bonus or ("", 0.0)
    return weapon.damage + (bonus if attribute in target.attributes else 0.0)


def _attack(unit: UnitType) -> dict[int, float]:
    weapon, close = unit.weapon, unit.close_weapon
    if weapon is None:
        return {RANGE: -1.0, CLOSE_RANGE: -1.0, SCAN: units.MIN_SCAN_RANGE}
    loops = LOOPS_PER_SECOND
    return {
        RANGE: weapon.range,
        PERIOD: weapon.period_s * loops,
        WINDUP_LOOPS: max(1, ceil(weapon.damage_point_s * loops)),
        BACKSWING_LOOPS: weapon.backswing_s * loops,
        SECOND_BLOW: ceil(weapon.second_blow_s * loops),
        FLIGHT_PER_CELL: loops / weapon.missile_speed if weapon.missile_speed else 0.0,
        SLOP: weapon.range_slop,
        CLOSE_RANGE: close.range if close else -1.0,
        CLOSE_WINDUP: ceil(close.damage_point_s * loops) if close else 0.0,
        SCAN: max(units.MIN_SCAN_RANGE, weapon.range),
    }


def unit_stats(types: Sequence[UnitType] = UNITS) -> DoubleArray:
    """Convert unit types (in the order of `UNITS`) for the kernels, float64 [N_STATS, unit types]."""
    table = np.zeros((N_STATS, len(types)))
    for row, unit in enumerate(types):
        turn = radians(unit.turn_deg_per_s / LOOPS_PER_SECOND)
        numbers = {
            HEALTH_MAX: unit.health,
            SHIELD_MAX: unit.shield,
            ARMOR: unit.armor,
            BODY_RADIUS: unit.radius,
            SEPARATION: unit.separation_radius,
            INNER: unit.inner_radius,
            STEP_MAX: unit.speed / LOOPS_PER_SECOND,
            STEP_GAIN: unit.acceleration / LOOPS_PER_SECOND**2,
            TURN_COS: cos(turn),
            TURN_SIN: sin(turn),
            SHIELD_GAIN: units.SHIELD_REGEN_PER_S / LOOPS_PER_SECOND if unit.shield else 0.0,
            LIFE_GAIN: units.ZERG_REGEN_PER_S / LOOPS_PER_SECOND if unit.race == "Z" else 0.0,
            ENERGY_GAIN: units.ENERGY_REGEN_PER_S / LOOPS_PER_SECOND if unit.energy_max else 0.0,
            ENERGY_MAX: unit.energy_max,
            ENERGY_START: unit.energy_start,
            MOVER: unit.mover,
            BIOLOGICAL: "Biological" in unit.attributes and "Structure" not in unit.attributes,
            STRUCTURE: "Structure" in unit.attributes,
        } | _attack(unit)
        for stat, number in numbers.items():
            table[stat, row] = number
        if unit.weapon:
            for column, target in enumerate(types):
                table[DAMAGE + column, row] = _damage(unit.weapon, target)
    return table
