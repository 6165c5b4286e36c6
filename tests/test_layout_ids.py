"""Layout ids: every map's layouts can be built, every id leads back to its options, and nothing else is an id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from env_adapters import scenarios
from env_adapters.errors import HarnessError, InvalidValueError, MissingExtraError, UnknownNameError
from env_adapters.starcraft.smac_options import SmacOptions
from env_adapters.starcraft.smacv2_options import SmacV2Options

OMIGA = "smac-v1-omiga"


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_every_listed_layout_can_be_played_and_the_first_is_the_default(name: str) -> None:
    scenario = scenarios.find(name)
    assert len(set(scenario.layouts)) == len(scenario.layouts) >= 2
    try:
        default = scenarios.make_vector(name, 1)
    except MissingExtraError as error:
        pytest.skip(str(error))
    with default:
        assert default.spec.layout == scenario.layouts[0]
    for layout in scenario.layouts:
        with scenarios.make_vector(name, 1, layout=layout) as env:
            assert env.spec.layout == layout
    with scenarios.make(name, layout=scenario.layouts[-1]) as world:
        assert world.spec.layout == scenario.layouts[-1]


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("3m", "smac-v1-omega"),
        ("3m", "smacv2"),
        ("3m", ""),
        ("3m", "obs_last_action"),
        ("terran_5_vs_5", "smac-v1"),
        ("terran_5_vs_5_conic", "smacv2"),
        ("terran_5_vs_5_conic", "smacv2-fixed+obs_last_action"),
        ("terran_5_vs_5_epo", "smac-v1-omiga"),
        ("6halfcheetah", "smac-v1"),
    ],
)
@pytest.mark.parametrize("make", [scenarios.make, lambda name, **o: scenarios.make_vector(name, 1, **o)])
def test_a_layout_that_a_map_does_not_have_lists_those_it_has(
    name: str, layout: str, make: Callable[..., Any]
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        make(name, layout=layout)
    known = ", ".join(scenarios.find(name).layouts)
    assert str(caught.value) == f"map '{name}' cannot be played in layout '{layout}'; its layouts: {known}"


SWITCHES = [field.name for field in fields(SmacOptions) if field.name.startswith(("obs_", "state_"))]


def test_every_layout_of_smac_leads_back_to_itself_and_no_other_id_is_taken() -> None:
    ids = set()
    for values in product((False, True), repeat=len(SWITCHES)):
        options = SmacOptions(**dict(zip(SWITCHES, values, strict=True)))
        back = SmacOptions.of_layout(options.layout_id)
        assert back.layout_id == options.layout_id
        hidden = ("state_last_action", "state_timestep_number") if options.obs_instead_of_state else ()
        for name in set(SWITCHES) - set(hidden):
            assert getattr(back, name) == getattr(options, name), options.layout_id
        ids.add(options.layout_id)
    every_word = {word for layout in ids for word in layout.split("+")[1:]}
    for word in every_word:
        for layout in (f"smac-v1+{word}+{word}", f"smac-v1+{word.removeprefix('no_')}+no_{word}"):
            with pytest.raises(UnknownNameError):
                SmacOptions.of_layout(layout)


V2_WORDS = [
    field.name
    for field in fields(SmacV2Options)
    if field.name.startswith(("obs_", "state_", "observe_"))
    or field.name
    in ("conic_fov", "use_unit_ranges", "fully_observable", "exact_observations", "mask_probability")
    or field.name in ("num_fov_actions", "min_attack_range", "attack_probability", "health_level")
]
unit = st.floats(0.0, 1.0)
ranges = st.none() | st.tuples(unit, unit).map(lambda pair: (min(pair), max(pair) * 0.99))
KINDS = {
    "bool": st.booleans(),
    "int": st.integers(2, 64),
    "float": st.floats(0.0, 100.0),
    "float | None": st.none() | unit,
    "Range | None": ranges.filter(lambda pair: pair is None or pair[0] <= pair[1]),
}
changes = st.fixed_dictionaries(
    {}, optional={f.name: KINDS[str(f.type)] for f in fields(SmacV2Options) if f.name in V2_WORDS}
)


@settings(max_examples=300)
@given(changes)
def test_layouts_of_smacv2_lead_back_to_themselves_and_to_the_same_features(values: dict[str, Any]) -> None:
    assume(values.get("obs_starcraft", True) or values.get("obs_timestep_number", False))
    options = SmacV2Options(**values)
    open_ranges = {
        name: value
        for name in ("attack_probability", "health_level")
        if (value := getattr(options, name)) is not None
    }
    back = SmacV2Options.of_layout(options.layout_id, **open_ranges)
    assert back.layout_id == options.layout_id
    assert back == options, "numbers lose no digit"
    if open_ranges:
        with pytest.raises(UnknownNameError, match=r"does not tell the bounds .*=\(LOWER, UPPER\)"):
            SmacV2Options.of_layout(options.layout_id)
    shuffled = "+".join([*options.layout_id.split("+")[:1], *options.layout_id.split("+")[:0:-1]])
    if shuffled != options.layout_id:
        with pytest.raises(UnknownNameError, match="its features are those of"):
            SmacV2Options.of_layout(shuffled, **open_ranges)


@pytest.mark.parametrize(
    ("kind", "layout", "error", "says"),
    [
        (SmacOptions, "smac-v1+obs_last_acton", UnknownNameError, "did you mean obs_last_action"),
        (SmacOptions, "smac-v1+", UnknownNameError, "unknown SMAC layout option ''"),
        (SmacOptions, "smac-v1+reward_sparse", UnknownNameError, "'reward_sparse'"),
        (SmacOptions, "smac-v1+no_obs_last_action", UnknownNameError, "did you mean obs_last_action"),
        (SmacOptions, "smac-v1+no_obs_own_health", UnknownNameError, "are those of 'smac-v1'"),
        (SmacOptions, "smac-v1+obs_last_action=1", UnknownNameError, "'obs_last_action=1'"),
        (SmacOptions, "smac-v1-omiga+obs_last_action", UnknownNameError, "unknown layout"),
        (SmacV2Options, "smacv2-fix", UnknownNameError, "did you mean smacv2-fixed"),
        (SmacV2Options, "smacv2+num_fov_actions", UnknownNameError, "num_fov_actions=NUMBER"),
        (SmacV2Options, "smacv2+num_fov_actions=8.5", UnknownNameError, "num_fov_actions=NUMBER"),
        (SmacV2Options, "smacv2+num_fov_actions=1000", InvalidValueError, "from 2 to 64"),
        (SmacV2Options, "smacv2+mask_probability=nan", InvalidValueError, "finite"),
        (SmacV2Options, "smacv2+min_attack_range=2", UnknownNameError, "are those of 'smacv2'"),
        (SmacV2Options, "smacv2+prob_obs_enemy=0", UnknownNameError, "unknown SMACv2 layout option"),
        (SmacV2Options, "smacv2+health_level=(0,1)", UnknownNameError, "did you mean health_level"),
        (SmacV2Options, "smacv2+no_exact_observations", UnknownNameError, "unknown SMACv2 layout option"),
    ],
)
def test_ids_that_no_options_make(
    kind: type[SmacOptions] | type[SmacV2Options], layout: str, error: type[HarnessError], says: str
) -> None:
    with pytest.raises(error) as caught:
        kind.of_layout(layout)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("3m", {"obs_last_action": True, "state_last_action": False}),
        ("3m", {"obs_all_health": False, "obs_own_health": False, "obs_instead_of_state": True}),
        ("terran_5_vs_5", {"exact_observations": False, "conic_fov": True, "num_fov_actions": 8}),
        ("zerg_5_vs_5_conic", {"obs_own_pos": False}),
        ("protoss_5_vs_5_epo", {"mask_probability": 0.25, "obs_timestep_number": True}),
    ],
)
def test_a_world_with_options_can_be_built_from_its_layout_alone(name: str, options: dict[str, Any]) -> None:
    with (
        scenarios.make_vector(name, 2, **options) as env,
        scenarios.make_vector(name, 2, layout=env.spec.layout) as again,
    ):
        assert again.spec == env.spec and env.spec.layout != scenarios.find(name).layouts[0]
        seeds = np.array([3, 4])
        np.testing.assert_array_equal(again.reset(seeds).observations, env.reset(seeds).observations)
        np.testing.assert_array_equal(again.state(), env.state())


def test_layout_and_options_agree_or_are_refused() -> None:
    layout = "smacv2+health_level"
    with scenarios.make_vector("terran_5_vs_5", 1, layout=layout, health_level=(0.0, 0.2)) as env:
        assert env.spec.layout == layout
    with scenarios.make_vector("3m", 1, layout="smac-v1+obs_last_action", reward_sparse=True) as env:
        assert env.spec.layout == "smac-v1+obs_last_action"
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("3m", {"layout": "smac-v1", "obs_last_action": True}, r"make 'smac-v1\+obs_last_action'"),
        ("3m", {"layout": "smac-v1+obs_last_action", "obs_last_action": False}, "make 'smac-v1'"),
        ("3m", {"layout": OMIGA, "obs_last_action": True}, "fixed features"),
        ("terran_5_vs_5", {"layout": "smacv2", "exact_observations": False}, "make 'smacv2-fixed'"),
        ("terran_5_vs_5_conic", {"layout": "smacv2+conic_fov", "conic_fov": False}, "make 'smacv2'"),
    ]
    for name, options, says in refused:
        with pytest.raises(InvalidValueError, match=says):
            scenarios.make_vector(name, 1, **options)
