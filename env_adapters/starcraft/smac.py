"""SMAC v1 on the embedded engine: many games of one map, stepped together."""

from __future__ import annotations

from typing import Any

from env_adapters.api import BoolArray, FloatArray, IntArray, TeamSpec, VectorEnv
from env_adapters.errors import InvalidValueError
from env_adapters.starcraft import maps, omiga_layer, smac_layer
from env_adapters.starcraft.battle import ENGINE_ID, BattleVectorEnv
from env_adapters.starcraft.script import make_script
from env_adapters.starcraft.smac_options import SmacOptions
from env_adapters.starcraft.smac_reward import smac_rules
from env_adapters.starcraft.smac_step import (
    begin_games,
    clear_games,
    look_at_games,
    new_batch,
    omiga_state_games,
    state_games,
    step_games,
)
from env_adapters.starcraft.spawns import start_table
from env_adapters.starcraft.table import N_FIELDS


def make_vector(scenario_id: str, name: str, n_games: int, **options: Any) -> VectorEnv:
    """Build `n_games` games of a SMAC v1 map; the builder that the scenario table names."""
    return SmacVectorEnv(scenario_id, maps.load(name), n_games, **options)


class SmacVectorEnv(BattleVectorEnv):
    """B games of one map.

    Args:
        scenario_id: versioned id that results carry.
        info: the map.
        n_games: B.
        n_threads: threads that share the games of one call; results do not depend on it.
        layout: `smac-v1-omiga`, or an id that `SmacOptions.layout_id` writes (default: that of the options).
        options: fields of `SmacOptions`. Those that change features must agree with the layout, if one is given;
            `smac-v1-omiga` has its own features and takes none of them.

    Raises:
        UnknownNameError: no such layout or option.
        InvalidValueError: an option's value makes no sense, or an option does not go with the layout.
    """

    def __init__(
        self,
        scenario_id: str,
        info: maps.MapInfo,
        n_games: int,
        n_threads: int = 1,
        layout: str | None = None,
        **options: Any,
    ) -> None:
        self.map = info
        self._omiga = layout == omiga_layer.LAYOUT
        if layout is None or self._omiga:
            parsed = SmacOptions.parse(**options)
        else:
            parsed = SmacOptions.of_layout(layout, **options)
        self._rules = smac_rules(info, parsed)
        if self._omiga:
            self._layer = omiga_layer.make_omiga_layer(info)
            sizes = omiga_layer.omiga_sizes(self._layer)
            if parsed.layout_id != SmacOptions().layout_id:
                raise InvalidValueError(
                    f"layout {layout} has fixed features; leave out the obs_ and state_ options"
                )
        else:
            self._layer = smac_layer.make_layer(info, parsed)
            sizes = smac_layer.sizes(self._layer)
        n, m = self._layer.n_allies, self._layer.n_enemies
        spec = TeamSpec(
            scenario=scenario_id,
            layout=omiga_layer.LAYOUT if self._omiga else parsed.layout_id,
            engine=ENGINE_ID,
            n_agents=n,
            observation_size=sizes.observation,
            state_size=sizes.state,
            action_kind="discrete",
            action_size=sizes.actions,
            episode_limit=info.episode_limit,
            has_win=True,
        )
        batch = new_batch(n_games, N_FIELDS, n, m)
        super().__init__(spec, batch, info.pathable, info.cells, info.ways, parsed, n_threads)
        self._heuristic = int(parsed.heuristic_ai) * (1 + int(parsed.heuristic_rest))
        self._heights = info.terrain_height
        self._script = make_script(info)
        self._start = start_table(info)
        self._batch.table[:] = self._start

    def _begin(self, games: IntArray, episode_seeds: IntArray) -> None:
        self._batch.table[games] = self._start
        clear_games(self._batch, games)
        begin_games(self._batch, self._stats, self._script, games)

    def _advance(self, running: BoolArray, actions: IntArray, share: slice) -> None:
        step_games(
            self._share(share),
            self._layer,
            self._rules,
            self._stats,
            self._cells,
            self._ways,
            self._heuristic,
            self.map.pathable,
            self._heights,
            running,
            actions,
            self._available[share],
            self._observations[share],
        )

    def _look(self, begun: BoolArray) -> None:
        look_at_games(
            self._batch,
            self._layer,
            self.map.pathable,
            self._heights,
            begun,
            self._available,
            self._observations,
        )

    def _fill_state(self, out: FloatArray) -> None:
        if self._omiga:
            omiga_state_games(self._batch, self._layer, self._available, out)
        else:
            state_games(self._batch, self._layer, self._observations, out)
