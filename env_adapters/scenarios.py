"""The versioned table of scenarios: a name the user types -> how to build the world.

A change of what a scenario is (teams, terrain, rules) raises its version; a change of how its simulator plays raises
the engine's build, which results carry beside it. Importing this module loads no simulator; the builders are named as
strings and imported on first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from env_adapters.api import DecentralizedEnv, VectorEnv
from env_adapters.errors import InvalidValueError, MissingExtraError, unknown_name


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    version: int
    family: str
    """`smac-v1`, `smacv2` or `mamujoco`."""
    summary: str
    n_agents: int
    episode_limit: int
    builder: str
    """`module:function`, called as function(scenario_id, name, n_games, **options) -> VectorEnv."""
    single_builder: str | None = None
    """`module:function`, called as function(scenario_id, name) -> DecentralizedEnv, where one world has its own path."""
    extra: str | None = None
    """The optional dependency group the world needs."""

    @property
    def id(self) -> str:
        """Name and version, as results carry it."""
        return f"{self.name}-v{self.version}"


def _smac(name: str, summary: str, n_agents: int, episode_limit: int) -> Scenario:
    builder = "env_adapters.starcraft.smac:make_vector"
    return Scenario(name, 1, "smac-v1", summary, n_agents, episode_limit, builder)


def _smacv2() -> tuple[Scenario, ...]:
    """SMACv2's scenarios: three races, the paper's five sizes, and its three kinds of observability."""
    kinds = {
        "": "",
        "_conic": ", seen in a cone",
        "_epo": ", enemies hidden from those who did not find them",
    }
    return tuple(
        Scenario(
            f"{race}_{allies}_vs_{enemies}{kind}",
            1,
            "smacv2",
            f"{allies} random {race.capitalize()} units against {enemies}{note}",
            allies,
            200,
            "env_adapters.starcraft.smacv2:make_vector",
        )
        for kind, note in kinds.items()
        for race in ("terran", "protoss", "zerg")
        for allies, enemies in ((5, 5), (10, 10), (10, 11), (20, 20), (20, 23))
    )


def _mamujoco(name: str, summary: str, n_agents: int) -> Scenario:
    module = "env_adapters.mamujoco.robotics"
    return Scenario(
        name,
        1,
        "mamujoco",
        summary,
        n_agents,
        1000,
        f"{module}:make_vector",
        f"{module}:make_single",
        "mujoco",
    )


_TABLE = (
    _smac("2m_vs_1z", "2 Marines against a Zealot", 2, 150),
    _smac("2s_vs_1sc", "2 Stalkers against a Spine Crawler", 2, 300),
    _smac("2s3z", "2 Stalkers and 3 Zealots against the same", 5, 120),
    _smac("2c_vs_64zg", "2 Colossi against 64 Zerglings", 2, 400),
    _smac("3m", "3 Marines against 3 Marines", 3, 60),
    _smac("3s_vs_3z", "3 Stalkers against 3 Zealots", 3, 150),
    _smac("3s_vs_4z", "3 Stalkers against 4 Zealots", 3, 200),
    _smac("3s_vs_5z", "3 Stalkers against 5 Zealots", 3, 250),
    _smac("3s5z", "3 Stalkers and 5 Zealots against the same", 8, 150),
    _smac("3s5z_vs_3s6z", "3 Stalkers and 5 Zealots against 3 and 6", 8, 170),
    _smac("1c3s5z", "1 Colossus, 3 Stalkers and 5 Zealots against the same", 9, 180),
    _smac("5m_vs_6m", "5 Marines against 6 Marines", 5, 70),
    _smac("6h_vs_8z", "6 Hydralisks against 8 Zealots", 6, 150),
    _smac("8m", "8 Marines against 8 Marines", 8, 120),
    _smac("8m_vs_9m", "8 Marines against 9 Marines", 8, 120),
    _smac("10m_vs_11m", "10 Marines against 11 Marines", 10, 150),
    _smac("25m", "25 Marines against 25 Marines", 25, 150),
    _smac("27m_vs_30m", "27 Marines against 30 Marines", 27, 180),
    _smac("MMM", "7 Marines, 2 Marauders and a Medivac against the same", 10, 150),
    _smac("MMM2", "7 Marines, 2 Marauders and a Medivac against 8, 3 and 1", 10, 180),
    _smac("bane_vs_bane", "20 Zerglings and 4 Banelings against the same", 24, 200),
    _smac("corridor", "6 Zealots against 24 Zerglings", 6, 400),
    _smac("so_many_baneling", "7 Zealots against 32 Banelings", 7, 100),
    *_smacv2(),
    _mamujoco("6halfcheetah", "HalfCheetah, one agent per joint (6x1)", 6),
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _TABLE}
"""Every scenario by name."""


def find(name: str) -> Scenario:
    """Look a scenario up by name (`5m_vs_6m`) or id (`5m_vs_6m-v1`); UnknownNameError with the nearest names."""
    for scenario in _TABLE:
        if name in (scenario.name, scenario.id):
            return scenario
    raise unknown_name("map", name, SCENARIOS, "harness ls maps")


def _load(target: str, scenario: Scenario) -> Callable[..., Any]:
    module, function = target.split(":")
    try:
        return cast(Callable[..., Any], getattr(importlib.import_module(module), function))
    except ModuleNotFoundError as error:
        if scenario.extra is None or (error.name or "").split(".")[0] in ("env_adapters", "numba", "numpy"):
            raise
        raise MissingExtraError(f"map '{scenario.name}'", scenario.extra) from error


def make_vector(name: str, n_games: int, **options: Any) -> VectorEnv:
    """Build `n_games` worlds of a scenario, stepped together.

    `options` go to the family's builder, fields of `SmacOptions` or `SmacV2Options`; results are published
    without any that is not part of a layout.

    Raises:
        UnknownNameError: no such scenario.
        InvalidValueError: less than one game.
        MissingExtraError: the simulator's package is not installed.
    """
    scenario = find(name)
    if n_games < 1:
        raise InvalidValueError(
            f"a batch of {n_games} games of {scenario.name} cannot be played; ask for at least 1"
        )
    return cast(VectorEnv, _load(scenario.builder, scenario)(scenario.id, scenario.name, n_games, **options))


def make(name: str, **options: Any) -> DecentralizedEnv:
    """Build one world of a scenario; options and errors as for `make_vector`."""
    scenario = find(name)
    if scenario.single_builder is not None:
        return cast(
            DecentralizedEnv, _load(scenario.single_builder, scenario)(scenario.id, scenario.name, **options)
        )
    from env_adapters.vector import SingleEnv

    return SingleEnv(make_vector(name, 1, **options))
