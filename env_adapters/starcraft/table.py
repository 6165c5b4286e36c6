"""The unit table: what a game engine writes and the SMAC layer reads.

One game is a float64 array [N_FIELDS, U], one column per unit: allies in agent order, then enemies. Whole
numbers are stored as floats, exactly. A dead unit has HEALTH 0 and keeps its last position. Fields from
ORDER on are private to the embedded engine.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from env_adapters.api import DoubleArray
from env_adapters.jit import inlined, kernel

TYPE: Final = 0
"""Row of `units.UNITS`, not the game's own id."""
OWNER: Final = 1
"""1 for the agents, 2 for the enemy."""
X: Final = 2
Y: Final = 3
FACING_X: Final = 4
"""Unit vector of the direction the unit looks in."""
FACING_Y: Final = 5
HEALTH: Final = 6
SHIELD: Final = 7
ENERGY: Final = 8
COOLDOWN: Final = 9
"""Game loops until the weapon may start again, never negative."""
ORDER: Final = 10
"""One of the ORDER_ constants."""
GOAL_X: Final = 11
GOAL_Y: Final = 12
TARGET: Final = 13
"""Column of the unit under attack or treatment, -1 for none: ordered or acquired by itself."""
WINDUP: Final = 14
"""Game loops until the attack that has begun strikes; 0 when none has begun."""
AIM: Final = 15
"""Column of the unit that the attack that has begun will strike."""
BACKSWING: Final = 16
"""Game loops for which a unit left to itself stays put after a strike."""
FLIGHT: Final = 17
"""Game loops until the unit's missile, or its second blow, lands on AIM; 0 when there is none."""
BURN: Final = 18
"""Game loops until the lances that have swept over this unit do their damage; 0 when none have."""
BURN_BLOWS: Final = 19
"""Blows that the lances will deal then."""
SHIELD_WAIT: Final = 20
"""Game loops until the shield begins to recover."""
SHOT_AT: Final = 21
"""Column of the unit struck or healed last during this environment step, -1 for none; only for films."""
NEXT_X: Final = 22
NEXT_Y: Final = 23
"""Where the unit wants to be at the end of this game loop."""
HEAD_X: Final = 24
HEAD_Y: Final = 25
"""Unit vector of the way round an obstacle that the unit has chosen."""
SIDE: Final = 26
"""Side on which the unit walks round what is in its way: -1 right, 1 left, 0 when nothing is."""
WALKING: Final = 27
"""1 while the unit is on its way; others walk round those that stand."""
LOOK_IN: Final = 28
"""Game loops until the unit looks again whether its way is free."""
SCAN_IN: Final = 29
"""Game loops before which no opponent can come into the unit's scan range."""
STEP_LENGTH: Final = 30
"""Cells that the unit covers per game loop at present."""
GIRTH: Final = 31
"""Radius within which the unit keeps others off, -1 for the dead."""
PLANE: Final = 32
"""1 for units in the air."""
RADIUS: Final = 33
REACH: Final = 34
"""Weapon range plus own radius, -1 without a weapon."""
LAYER: Final = 35
"""Units bump only into units of their own layer: ground, air, or Colossi (whose collision flags in the game data lack
Ground, so that ground units walk under them)."""
N_FIELDS: Final = 36

ORDER_IDLE: Final = 0.0
ORDER_MOVE: Final = 1.0
ORDER_ATTACK: Final = 2.0
ORDER_ATTACK_MOVE: Final = 3.0
ORDER_HEAL: Final = 4.0
ORDER_HUNT: Final = 5.0
"""Attack the nearest of the agents, then the next."""

ALLY: Final = 1.0
ENEMY: Final = 2.0


@kernel
def distance_between(game: DoubleArray, u: int, v: int) -> float:
    """Distance between the centres of two units."""
    dx, dy = game[X, v] - game[X, u], game[Y, v] - game[Y, u]
    return sqrt(dx * dx + dy * dy)


@inlined
def squared_distance(game: DoubleArray, u: int, v: int) -> float:
    """Square of the distance between the centres of two units."""
    dx, dy = game[X, v] - game[X, u], game[Y, v] - game[Y, u]
    return dx * dx + dy * dy
