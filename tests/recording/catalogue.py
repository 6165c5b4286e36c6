"""What is recorded: one `Recording` per golden file, with the exact constructor options of the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, Final

from env_adapters.starcraft import maps

SMAC: Final = "smac"
SMACV2: Final = "smacv2"
OMIGA: Final = "og-marl omiga"
PACKAGES: Final = (SMAC, OMIGA, SMACV2)
"""Upstream packages, as `meta` of a golden file names them."""

V1_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "obs_last_action": {"obs_last_action": True},
    "timestep": {"obs_timestep_number": True, "state_timestep_number": True},
    "pathing_terrain": {"obs_pathing_grid": True, "obs_terrain_height": True},
    "reward_signed": {"reward_only_positive": False},
    "reward_sparse": {"reward_sparse": True},
    "obs_instead_of_state": {"obs_instead_of_state": True},
    "no_all_health": {"obs_all_health": False},
    "no_health": {"obs_all_health": False, "obs_own_health": False},
    "no_state_last_action": {"state_last_action": False},
    "reward_unscaled": {"reward_scale": False},
    "reward_values": {
        "reward_death_value": 7.5,
        "reward_win": 150,
        "reward_defeat": -50,
        "reward_negative_scale": 0.25,
        "reward_scale_rate": 10,
        "reward_only_positive": False,
    },
    "reward_sparse_unscaled": {"reward_sparse": True, "reward_scale": False},
    "move_amount_3": {"move_amount": 3},
    "everything": {
        "obs_last_action": True,
        "obs_timestep_number": True,
        "state_timestep_number": True,
        "obs_pathing_grid": True,
        "obs_terrain_height": True,
        "reward_only_positive": False,
    },
    "everything_no_health": {
        "obs_all_health": False,
        "obs_own_health": False,
        "obs_last_action": True,
        "obs_timestep_number": True,
        "obs_pathing_grid": True,
        "obs_terrain_height": True,
        "obs_instead_of_state": True,
        "reward_scale": False,
    },
}
"""Options of the v1 environment by the name they have in file names."""
V1_OPTION_MAPS: Final = (
    "5m_vs_6m",
    "2s3z",
    "MMM2",
    "1c3s5z",
    "3s_vs_5z",
    "2c_vs_64zg",
    "6h_vs_8z",
    "corridor",
    "bane_vs_bane",
)
"""One map of each map type."""

RACES: Final = ("terran", "protoss", "zerg")
V2_SIZES: Final = ((5, 5), (10, 10), (10, 11), (20, 20), (20, 23))
V2_BASE: Final[Mapping[str, Any]] = {"obs_own_pos": True, "use_unit_ranges": True, "min_attack_range": 2}
"""Options of the published SMACv2 configurations."""
V2_CONIC: Final[Mapping[str, Any]] = {"conic_fov": True, "num_fov_actions": 12}
_PLAIN: Final[Mapping[str, Any]] = {"conic_fov": False}


@dataclass(frozen=True)
class V2Option:
    """A variant of the SMACv2 options: constructor options and, if any, parts of the capability config."""

    options: Mapping[str, Any] = field(default_factory=dict)
    capability: Mapping[str, Any] = field(default_factory=dict)


V2_OPTIONS: Final[Mapping[str, V2Option]] = {
    "epo": V2Option({"prob_obs_enemy": 0.0, "action_mask": False}),
    "prob_obs_enemy_half": V2Option({"prob_obs_enemy": 0.5}),
    "no_own_pos": V2Option({"obs_own_pos": False}),
    "fixed_ranges": V2Option({"use_unit_ranges": False}),
    "min_attack_range_5": V2Option({"min_attack_range": 5}),
    "obs_last_action": V2Option({"obs_last_action": True}),
    "fully_observable": V2Option({"fully_observable": True}),
    "no_health": V2Option({"obs_all_health": False, "obs_own_health": False}),
    "no_state_last_action": V2Option({"state_last_action": False}),
    "timestep": V2Option({"obs_timestep_number": True, "state_timestep_number": True}),
    "timestep_only": V2Option({"obs_starcraft": False, "obs_timestep_number": True}),
    "pathing_terrain": V2Option({"obs_pathing_grid": True, "obs_terrain_height": True}),
    "reward_signed": V2Option({"reward_only_positive": False}),
    "reward_sparse": V2Option({"reward_sparse": True}),
    "attack": V2Option(capability={"attack": {"dist_type": "fixed", "observe": True}}),
    "attack_hidden": V2Option(capability={"attack": {"dist_type": "fixed", "observe": False}}),
    "health": V2Option(capability={"health": {"dist_type": "fixed", "observe": True}}),
    "health_hidden": V2Option(capability={"health": {"dist_type": "fixed", "observe": False}}),
    "types_hidden": V2Option(capability={"team_gen": {"dist_type": "weighted_teams", "observe": False}}),
    "enemy_mask": V2Option(capability={"enemy_mask": {"dist_type": "mask", "mask_probability": 0.5}}),
}
V2_OPTION_SIZES: Final = ((5, 5), (10, 11))


@dataclass(frozen=True)
class Recording:
    """One golden file to record."""

    name: str
    """File stem."""
    package: str
    map_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Constructor options besides map_name and capability_config."""
    capability: Mapping[str, Any] = field(default_factory=dict)
    """capability_config of a SMACv2 environment; empty otherwise."""

    @property
    def conic(self) -> bool:
        """Whether agents have a cone of view."""
        return bool(self.options.get("conic_fov"))


def _v1() -> Iterator[Recording]:
    for name in maps.names():
        yield Recording(f"smac_{name}", SMAC, name)
    for option, values in V1_OPTIONS.items():
        for name in V1_OPTION_MAPS:
            yield Recording(f"smac_{name}__{option}", SMAC, name, values)


def _omiga() -> Iterator[Recording]:
    for name in maps.names():
        yield Recording(f"omiga_{name}", OMIGA, name)


def v2_recording(race: str, agents: int, enemies: int, *, conic: bool, option: str = "") -> Recording:
    """A SMACv2 recording of a race, team sizes, view and one of `V2_OPTIONS` ("" for none)."""
    variant = V2_OPTIONS[option] if option else V2Option()
    team = {
        "team_gen": {"dist_type": "weighted_teams", "observe": True, "n_units": agents, "n_enemies": enemies}
    }
    team["team_gen"] |= variant.capability.get("team_gen", {})
    name = (
        f"smacv2_{race}_{agents}_vs_{enemies}"
        + ("_conic" if conic else "")
        + (f"__{option}" if option else "")
    )
    return Recording(
        name,
        SMACV2,
        f"10gen_{race}",
        {**V2_BASE, **(V2_CONIC if conic else _PLAIN), **variant.options},
        {**variant.capability, **team, "n_units": agents, "n_enemies": enemies},
    )


def _v2() -> Iterator[Recording]:
    for race in RACES:
        for agents, enemies in V2_SIZES:
            for conic in (False, True):
                yield v2_recording(race, agents, enemies, conic=conic)
    # more agents than enemies: Medivacs of the terran team get extra target actions
    yield v2_recording("terran", 7, 4, conic=False)
    yield v2_recording("terran", 7, 4, conic=True)
    for option in V2_OPTIONS:
        for race in RACES:
            for agents, enemies in V2_OPTION_SIZES:
                yield v2_recording(race, agents, enemies, conic=False, option=option)
            yield v2_recording(race, 5, 5, conic=True, option=option)


def select(pattern: str) -> list[Recording]:
    """Recordings whose name matches a shell pattern, v1 defaults and OMIGA first."""
    every = [*_v1(), *_omiga(), *_v2()]
    ordered = sorted(every, key=lambda recording: "__" in recording.name)
    return [recording for recording in ordered if fnmatch(recording.name, pattern)]
