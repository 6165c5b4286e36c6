"""Random inputs of golden tables: who fights, where they stand, what a step does to them.

All randomness of a recording comes from one generator, so a seed and a name give the same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from env_adapters.api import BoolArray
from env_adapters.starcraft import maps
from env_adapters.starcraft.units import UNITS

from . import positions, vitals
from .catalogue import SMACV2, Recording
from .stand_in import GENERATED_COPIES, UNIT_TYPE_BASE

Arrays = dict[str, npt.NDArray[Any]]

_BY_NAME: Final = {unit.name: unit for unit in UNITS}
_RACE_TEAMS: Final = {
    "10gen_terran": ("Marine", "Marauder", "Medivac"),
    "10gen_protoss": ("Stalker", "Zealot", "Colossus"),
    "10gen_zerg": ("Zergling", "Hydralisk", "Baneling"),
}
V2_EPISODE_LIMIT: Final = 200
"""Every generated SMACv2 scenario has this limit (upstream's map registry)."""
_INCONSISTENT: Final = 0.12
_CLEARED: Final = 0.1


@dataclass(frozen=True)
class Side:
    """One table's team of one player: names and ids in agent or enemy order."""

    names: tuple[str, ...]
    ids: tuple[int, ...]


def ally_ids(recording: Recording) -> dict[str, int]:
    """Type id of each kind of agent: the map's own copies, numbered alphabetically."""
    if recording.package == SMACV2:
        return {
            name: UNIT_TYPE_BASE + GENERATED_COPIES.index(name) for name in _RACE_TEAMS[recording.map_name]
        }
    spawns = maps.load(recording.map_name).spawns
    names = sorted({spawn.unit for spawn in spawns if spawn.player == 1})
    return {name: UNIT_TYPE_BASE + index for index, name in enumerate(names)}


def enemy_ids(recording: Recording) -> dict[str, int]:
    """Type id of each kind of enemy: the standard ids."""
    if recording.package == SMACV2:
        return {name: _BY_NAME[name].id for name in _RACE_TEAMS[recording.map_name]}
    spawns = maps.load(recording.map_name).spawns
    return {spawn.unit: _BY_NAME[spawn.unit].id for spawn in spawns if spawn.player == 2}


def _v1_sides(recording: Recording, rng: np.random.Generator) -> tuple[Side, Side, bool]:
    """The map's teams; the enemies in the map's order or, in half of the tables, shuffled."""
    info = maps.load(recording.map_name)
    allies, enemies = ([UNITS[row].name for row in info.team(player)] for player in (1, 2))
    own, foreign = ally_ids(recording), enemy_ids(recording)
    allies.sort(key=own.__getitem__)
    shuffled = bool(rng.random() < 0.5)
    if shuffled:
        enemies = [enemies[i] for i in rng.permutation(len(enemies))]
    return _side(allies, own), _side(enemies, foreign), shuffled


def _v2_sides(recording: Recording, rng: np.random.Generator) -> tuple[Side, Side, bool]:
    """Random teams of the race; the enemies partly mirror the allies, in any order."""
    kinds = _RACE_TEAMS[recording.map_name]
    n_agents, n_enemies = recording.capability["n_units"], recording.capability["n_enemies"]
    own, foreign = ally_ids(recording), enemy_ids(recording)
    weights = rng.dirichlet([1.0, 1.0, 1.0])
    allies = sorted(rng.choice(kinds, n_agents, p=weights).tolist(), key=own.__getitem__)
    enemies = (allies + rng.choice(kinds, n_enemies, p=weights).tolist())[:n_enemies]
    return _side(allies, own), _side(list(rng.permutation(enemies)), foreign), True


def _side(names: Sequence[str], ids: dict[str, int]) -> Side:
    return Side(tuple(str(name) for name in names), tuple(ids[name] for name in names))


def _team(allies: Side, enemies: Side) -> vitals.Team:
    names = allies.names + enemies.names
    return vitals.Team(
        enemy=np.arange(len(names)) >= len(allies.names),
        medivac=np.array([name == "Medivac" for name in names]),
        health_max=np.array([float(_BY_NAME[name].health) for name in names]),
        shield_max=np.array([float(_BY_NAME[name].shield) for name in names]),
    )


def _episode_steps(rng: np.random.Generator, limit: int) -> int:
    edge = rng.random()
    if edge < 0.3:
        return int(rng.choice([1, limit - 1, limit]))
    return int(rng.integers(1, limit))


def _trackers(rng: np.random.Generator, dead: BoolArray) -> tuple[npt.NDArray[np.float64], bool]:
    """Who upstream has already counted as dead; now and then wrong on purpose."""
    if rng.random() < _INCONSISTENT:
        return (rng.random(dead.shape) < 0.4).astype(np.float64), False
    return dead.astype(np.float64), True


def _one(
    recording: Recording, rng: np.random.Generator, style: tuple[int, int], limit: int
) -> dict[str, Any]:
    """Inputs of one table, without the table axis."""
    sides = _v2_sides if recording.package == SMACV2 else _v1_sides
    allies, enemies, shuffled = sides(recording, rng)
    team = _team(allies, enemies)
    count = len(team.enemy)
    old = vitals.before(style[1], rng, team)
    new = vitals.after(style[1], rng, team, old)
    place = positions.draw(style[0], rng, count)
    moved = positions.move(style[0], rng, place)
    died = new.health == 0
    trackers, consistent = _trackers(rng, old.health == 0)
    kept = {
        key: np.where(died, getattr(old, key), getattr(new, key)) for key in ("shield", "energy", "cooldown")
    }
    return {
        "prev_x": place[:, 0],
        "prev_y": place[:, 1],
        "prev_health": old.health,
        "prev_shield": old.shield,
        "prev_energy": old.energy,
        "prev_weapon_cooldown": old.cooldown,
        "cur_x": np.where(died, place[:, 0], moved[:, 0]),
        "cur_y": np.where(died, place[:, 1], moved[:, 1]),
        "cur_health": new.health,
        "cur_shield": kept["shield"],
        "cur_energy": kept["energy"],
        "cur_weapon_cooldown": kept["cooldown"],
        "unit_type": np.array(allies.ids + enemies.ids, dtype=np.int32),
        "owner": np.where(team.enemy, 2, 1).astype(np.int32),
        "health_max": team.health_max,
        "shield_max": team.shield_max,
        "z": positions.as_float32(8 + rng.random(count)),
        "prev_death_tracker_ally": trackers[~team.enemy],
        "prev_death_tracker_enemy": trackers[team.enemy],
        "trackers_consistent": consistent,
        "enemy_order_shuffled": shuffled,
        "episode_steps": np.int32(_episode_steps(rng, limit)),
        "action_draws": np.sqrt(rng.random((~team.enemy).sum())),  # leans to targets, the last actions
        "last_action_cleared": bool(rng.random() < _CLEARED),
    }


def _grids(recording: Recording, rng: np.random.Generator) -> Arrays:
    """Images of three grids: the map's own cells, random ones at 1 and at 8 bits per cell."""
    if recording.package == SMACV2:
        cells = np.zeros((maps.MAP_SIZE, maps.MAP_SIZE), dtype=np.bool_)
        inside = slice(maps.PLAYABLE_LOW, maps.PLAYABLE_LOW + maps.PLAYABLE_WIDTH)
        cells[inside, inside] = True
    else:
        cells = maps.load(recording.map_name).pathable
    size = maps.MAP_SIZE**2
    return {
        "pathing_raw_0": np.packbits(cells.T, axis=1).ravel(),
        "pathing_raw_1": np.packbits(rng.random(size) < 0.75),
        "pathing_raw_2": np.where(rng.random(size) < 0.25, 255, 0).astype(np.uint8),
        "terrain_raw": rng.integers(0, 256, (3, size), dtype=np.uint8),
        "pathing_bits_per_pixel": np.array([1, 1, 8], dtype=np.int8),
    }


def draw(recording: Recording, rng: np.random.Generator, n_tables: int) -> Arrays:
    """Inputs of `n_tables` tables [T, ...] with the keys of the golden files.

    Two keys are not stored in the files: `action_draws` [T, A] in [0, 1), which choose among the available
    actions, and `last_action_cleared` [T], whether the last actions are zeroed as just after a reset.
    """
    limit = V2_EPISODE_LIMIT if recording.package == SMACV2 else maps.load(recording.map_name).episode_limit
    styles = [
        style for style in range(len(positions.STYLES)) if style != positions.CONE_STYLE or recording.conic
    ]
    position = rng.permutation(np.resize(rng.permutation(styles), n_tables))
    event = rng.permutation(np.resize(rng.permutation(vitals.N_STYLES), n_tables))
    rows = [_one(recording, rng, (int(p), int(e)), limit) for p, e in zip(position, event, strict=True)]
    arrays: Arrays = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    return {
        **arrays,
        "grid_index": rng.choice([0, 1, 1, 2], n_tables).astype(np.int8),
        "position_style": position.astype(np.int8),
        "event_style": event.astype(np.int8),
        **_grids(recording, rng),
    }
