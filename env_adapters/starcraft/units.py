"""Unit numbers of the game data that every SMAC map loads (Liberty base mod, identical in 4.6.2 and 4.10).

Time is in game seconds of 16 game loops ("normal" speed), distance in map cells, angles in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LOOPS_PER_SECOND: Final = 16
"""Game loops in one game second."""
LOOPS_PER_STEP: Final = 8
"""Game loops in one environment step (SMAC's step_mul)."""
RANDOM_DELAY_S: Final = (-0.0625, 0.125)
"""Bounds of the uniform delay added to each weapon period (WeaponData RandomDelayMin, RandomDelayMax)."""
ARC_SLOP_DEG: Final = 11.25
"""A weapon may start when its target is this close to straight ahead (WeaponData ArcSlop)."""
MIN_SCAN_RANGE: Final = 5.0
"""Units left to themselves look at least this far for targets (WeaponData MinScanRange)."""
RANGE_SLOP: Final = 1.0
"""An attack that has begun still strikes a target this much out of range (WeaponData RangeSlop)."""
MIN_DAMAGE: Final = 0.5
"""Least damage of a hit after armour (GameData DamageMinimum)."""


@dataclass(frozen=True)
class Weapon:
    """One ranged or melee attack that strikes at once when its wind-up ends."""

    damage: float
    range: float
    """Between the edges of the two units."""
    period_s: float
    damage_point_s: float
    """Wind-up before the strike."""
    backswing_s: float


@dataclass(frozen=True)
class UnitType:
    """One unit type; `id` is the game's own number for player 2's units."""

    name: str
    id: int
    race: str
    health: float
    shield: float
    armor: float
    energy_max: float
    speed: float
    radius: float
    separation_radius: float
    inner_radius: float
    turn_deg_per_s: float
    smac_cooldown_max: float
    """SMAC's divisor of the weapon cooldown feature, in loops (energy for the Medivac)."""
    weapon: Weapon | None = None
    """None for types whose mechanics the engine does not have yet."""


UNITS: Final = (
    UnitType(
        "Marine",
        48,
        "T",
        45,
        0,
        0,
        0,
        2.25,
        0.375,
        0.375,
        0.375,
        999.8437,
        15,
        Weapon(6, 5, 0.8608, 0.05, 0.75),
    ),
    UnitType("Marauder", 51, "T", 125, 0, 1, 0, 2.25, 0.5625, 0.5, 0.375, 999.8437, 25),
    UnitType("Medivac", 54, "T", 150, 0, 1, 200, 2.75, 0.75, 0.75, 0.75, 999.8437, 200),
    UnitType("Stalker", 74, "P", 80, 80, 1, 0, 2.9531, 0.625, 0.625, 0.5, 999.8437, 35),
    UnitType("Zealot", 73, "P", 100, 50, 1, 0, 2.25, 0.5, 0.375, 0.375, 999.8437, 22),
    UnitType("Colossus", 4, "P", 200, 150, 1, 0, 2.25, 1.0, 0.75, 0.5625, 720.0, 24),
    UnitType("Zergling", 105, "Z", 35, 0, 0, 0, 2.9531, 0.375, 0.375, 0.375, 999.8437, 11),
    UnitType("Hydralisk", 107, "Z", 80, 0, 0, 0, 2.25, 0.625, 0.5, 0.375, 999.8437, 10),
    UnitType("Baneling", 9, "Z", 30, 0, 0, 0, 2.5, 0.375, 0.375, 0.375, 999.8437, 1),
    UnitType("SpineCrawler", 98, "Z", 300, 0, 2, 0, 0.0, 0.875, 0.875, 0.875, 719.4726, 15),
)
"""Every unit of the SMAC maps. A unit table's TYPE field is a row of this tuple."""

ROW: Final[dict[str, int]] = {unit.name: row for row, unit in enumerate(UNITS)}
"""Row of each unit name in `UNITS`."""
