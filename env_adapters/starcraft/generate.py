"""SMACv2's generated scenarios: who fights and where, drawn from a game's own generator.

Upstream (smacv2's `distributions.py`) draws from generators without a seed; here one SplitMix64 state decides
everything, in a fixed order. `generate` takes its numbers as follows, each one uniform in [0, 1):

1. team: one per agent, its type; all of them again while the whole team consists of types that must not be alone;
2. extra enemies, if there are more enemies than agents: the same once more for them alone;
3. one that decides between surrounded and reflected start positions;
4. reflected: x and y of each agent in turn, then of each extra enemy. Surrounded: number of groups; the group of each
   enemy; the distance of each group; the diagonal of each group;
5. only where these capabilities are on: attack probability of each agent, health level of each agent, enemy mask by
   agent and enemy.

Upstream also shuffles each team; the draws are independent of each other, so that changes no distribution.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.starcraft.maps import MAP_SIZE, PLAYABLE_LOW, playable_area
from env_adapters.starcraft.movement import snap
from env_adapters.starcraft.placement import Body, place, spiral
from env_adapters.starcraft.random import next_uniform
from env_adapters.starcraft.smacv2_layer import RACE_TYPES
from env_adapters.starcraft.smacv2_options import SmacV2Options
from env_adapters.starcraft.units import ROW, UNITS

WEIGHTS: Final = {
    "Marine": 0.45, "Marauder": 0.45, "Medivac": 0.1,
    "Stalker": 0.45, "Zealot": 0.45, "Colossus": 0.1,
    "Zergling": 0.45, "Hydralisk": 0.45, "Baneling": 0.1,
}  # fmt: skip
"""Probability of each type within its race (upstream's example configurations)."""
NEVER_ALONE: Final = ("Medivac", "Baneling")
"""Types that cannot make up a whole team (exception_unit_types)."""
P_REFLECT: Final = 0.5
"""Probability of reflected start positions."""
_MARGIN: Final = 2.0
"""Cells between the centre of the map and the nearest group of a surrounding army."""
_REACH: Final = 16.0
"""Cells within which a spot is looked for."""


class Plan(NamedTuple):
    """Everything `generate` needs of a scenario."""

    n_allies: int
    n_enemies: int
    kinds: IntArray
    """[3] rows of `UNITS` that a team may hold."""
    thresholds: DoubleArray
    """[3] cumulative probabilities of these types."""
    never_alone: BoolArray
    """[unit rows]"""
    p_reflect: float
    rank: IntArray
    """[unit rows] order in which agents are numbered: the game's ids of the agents' types are alphabetical."""
    body: Body
    grids: BoolArray
    """bool[3, 32, 32], where units may stand by footing."""
    candidates: DoubleArray
    """[K, 2], see `placement.spiral`."""
    attack: DoubleArray
    """Bounds of the attack probabilities, empty where they are off."""
    health: DoubleArray
    """Bounds of the health levels, empty where they are off."""
    shown: DoubleArray
    """[1] chance that an agent is shown health and type of an enemy, empty where everything is shown."""


class Scenario(NamedTuple):
    """What `generate` fills for one game; agents in agent order, then enemies in order of creation."""

    types: IntArray
    """[U] rows of `UNITS`."""
    x: DoubleArray
    """[U] start positions in cells."""
    y: DoubleArray
    attack_probability: DoubleArray
    """[N], left alone where the capability is off."""
    health_level: DoubleArray
    """[N], likewise."""
    enemy_mask: np.ndarray
    """uint8[N, E], 1 where health and type of an enemy are hidden; likewise."""


def _bodies() -> Body:
    return Body(
        np.array([unit.mover for unit in UNITS], dtype=np.int64),
        np.array([unit.separation_radius for unit in UNITS], dtype=np.float64),
        np.array([unit.inner_radius for unit in UNITS], dtype=np.float64),
    )


def make_plan(race: str, n_allies: int, n_enemies: int, pathable: BoolArray, options: SmacV2Options) -> Plan:
    """Collect what `generate` needs.

    Args:
        race: "T", "P" or "Z", for both sides.
        n_allies: number of agents.
        n_enemies: number of enemies.
        pathable: bool[32, 32], indexed [x, y]; climbers and flyers need only the playable area.
        options: gives the ranges of attack probabilities and health levels.
    """
    names = RACE_TYPES[race]
    playable = playable_area()
    alphabetical = sorted(unit.name for unit in UNITS)
    return Plan(
        n_allies=n_allies,
        n_enemies=n_enemies,
        kinds=np.array([ROW[name] for name in names], dtype=np.int64),
        thresholds=np.cumsum([WEIGHTS[name] for name in names]),
        never_alone=np.array([unit.name in NEVER_ALONE for unit in UNITS]),
        p_reflect=P_REFLECT,
        rank=np.array([alphabetical.index(unit.name) for unit in UNITS], dtype=np.int64),
        body=_bodies(),
        grids=np.stack((pathable, playable, playable)),
        candidates=spiral(_REACH),
        attack=np.array(options.attack_probability or (), dtype=np.float64),
        health=np.array(options.health_level or (), dtype=np.float64),
        shown=np.array(
            [] if options.mask_probability is None else [options.mask_probability], dtype=np.float64
        ),
    )


def new_scenario(plan: Plan) -> Scenario:
    """Room for one generated game, every capability at its neutral value."""
    n_units = plan.n_allies + plan.n_enemies
    return Scenario(
        np.zeros(n_units, dtype=np.int64),
        np.zeros(n_units),
        np.zeros(n_units),
        np.ones(plan.n_allies),
        np.zeros(plan.n_allies),
        np.zeros((plan.n_allies, plan.n_enemies), dtype=np.uint8),
    )


@inner
def _draw_team(
    generator: np.ndarray, kinds: IntArray, thresholds: DoubleArray, never_alone: BoolArray, team: IntArray
) -> None:
    """Draw a whole team, again while all of it is of types that must not be alone."""
    again = len(team) > 0
    while again:
        for u in range(len(team)):
            draw = next_uniform(generator)
            kind = kinds[0]
            for k in range(1, len(kinds)):
                if draw >= thresholds[k - 1]:
                    kind = kinds[k]
            team[u] = kind
            again = again and never_alone[kind]


@kernel
def draw_reflected(generator: np.ndarray, n: int, wanted: DoubleArray) -> None:
    """The n agents anywhere in the west, enemies at their mirror images, extra enemies anywhere in the east."""
    for a in range(n):
        wanted[0, a] = next_uniform(generator) * (MAP_SIZE / 2 - 1)
        wanted[1, a] = next_uniform(generator) * MAP_SIZE
    for u in range(n, wanted.shape[1]):
        if u < 2 * n:
            wanted[0, u] = MAP_SIZE - wanted[0, u - n]
            wanted[1, u] = wanted[1, u - n]
        else:
            wanted[0, u] = MAP_SIZE / 2 + next_uniform(generator) * (MAP_SIZE / 2)
            wanted[1, u] = next_uniform(generator) * MAP_SIZE


@kernel
def draw_surrounded(generator: np.ndarray, n: int, wanted: DoubleArray) -> None:
    """The n agents at the centre, enemies in one to four groups, each somewhere on a diagonal of its own."""
    centre = MAP_SIZE / 2
    for a in range(n):
        wanted[0, a], wanted[1, a] = centre, centre
    n_groups = 1 + int(next_uniform(generator) * 4)
    size, share, diagonal = np.empty((3, 4))
    for g in range(4):
        size[g], diagonal[g] = 0.0, g
    for _ in range(n, wanted.shape[1]):
        size[int(next_uniform(generator) * n_groups)] += 1.0
    for g in range(n_groups):
        share[g] = next_uniform(generator)
    u = n
    for g in range(n_groups):
        other = g + int(next_uniform(generator) * (4 - g))
        diagonal[g], diagonal[other] = diagonal[other], diagonal[g]
        east, north = int(diagonal[g]) // 2, int(diagonal[g]) % 2
        away = _MARGIN * share[g] + centre * (1.0 - share[g])
        for _ in range(int(size[g])):
            wanted[0, u] = centre + (2 * east - 1) * away
            wanted[1, u] = centre + (2 * north - 1) * away
            u += 1


@inner
def _number_agents(rank: IntArray, n: int, types: IntArray, x: DoubleArray, y: DoubleArray) -> None:
    """Sort the n agents by type, then x, then y, as SMAC numbers them."""
    for i in range(1, n):
        for k in range(i, 0, -1):
            mine, other = rank[types[k]], rank[types[k - 1]]
            ahead = x[k] < x[k - 1] or (x[k] == x[k - 1] and y[k] < y[k - 1])
            if mine > other or (mine == other and not ahead):
                break
            types[k], types[k - 1] = types[k - 1], types[k]
            x[k], x[k - 1] = x[k - 1], x[k]
            y[k], y[k - 1] = y[k - 1], y[k]


@inner
def _draw_between(generator: np.ndarray, bounds: DoubleArray, out: DoubleArray) -> None:
    """Fill `out` with uniform numbers between two bounds; no bounds, no draws."""
    if len(bounds) == 2:
        for a in range(len(out)):
            out[a] = bounds[0] + next_uniform(generator) * (bounds[1] - bounds[0])


@inner
def _draw_mask(generator: np.ndarray, shown: DoubleArray, out: np.ndarray) -> None:
    """Hide each enemy from each agent with probability 1 - shown."""
    if len(shown) == 1:
        for a in range(out.shape[0]):
            for e in range(out.shape[1]):
                out[a, e] = next_uniform(generator) >= shown[0]


@kernel
def generate(generator: np.ndarray, plan: Plan, scenario: Scenario) -> None:
    """Draw teams, start positions and capabilities of one game.

    Args:
        generator: uint64[1], the game's generator; left where the draws end.
        plan: the scenario.
        scenario: filled with the result.
    """
    n, types = plan.n_allies, scenario.types
    _draw_team(generator, plan.kinds, plan.thresholds, plan.never_alone, types[:n])
    for u in range(n, min(2 * n, len(types))):
        types[u] = types[u - n]
    _draw_team(generator, plan.kinds, plan.thresholds, plan.never_alone, types[2 * n :])
    wanted = np.empty((2, len(types)))
    if next_uniform(generator) > plan.p_reflect:
        draw_surrounded(generator, n, wanted)
    else:
        draw_reflected(generator, n, wanted)
    for u in range(len(types)):
        for axis in range(2):
            wanted[axis, u] = snap(wanted[axis, u])
    _draw_between(generator, plan.attack, scenario.attack_probability)
    _draw_between(generator, plan.health, scenario.health_level)
    _draw_mask(generator, plan.shown, scenario.enemy_mask)
    low, high = float(PLAYABLE_LOW), float(MAP_SIZE - PLAYABLE_LOW)
    place(types, wanted, plan.body, plan.grids, low, high, plan.candidates, scenario.x, scenario.y)
    _number_agents(plan.rank, n, types, scenario.x, scenario.y)
