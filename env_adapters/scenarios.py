"""The versioned table of scenarios: a name the user types -> how to build the world.

A change that alters any number an agent or a table could see raises the scenario's version. Importing
this module loads no simulator; the builders are named as strings and imported on first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from env_adapters.api import DecentralizedEnv, VectorEnv
from env_adapters.errors import MissingExtraError, unknown_name


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    version: int
    family: str
    """`smac-v1` or `mamujoco`."""
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
    return Scenario(
        name, 1, "smac-v1", summary, n_agents, episode_limit, "env_adapters.starcraft.smac:make_vector"
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
    _smac("3m", "3 Marines against 3 Marines", 3, 60),
    _smac("5m_vs_6m", "5 Marines against 6 Marines", 5, 70),
    _smac("8m", "8 Marines against 8 Marines", 8, 120),
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

    `options` go to the family's builder, for example `signed_reward` (SMAC); results are published without any.

    Raises:
        UnknownNameError: no such scenario.
        MissingExtraError: the simulator's package is not installed.
    """
    scenario = find(name)
    return cast(VectorEnv, _load(scenario.builder, scenario)(scenario.id, scenario.name, n_games, **options))


def make(name: str) -> DecentralizedEnv:
    """Build one world of a scenario; raises as `make_vector` does."""
    scenario = find(name)
    if scenario.single_builder is not None:
        return cast(DecentralizedEnv, _load(scenario.single_builder, scenario)(scenario.id, scenario.name))
    from env_adapters.vector import SingleEnv

    return SingleEnv(make_vector(name, 1))
