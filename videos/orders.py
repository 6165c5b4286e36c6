"""What the recorded actions of agents mean: where they go, look, shoot or heal."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from env_adapters.api import DoubleArray, RenderState
from env_adapters.starcraft.smacv2_options import SmacV2Options
from env_adapters.starcraft.units import UNITS

Arrays = Mapping[str, npt.NDArray[Any]]
"""The arrays of a render state by name."""

ALLIES: Final = 1
"""`owner` of the agents' units."""
ENEMIES: Final = 2
FIXED_ACTIONS: Final = ("no-op", "stop", "north", "south", "east", "west")
"""The first actions of every StarCraft scenario; looks (with view cones) and targets come after them."""
MEDIVAC: Final = next(unit.id for unit in UNITS if unit.name == "Medivac")

_WAYS: Final = {2: 1j, 3: -1j, 4: 1 + 0j, 5: -1 + 0j}


class Order(NamedTuple):
    """One agent's action, read."""

    verb: str
    """"no-op", "stop", "move", "look", "attack" or "heal"; empty where nothing is known."""
    way: complex = 0j
    """Where to move or look, east + i * north, length 1."""
    target: int = -1
    """Column of the unit to attack or heal."""


def look_directions(scenario: str) -> int:
    """Number of look actions of a scenario id; 0 where agents see all round."""
    cone = scenario.rsplit("-v", 1)[0].endswith("_conic")
    return SmacV2Options().num_fov_actions if cone else 0


def read_orders(state: RenderState) -> tuple[Order, ...]:
    """The orders [N] that led to a state, one per agent; empty for recordings without actions."""
    arrays, looks = state.arrays, look_directions(state.scenario)
    columns = np.flatnonzero(arrays["owner"] == ALLIES)
    actions = np.asarray(arrays.get("agent_action", ()), dtype=np.int64)
    return tuple(
        _read(int(action), int(agent), arrays, looks) for agent, action in zip(columns, actions, strict=False)
    )


def _read(action: int, agent: int, arrays: Arrays, looks: int) -> Order:
    if action < 0:
        return Order("")
    if action in _WAYS:
        return Order("move", _WAYS[action])
    if action < len(FIXED_ACTIONS):
        return Order(FIXED_ACTIONS[action])
    slot = action - len(FIXED_ACTIONS)
    if slot < looks:
        return Order("look", cmath.exp(2j * math.pi * slot / looks))
    heals = arrays["type"][agent] == MEDIVAC
    targets = np.flatnonzero(arrays["owner"] == (ALLIES if heals else ENEMIES))
    if slot - looks >= len(targets):
        return Order("")
    return Order("heal" if heals else "attack", target=int(targets[slot - looks]))


def type_name(unit_type: int) -> str:
    """Name of a unit type id, as a reader writes it."""
    name = next((unit.name for unit in UNITS if unit.id == unit_type), f"type {unit_type}")
    return "Spine Crawler" if name == "SpineCrawler" else name


def describe(order: Order, arrays: Arrays) -> str:
    """An order in two or three words: "move north", "look 60°", "attack Zealot", "heal 4" (an agent's number)."""
    if order.verb == "move":
        return f"move {FIXED_ACTIONS[next(a for a, way in _WAYS.items() if way == order.way)]}"
    if order.verb == "look":
        return f"look {round(math.degrees(cmath.phase(order.way))) % 360}°"
    if order.verb == "attack":
        return f"attack {type_name(int(arrays['type'][order.target]))}"
    if order.verb == "heal":
        return f"heal {int(np.sum(arrays['owner'][: order.target] == ALLIES))}"
    return order.verb


def view_directions(states: Sequence[RenderState], orders: Sequence[Sequence[Order]]) -> list[DoubleArray]:
    """Where each agent looks in each state, radians [N]; NaN where it is not known, or agents see all round.

    Agents look east when an episode begins and turn by look actions alone.

    Args:
        states: moments of one game, in order.
        orders: those that led to each of them.
    """
    n_agents = int(np.sum(states[0].arrays["owner"] == ALLIES))
    looks = look_directions(states[0].scenario)
    known = looks > 0 and int(states[0].arrays["step"]) == 0
    views = [np.full(n_agents, 0.0 if known else np.nan)]
    for given in orders:
        view = views[-1].copy()
        for agent, order in enumerate(given):
            if order.verb == "look":
                view[agent] = cmath.phase(order.way)
        views.append(view)
    return views[1:]
