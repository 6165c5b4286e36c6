"""Many StarCraft games of one scenario, stepped together: what SMAC v1 and SMACv2 have in common."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final

import numpy as np

from env_adapters.api import (
    ActionArray,
    BoolArray,
    DoubleArray,
    FloatArray,
    IntArray,
    RenderState,
    TeamSpec,
    VectorEnv,
    VectorStep,
    check_joint_actions,
    unavailable_action,
)
from env_adapters.errors import ActionError, CorruptFileError, InvalidValueError
from env_adapters.snapshots import check_arrays, digest, pack, unpack
from env_adapters.starcraft import engine, table
from env_adapters.starcraft.crowd import move_together, untangle
from env_adapters.starcraft.engine import act_all
from env_adapters.starcraft.ground import Cells, Ways
from env_adapters.starcraft.heuristic import order_heuristically
from env_adapters.starcraft.random import seed_games
from env_adapters.starcraft.smac_layer import N_FIXED_ACTIONS
from env_adapters.starcraft.smac_options import RewardOptions
from env_adapters.starcraft.smac_reward import ONGOING, WON
from env_adapters.starcraft.smac_step import Batch, first_unavailable
from env_adapters.starcraft.stats import HEALTH_MAX, SHIELD_MAX, unit_stats
from env_adapters.starcraft.units import UNITS
from env_adapters.starcraft.weapons import bury, land_blows

ENGINE_ID: Final = f"{engine.ENGINE}/{engine.BUILD}"
ACTION_NAMES: Final = ("no-op", "stop", "north", "south", "east", "west")
"""Names of the fixed actions; the later ones look (conic SMACv2), then attack an enemy or heal an ally."""

_UNIT_IDS: Final = np.array([unit.id for unit in UNITS], dtype=np.int64)


class BattleVectorEnv(VectorEnv):
    """B games of one scenario.

    Subclasses build `spec` and the batch, and say how games begin, are played and are seen.

    Args:
        spec: the team's specification.
        batch: games that have not begun.
        pathable: where units on the ground can be, bool[x, y].
        cells: what each kind of mover can stand on, see ground.py.
        ways: the ways round walls, see ground.py.
        options: everything that was asked for; snapshots and hashes carry it.
        n_threads: threads that share the games of one call; results do not depend on it.

    Raises:
        InvalidValueError: fewer than one thread.
    """

    def __init__(
        self,
        spec: TeamSpec,
        batch: Batch,
        pathable: BoolArray,
        cells: Cells,
        ways: Ways,
        options: RewardOptions,
        n_threads: int,
    ) -> None:
        if n_threads < 1:
            raise InvalidValueError(
                f"{spec.scenario} cannot be played by {n_threads} threads; give at least 1"
            )
        self.spec = spec
        self.n_games = len(batch.steps)
        self._begun = np.zeros(self.n_games, dtype=np.bool_)
        self._batch = batch
        self._stats = unit_stats()
        self._pathable, self._cells, self._ways = pathable, cells, ways
        self._options_text = repr(options)
        shape = (self.n_games, spec.n_agents)
        self._available = np.zeros((*shape, spec.action_size), dtype=np.bool_)
        self._observations = np.zeros((*shape, spec.observation_size), dtype=np.float32)
        self._pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None
        bounds = np.linspace(0, self.n_games, n_threads + 1).astype(int)
        self._shares = [slice(low, high) for low, high in pairwise(bounds)]

    @abstractmethod
    def _begin(self, games: IntArray, episode_seeds: IntArray) -> None:
        """Begin episodes in `games`, whose engine generators have been seeded."""

    def _share(self, share: slice) -> Batch:
        """The games of a share of the batch."""
        if share == slice(None):
            return self._batch
        return Batch._make(array[share] for array in self._batch)

    @abstractmethod
    def _advance(self, running: BoolArray, actions: IntArray, share: slice) -> None:
        """Play one step of the running games of a share of the batch and refresh what their agents see."""

    @abstractmethod
    def _look(self, begun: BoolArray) -> None:
        """Refresh masks and observations of the games that have just begun."""

    @abstractmethod
    def _fill_state(self, out: FloatArray) -> None:
        """Fill the global states [B, S]."""

    def _arrays(self) -> dict[str, np.ndarray]:
        """Everything that decides the future of the games, arrays [B, ...] by name."""
        return dict(self._batch._asdict())

    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        """Start episodes: everything about one follows from its seed."""
        chosen = np.arange(self.n_games) if games is None else np.asarray(games, dtype=np.int64)
        seeds = np.asarray(episode_seeds)
        if len(chosen) != len(seeds):
            raise InvalidValueError(
                f"{len(seeds)} episode seeds for {len(chosen)} games of {self.spec.scenario}"
            )
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < self.n_games:
            raise InvalidValueError(
                f"games to reset are {chosen}; this batch has games 0 to {self.n_games - 1}"
            )
        if not np.can_cast(seeds.dtype, np.int64):
            raise InvalidValueError(f"episode seeds must be 64-bit whole numbers, not {seeds.dtype}")
        seeds = seeds.astype(np.int64)
        self._begun[chosen] = True
        seed_games(self._batch.generators, chosen, seeds, engine.BUILD)
        self._begin(chosen, seeds)
        begun = np.zeros(self.n_games, dtype=np.bool_)
        begun[chosen] = True
        self._look(begun)
        return self._result()

    def step(self, joint_actions: ActionArray) -> VectorStep:
        """Advance running games by 8 game loops; ActionError names the first action that is not available."""
        if not self._begun.all():
            raise ActionError(f"{self.spec.scenario}: reset every game before stepping")
        check_joint_actions(joint_actions, self.spec, self.n_games)
        actions = np.ascontiguousarray(joint_actions, dtype=np.int64)
        running = (self._batch.codes == ONGOING) & (self._batch.steps < self.spec.episode_limit)
        self._check_available(actions, running)

        if self._pool is None:
            self._advance(running, actions, slice(None))
        else:
            list(
                self._pool.map(
                    lambda share: self._advance(running[share], actions[share], share), self._shares
                )
            )
        return self._result()

    def compile_acting(self) -> None:
        """Compile the part of the engine in which units act, and the scripted agents; spoils the games."""
        game, n_agents = self._batch.table[0], self.spec.n_agents
        act_all(game, self._stats, self._ways, n_agents)
        targets = self._batch.heuristic_targets[0]
        order_heuristically(
            game, self._stats, n_agents, True, True, N_FIXED_ACTIONS, self._available[0], targets
        )

    def compile_fighting_and_moving(self) -> None:
        """Compile the other parts of the engine; spoils the games."""
        game = self._batch.table[0]
        land_blows(game, self._stats, self._batch.generators[0])
        bury(game, self._stats)
        move_together(game, self._stats, self._cells)
        untangle(game, self._stats, self._cells)

    def compile_step(self) -> None:
        """Compile the step kernel, which takes in the parts of the engine; no game runs."""
        actions = np.ones((self.n_games, self.spec.n_agents), dtype=np.int64)
        self._advance(np.zeros(self.n_games, dtype=np.bool_), actions, slice(None))

    def _check_available(self, actions: IntArray, running: BoolArray) -> None:
        index = first_unavailable(actions, self._available, running)
        if index < 0:
            return
        game, agent = divmod(index, self.spec.n_agents)
        mask, step = self._available[game, agent], int(self._batch.steps[game])
        raise unavailable_action(int(actions[game, agent]), agent, game, step, mask, self.spec)

    def _result(self) -> VectorStep:
        batch = self._batch
        terminated = batch.codes != ONGOING
        return VectorStep(
            self._observations.copy(),
            self._available.copy(),
            batch.rewards.copy(),
            terminated,
            ~terminated & (batch.steps >= self.spec.episode_limit),
            {"won": batch.codes == WON, "steps": batch.steps.copy()},
        )

    def state(self) -> FloatArray:
        """Global states [B, S]."""
        out = np.empty((self.n_games, self.spec.state_size), dtype=np.float32)
        self._fill_state(out)
        return out

    def snapshot(self) -> bytes:
        """Every game, its random generator, masks and observations included."""
        seen = {"available": self._available, "observations": self._observations}
        return pack(self._kind, self.spec, self._arrays() | seen)

    @property
    def _kind(self) -> str:
        return f"{self.n_games} games with {self._options_text}"

    def restore(self, snapshot: bytes) -> VectorStep:
        """Return to a snapshot of the same scenario, layout, options, engine build and batch size."""
        stored = unpack(self._kind, self.spec, snapshot)
        arrays = self._arrays() | {"available": self._available, "observations": self._observations}
        check_arrays(stored, arrays)
        self._check_bodies(stored["table"])
        for name, array in arrays.items():
            array[:] = stored[name]
        self._begun[:] = True
        return self._result()

    def _check_bodies(self, tables: DoubleArray) -> None:
        """The kernels index arrays by types, targets and positions: refuse tables [B, F, U] in which these point nowhere."""
        n_units = tables.shape[2]
        bounds = {
            table.TYPE: (0, len(UNITS) - 1),
            table.X: (0, len(self._pathable) - 1),
            table.Y: (0, len(self._pathable) - 1),
            table.TARGET: (-1, n_units - 1),
            table.AIM: (-1, n_units - 1),
        }
        for field, (low, high) in bounds.items():
            if not ((tables[:, field] >= low) & (tables[:, field] <= high)).all():
                raise CorruptFileError("units of this snapshot stand or aim nowhere; take a new one")

    def state_hash(self, game: int) -> str:
        """Hex digest of everything that decides the future of one game."""
        # The reward of the last step decides nothing; it would change when an ended game is stepped on.
        arrays = {name: array[game] for name, array in self._arrays().items() if name != "rewards"}
        return digest(arrays | {"options": np.frombuffer(self._options_text.encode(), dtype=np.uint8)})

    def render_state(self, game: int) -> RenderState:
        """The unit table of one game in the units a renderer wants."""
        units = self._batch.table[game]
        kinds = units[table.TYPE].astype(np.int64)
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "type": _UNIT_IDS[kinds],
            "owner": units[table.OWNER].astype(np.int64),
            "x": units[table.X].copy(),
            "y": units[table.Y].copy(),
            "facing": np.arctan2(units[table.FACING_Y], units[table.FACING_X]),
            "health": units[table.HEALTH].copy(),
            "shield": units[table.SHIELD].copy(),
            "energy": units[table.ENERGY].copy(),
            "health_max": self._stats[HEALTH_MAX, kinds],
            "shield_max": self._stats[SHIELD_MAX, kinds],
            "radius": units[table.RADIUS].copy(),
            "shot_at": units[table.SHOT_AT].astype(np.int64),
            "pathable": self._pathable.copy(),
            "step": np.array(self._batch.steps[game]),
            "agent_action": self._batch.last_actions[game].copy(),
            "time_limit": np.array(self.spec.episode_limit),
        }
        return RenderState("starcraft", self.spec.scenario, arrays)

    def close(self) -> None:
        """Stop the worker threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
