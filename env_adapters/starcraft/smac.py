"""SMAC v1 on the embedded engine: many games of one map, stepped together."""

from __future__ import annotations

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
from env_adapters.snapshots import digest, pack, unpack
from env_adapters.starcraft import engine, maps, smac_layer, smac_reward
from env_adapters.starcraft.smac_step import (
    Batch,
    first_unavailable,
    observe_games,
    reset_games,
    state_games,
    step_games,
)
from env_adapters.starcraft.stats import unit_stats
from env_adapters.starcraft.table import (
    FACING_X,
    FACING_Y,
    HEALTH,
    N_FIELDS,
    OWNER,
    SHIELD,
    SHOT_AT,
    TARGET,
    TYPE,
    X,
    Y,
)
from env_adapters.starcraft.units import UNITS

ENGINE_ID: Final = f"{engine.ENGINE}/{engine.BUILD}"
ACTION_NAMES: Final = ("no-op", "stop", "north", "south", "east", "west")
"""Names of the fixed actions; action 6 + e attacks enemy e (a Medivac heals ally e)."""

_UNIT_IDS: Final = np.array([unit.id for unit in UNITS], dtype=np.int64)


def make_vector(scenario_id: str, name: str, n_games: int, **options: Any) -> VectorEnv:
    """Build `n_games` games of a SMAC v1 map; the builder that the scenario table names."""
    return SmacVectorEnv(scenario_id, maps.load(name), n_games, **options)


def _episode_generators(episode_seeds: IntArray) -> np.ndarray:
    """One 64-bit generator state per game [B, 1], spread by SeedSequence so that near seeds are unrelated."""
    states = [
        np.random.SeedSequence([int(seed), engine.BUILD]).generate_state(1, np.uint64)
        for seed in episode_seeds
    ]
    return np.array(states, dtype=np.uint64)


class SmacVectorEnv(VectorEnv):
    """B games of one map.

    Args:
        scenario_id: versioned id that results carry.
        info: the map.
        n_games: B.
        n_threads: threads that share the games of one call; results do not depend on it.
        signed_reward: let the agents' own losses count against them; for training, never for results.
    """

    def __init__(
        self,
        scenario_id: str,
        info: maps.MapInfo,
        n_games: int,
        n_threads: int = 1,
        signed_reward: bool = False,
    ) -> None:
        self.map = info
        self.n_games = n_games
        self._layer = smac_layer.make_layer(info, signed_reward)
        self._stats = unit_stats()
        observation_size, state_size, n_actions = smac_layer.sizes(self._layer)
        self.spec = TeamSpec(
            scenario=scenario_id,
            layout=smac_layer.LAYOUT,
            engine=ENGINE_ID,
            n_agents=self._layer.n_allies,
            observation_size=observation_size,
            state_size=state_size,
            action_kind="discrete",
            action_size=n_actions,
            episode_limit=info.episode_limit,
            has_win=True,
        )
        self._start = _start_table(info)
        self._goal = np.array(info.enemy_goal[0], dtype=np.float64)
        self._reward_unit = info.max_reward / smac_reward.REWARD_SCALE
        self._batch = self._allocate()
        self._available = np.zeros((n_games, self.spec.n_agents, n_actions), dtype=np.bool_)
        self._observations = np.zeros((n_games, self.spec.n_agents, observation_size), dtype=np.float32)
        self._pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None
        bounds = np.linspace(0, n_games, n_threads + 1).astype(int)
        self._shares = [slice(low, high) for low, high in pairwise(bounds)]

    def _allocate(self) -> Batch:
        n_games, n_units = self.n_games, self._start.shape[1]
        return Batch(
            table=np.repeat(self._start[None], n_games, axis=0),
            generators=np.zeros((n_games, 1), dtype=np.uint64),
            counted=np.zeros((n_games, n_units), dtype=np.bool_),
            last_actions=np.full((n_games, self.spec.n_agents), -1, dtype=np.int64),
            steps=np.zeros(n_games, dtype=np.int64),
            codes=np.full(n_games, smac_reward.ONGOING, dtype=np.int64),
            rewards=np.zeros(n_games, dtype=np.float64),
        )

    def reset(self, episode_seeds: IntArray, games: IntArray | None = None) -> VectorStep:
        """Start episodes: teams at their start points, random facings, the enemy ordered to attack-move."""
        chosen = (
            np.arange(self.n_games, dtype=np.int64) if games is None else np.asarray(games, dtype=np.int64)
        )
        if len(chosen) != len(episode_seeds):
            raise ValueError(f"{len(episode_seeds)} episode seeds for {len(chosen)} games")
        self._batch.generators[chosen] = _episode_generators(episode_seeds)
        reset_games(self._batch, self._start, self._goal, chosen)
        return self._look(chosen)

    def _look(self, games: IntArray) -> VectorStep:
        observe_games(self._batch, self._layer, self.map.pathable, games, self._available, self._observations)
        return self._result()

    def step(self, joint_actions: ActionArray) -> VectorStep:
        """Advance running games by 8 game loops; ActionError names the first action that is not available."""
        check_joint_actions(joint_actions, self.spec, self.n_games)
        actions = np.ascontiguousarray(joint_actions, dtype=np.int64)
        running = (self._batch.codes == smac_reward.ONGOING) & (self._batch.steps < self.spec.episode_limit)
        self._check_available(actions, running)
        if self._pool is None:
            self._play(actions, running, slice(None))
        else:
            list(self._pool.map(lambda share: self._play(actions, running, share), self._shares))
        return self._result()

    def _play(self, actions: IntArray, running: BoolArray, share: slice) -> None:
        step_games(
            Batch._make(array[share] for array in self._batch),
            self._layer,
            self._stats,
            self.map.pathable,
            self._reward_unit,
            running[share],
            actions[share],
            self._available[share],
            self._observations[share],
        )

    def compile_step(self) -> None:
        """Compile the step kernel without playing: no game of the batch runs."""
        actions = np.ones((self.n_games, self.spec.n_agents), dtype=np.int64)
        self._play(actions, np.zeros(self.n_games, dtype=np.bool_), slice(None))

    def _check_available(self, actions: IntArray, running: BoolArray) -> None:
        index = first_unavailable(actions, self._available, running)
        if index < 0:
            return
        game, agent = divmod(index, self.spec.n_agents)
        mask, step = self._available[game, agent], int(self._batch.steps[game])
        raise unavailable_action(int(actions[game, agent]), agent, game, step, mask, self.spec)

    def _result(self) -> VectorStep:
        batch = self._batch
        terminated = batch.codes != smac_reward.ONGOING
        return VectorStep(
            self._observations.copy(),
            self._available.copy(),
            batch.rewards.copy(),
            terminated,
            ~terminated & (batch.steps >= self.spec.episode_limit),
            {"won": batch.codes == smac_reward.WON, "steps": batch.steps.copy()},
        )

    def state(self) -> FloatArray:
        """Global states [B, S]."""
        out = np.empty((self.n_games, self.spec.state_size), dtype=np.float32)
        state_games(self._batch, self._layer, out)
        return out

    def snapshot(self) -> bytes:
        """Every game, its random generator included."""
        return pack(f"smac:{self.n_games}", self.spec, self._batch._asdict())

    def restore(self, snapshot: bytes) -> VectorStep:
        """Return to a snapshot of the same map, engine build and batch size."""
        arrays = unpack(f"smac:{self.n_games}", self.spec, snapshot)
        for name, array in self._batch._asdict().items():
            array[:] = arrays[name]
        return self._look(np.arange(self.n_games, dtype=np.int64))

    def state_hash(self, game: int) -> str:
        """Hex digest of everything that decides the future of one game."""
        # The reward of the last step decides nothing; it would change when an ended game is stepped on.
        return digest(
            {name: array[game] for name, array in self._batch._asdict().items() if name != "rewards"}
        )

    def render_state(self, game: int) -> RenderState:
        """The unit table of one game in the units a renderer wants."""
        table = self._batch.table[game]
        kinds = table[TYPE].astype(np.int64)
        arrays = {
            "type": _UNIT_IDS[kinds],
            "owner": table[OWNER].astype(np.int64),
            "x": table[X].copy(),
            "y": table[Y].copy(),
            "facing": np.arctan2(table[FACING_Y], table[FACING_X]),
            "health": table[HEALTH].copy(),
            "shield": table[SHIELD].copy(),
            "health_max": self._stats.health[kinds],
            "shield_max": self._stats.shield[kinds],
            "radius": self._stats.radius[kinds],
            "shot_at": table[SHOT_AT].astype(np.int64),
            "pathable": self.map.pathable.copy(),
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


def _start_table(info: maps.MapInfo) -> DoubleArray:
    """The unit table at the start of an episode [N_FIELDS, U]; each side sorted as SMAC sorts agents."""
    columns = []
    for player in (1, 2):
        positions = maps.start_positions(info, player)
        rows = info.team(player)
        order = sorted(range(len(rows)), key=lambda i: (UNITS[rows[i]].name, *positions[i]))
        for i in order:
            unit = UNITS[rows[i]]
            column = np.zeros(N_FIELDS)
            column[[TYPE, OWNER, X, Y]] = rows[i], player, *positions[i]
            column[[HEALTH, SHIELD]] = unit.health, unit.shield
            column[[TARGET, SHOT_AT]] = -1.0
            columns.append(column)
    return np.stack(columns, axis=1)
