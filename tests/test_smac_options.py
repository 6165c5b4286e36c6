"""Options of the SMAC v1 layer: names, values, sizes and layouts; rules that no recorded map can reach."""

from __future__ import annotations

from dataclasses import fields
from itertools import product

import numpy as np
import pytest
from golden_tables import Recording, files

from env_adapters.errors import InvalidValueError, UnknownNameError
from env_adapters.starcraft import maps
from env_adapters.starcraft.omiga_layer import make_omiga_layer, omiga_sizes, omiga_state
from env_adapters.starcraft.smac_layer import MEDIVAC, N_FIXED_ACTIONS, Layer, make_layer, sizes
from env_adapters.starcraft.smac_look import look
from env_adapters.starcraft.smac_options import RewardOptions, SmacOptions
from env_adapters.starcraft.smac_reward import (
    BOTH_DEAD,
    CLIPPED,
    LOST,
    MEDIVAC_RULE_V1,
    MEDIVAC_RULE_V2,
    NO_MEDIVAC_RULE,
    ONGOING,
    WON,
    make_rules,
    max_reward,
    outcome,
    smac_rules,
)
from env_adapters.starcraft.table import HEALTH, N_FIELDS, TYPE, X, Y
from env_adapters.starcraft.units import ROW

DIMENSIONS = {
    "10m_vs_11m": (10, 11, 105, 243, 17, 150, 805),
    "1c3s5z": (9, 9, 162, 270, 15, 180, 1870),
    "25m": (25, 25, 250, 950, 31, 150, 1575),
    "27m_vs_30m": (27, 30, 285, 1170, 36, 180, 1850),
    "2c_vs_64zg": (2, 64, 332, 342, 70, 400, 3080),
    "2m_vs_1z": (2, 1, 16, 26, 7, 150, 360),
    "2s3z": (5, 5, 80, 120, 11, 120, 1020),
    "2s_vs_1sc": (2, 1, 17, 27, 7, 300, 510),
    "3m": (3, 3, 30, 48, 9, 60, 365),
    "3s5z": (8, 8, 128, 216, 14, 150, 1510),
    "3s5z_vs_3s6z": (8, 9, 136, 230, 15, 170, 1670),
    "3s_vs_3z": (3, 3, 36, 54, 9, 150, 680),
    "3s_vs_4z": (3, 4, 42, 61, 10, 200, 840),
    "3s_vs_5z": (3, 5, 48, 68, 11, 250, 1000),
    "5m_vs_6m": (5, 6, 55, 98, 12, 70, 530),
    "6h_vs_8z": (6, 8, 78, 140, 14, 150, 1480),
    "8m": (8, 8, 80, 168, 14, 120, 640),
    "8m_vs_9m": (8, 9, 85, 179, 15, 120, 695),
    "MMM": (10, 10, 160, 290, 16, 150, 1015),
    "MMM2": (10, 12, 176, 322, 18, 180, 1205),
    "bane_vs_bane": (24, 24, 336, 984, 30, 200, 1260),
    "corridor": (6, 24, 156, 282, 30, 400, 1280),
    "so_many_baneling": (7, 32, 202, 397, 38, 100, 1480),
}
"""Map -> agents, enemies, observation, state, actions, limit and largest reward, measured in upstream."""
OMIGA_DIMENSIONS = {
    "5m_vs_6m": (124, 780),
    "6h_vs_8z": (172, 1278),
    "corridor": (346, 2610),
    "2c_vs_64zg": (478, 1350),
}
"""Map -> observation and state of the published OMIGA data sets."""
FIELDS = [field.name for field in fields(SmacOptions)]
SWITCHES = [name for name in FIELDS if name.startswith(("obs_", "state_"))]


@pytest.mark.parametrize("name", maps.names())
def test_dimensions(name: str) -> None:
    info, options = maps.load(name), SmacOptions()
    layer = make_layer(info, options)
    found = sizes(layer)
    assert DIMENSIONS[name] == (
        layer.n_allies,
        layer.n_enemies,
        found.observation,
        found.state,
        found.actions,
        info.episode_limit,
        max_reward(info, options),
    )
    assert (found.observation, found.state) == (found.reported_observation, found.reported_state)


def test_defaults_are_upstreams() -> None:
    on = {"obs_all_health", "obs_own_health", "state_last_action", "reward_only_positive", "reward_scale"}
    numbers = {
        "reward_death_value": 10,
        "reward_win": 200,
        "reward_defeat": 0,
        "reward_negative_scale": 0.5,
        "reward_scale_rate": 20,
    }
    for name in FIELDS:
        assert getattr(SmacOptions(), name) == numbers.get(name, name in on), name
    assert len(FIELDS) == 19


def test_all_health_implies_own_health() -> None:
    assert SmacOptions(obs_own_health=False) == SmacOptions()
    assert not SmacOptions(obs_all_health=False, obs_own_health=False).obs_own_health
    assert SmacOptions(obs_all_health=False).obs_own_health


def test_whole_numbers_are_numbers() -> None:
    options = SmacOptions.parse(reward_win=7, obs_last_action=True)
    assert options == SmacOptions(reward_win=7.0, obs_last_action=True)
    assert isinstance(options.reward_win, float)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("obs_last_action", 1, "True or False"),
        ("obs_last_action", "yes", "True or False"),
        ("obs_last_action", None, "True or False"),
        ("reward_win", float("nan"), "finite number"),
        ("reward_win", float("-inf"), "finite number"),
        ("reward_win", "200", "finite number"),
        ("reward_win", True, "finite number"),
        ("reward_scale_rate", 0, "above 0"),
        ("reward_scale_rate", -1.0, "above 0"),
    ],
)
def test_wrong_values(name: str, value: object, wanted: str) -> None:
    with pytest.raises(InvalidValueError, match=wanted) as caught:
        SmacOptions.parse(**{name: value})
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"'obs_last_actions': did you mean obs_last_action") as caught:
        SmacOptions.parse(obs_last_actions=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(UnknownNameError, match="reward option"):
        RewardOptions.parse(obs_last_action=True)


def test_layout_ids() -> None:
    assert SmacOptions().layout_id == "smac-v1"
    assert SmacOptions(reward_sparse=True, reward_win=1.0, heuristic_ai=True).layout_id == "smac-v1"
    assert SmacOptions(obs_own_health=False).layout_id == "smac-v1"
    named = SmacOptions(obs_last_action=True, state_last_action=False).layout_id
    assert named == "smac-v1+obs_last_action+no_state_last_action"
    hidden = SmacOptions(obs_instead_of_state=True, state_timestep_number=True).layout_id
    assert hidden == "smac-v1+obs_instead_of_state"


def test_layouts_have_one_id_each() -> None:
    """Two sets of options share an id exactly if the kernels treat them alike."""
    info = maps.load("2s3z")
    meaning: dict[str, tuple[object, ...]] = {}
    for values in product((False, True), repeat=len(SWITCHES)):
        options = SmacOptions(**dict(zip(SWITCHES, values, strict=True)))
        layer = make_layer(info, options)
        state = () if layer.observations_as_state else (layer.state_last_action, layer.state_timestep)
        flags = (layer.all_health, layer.own_health, layer.last_action, layer.pathing, layer.heights)
        this = (*flags, layer.timestep, layer.observations_as_state, *state)
        assert meaning.setdefault(options.layout_id, this) == this
    assert len(set(meaning.values())) == len(meaning) > 200


@pytest.mark.parametrize("name", OMIGA_DIMENSIONS)
def test_omiga_dimensions(name: str) -> None:
    found = omiga_sizes(make_omiga_layer(maps.load(name)))
    assert (found.observation, found.state) == OMIGA_DIMENSIONS[name]


def views(recording: Recording, t: int, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    masks = np.zeros((layer.n_allies, N_FIXED_ACTIONS + layer.n_enemies), dtype=np.bool_)
    out = np.full((layer.n_allies, layer.blocks.size), np.nan, dtype=np.float32)
    last, pathable, heights = recording.last_actions(t), recording.pathable(t), recording.heights(t)
    look(recording.table(t), layer, pathable, heights, last, recording.step(t), masks, out)
    return masks, out


@pytest.mark.parametrize("name", ["5m_vs_6m", "2s3z", "MMM2"])
def test_omiga_reorders_the_plain_observation(name: str) -> None:
    recording = Recording(files(f"smac_{name}.npz")[0])
    plain = make_layer(maps.load(name), SmacOptions(obs_last_action=True))
    omiga = make_omiga_layer(maps.load(name))
    n, a = plain.n_allies, N_FIXED_ACTIONS + plain.n_enemies
    enemies, allies, own = plain.blocks.enemies, plain.blocks.allies, plain.blocks.own
    for t in range(0, len(recording), 5):
        masks, expected = views(recording, t, plain)
        found_masks, found = views(recording, t, omiga)
        np.testing.assert_array_equal(found_masks, masks)
        alive = recording.table(t)[HEALTH, :n] > 0
        seat = np.zeros((n, 4), dtype=np.float32)
        seat[alive, 0] = 1.0
        acted = np.where(alive[:, None], recording.arrays["last_action"][t], 0)
        assert acted.shape == (n, a)
        blocks = [expected[:, allies:own], expected[:, enemies:allies], expected[:, :enemies]]
        blocks += [seat, expected[:, own:], acted, np.eye(n)]
        np.testing.assert_array_equal(found, np.concatenate(blocks, axis=1), err_msg=f"table {t}")


def test_omiga_states_of_the_dead_tell_only_who_they_are() -> None:
    recording = Recording(files("smac_5m_vs_6m.npz")[0])
    layer = make_omiga_layer(maps.load("5m_vs_6m"))
    n, seen = layer.n_allies, 0
    for t in range(len(recording)):
        masks, _ = views(recording, t, layer)
        out = np.full(omiga_sizes(layer).state, np.nan, dtype=np.float32)
        omiga_state(recording.table(t), layer, masks, recording.last_actions(t), out)
        rows = out.reshape(n, -1)
        np.testing.assert_array_equal(rows[:, -n:], np.eye(n))
        alive = recording.table(t)[HEALTH, :n] > 0
        np.testing.assert_array_equal(rows[:, :-n].any(axis=1), alive)
        seen += int(np.sum(~alive))
    assert seen > 20


def battle(allies: list[str], enemies: list[str]) -> np.ndarray:
    """A unit table [N_FIELDS, U] with everybody alive at one point; a name in lower case is dead."""
    names = allies + enemies
    table = np.zeros((N_FIELDS, len(names)))
    table[TYPE] = [ROW[name.capitalize()] for name in names]
    table[HEALTH] = [float(name[0].isupper()) for name in names]
    table[X], table[Y] = 16.0, 16.0
    return table


@pytest.mark.parametrize(
    ("allies", "enemies", "plain", "v1", "v2"),
    [
        (["Marine", "Medivac"], ["Medivac", "Medivac"], ONGOING, ONGOING, WON),
        (["Marine", "Medivac"], ["Medivac", "medivac"], ONGOING, WON, WON),
        (["Marine", "Medivac"], ["Marine", "medivac"], ONGOING, ONGOING, ONGOING),
        (["marine", "Medivac"], ["Marine", "Marine"], ONGOING, LOST, LOST),
        (["marine", "Medivac"], ["marine", "marine"], WON, LOST, LOST),
        (["marine", "medivac"], ["marine", "marine"], BOTH_DEAD, LOST, LOST),
        (["marine", "medivac"], ["Medivac", "marine"], LOST, LOST, LOST),
        (["Marine", "medivac"], ["marine", "medivac"], WON, WON, WON),
    ],
)
def test_medivac_rules(allies: list[str], enemies: list[str], plain: int, v1: int, v2: int) -> None:
    for rule, expected in ((NO_MEDIVAC_RULE, plain), (MEDIVAC_RULE_V1, v1), (MEDIVAC_RULE_V2, v2)):
        rules = make_rules(
            n_allies=2,
            n_enemies=2,
            medivac_rule=rule,
            positive_rule=CLIPPED,
            options=RewardOptions(),
            max_reward=1.0,
        )
        assert outcome(battle(allies, enemies), rules) == expected


def test_medivacs_heal_anybody_but_medivacs() -> None:
    """No map has two Medivacs on one side, so the recordings cannot tell."""
    layer = make_layer(maps.load("MMM"), SmacOptions())
    table = battle(["Medivac", "Marine", "Medivac", *["Marine"] * 6, "marine"], ["Marine"] * 10)
    masks = np.zeros((10, 16), dtype=np.bool_)
    out = np.zeros((10, layer.blocks.size), dtype=np.float32)
    look(table, layer, np.ones((32, 32), np.bool_), np.zeros((32, 32)), np.full(10, -1), 0, masks, out)
    assert table[TYPE, 2] == MEDIVAC
    targets = masks[:, N_FIXED_ACTIONS:]
    assert np.flatnonzero(targets[0]).tolist() == [1, 3, 4, 5, 6, 7, 8]
    assert np.array_equal(targets[0], targets[2])
    assert targets[1].all()
    assert not targets[9].any()


def test_rewards_that_cannot_be_scaled() -> None:
    info = maps.load("3m")
    with pytest.raises(InvalidValueError, match="cannot be scaled"):
        smac_rules(info, SmacOptions(reward_win=-1000.0))
    unscaled = smac_rules(info, SmacOptions(reward_win=-1000.0, reward_scale=False))
    assert unscaled.reward_unit == 1.0
