"""Golden tables of the upstream smac environment; the other two recorders build on this one.

Each table is independent: the units before the step are put into the environment, upstream's `step` runs
against the stand-in game that shows the units after it, and everything recorded is what upstream returned.
Nothing of upstream is replaced. Values that `step` does not return (the raw battle reward, the code of the end
of battle) come from calling upstream's own methods once more on the same units.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from . import stand_in, tables
from .catalogue import Recording
from .tables import Arrays
from .upstream import load_module

Row = dict[str, Any]

END_CODE_NONE: Final = 2
"""Stored where upstream says that the battle goes on (None)."""
UNSTORED: Final = ("action_draws", "last_action_cleared")
"""Inputs that only choose other inputs and are not in the files."""
FIELDS: Final = ("x", "y", "health", "shield", "energy", "weapon_cooldown")


@dataclass(frozen=True)
class Outcome:
    """What a step returned, besides observations."""

    reward: float
    terminated: bool
    won: bool
    more: Row
    """Keys that only this package returns."""


class SmacRecorder:
    """One environment of oxwhirl/smac over the stand-in game, and the inputs of a file."""

    package: ClassVar[str] = "smac"
    commit: ClassVar[str] = "d6aab33"
    module: ClassVar[str] = "smac.env.starcraft2.starcraft2"
    sha256: ClassVar[str] = "98588e57372c1d551b3ab4a2618f97e0a4f4ba33aa6f5daff27fb153f362e5db"

    def __init__(self, recording: Recording, inputs: Arrays) -> None:
        """Build and reset the environment, and let it parse the three grids.

        Args:
            recording: which map and options.
            inputs: as drawn by `tables.draw`, or the arrays of a golden file.
        """
        self.recording = recording
        self.inputs = inputs
        self.game = stand_in.Game(self._grid(0))
        self.env: Any = self._make(load_module(self.module, self.sha256))
        self.n_agents, self.n_enemies = int(self.env.n_agents), int(self.env.n_enemies)
        stand_in.install(self.game)
        self._reset()
        self.grids = [self._parsed(index) for index in range(3)]
        self.obs_dtypes: set[str] = set()

    def _make(self, module: Any) -> Any:
        return module.StarCraft2Env(map_name=self.recording.map_name, **self.recording.options)

    def _reset(self) -> None:
        """Upstream's first reset, with the first table's units in full health."""
        units = (self._unit(0, "prev", row) for row in range(self.n_agents + self.n_enemies))
        self.game.serve(
            stand_in.Unit(**{**vars(unit), "health": unit.health_max, "shield": unit.shield_max})
            for unit in units
        )
        self.env.reset()

    def _grid(self, index: int) -> stand_in.Grid:
        return stand_in.Grid(
            self.inputs[f"pathing_raw_{index}"],
            int(self.inputs["pathing_bits_per_pixel"][index]),
            self.inputs["terrain_raw"][index],
        )

    def _parsed(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Pathing [x, y] and height [x, y] as upstream reads them from a grid's images."""
        self.game.grid = self._grid(index)
        self.env._launch()
        return self.env.pathing_grid, self.env.terrain_height

    def _unit(self, t: int, when: str, row: int) -> stand_in.Unit:
        values = {field: float(self.inputs[f"{when}_{field}"][t, row]) for field in FIELDS}
        return stand_in.Unit(
            tag=stand_in.tag_of(row),
            unit_type=int(self.inputs["unit_type"][t, row]),
            owner=int(self.inputs["owner"][t, row]),
            z=float(self.inputs["z"][t, row]),
            health_max=float(self.inputs["health_max"][t, row]),
            shield_max=float(self.inputs["shield_max"][t, row]),
            **values,
        )

    def _load(self, t: int) -> None:
        """Put the units and counters before the step into the environment."""
        env, inputs = self.env, self.inputs
        before = [
            stand_in.message(self._unit(t, "prev", row)) for row in range(self.n_agents + self.n_enemies)
        ]
        env.agents = dict(enumerate(before[: self.n_agents]))
        env.enemies = dict(enumerate(before[self.n_agents :]))
        self._set_trackers(t)
        env._episode_steps = int(inputs["episode_steps"][t]) - 1
        env.win_counted = env.defeat_counted = False
        env.pathing_grid, env.terrain_height = self.grids[int(inputs["grid_index"][t])]

    def _set_trackers(self, t: int) -> None:
        self.env.death_tracker_ally = self.inputs["prev_death_tracker_ally"][t].copy()
        self.env.death_tracker_enemy = self.inputs["prev_death_tracker_enemy"][t].copy()

    def _serve(self, t: int) -> None:
        """Show the units that live after the step, in random order, now and then among a neutral one."""
        alive = np.flatnonzero(self.inputs["cur_health"][t] > 0)
        rng = np.random.default_rng(t)
        units = [self._unit(t, "cur", int(row)) for row in rng.permutation(alive)]
        if rng.random() < 0.25:
            units.insert(int(rng.integers(0, len(units) + 1)), stand_in.neutral_unit())
        self.game.serve(units)

    def _actions(self, t: int, available: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
        if "actions" in self.inputs:
            return np.asarray(self.inputs["actions"][t])
        draws = self.inputs["action_draws"][t]
        choices = [np.flatnonzero(mask) for mask in available]
        return np.array(
            [choice[int(draw * len(choice))] for choice, draw in zip(choices, draws, strict=True)],
            dtype=np.int16,
        )

    def _cleared(self, t: int) -> bool:
        if "last_action_cleared" in self.inputs:
            return bool(self.inputs["last_action_cleared"][t])
        return not self.inputs["last_action"][t].any()

    def _step(self, actions: npt.NDArray[np.int16]) -> Outcome:
        reward, terminated, info = self.env.step(actions)
        dead = {key: np.int16(info[key]) for key in ("dead_allies", "dead_enemies")}
        return Outcome(float(reward), bool(terminated), bool(info["battle_won"]), dead)

    def _battle(self, t: int) -> Row:
        """Raw reward and end code: upstream's methods once more, with the counters of before the step."""
        env = self.env
        after = env.death_tracker_ally.copy(), env.death_tracker_enemy.copy()
        self._set_trackers(t)
        reward = env.reward_battle()
        for name, expected in zip(("ally", "enemy"), after, strict=True):
            np.testing.assert_array_equal(getattr(env, f"death_tracker_{name}"), expected)
        code = env.update_units()
        return {
            "reward_battle": np.asarray(reward),
            "end_code": np.int8(END_CODE_NONE if code is None else code),
            "death_tracker_ally": np.asarray(after[0], dtype=np.float64),
            "death_tracker_enemy": np.asarray(after[1], dtype=np.float64),
        }

    def _commands(self) -> Row:
        ability = np.zeros(self.n_agents, dtype=np.int16)
        target = np.full(self.n_agents, -1, dtype=np.int16)
        point = np.full((self.n_agents, 2), np.nan)
        for order in self.game.orders:
            ability[order.row], target[order.row], point[order.row] = (
                order.ability,
                order.target_row,
                (order.x, order.y),
            )
        return {"command_ability": ability, "command_target_row": target, "command_xy": point}

    def _units_after(self) -> Row:
        """The unit table as the environment holds it after the step."""
        units = [*self.env.agents.values(), *self.env.enemies.values()]
        row: Row = {f"cur_{name}": np.array([getattr(unit, name) for unit in units]) for name in FIELDS[2:]}
        row["cur_x"] = np.array([unit.pos.x for unit in units])
        row["cur_y"] = np.array([unit.pos.y for unit in units])
        row["alive"] = row["cur_health"] > 0
        return row

    def _observed(self, t: int) -> Row:
        """Observations and state on the units after the step."""
        return {"obs": self._observations(), "state": self.env.get_state().astype(np.float32)}

    def _observations(self) -> npt.NDArray[np.float32]:
        observations = self.env.get_obs()
        self.obs_dtypes |= {str(observation.dtype) for observation in observations}
        return np.array(observations, dtype=np.float32)

    def table(self, t: int) -> Row:
        """Run one table; every stored array without its table axis, except unchanged inputs."""
        env = self.env
        self._load(t)
        available = np.array(env.get_avail_actions(), dtype=np.uint8)
        actions = self._actions(t, available)
        self._serve(t)
        outcome = self._step(actions)
        row: Row = {"prev_avail": available, "actions": actions, **self._commands(), **self._battle(t)}
        row |= {
            "reward": outcome.reward,
            "terminated": outcome.terminated,
            "battle_won": outcome.won,
            **outcome.more,
        }
        if self._cleared(t):
            env.last_action = np.zeros_like(env.last_action)
        row |= {
            "last_action": env.last_action.astype(np.uint8),
            "episode_steps": np.int32(env._episode_steps),
        }
        row |= {**self._units_after(), **self._observed(t)}
        row["avail"] = np.array(env.get_avail_actions(), dtype=np.uint8)
        row["visibility"] = env.get_visibility_matrix()
        return row

    def run(self) -> Arrays:
        """Every array of the golden file besides `meta`: inputs and what upstream computed."""
        rows = [self.table(t) for t in range(len(self.inputs["grid_index"]))]
        recorded: Arrays = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        return {
            **{key: value for key, value in self.inputs.items() if key not in UNSTORED},
            **recorded,
            "pathing_grid": np.stack([pathing for pathing, _ in self.grids]),
            "terrain_height": np.stack([height for _, height in self.grids]),
            "max_reward": np.array(float(self.env.max_reward)),
            "episode_limit": np.array(int(self.env.episode_limit)),
        }

    def _sizes(self) -> Row:
        return {
            "obs_size_reported": int(self.env.get_obs_size()),
            "state_size_reported": int(self.env.get_state_size()),
        }

    def meta(self) -> Row:
        """Description of the file; call it after `run`."""
        env, recording = self.env, self.recording
        row: Row = {
            "name": recording.name,
            "package": self.package,
            "commit": self.commit,
            "map_name": recording.map_name,
            "constructor_options": dict(recording.options),
        }
        if recording.capability:
            row["capability_config"] = dict(recording.capability)
        return {
            **row,
            "n_tables": len(self.inputs["grid_index"]),
            "n_agents": self.n_agents,
            "n_enemies": self.n_enemies,
            "n_actions": int(env.n_actions),
            **self._sizes(),
            "obs_dtype_returned": sorted(self.obs_dtypes),
            "map_type": env.map_type,
            "unit_type_bits": env.unit_type_bits,
            "ally_race": env._agent_race,
            "enemy_race": env._bot_race,
            "map_x": env.map_x,
            "map_y": env.map_y,
            "max_distance_x": int(env.max_distance_x),
            "max_distance_y": int(env.max_distance_y),
            "min_unit_type": int(env._min_unit_type),
            "ally_type_ids": tables.ally_ids(recording),
            "enemy_type_ids": tables.enemy_ids(recording),
            "python": ".".join(platform.python_version_tuple()[:2]),
            "numpy": np.__version__,
        }
