"""SMACv2's options: checks, layout ids, sizes of the published scenarios, and the corrected observations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from env_adapters.errors import HarnessError, InvalidValueError, UnknownNameError
from env_adapters.starcraft import smacv2_actions, smacv2_observation, smacv2_visibility
from env_adapters.starcraft.random import next_uniform
from env_adapters.starcraft.smacv2_layer import NOBODY, Layer, Memory, make_layer, new_memory, sizes
from env_adapters.starcraft.smacv2_options import SmacV2Options
from env_adapters.starcraft.table import HEALTH, N_FIELDS, OWNER, TYPE, X, Y
from env_adapters.starcraft.units import ROW

GROUND = np.ones((32, 32), dtype=np.bool_)
HEIGHT = np.zeros((32, 32))

DIMENSIONS = {
    ("T", 5, 5): (82, 84, 120, 190, 11), ("T", 10, 10): (162, 164, 290, 430, 16),
    ("T", 10, 11): (170, 172, 306, 446, 17), ("T", 20, 20): (322, 324, 780, 1060, 26),
    ("T", 20, 23): (346, 348, 858, 1138, 29),
    ("P", 5, 5): (92, 94, 130, 200, 11), ("P", 10, 10): (182, 184, 310, 450, 16),
    ("P", 10, 11): (191, 193, 327, 467, 17), ("P", 20, 20): (362, 364, 820, 1100, 26),
    ("P", 20, 23): (389, 391, 901, 1181, 29),
    ("Z", 5, 5): (82, 84, 120, 190, 11), ("Z", 10, 10): (162, 164, 290, 430, 16),
    ("Z", 10, 11): (170, 172, 306, 446, 17), ("Z", 20, 20): (322, 324, 780, 1060, 26),
    ("Z", 20, 23): (346, 348, 858, 1138, 29),
}  # fmt: skip
"""Race, agents, enemies: observation and state sizes, plain and conic, and actions without look directions.

Measured on upstream's own environments.
"""


@pytest.mark.parametrize("conic", [False, True])
@pytest.mark.parametrize("size", DIMENSIONS)
def test_dimensions_of_the_published_scenarios(size: tuple[str, int, int], conic: bool) -> None:
    observation, conic_observation, state, conic_state, actions = DIMENSIONS[size]
    layer = make_layer(*size, SmacV2Options(conic_fov=conic), GROUND, HEIGHT)
    expected = (conic_observation, conic_state, actions + 12) if conic else (observation, state, actions)
    assert sizes(layer) == expected


def test_state_made_of_observations() -> None:
    layer = make_layer("T", 5, 6, SmacV2Options(obs_instead_of_state=True), GROUND, HEIGHT)
    observation, state, _ = sizes(layer)
    assert state == 5 * observation


@pytest.mark.parametrize(
    ("options", "layout"),
    [
        ({}, "smacv2"),
        ({"exact_observations": False}, "smacv2-fixed"),
        ({"conic_fov": True}, "smacv2+conic_fov"),
        ({"conic_fov": True, "num_fov_actions": 8}, "smacv2+conic_fov+num_fov_actions=8"),
        ({"obs_own_pos": False, "obs_last_action": True}, "smacv2+obs_last_action+no_obs_own_pos"),
        ({"min_attack_range": 0.5}, "smacv2+min_attack_range=0.5"),
        ({"health_level": [0.1, 0.2]}, "smacv2+health_level"),
        ({"reward_sparse": True, "prob_obs_enemy": 0.0, "action_mask": False}, "smacv2"),
    ],
)
def test_layout_id_names_what_changes_a_feature(options: dict[str, Any], layout: str) -> None:
    assert SmacV2Options.parse(**options).layout_id == layout


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        ({"conic_fof": True}, UnknownNameError, "conic_fov"),
        ({"conic_fov": "yes"}, InvalidValueError, "True or False"),
        ({"conic_fov": 1}, InvalidValueError, "conic_fov is 1"),
        ({"num_fov_actions": 12.0}, InvalidValueError, "a whole number"),
        ({"num_fov_actions": 1000}, InvalidValueError, "from 2 to 64"),
        ({"prob_obs_enemy": float("nan")}, InvalidValueError, "a finite number"),
        ({"prob_obs_enemy": 1.5}, InvalidValueError, "from 0 to 1"),
        ({"attack_probability": 0.5}, InvalidValueError, "a pair"),
        ({"attack_probability": (0.9, 0.5)}, InvalidValueError, "lower and an upper bound"),
        ({"health_level": (0.0, 1.0)}, InvalidValueError, "between 0 and 0.99"),
        ({"mask_probability": "half"}, InvalidValueError, "or None"),
        ({"reward_scale_rate": 0}, InvalidValueError, "more than 0"),
        ({"obs_starcraft": False}, InvalidValueError, "obs_timestep_number"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    options: dict[str, Any], error: type[HarnessError], hint: str
) -> None:
    with pytest.raises(error) as caught:
        SmacV2Options.parse(**options)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def _battle(layer: Layer, seed: int) -> tuple[np.ndarray, Memory]:
    """A random table, some units dead, and agents that know some of the enemies."""
    rng = np.random.default_rng(seed)
    n, m = int(layer.n_allies), int(layer.n_enemies)
    game = np.zeros((N_FIELDS, n + m))
    game[TYPE] = rng.choice([ROW["Marine"], ROW["Marauder"], ROW["Medivac"]], n + m)
    game[OWNER] = np.repeat([1, 2], [n, m])
    game[X], game[Y] = rng.uniform(8, 24, (2, n + m))
    game[HEALTH] = rng.uniform(1, 45, n + m) * (rng.random(n + m) < 0.8)
    memory = new_memory(layer, 1)
    for e in range(m):
        if rng.random() < 0.5:
            memory.enemy_tags[0, e] = rng.integers(n)
            memory.obs_enemies[0, e] = rng.random(n) < 0.7
    return game, memory


def _observe(exact: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Memory]:
    """Enemy rows [N, E, width], distances [N, E], table and memory of one look."""
    layer = make_layer("T", 5, 6, SmacV2Options(exact_observations=exact, prob_obs_enemy=0.0), GROUND, HEIGHT)
    game, memory = _battle(layer, seed)
    observation, _, actions = sizes(layer)
    out, masks = np.zeros((5, observation), dtype=np.float32), np.zeros((5, actions), dtype=np.bool_)
    smacv2_actions.available_actions(game, memory, 0, layer, masks)
    nothing = np.full(5, -1), 0.0, np.arange(5), np.zeros(0)
    smacv2_observation.observe(game, memory, 0, layer, masks, *nothing, out)
    rows = out[:, 4 : 4 + 6 * layer.enemy_width].reshape(5, 6, -1)
    gaps = np.hypot(*(game[axis, None, 5:] - game[axis, :5, None] for axis in (X, Y)))
    return rows, gaps < layer.sight[game[TYPE, :5].astype(int)][:, None], game, memory


def test_corrected_observations_show_every_known_enemy_in_sight() -> None:
    vanished = 0
    for seed in range(50):
        fixed, in_sight, game, memory = _observe(False, seed)
        known = memory.obs_enemies[0].T.astype(bool)
        alive = (game[HEALTH, :5, None] > 0) & (game[HEALTH, None, 5:] > 0)
        np.testing.assert_array_equal((fixed != 0).any(axis=2), in_sight & known & alive)
        exact, *_ = _observe(True, seed)
        gone = (exact != fixed).any(axis=2)
        assert not exact[gone].any()
        last_unknown = np.where(known.all(axis=1), -1, 5 - known[:, ::-1].argmin(axis=1))
        np.testing.assert_array_equal(gone, (fixed != 0).any(axis=2) & (np.arange(6) < last_unknown[:, None]))
        vanished += gone.sum()
    assert vanished > 20


@pytest.mark.parametrize(("chance", "extra"), [(1.0, 0), (0.0, 0), (0.5, 4 * 6)])
def test_visits_take_a_known_number_of_draws(chance: float, extra: int) -> None:
    layer = make_layer("T", 5, 6, SmacV2Options(prob_obs_enemy=chance), GROUND, HEIGHT)
    generator, expected = np.array([11], dtype=np.uint64), np.array([11], dtype=np.uint64)
    order, draws = np.zeros(5, dtype=np.int64), np.full(24, np.nan)
    smacv2_visibility.draw_visits(generator, layer, order, draws)
    for _ in range(4 + extra):
        next_uniform(expected)
    assert generator == expected
    assert sorted(order) == list(range(5))
    assert np.isfinite(draws).all() == (extra > 0)


def test_every_visiting_order_is_equally_likely() -> None:
    layer = make_layer("T", 3, 3, SmacV2Options(), GROUND, HEIGHT)
    generator, order = np.array([5], dtype=np.uint64), np.zeros(3, dtype=np.int64)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(6000):
        smacv2_visibility.draw_visits(generator, layer, order, np.zeros(0))
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    assert len(counts) == 6
    assert (
        sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 20.5
    )  # chi-squared, 5 degrees, p = 0.001


def test_stochastic_attacks_fail_by_their_probability() -> None:
    layer = make_layer("T", 5, 6, SmacV2Options(attack_probability=(0.2, 0.8)), GROUND, HEIGHT)
    game, memory = _battle(layer, 1)
    game[X], game[Y], memory.attack_probability[0] = 16.0, 16.0, 0.5
    for draw, through in ((0.0, True), (0.5, True), (0.51, False)):
        assert smacv2_actions.order_goes_through(game, memory, 0, layer, 0, 5, draw) == through


def test_a_new_episode_starts_from_nothing() -> None:
    layer = make_layer("T", 5, 6, SmacV2Options(conic_fov=True), GROUND, HEIGHT)
    memory = new_memory(layer, 2)
    assert (memory.enemy_tags == NOBODY).all()
    assert not memory.obs_enemies.any()
    assert layer.look[memory.fov[0, 0]].tolist() == [1.0, 0.0]
