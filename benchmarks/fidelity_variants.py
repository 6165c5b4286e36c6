"""Variants of the game that answer one question each: do enemies recover, and whose numbers does SMAC load?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.fidelity_play import play_heuristic, win_rate
from benchmarks.finding import Finding, reference
from env_adapters.api import DoubleArray, IntArray
from env_adapters.starcraft import maps
from env_adapters.starcraft.smac import SmacVectorEnv
from env_adapters.starcraft.smac_layer import N_FIXED_ACTIONS
from env_adapters.starcraft.stats import BODY_RADIUS, RANGE, unit_stats
from env_adapters.starcraft.table import HEALTH, REACH, TYPE
from env_adapters.starcraft.units import UNITS, UnitType

RECOVERY = (
    ("2s3z", "og_marl/2s3z/Good"),
    ("3s_vs_5z", "cfcql/3s_vs_5z/Mixed"),
    ("3s5z_vs_3s6z", "og_marl/3s5z_vs_3s6z/Good"),
    ("2c_vs_64zg", "omiga/2c_vs_64zg/Good"),
)
"""Maps whose datasets hold returns above the nominal maximum of 20."""
LADDER_MAPS = ("2s3z", "3s5z", "1c3s5z", "3s_vs_5z", "2c_vs_64zg")
"""Maps with Stalkers or a Colossus whose heuristic win rate is published."""
_HURT_RETURN = 2.0
"""Return at which the script first lets the enemy recover."""
_PAUSE = 40
"""Steps for which it then does nothing: the shields' delay of 10 game seconds and as long again."""
_NOMINAL = 20.0


class _LastingAgents(SmacVectorEnv):
    """Agents that cannot die, so that a script may wait as long as it likes."""

    def _begin(self, games: IntArray, episode_seeds: IntArray) -> None:
        super()._begin(games, episode_seeds)
        for game in games:
            self._batch.table[game, HEALTH, : self.spec.n_agents] = 1e9


class _OtherNumbers(SmacVectorEnv):
    """A map played with other unit numbers than the engine's own."""

    def __init__(self, info: maps.MapInfo, n_games: int, types: Sequence[UnitType], **options: Any) -> None:
        super().__init__(f"{info.name}-variant", info, n_games, **options)
        self._stats = unit_stats(types)
        kinds = self._start[TYPE].astype(int)
        reaches = self._stats[RANGE, kinds] + self._stats[BODY_RADIUS, kinds]
        self._start[REACH] = np.where(self._stats[RANGE, kinds] >= 0.0, reaches, -1.0)


def recovery(n_games: int, cases: Sequence[tuple[str, str]] = RECOVERY) -> Iterator[Finding]:
    """Returns above 20: the enemy is hurt, left alone until it recovers, then killed."""
    tables = reference()["datasets"]
    for name, key in cases:
        best = tables["rows"][key]["return_max"]
        returns = _hurt_wait_kill(name, n_games)
        value = float(returns.max())
        yield Finding(
            f"largest return on {name} by a script that lets the enemy recover (agents cannot die)",
            f"above 20 (data: up to {best})",
            f"{value:.2f}",
            value > _NOMINAL + 1e-6,
            f"{tables['source']}: {key}",
            n_games,
            value,
        )


def _hurt_wait_kill(name: str, n_games: int) -> DoubleArray:
    with _LastingAgents(name, maps.load(name), n_games) as env:
        step = env.reset(np.arange(n_games, dtype=np.int64))
        returns = np.zeros(n_games)
        pause = np.full(n_games, _PAUSE)
        while not step.ended.all():
            assert step.available_actions is not None
            masks = step.available_actions.copy()
            waits = (returns >= _HURT_RETURN) & (pause > 0)
            pause[waits] -= 1
            masks[waits, :, N_FIXED_ACTIONS:] = False
            masks[:, :, 2:N_FIXED_ACTIONS] = False
            # The last action that is left: attack the last enemy in range, else stop.
            actions = masks.shape[2] - 1 - masks[:, :, ::-1].argmax(axis=2)
            step = env.step(actions)
            returns += step.rewards
    return returns


def ladder_types() -> list[UnitType]:
    """The engine's unit types with the ladder's numbers for Stalker and Colossus."""
    numbers = reference()["ladder"]
    return [_with_weapon(unit, numbers[unit.name]) if unit.name in numbers else unit for unit in UNITS]


def _with_weapon(unit: UnitType, numbers: dict[str, Any]) -> UnitType:
    assert unit.weapon is not None
    changes = numbers | {"bonus": tuple(numbers["bonus"])}
    return replace(unit, weapon=replace(unit.weapon, **changes))


def ladder(episodes: int, names: Sequence[str] = LADDER_MAPS) -> Iterator[Finding]:
    """The heuristic agents' win rates if SMAC loaded the ladder's numbers instead of Liberty's."""
    paper = reference()["heuristic_win_rate"]
    for name in names:
        with _OtherNumbers(maps.load(name), min(64, episodes), ladder_types(), heuristic_ai=True) as env:
            outcome = play_heuristic(env, name, episodes)
        what = f"heuristic_ai with ladder numbers: win rate on {name}"
        yield win_rate(what, outcome, paper["percent"][name], paper["source"], paper["recalled"])
