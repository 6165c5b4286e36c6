"""One battle on its stage: what is where at any instant between two recorded states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, IntArray, RenderState
from videos.arena import Arena, Places
from videos.orders import Order, read_orders, view_directions

_FALL = 0.6  # share of a step after which a unit that dies in it falls
_SPREAD, _SEEN = 0.45, 0.4  # of a step: over which shots start, and for which each is seen
_STILL = 0.4  # how far shots have come in a single picture
_LEAST_RADIUS = 13.0  # enlarged pixels
_CROWD = 24
NOT_SHOWN: Final = -1.0
"""Progress of a shot that is not to be seen at this instant."""


@dataclass(frozen=True)
class Moment:
    """All units at one instant of a step. Arrays [U] unless noted."""

    state: RenderState
    time: float
    """In steps."""
    cell: float
    """Enlarged pixels per map cell."""
    places: Places
    radii: DoubleArray
    """Enlarged pixels."""
    facing: DoubleArray
    """Radians."""
    health: DoubleArray
    health_after: DoubleArray
    """At the end of the step."""
    shield: DoubleArray
    energy: DoubleArray
    """0 in recordings that do not tell."""
    alive: BoolArray
    age: DoubleArray
    """Steps since the unit fell, negative before."""
    shot_at: IntArray
    """Unit that is hit or healed during this step, or -1."""
    progress: DoubleArray
    """Of that shot: 0 when it starts, 1 when it is over, or NOT_SHOWN."""
    orders: tuple[Order, ...]
    """[N], the actions of this step; empty when not recorded."""
    views: DoubleArray
    """[N], where each agent looks in radians, or NaN."""

    @property
    def crowded(self) -> bool:
        """Whether there are so many units that details give way."""
        return int(self.alive.sum()) > _CROWD


@dataclass(frozen=True)
class Scene:
    """States of one game, and what they say together."""

    states: Sequence[RenderState]
    arena: Arena
    fall_times: DoubleArray
    """[U], when each unit falls, in steps; infinite for survivors."""
    orders: Sequence[tuple[Order, ...]]
    """Those that led to each state."""
    views: Sequence[DoubleArray]
    """[N] each, see `view_directions`."""

    @classmethod
    def of(cls, states: Sequence[RenderState], width: int, height: int) -> Scene:
        """Set the stage for every state of one game, in order, on a picture of this size."""
        orders = [read_orders(state) for state in states]
        arena = Arena.of(states, width, height)
        return cls(states, arena, _fall_times(states), orders, view_directions(states, orders))

    def moment(self, index: int, fraction: float = 0.0) -> Moment:
        """The instant `fraction` (0 to 1) of a step after state `index`.

        After the last state there is nothing: it is shown with the shots and orders that led to it.
        """
        later = min(index + 1, len(self.states) - 1)
        still = later == index
        state, now, then = self.states[index], self.states[index].arrays, self.states[later].arrays

        def between(name: str) -> DoubleArray:
            return np.asarray(now[name] + (then[name] - now[name]) * fraction, dtype=np.float64)

        turn = (then["facing"] - now["facing"] + math.pi) % (2 * math.pi) - math.pi
        count = len(now["type"])
        time = float(now["step"]) + fraction
        return Moment(
            state=state,
            time=time,
            cell=self.arena.scale,
            places=self.arena.places(between("x"), between("y")),
            radii=np.maximum(now["radius"] * self.arena.scale, _LEAST_RADIUS),
            facing=now["facing"] + turn * fraction,
            health=between("health"),
            health_after=np.asarray(then["health"], dtype=np.float64),
            shield=between("shield"),
            energy=between("energy") if "energy" in now else np.zeros(count),
            alive=(now["health"] > 0) & ((then["health"] > 0) | (fraction < _FALL)),
            age=time - self.fall_times,
            shot_at=np.asarray(then["shot_at"], dtype=np.int64),
            progress=np.full(count, _STILL) if still else _progress(count, fraction),
            orders=self.orders[later],
            views=self.views[later],
        )


def _progress(count: int, fraction: float) -> DoubleArray:
    """Progress of the shots of `count` units; the record tells the step of a shot, not the instant."""
    start = np.arange(count) * 0.618 % 1 * _SPREAD  # golden ratio: neighbours never fire together
    since = (fraction - start) / _SEEN
    return np.where((since >= 0) & (since < 1), since, NOT_SHOWN)


def _fall_times(states: Sequence[RenderState]) -> DoubleArray:
    times = np.full(len(states[0].arrays["health"]), np.inf)
    for state in reversed(states):
        times[state.arrays["health"] <= 0] = float(state.arrays["step"]) - 1 + _FALL
    return times
