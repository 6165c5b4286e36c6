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

import numpy as np

from env_adapters.api import DecentralizedEnv, VectorEnv
from env_adapters.code import is_reference
from env_adapters.errors import InvalidValueError, MissingExtraError, UnknownNameError, unknown_name
from env_adapters.mamujoco import robots
from env_adapters.starcraft.smacv2_options import VARIANTS, SmacV2Options


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    version: int
    family: str
    """`smac-v1`, `smacv2`, `mamujoco`, or `code` for a user's own world."""
    summary: str
    n_agents: int
    episode_limit: int
    builder: str
    """`module:function`, called as function(scenario_id, name, n_games, **options) -> VectorEnv."""
    single_builder: str | None = None
    """`module:function`, called as function(scenario_id, name, **options) -> DecentralizedEnv, where one world has its own path."""
    extra: str | None = None
    """The optional dependency group the world needs."""
    layouts: tuple[str, ...] = ()
    """What its agents can be shown, and by which rules; the first is the default."""

    @property
    def id(self) -> str:
        """Name and version, as results carry it."""
        return f"{self.name}-v{self.version}"

    def check_layout(self, layout: str) -> None:
        """Raise UnknownNameError, with the layouts there are, unless this is one or one with further words.

        Words are options that change what a feature means, as in `smac-v1+obs_last_action`. Robots know more layouts
        than are listed; their builders check.
        """
        if self.family == "mamujoco":
            return
        stem, *words = str(layout).split("+")
        for known in self.layouts:
            known_stem, *known_words = known.split("+")
            if stem == known_stem and set(known_words) <= set(words):
                return
        raise UnknownNameError(
            f"map '{self.name}' cannot be played in layout '{layout}'; its layouts: {', '.join(self.layouts)}"
        )


def _smac(name: str, summary: str, n_agents: int, episode_limit: int) -> Scenario:
    builder = "env_adapters.starcraft.smac:make_vector"
    return Scenario(
        name, 1, "smac-v1", summary, n_agents, episode_limit, builder, layouts=("smac-v1", "smac-v1-omiga")
    )


def _smacv2() -> tuple[Scenario, ...]:
    """SMACv2's scenarios: three races, the paper's five sizes, and its three kinds of observability."""
    notes = {
        "": "",
        "conic": ", seen in a cone",
        "epo": ", enemies hidden from those who did not find them",
    }
    return tuple(
        Scenario(
            "_".join([race, str(allies), "vs", str(enemies), *([variant] if variant else [])]),
            1,
            "smacv2",
            f"{allies} random {race.capitalize()} units against {enemies}{notes[variant]}",
            allies,
            200,
            "env_adapters.starcraft.smacv2:make_vector",
            layouts=tuple(
                SmacV2Options(**options, exact_observations=exact).layout_id for exact in (True, False)
            ),
        )
        for variant, options in VARIANTS.items()
        for race in ("terran", "protoss", "zerg")
        for allies, enemies in ((5, 5), (10, 10), (10, 11), (20, 20), (20, 23))
    )


def _robot(name: str, task: str, split: str, n_agents: int, room: str, layouts: tuple[str, ...]) -> Scenario:
    module = f"env_adapters.mamujoco.{room}"
    return Scenario(
        name,
        1,
        "mamujoco",
        f"{task}, {split}",
        n_agents,
        robots.ROBOTS[task].episode_limit,
        f"{module}:make_vector",
        f"{module}:make_single",
        "mujoco",
        layouts,
    )


def _mamujoco() -> tuple[Scenario, ...]:
    """The robots of the public datasets, then gymnasium-robotics' partitions."""
    dataset = (
        _robot(
            name,
            team.task,
            f"{team.partition} as in the public datasets",
            len(team.split),
            "adapter",
            robots.FLAVOURS,
        )
        for name, team in robots.DATASET_TEAMS.items()
    )
    wrapped = (
        _robot(
            name,
            team.task,
            f"{team.partition} through gymnasium-robotics",
            team.n_agents,
            "robotics",
            robots.ROBOTICS,
        )
        for name, team in robots.ROBOTICS_TEAMS.items()
    )
    return (*dataset, *wrapped)


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
    *_mamujoco(),
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _TABLE}
"""Every scenario by name."""


def find(name: str) -> Scenario:
    """Look a scenario up by name (`5m_vs_6m`) or id (`5m_vs_6m-v1`); `FILE.py:make` is the user's own.

    Raises:
        UnknownNameError: no such scenario; with the nearest names or, for a known robot, its partitions.
    """
    if is_reference(name):
        return _from_code(name)
    for scenario in _TABLE:
        if name in (scenario.name, scenario.id):
            return scenario
    raise _unknown(name)


def _from_code(reference: str) -> Scenario:
    from env_adapters.custom import spec_of

    spec = spec_of(reference)
    return Scenario(
        reference,
        1,
        "code",
        spec.scenario,
        spec.n_agents,
        spec.episode_limit,
        "env_adapters.custom:make_vector",
        layouts=(spec.layout,),
    )


def _unknown(name: str) -> UnknownNameError:
    robot, _, partition = str(name).lower().partition("_")
    known = [other.partition("_")[2] for other in robots.ROBOTICS_TEAMS if other.startswith(f"{robot}_")]
    if not partition or not known or partition in known:
        return unknown_name("map", name, SCENARIOS, "harness ls maps")
    return UnknownNameError(
        f"robot '{robot}' has no partition '{partition}'; known: {', '.join(sorted(known))} (all: harness ls maps)"
    )


def _load(target: str, scenario: Scenario) -> Callable[..., Any]:
    module, function = target.split(":")
    try:
        return cast(Callable[..., Any], getattr(importlib.import_module(module), function))
    except ModuleNotFoundError as error:
        if scenario.extra is None or (error.name or "").split(".")[0] in ("env_adapters", "numba", "numpy"):
            raise
        raise MissingExtraError(f"map '{scenario.name}'", scenario.extra) from error


def make_vector(name: str, n_games: int, *, layout: str | None = None, **options: Any) -> VectorEnv:
    """Build `n_games` worlds of a scenario, stepped together.

    Args:
        name: name or id of the scenario.
        n_games: B, at least 1.
        layout: what its agents are shown, and by which rules; one of the scenario's `layouts` (default: the first).
        options: for the family's builder, fields of `SmacOptions` or `SmacV2Options`; results are published
            without any that is not part of a layout.

    Raises:
        UnknownNameError: no such scenario, or it has no such layout or option.
        InvalidValueError: less than one game, or an option whose value makes no sense.
        MissingExtraError: the simulator's package is not installed.
    """
    scenario = find(name)
    if not isinstance(n_games, (int, np.integer)) or n_games < 1:
        raise InvalidValueError(
            f"a batch of {n_games} games of {scenario.name} cannot be played; ask for a whole number of at least 1"
        )
    chosen = _chosen(scenario, layout, options)
    return cast(VectorEnv, _load(scenario.builder, scenario)(scenario.id, scenario.name, n_games, **chosen))


def make(name: str, *, layout: str | None = None, **options: Any) -> DecentralizedEnv:
    """Build one world of a scenario; layout, options and errors as for `make_vector`."""
    scenario = find(name)
    if scenario.single_builder is not None:
        chosen = _chosen(scenario, layout, options)
        return cast(
            DecentralizedEnv, _load(scenario.single_builder, scenario)(scenario.id, scenario.name, **chosen)
        )
    from env_adapters.vector import SingleEnv

    return SingleEnv(make_vector(name, 1, layout=layout, **options))


def _chosen(scenario: Scenario, layout: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """What a builder is given beside the scenario."""
    if layout is None:
        return options
    scenario.check_layout(layout)
    return options | {"layout": layout}
