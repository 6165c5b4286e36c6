"""SMACv2 on the embedded engine: many games of one generated scenario, stepped together."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from env_adapters.api import BoolArray, FloatArray, IntArray, TeamSpec, VectorEnv
from env_adapters.starcraft import engine
from env_adapters.starcraft.battle import ENGINE_ID, BattleVectorEnv
from env_adapters.starcraft.generate import WEIGHTS, make_plan, new_scenario
from env_adapters.starcraft.ground import find_ways, roominess
from env_adapters.starcraft.maps import playable_area
from env_adapters.starcraft.random import seed_games
from env_adapters.starcraft.smac_reward import CLIPPED, MEDIVAC_RULE_V2, NO_MEDIVAC_RULE, make_rules
from env_adapters.starcraft.smac_step import clear_games, new_batch
from env_adapters.starcraft.smacv2_layer import (
    EPISODE_LIMIT,
    RACE_TYPES,
    Memory,
    make_layer,
    new_memory,
    sizes,
)
from env_adapters.starcraft.smacv2_options import VARIANTS, SmacV2Options
from env_adapters.starcraft.smacv2_step import (
    Terrain,
    begin_games,
    look_at_games,
    play_games,
    state_games,
)
from env_adapters.starcraft.table import N_FIELDS
from env_adapters.starcraft.units import UNITS

RACES: Final = {"terran": "T", "protoss": "P", "zerg": "Z"}
"""Race of each family of scenarios, on both sides."""
_VISITS: Final = 1 << 32
"""Keeps the generators of who looks when apart from the engine's."""


def make_vector(scenario_id: str, name: str, n_games: int, **options: Any) -> VectorEnv:
    """Build `n_games` games of `RACE_N_vs_M[_VARIANT]`; the builder that the scenario table names.

    Options win over those of the variant.
    """
    race, allies, _, enemies, *variant = name.split("_")
    chosen = {**VARIANTS["".join(variant)], **options}
    return SmacV2VectorEnv(scenario_id, RACES[race], int(allies), int(enemies), n_games, **chosen)


def mean_max_reward(race: str, n_enemies: int, options: SmacV2Options) -> float:
    """Expected unscaled reward for killing every enemy and winning.

    Upstream divides by the worth of the first team that a process happens to draw, so that the same policy earns
    different returns in two processes. Its expectation over teams is the same for everybody.
    """
    units = {unit.name: unit for unit in UNITS}
    worth = sum(WEIGHTS[name] * (units[name].health + units[name].shield) for name in RACE_TYPES[race])
    return n_enemies * (worth + options.reward_death_value) + options.reward_win


class SmacV2VectorEnv(BattleVectorEnv):
    """B games of one generated scenario; teams and positions follow from each episode's seed.

    Args:
        scenario_id: versioned id that results carry.
        race: "T", "P" or "Z", of both sides.
        n_allies: agents.
        n_enemies: enemies.
        n_games: B.
        n_threads: threads that share the games of one call; results do not depend on it.
        layout: an id that `SmacV2Options.layout_id` writes (default: that of the options).
        options: fields of `SmacV2Options`. Those that change features must agree with the layout, if one is given.

    Raises:
        UnknownNameError: no such layout or option.
        InvalidValueError: an option's value makes no sense, or the options make another layout.
    """

    def __init__(
        self,
        scenario_id: str,
        race: str,
        n_allies: int,
        n_enemies: int,
        n_games: int,
        n_threads: int = 1,
        layout: str | None = None,
        **options: Any,
    ) -> None:
        if layout is None:
            parsed = SmacV2Options.parse(**options)
        else:
            parsed = SmacV2Options.of_layout(layout, **options)
        pathable = playable_area()  # upstream's map 32x32_flat
        heights = np.full(pathable.shape, 127.0 / 255.0)
        self._layer = make_layer(race, n_allies, n_enemies, parsed, pathable, heights)
        observation_size, state_size, n_actions = sizes(self._layer)
        spec = TeamSpec(
            scenario=scenario_id,
            layout=parsed.layout_id,
            engine=ENGINE_ID,
            n_agents=n_allies,
            observation_size=observation_size,
            state_size=state_size,
            action_kind="discrete",
            action_size=n_actions,
            episode_limit=EPISODE_LIMIT,
            has_win=True,
        )
        batch = new_batch(n_games, N_FIELDS, n_allies, n_enemies)
        cells = np.stack([roominess(pathable)] * 3)
        super().__init__(spec, batch, pathable, cells, find_ways(pathable), parsed, n_threads)
        self._rules = make_rules(
            n_allies=n_allies,
            n_enemies=n_enemies,
            medivac_rule=MEDIVAC_RULE_V2 if race == "T" else NO_MEDIVAC_RULE,
            positive_rule=CLIPPED,
            options=parsed,
            max_reward=mean_max_reward(race, n_enemies, parsed),
        )
        self._options = parsed
        self._heuristic = int(parsed.heuristic_ai) * (1 + int(parsed.heuristic_rest))
        self._plan = make_plan(race, n_allies, n_enemies, pathable, parsed)
        self._memory = new_memory(self._layer, n_games)
        self._visitors = np.zeros((n_games, 1), dtype=np.uint64)
        self._terrain = Terrain(self._stats, self._cells, self._ways)

    def _arrays(self) -> dict[str, np.ndarray]:
        return super()._arrays() | self._memory._asdict() | {"visitors": self._visitors}

    def _begin(self, games: IntArray, episode_seeds: IntArray) -> None:
        seed_games(self._visitors, games, episode_seeds, engine.BUILD + _VISITS)
        clear_games(self._batch, games)
        begin_games(self._batch, self._memory, self._stats, self._plan, new_scenario(self._plan), games)

    def _remember(self, share: slice) -> Memory:
        return Memory._make(array[share] for array in self._memory)

    def _advance(self, running: BoolArray, actions: IntArray, share: slice) -> None:
        batch, memory = self._share(share), self._remember(share)
        available, observations = self._available[share], self._observations[share]
        play_games(
            batch,
            memory,
            self._layer,
            self._rules,
            self._terrain,
            self._heuristic,
            self._options.kill_unit_step_mul,
            available,
            running,
            actions,
        )
        visitors = self._visitors[share]
        look_at_games(batch, memory, self._layer, visitors, running, available, observations)

    def _look(self, begun: BoolArray) -> None:
        batch, memory = self._batch, self._memory
        look_at_games(batch, memory, self._layer, self._visitors, begun, self._available, self._observations)

    def _fill_state(self, out: FloatArray) -> None:
        state_games(self._batch, self._memory, self._layer, self._observations, out)
