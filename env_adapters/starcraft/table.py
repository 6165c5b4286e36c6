"""The unit table: what a game engine writes and the SMAC layer reads.

One game is a float64 array [N_FIELDS, U], one column per unit: allies in agent order, then enemies. Whole
numbers are stored as floats, exactly. A dead unit has HEALTH 0 and keeps its last position. Fields from
ORDER on are private to the embedded engine.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from env_adapters.api import DoubleArray
from env_adapters.starcraft.jit import kernel

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
"""Column of the unit under attack, -1 for none: ordered (ORDER_ATTACK) or acquired by itself."""
WINDUP: Final = 14
"""Game loops until the attack that has begun strikes; 0 when none has begun."""
AIM: Final = 15
"""Column of the unit that the attack that has begun will strike."""
BACKSWING: Final = 16
"""Game loops for which a unit left to itself stays put after a strike."""
SHOT_AT: Final = 17
"""Column of the unit struck last during this environment step, -1 for none; only for films."""
NEXT_X: Final = 18
NEXT_Y: Final = 19
"""Where the unit wants to be at the end of this game loop."""
SIDE: Final = 20
"""Side on which the unit walks round what is in its way: -1 right, 1 left, 0 not decided."""
WALKING: Final = 21
"""1 while the unit is on its way; others walk round those that stand."""
N_FIELDS: Final = 22

ORDER_IDLE: Final = 0.0
ORDER_MOVE: Final = 1.0
ORDER_ATTACK: Final = 2.0
ORDER_ATTACK_MOVE: Final = 3.0

ALLY: Final = 1.0
ENEMY: Final = 2.0


@kernel
def distance_between(game: DoubleArray, u: int, v: int) -> float:
    """Distance between the centres of two units."""
    dx, dy = game[X, v] - game[X, u], game[Y, v] - game[Y, u]
    return sqrt(dx * dx + dy * dy)
