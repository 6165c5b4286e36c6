"""Golden tables of the upstream smacv2 environment.

Its observations depend on who has seen whom (a memory that `get_obs` itself changes), on the order in which
agents are visited and on uniform draws. Memory, order and draws are recorded, so that a re-implementation
needs no random generator. Upstream takes order and draws from the global generators of `random` and NumPy,
which are seeded right before each `get_obs`.
"""

from __future__ import annotations

import math
import random
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from env_adapters.starcraft.units import UNITS

from . import stand_in, vitals
from .catalogue import Recording
from .smac_v1 import Row, SmacRecorder
from .tables import Arrays

NOBODY: Final = -1
"""Stored where an enemy has no observer."""
_MARGIN_RANGE: Final = 11.5
_NO_MARGIN: Final = 9.0
_CLAMP: Final = 1e-7


def draw_memory(recording: Recording, rng: np.random.Generator, inputs: Arrays) -> Arrays:
    """Inputs that only SMACv2 has: visibility memory, view directions, seeds and capabilities of the agents."""
    n_tables = len(inputs["grid_index"])
    n_agents, n_enemies = recording.capability["n_units"], recording.capability["n_enemies"]
    known = [_known(rng, int(style), n_agents, n_enemies) for style in inputs["event_style"]]
    memory: Arrays = {
        "prev_obs_enemies": np.stack([seen for seen, _ in known]).astype(np.uint8),
        "prev_enemy_tags": np.stack([tags for _, tags in known]).astype(np.int16),
        "obs_seed": rng.integers(0, 2**31, n_tables),
        "obs_seed2": rng.integers(0, 2**31, n_tables),
    }
    shape = (n_tables, n_agents)
    if recording.conic:
        memory["prev_fov_index"] = rng.integers(0, recording.options["num_fov_actions"], shape).astype(
            np.int8
        )
    if "attack" in recording.capability:
        sure = rng.choice([0.0, 1.0], shape)
        memory["attack_probability"] = np.where(rng.random(shape) < 0.3, sure, rng.random(shape))
    if "health" in recording.capability:
        memory["health_level"] = np.where(rng.random(shape) < 0.2, 0.0, rng.uniform(0, 0.6, shape))
    if "enemy_mask" in recording.capability:
        memory["enemy_mask"] = (rng.random((*shape, n_enemies)) < 0.5).astype(np.uint8)
    return memory


def _known(
    rng: np.random.Generator, style: int, n_agents: int, n_enemies: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Who knows which enemy, and the first observer of each: nobody, some, or nearly all."""
    share = 0.97 if style in vitals.ALL_ALIVE_STYLES else rng.choice([0.0, 0.3, 0.7, 1.0])
    tags = np.where(rng.random(n_enemies) < share, rng.integers(0, n_agents, n_enemies), NOBODY)
    shared = 0.97 if style in vitals.ALL_ALIVE_STYLES else rng.choice([0.0, 0.5, 1.0])
    seen = (rng.random((n_enemies, n_agents)) < shared) & (tags != NOBODY)[:, None]
    owned = np.flatnonzero(tags != NOBODY)
    seen[owned, tags[owned]] = True
    return seen, tags


class SmacV2Recorder(SmacRecorder):
    """One environment of oxwhirl/smacv2 over the stand-in game."""

    package: ClassVar[str] = "smacv2"
    commit: ClassVar[str] = "577ab5a"
    module: ClassVar[str] = "smacv2.env.starcraft2.starcraft2"
    sha256: ClassVar[str] = "b7d81ddd20d2213f5af5b00266210b46bb78b0bd6534eb6f6e2751d0600d53fa"

    def _make(self, module: Any) -> Any:
        return module.StarCraft2Env(
            map_name=self.recording.map_name,
            capability_config=dict(self.recording.capability),
            **self.recording.options,
        )

    def _reset(self) -> None:
        """Upstream's first reset, which creates the first table's teams by debug commands."""
        names = {stand_in.UNIT_TYPE_BASE + i: name for i, name in enumerate(stand_in.GENERATED_COPIES)}
        names |= {unit.id: unit.name for unit in UNITS}
        team = [names[int(unit_type)].lower() for unit_type in self.inputs["unit_type"][0]]
        self.game.serve([])
        self.env.reset(
            {
                "team_gen": {
                    "ally_team": team[: self.n_agents],
                    "enemy_team": team[self.n_agents :],
                    "id": 0,
                },
                **{key: {"item": value} for key, value in self._items(0).items()},
            }
        )
        if "max_reward" in self.inputs:
            self.env.max_reward = float(self.inputs["max_reward"])

    def _items(self, t: int) -> Row:
        """Capabilities of one table: one number per agent, and the mask [A, E].

        Upstream's `per_agent_uniform` draws [A, 1] instead, which NumPy 2.4 refuses to store in a feature.
        """
        stored = {"attack": "attack_probability", "health": "health_level", "enemy_mask": "enemy_mask"}
        return {key: self.inputs[name][t] for key, name in stored.items() if name in self.inputs}

    def _load(self, t: int) -> None:
        super()._load(t)
        env, inputs, items = self.env, self.inputs, self._items(t)
        env.obs_enemies = inputs["prev_obs_enemies"][t].astype(np.float64)
        env.enemy_tags = [None if tag == NOBODY else int(tag) for tag in inputs["prev_enemy_tags"][t]]
        env.agent_attack_probabilities = items.get("attack")
        env.agent_health_levels = items.get("health")
        env.enemy_mask = items.get("enemy_mask")
        if self.recording.conic:
            env.fov_directions = env.canonical_fov_directions[inputs["prev_fov_index"][t]].copy()

    def _memory(self, when: str) -> Row:
        tags = [NOBODY if tag is None else tag for tag in self.env.enemy_tags]
        return {
            f"obs_enemies_{when}": self.env.obs_enemies.astype(np.uint8),
            f"enemy_tags_{when}": np.array(tags, dtype=np.int16),
        }

    def _seeded_observations(self, t: int, suffix: str) -> Row:
        """One get_obs with its order and draws, recovered from generators of the same seed."""
        seed = int(self.inputs[f"obs_seed{suffix}"][t])
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 -- upstream draws from this global generator
        observations = self._observations()
        after = np.random.rand()  # noqa: NPY002 -- tells how far upstream has drawn
        order = list(range(self.n_agents))
        random.Random(seed).shuffle(order)
        most = self.n_enemies * (self.n_agents - 1)
        draws = np.random.RandomState(seed).random_sample(most + 1)
        n_draws = int(np.flatnonzero(draws == after)[0])
        draws[n_draws:] = 0.0
        return {
            f"obs{suffix}": observations,
            f"obs_order{suffix}": np.array(order, dtype=np.int16),
            f"obs_draws{suffix}": draws[:most],
            f"obs_n_draws{suffix}": np.int32(n_draws),
            **self._memory(f"after_obs{suffix}"),
        }

    def _observed(self, t: int) -> Row:
        env = self.env
        row = self._memory("before_obs")
        if "health" in self.recording.capability:
            row["killed_by_level"] = np.isin(np.arange(self.n_agents), list(self.game.killed))
        if self.recording.conic:
            row["fov_index"] = self._fov_index()
            row["cone_margin"] = self._cone_margin()
        row |= self._seeded_observations(t, "")
        row |= self._seeded_observations(t, "2")
        row["capabilities"] = env.get_capabilities()
        row["state"] = env.get_state().astype(np.float32)
        return row

    def _fov_index(self) -> npt.NDArray[np.int8]:
        scores = self.env.fov_directions @ self.env.canonical_fov_directions.T
        return np.asarray(scores.argmax(axis=1), dtype=np.int8)

    def _cone_margin(self) -> float:
        """Smallest distance in radians between a unit near a living agent and an edge of its cone.

        Not upstream's: a mark for tables that the last bit of an arctan decides. 9 where no unit is near.
        """
        env = self.env
        margin = _NO_MARGIN
        for index, agent in env.agents.items():
            if agent.health <= 0:
                continue
            direction = env.fov_directions[index]
            for other in [*env.agents.values(), *env.enemies.values()]:
                dx, dy = other.pos.x - agent.pos.x, other.pos.y - agent.pos.y
                if other.tag != agent.tag and math.hypot(dx, dy) <= _MARGIN_RANGE:
                    off = abs(_slope_angle(dx, dy, dx) - _slope_angle(direction[0], direction[1], dx))
                    margin = min(margin, abs(off - env.conic_fov_angle / 2))
        return margin


def _slope_angle(x: float, y: float, side: float) -> float:
    """Angle of a slope with x kept at least a hair on the given side of zero, as upstream measures it."""
    return float(np.arctan(y / (max(x, _CLAMP) if side > 0 else min(x, -_CLAMP))))
