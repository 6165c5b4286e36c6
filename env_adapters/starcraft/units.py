"""Unit numbers of the game data that every SMAC map loads (Liberty base mod, identical in 4.6.2 and 4.10).

Time is in game seconds of 16 game loops ("normal" speed), distance in map cells, angles in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
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
"""Usual slop of a weapon's range (WeaponData RangeSlop)."""
MIN_DAMAGE: Final = 0.5
"""Least damage of a hit after armour (GameData DamageMinimum)."""
SHIELD_REGEN_PER_S: Final = 2.0
"""Protoss shields regain this much..."""
SHIELD_REGEN_DELAY_S: Final = 10.0
"""...from this long after the last hit on."""
ZERG_REGEN_PER_S: Final = 0.2734
"""Life that every Zerg unit regains, without delay."""
CALL_FOR_HELP_RADIUS: Final = 4.0
"""Friends this near to a unit under attack turn on the attacker (GameData CallForHelpRadius)."""
LEASH_RADIUS: Final = 21.0
"""Units left to themselves give up a target farther away (GameData AcquireLeashRadius)."""
HEAL_RANGE: Final = 4.0
HEAL_SCAN_RANGE: Final = 6.0
"""Medivacs left to themselves look this far for patients."""
HEAL_PER_S: Final = 9.0
ENERGY_PER_LIFE: Final = 0.33
ENERGY_REGEN_PER_S: Final = 0.5625
HEAL_MIN_ENERGY: Final = 5.0
"""Energy a Medivac left to itself needs to begin healing (assumed; the map's data do not say)."""
BURST_RADIUS: Final = 2.2
"""A Baneling's burst reaches enemies whose edge is this near."""
BURST_STRUCTURE_DAMAGE: Final = 80.0
LANCE_HALF_WIDTH: Final = 1.25
"""The Colossus's lances sweep this far to both sides of the target, across the line of fire."""
LANCE_RADIUS: Final = 0.15
LANCE_DELAY_S: Final = 0.375
"""From the sweep to its damage (0.25 s after being touched for those beside the target; one delay here)."""


class Mover(IntEnum):
    """What a unit can stand on."""

    GROUND = 0
    CLIFF = 1
    AIR = 2


@dataclass(frozen=True)
class Weapon:
    """One attack. Distances are between the edges of the two units unless said otherwise."""

    damage: float
    range: float
    period_s: float
    damage_point_s: float = 0.167
    """Wind-up before the strike."""
    backswing_s: float = 0.5
    bonus: tuple[str, float] | None = None
    """(attribute of the target, additional damage)."""
    hits_air: bool = False
    second_blow_s: float = 0.0
    """Delay of a second, equal blow after the first; 0 where there is none."""
    missile_speed: float = 0.0
    """Cells per game second; 0 for a weapon that strikes at once."""
    range_slop: float = RANGE_SLOP
    """An attack that has begun still strikes a target this much out of range."""


@dataclass(frozen=True)
class UnitType:
    """One unit type; `id` is the game's own number for player 2's units."""

    name: str
    id: int
    race: str
    health: float
    shield: float
    armor: float
    speed: float
    radius: float
    separation_radius: float
    inner_radius: float
    attributes: tuple[str, ...]
    smac_cooldown_max: float
    """SMAC's divisor of the weapon cooldown feature, in loops (energy for the Medivac)."""
    weapon: Weapon | None = None
    close_weapon: Weapon | None = None
    """Used instead of `weapon` within its range; shares its cooldown."""
    energy_start: float = 0.0
    energy_max: float = 0.0
    turn_deg_per_s: float = 999.8437
    acceleration: float = 1000.0
    """Cells per square second; 1000 is as good as instant."""
    mover: Mover = Mover.GROUND


UNITS: Final = (
    UnitType(
        "Marine", 48, "T", 45, 0, 0, 2.25, 0.375, 0.375, 0.375, ("Light", "Biological"), 15,
        Weapon(6, 5, 0.8608, damage_point_s=0.05, backswing_s=0.75, hits_air=True),
    ),
    UnitType(
        "Marauder", 51, "T", 125, 0, 1, 2.25, 0.5625, 0.5, 0.375, ("Armored", "Biological"), 25,
        Weapon(10, 6, 1.5, damage_point_s=0.0, backswing_s=0.0, bonus=("Armored", 10), missile_speed=20),
    ),
    UnitType(
        "Medivac", 54, "T", 150, 0, 1, 2.75, 0.75, 0.75, 0.75, ("Armored", "Mechanical"), 200,
        energy_start=50, energy_max=200, acceleration=2.3125, mover=Mover.AIR,
    ),
    UnitType(
        "Stalker", 74, "P", 80, 80, 1, 2.9531, 0.625, 0.625, 0.5, ("Armored", "Mechanical"), 35,
        Weapon(10, 6, 1.44, bonus=("Armored", 4), hits_air=True, missile_speed=18.75),
    ),
    UnitType(
        "Zealot", 73, "P", 100, 50, 1, 2.25, 0.5, 0.375, 0.375, ("Light", "Biological"), 22,
        Weapon(8, 0.1, 1.2, damage_point_s=0.0, second_blow_s=0.28),
    ),
    UnitType(
        "Colossus", 4, "P", 200, 150, 1, 2.25, 1.0, 0.75, 0.5625, ("Armored", "Mechanical", "Massive"), 24,
        Weapon(20, 6, 2.2, damage_point_s=0.0832, range_slop=0.0),
        turn_deg_per_s=720.0, mover=Mover.CLIFF,
    ),
    UnitType(
        "Zergling", 105, "Z", 35, 0, 0, 2.9531, 0.375, 0.375, 0.375, ("Light", "Biological"), 11,
        Weapon(5, 0.1, 0.696),
    ),
    UnitType(
        "Hydralisk", 107, "Z", 80, 0, 0, 2.25, 0.625, 0.5, 0.375, ("Light", "Biological"), 10,
        Weapon(12, 5, 0.83, damage_point_s=0.208, hits_air=True, missile_speed=40),
        close_weapon=Weapon(12, 0.5, 0.83, damage_point_s=0.3),
    ),
    UnitType(
        "Baneling", 9, "Z", 30, 0, 0, 2.5, 0.375, 0.375, 0.375, ("Biological",), 1,
        Weapon(20, 0.25, 0.833, damage_point_s=0.0, bonus=("Light", 15)),
    ),
    UnitType(
        "SpineCrawler", 98, "Z", 300, 0, 2, 0.0, 0.875, 0.875, 0.875,
        ("Armored", "Biological", "Structure"), 15,
        Weapon(25, 7, 1.6, damage_point_s=0.3332, bonus=("Armored", 5), missile_speed=20, range_slop=0.0),
        turn_deg_per_s=360.0,
    ),
)  # fmt: skip
"""Every unit of the SMAC maps. A unit table's TYPE field is a row of this tuple.

The Spine Crawler turns as fast as its turret; the speed of its tentacle is not in the data (20 is a guess). The
Colossus strikes every enemy on a line, the Baneling bursts: see weapons.py.
"""

ROW: Final[dict[str, int]] = {unit.name: row for row, unit in enumerate(UNITS)}
"""Row of each unit name in `UNITS`."""
