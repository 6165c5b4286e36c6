"""Unit numbers in the engine's units (game loops and cells), as arrays for the kernels."""

from __future__ import annotations

from math import cos, radians, sin
from typing import NamedTuple

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.starcraft.units import LOOPS_PER_SECOND, UNITS


class Stats(NamedTuple):
    """Numbers of `UNITS` in the engine's units (loops, cells), one row per unit type."""

    health: DoubleArray
    shield: DoubleArray
    armor: DoubleArray
    radius: DoubleArray
    separation: DoubleArray
    inner: DoubleArray
    step: DoubleArray
    """Cells per loop."""
    turn_cos: DoubleArray
    turn_sin: DoubleArray
    """Largest turn in one loop."""
    damage: DoubleArray
    range: DoubleArray
    period: DoubleArray
    windup: DoubleArray
    backswing: DoubleArray


def unit_stats() -> Stats:
    """Convert `UNITS` for the kernels; types without a weapon get range and damage 0."""
    rows = []
    for unit in UNITS:
        turn = radians(unit.turn_deg_per_s / LOOPS_PER_SECOND)
        weapon = unit.weapon
        attack = (
            [
                weapon.damage,
                weapon.range,
                *(s * LOOPS_PER_SECOND for s in (weapon.period_s, weapon.damage_point_s, weapon.backswing_s)),
            ]
            if weapon
            else [0.0] * 5
        )
        body = [unit.health, unit.shield, unit.armor, unit.radius, unit.separation_radius, unit.inner_radius]
        rows.append([*body, unit.speed / LOOPS_PER_SECOND, cos(turn), sin(turn), *attack])
    return Stats(*np.array(rows, dtype=np.float64).T.copy())
