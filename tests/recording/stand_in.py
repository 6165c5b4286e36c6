"""An in-process stand-in for the StarCraft II program: it answers pysc2's calls with protobuf messages.

There is no physics. The caller says which units the next observation shows; everything the upstream
environment sends (orders, units to create or to kill) is kept for reading. pysc2 finds the stand-in through
its own mechanism for run configurations, so no upstream code is replaced.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from env_adapters.errors import MismatchError
from env_adapters.starcraft.maps import MAP_SIZE, PLAYABLE_LOW, PLAYABLE_WIDTH
from env_adapters.starcraft.units import UNITS

UNIT_TYPE_BASE: Final = 1970
"""Number of standard unit types in game version 4.10.0; the maps' own copies are numbered from here."""
GENERATED_COPIES: Final = (
    "Baneling",
    "Colossus",
    "Hydralisk",
    "Marauder",
    "Marine",
    "Medivac",
    "Stalker",
    "Zealot",
    "Zergling",
)
"""Unit copies in the map of the generated SMACv2 scenarios, in the order of their ids."""
NEUTRAL_TYPE: Final = 341
"""A mineral field: a unit of no player, which the environments must ignore."""
_NEUTRAL_OWNER: Final = 16
_TAG_SHIFT: Final = 18
_MAX_STEPS: Final = 10

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Unit:
    """One unit as the game reports it; life and shield in points, position in cells, cooldown in loops."""

    tag: int
    unit_type: int
    owner: int
    x: float
    y: float
    z: float
    health: float
    health_max: float
    shield: float
    shield_max: float
    energy: float
    weapon_cooldown: float


@dataclass(frozen=True)
class Order:
    """One order upstream sent; fields that the order lacks are -1 (row) or NaN (point)."""

    row: int
    ability: int
    target_row: int
    x: float
    y: float


@dataclass(frozen=True)
class Grid:
    """Image bytes of one map: pathing at 1 or 8 bits per cell, terrain height at 8."""

    pathing: Bytes
    bits_per_pixel: int
    terrain: Bytes


def tag_of(row: int) -> int:
    """Tag of a row of the unit table, shaped like the game's own (index above, recycle count below)."""
    return ((row + 1) << _TAG_SHIFT) | 1


def row_of(tag: int) -> int:
    """Row of the unit table that a tag belongs to."""
    return (tag >> _TAG_SHIFT) - 1


def neutral_unit() -> Unit:
    """A unit of no player in the middle of the map."""
    return Unit(1, NEUTRAL_TYPE, _NEUTRAL_OWNER, 16.0, 16.0, 8.0, 10_000.0, 10_000.0, 0.0, 0.0, 0.0, 0.0)


def message(unit: Unit) -> Any:
    """The protobuf message of a unit (raw_pb2.Unit)."""
    raw = importlib.import_module("s2clientprotocol.raw_pb2")
    result = raw.Unit(
        tag=unit.tag,
        unit_type=unit.unit_type,
        owner=unit.owner,
        health=unit.health,
        health_max=unit.health_max,
        shield=unit.shield,
        shield_max=unit.shield_max,
        energy=unit.energy,
        weapon_cooldown=unit.weapon_cooldown,
    )
    result.pos.x, result.pos.y, result.pos.z = unit.x, unit.y, unit.z
    return result


@dataclass
class Game:
    """The game and its controller in one object: what pysc2's RemoteController offers, answered directly."""

    grid: Grid
    units: list[Unit] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    """Rows that upstream asked to kill since the last `serve`."""
    steps: int = 0
    """How often time has passed since the last `serve`."""

    def serve(self, units: Iterable[Unit]) -> None:
        """Show these units in the next observations, in this order; forget orders and kills."""
        self.units = list(units)
        self.orders, self.killed, self.steps = [], set(), 0

    def create_game(self, request: object) -> None:
        """Accept any game."""

    def join_game(self, request: object) -> None:
        """Accept any player."""

    def game_info(self) -> Any:
        """Sizes and images of the current grid (ResponseGameInfo)."""
        api = importlib.import_module("s2clientprotocol.sc2api_pb2")
        info = api.ResponseGameInfo()
        raw = info.start_raw
        raw.map_size.x = raw.map_size.y = MAP_SIZE
        raw.playable_area.p0.x = raw.playable_area.p0.y = PLAYABLE_LOW
        raw.playable_area.p1.x = raw.playable_area.p1.y = PLAYABLE_LOW + PLAYABLE_WIDTH
        raw.pathing_grid.bits_per_pixel = self.grid.bits_per_pixel
        raw.pathing_grid.data = self.grid.pathing.tobytes()
        raw.terrain_height.bits_per_pixel = 8
        raw.terrain_height.data = self.grid.terrain.tobytes()
        return info

    def data(self) -> SimpleNamespace:
        """Static data: only the number of unit types is ever read."""
        return SimpleNamespace(units=range(UNIT_TYPE_BASE + len(GENERATED_COPIES)))

    def observe(self) -> Any:
        """The served units (ResponseObservation); fresh messages, since upstream writes into them."""
        api = importlib.import_module("s2clientprotocol.sc2api_pb2")
        response = api.ResponseObservation()
        alive = (unit for unit in self.units if row_of(unit.tag) not in self.killed)
        response.observation.raw_data.units.extend(message(unit) for unit in alive)
        return response

    def step(self, count: int = 1) -> None:
        """Let time pass: nothing moves.

        Raises:
            MismatchError: upstream keeps waiting for units that the stand-in will never show.
        """
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise MismatchError(
                f"upstream waits for other units than the {len(self.units)} shown: check the teams"
            )

    def actions(self, request: Any) -> None:
        """Keep the orders of a RequestAction."""
        for action in request.actions:
            command = action.action_raw.unit_command
            targets_unit = command.HasField("target_unit_tag")
            targets_point = command.HasField("target_world_space_pos")
            point = command.target_world_space_pos
            self.orders.append(
                Order(
                    row=row_of(command.unit_tags[0]),
                    ability=command.ability_id,
                    target_row=row_of(command.target_unit_tag) if targets_unit else -1,
                    x=point.x if targets_point else float("nan"),
                    y=point.y if targets_point else float("nan"),
                )
            )

    def debug(self, commands: Any) -> None:
        """Create units, note kills, ignore drawings."""
        for command in commands if isinstance(commands, list) else [commands]:
            if command.HasField("create_unit"):
                self.units.append(self._created(command.create_unit))
            elif command.HasField("kill_unit"):
                self.killed |= {row_of(tag) for tag in command.kill_unit.tag}

    def _created(self, request: Any) -> Unit:
        numbers = unit_numbers(request.unit_type)
        return Unit(
            tag=tag_of(len(self.units)),
            unit_type=request.unit_type,
            owner=request.owner,
            x=request.pos.x,
            y=request.pos.y,
            z=8.0,
            health=numbers[0],
            health_max=numbers[0],
            shield=numbers[1],
            shield_max=numbers[1],
            energy=0.0,
            weapon_cooldown=0.0,
        )

    @property
    def controller(self) -> Game:
        """The process object upstream asks for a controller is this object too."""
        return self

    def close(self) -> None:
        """End of the process: nothing to release."""


def unit_numbers(unit_type: int) -> tuple[float, float]:
    """Life and shield of a standard id or of a copy in the generated scenarios' map."""
    by_id = {unit.id: unit for unit in UNITS}
    by_name = {unit.name: unit for unit in UNITS}
    copy = unit_type - UNIT_TYPE_BASE
    unit = by_id[unit_type] if copy < 0 else by_name[GENERATED_COPIES[copy]]
    return unit.health, unit.shield


@cache
def _run_configuration() -> Any:
    """Our run configuration, of a higher priority than pysc2's own; made once, since pysc2 lists them all."""
    lib = importlib.import_module("pysc2.run_configs.lib")

    def configure(self: Any, version: object = None) -> None:
        self.version = version

    return type(
        "StandInRunConfig",
        (lib.RunConfig,),
        {
            "__init__": configure,
            "priority": classmethod(lambda cls: 2),
            "start": lambda self, **options: self.game,
            "map_data": lambda self, map_name, players=None: b"\0",
        },
    )


def install(game: Game) -> None:
    """Make pysc2 start this game from now on."""
    _run_configuration().game = game
