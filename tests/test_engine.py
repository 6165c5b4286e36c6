"""The embedded engine: real traces, numbers of the game data, and what any engine must keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_adapters import scenarios
from env_adapters.starcraft import maps
from env_adapters.starcraft.battle import BattleVectorEnv
from env_adapters.starcraft.engine import advance
from env_adapters.starcraft.orders import order_attack, order_move
from env_adapters.starcraft.random import next_uniform
from env_adapters.starcraft.spawns import MARINE_GAP, new_unit, start_positions
from env_adapters.starcraft.stats import unit_stats
from env_adapters.starcraft.table import (
    FACING_X,
    GIRTH,
    HEALTH,
    LAYER,
    N_FIELDS,
    OWNER,
    SHIELD,
    WINDUP,
    X,
    Y,
)
from env_adapters.starcraft.units import ROW, UNITS

STATS = unit_stats()
OPEN = np.full((3, 32, 32), 2, dtype=np.int8)
NO_WAYS = np.zeros((0, 0), dtype=np.uint16)
MARINE = ROW["Marine"]
TRACE = json.loads((Path(__file__).parent / "golden" / "stop_policy_3m.json").read_text())["rows"]
N_SEEDS = 64


def game(*units: tuple[int, float, float], kind: int = MARINE) -> np.ndarray:
    """A table of units of one type from (owner, x, y), all looking east."""
    table = np.zeros((N_FIELDS, len(units)))
    for column, (owner, x, y) in enumerate(units):
        new_unit(table, STATS, column, kind, owner, x, y)
    return table


def play(table: np.ndarray, loops: int, rng: np.ndarray | None = None) -> None:
    """Advance a table on open ground."""
    n_passive = int((table[OWNER] == 1).sum())
    advance(table, STATS, OPEN, NO_WAYS, generator() if rng is None else rng, n_passive, loops)


def generator(seed: int = 7) -> np.ndarray:
    return np.array([seed], dtype=np.uint64)


@pytest.fixture(scope="module")
def stopped() -> dict[str, np.ndarray]:
    """3m under the stop policy, N_SEEDS episodes: health [T, B, 6] and positions of enemy 0 [T, B, 2]."""
    env = scenarios.make_vector("3m", N_SEEDS)
    assert isinstance(env, BattleVectorEnv)
    step = env.reset(np.arange(N_SEEDS))
    health, enemy = [], []
    for _ in TRACE:
        assert step.available_actions is not None
        step = env.step(np.where(step.available_actions[:, :, 1], 1, 0))
        states = [env.render_state(b).arrays for b in range(N_SEEDS)]
        health.append([s["health"] for s in states])
        enemy.append([(s["x"][3], s["y"][3]) for s in states])
    return {"health": np.array(health), "enemy": np.array(enemy)}


def test_agents_die_when_they_did_in_the_real_game(stopped: dict[str, np.ndarray]) -> None:
    dead = (stopped["health"][:, :, :3] <= 0).sum(axis=2)
    for n_dead, real_step in ((1, 11), (2, 19), (3, 22)):
        steps = (dead >= n_dead).argmax(axis=0) + 1
        assert abs(np.median(steps) - real_step) <= 1, f"death {n_dead}: median step {np.median(steps)}"
        # The weapon's random delay moves single games; the real trace is one draw.
        assert np.mean(np.abs(steps - real_step) <= 1) >= 0.9


def test_the_enemy_walks_where_it_walked_in_the_real_game(stopped: dict[str, np.ndarray]) -> None:
    compared = 0
    for row, positions in zip(TRACE, stopped["enemy"], strict=True):
        if row["enemy0"] is not None:
            # Up to first contact every seed walks the same way; later the random weapon delay moves single games.
            typical = positions if row["step"] <= 8 else np.median(positions, axis=0)
            error = np.abs(typical - row["enemy0"]).max()
            assert error < (0.02 if row["step"] <= 12 else 0.12), (
                f"step {row['step']}: {typical} instead of {row['enemy0']}"
            )
            compared += 1
    assert compared == 17


def test_the_walk_before_first_contact_is_exact(stopped: dict[str, np.ndarray]) -> None:
    assert np.array_equal(stopped["enemy"][4, 0], [17.375, 15.3994140625])


def test_a_marine_walks_1_125_per_step() -> None:
    table = game((1, 5.0, 16.0))
    order_move(table, STATS, 0, 30.0, 16.0)
    play(table, 8)
    assert table[X, 0] == 5.0 + 1.125
    assert table[Y, 0] == 16.0


def test_a_marine_fires_at_the_rate_of_its_weapon() -> None:
    table = game((1, 10.0, 16.0), (2, 14.0, 16.0))
    table[HEALTH] = 1e9
    order_attack(table, STATS, 0, 1)
    loops = 16_000
    rng = generator()
    play(table, loops, rng)
    hits = (1e9 - table[HEALTH, 1]) / 6.0
    period = 0.8608 * 16 + 0.5  # weapon period plus the mean random delay
    # An attack starts at the first whole loop after its period: half a loop later on average.
    assert hits == pytest.approx(loops / (period + 0.5), rel=0.01)


def test_weapon_range_is_range_plus_both_radii() -> None:
    for distance, in_range in ((5.75, True), (5.75 + 1 / 4096, False)):
        table = game((1, 10.0, 16.0), (2, 10.0 + distance, 16.0))
        order_attack(table, STATS, 0, 1)
        play(table, 1)
        assert (table[WINDUP, 0] > 0) == in_range


def test_agents_never_fire_unless_ordered_and_enemies_do() -> None:
    table = game((1, 10.0, 16.0), (2, 14.0, 16.0))
    play(table, 40)
    assert table[HEALTH, 1] == 45.0
    assert table[HEALTH, 0] < 45.0


def test_both_die_when_both_strike_in_the_same_loop() -> None:
    table = game((1, 10.0, 16.0), (2, 14.0, 16.0))
    table[HEALTH] = 6.0
    table[FACING_X, 1] = -1.0
    order_attack(table, STATS, 0, 1)
    play(table, 3)
    assert np.array_equal(table[HEALTH], [0.0, 0.0])


def test_a_unit_behind_a_standing_friend_finds_its_way_round() -> None:
    table = game((2, 15.75, 16.0), (2, 18.0, 16.0), (1, 10.0, 16.0))
    table[HEALTH, 2] = 1e9
    play(table, 1)
    order_attack(table, STATS, 1, 2)
    play(table, 40)
    assert np.hypot(table[X, 1] - 10.0, table[Y, 1] - 16.0) <= 5.75
    assert np.hypot(table[X, 1] - table[X, 0], table[Y, 1] - table[Y, 0]) >= MARINE_GAP - 4 / 4096


def test_random_numbers_are_uniform() -> None:
    rng = generator()
    draws = np.array([next_uniform(rng) for _ in range(20_000)])
    assert draws.min() >= 0.0 and draws.max() < 1.0
    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001


def check_bodies(before: np.ndarray, after: np.ndarray, pathable: np.ndarray) -> None:
    """Units stand on ground, out of each other, and have not jumped since the last step."""
    alive = after[HEALTH] > 0
    moved = np.hypot(after[X] - before[X], after[Y] - before[Y])[alive]
    assert (moved <= 2.2).all(), "a unit jumped"
    ground = alive & (after[LAYER] == 0)
    x, y, girth = after[X, ground], after[Y, ground], after[GIRTH, ground]
    assert pathable[x.astype(int), y.astype(int)].all(), "a unit left the ground"
    touch = girth[:, None] + girth
    gaps = np.hypot(x[:, None] - x, y[:, None] - y) / touch + 10 * np.eye(len(x))
    # A crowd squeezes for a moment; nowhere do units stand upon each other.
    assert (gaps > 0.2).all(), "units stand upon each other"
    assert (gaps < 0.9).sum() <= 2 * len(x), "units do not keep off each other"


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**31),
    name=st.sampled_from(
        [
            "3m",
            "5m_vs_6m",
            "MMM2",
            "2s3z",
            "corridor",
            "so_many_baneling",
            "terran_10_vs_10",
            "zerg_5_vs_5_epo",
        ]
    ),
)
def test_random_play_keeps_the_invariants(seed: int, name: str) -> None:
    env = scenarios.make_vector(name, 4)
    assert isinstance(env, BattleVectorEnv)
    pathable = env.render_state(0).arrays["pathable"]
    rng = np.random.default_rng(seed)
    step = env.reset(rng.integers(0, 2**31, 4))
    before = env._batch.table.copy()
    while not step.ended.all():
        assert step.available_actions is not None
        scores = rng.random(step.available_actions.shape) * step.available_actions
        step = env.step(scores.argmax(axis=-1))
        after = env._batch.table
        assert (after[:, HEALTH] >= 0).all() and (after[:, SHIELD] >= 0).all()
        assert ((after[:, HEALTH] > 0) <= (before[:, HEALTH] > 0)).all(), "the dead have risen"
        for b in range(4):
            check_bodies(before[b], after[b], pathable)
        before = after.copy()
        assert (step.rewards >= 0).all()


def test_planted_faults_in_positions_are_noticed() -> None:
    env = scenarios.make_vector("5m_vs_6m", 1)
    assert isinstance(env, BattleVectorEnv)
    env.reset(np.zeros(1, dtype=np.int64))
    pathable = env.render_state(0).arrays["pathable"]
    good = env._batch.table[0].copy()
    check_bodies(good, good, pathable)
    for fault, field, value in (
        ("jumped", X, good[X, 1] + 3.0),
        ("ground", Y, 1.0),
        ("upon each other", Y, good[Y, 2]),
    ):
        bad, before = good.copy(), good.copy()
        bad[field, 1] = value
        if fault == "upon each other":
            bad[[X, Y], 1] = before[[X, Y], 1] = good[[X, Y], 2]
        elif fault == "ground":
            before[Y, 1] = 1.0
        with pytest.raises(AssertionError, match=fault):
            check_bodies(before, bad, pathable)


def test_start_positions_are_those_of_the_real_game() -> None:
    expected = {(9.0, 15.311523), (9.0, 16.0), (9.688477, 16.0)}
    assert {(x, round(y, 6)) for x, y in np.round(start_positions(maps.load("3m"), 1), 6)} == expected
    eight = start_positions(maps.load("8m"), 1) - (9.0, 16.0)
    assert (-0.75, -0.75) not in {tuple(offset) for offset in eight}
    assert len({tuple(offset) for offset in eight}) == 8


def test_marine_numbers() -> None:
    marine = UNITS[ROW["Marine"]]
    assert (marine.id, marine.health, marine.speed, marine.radius) == (48, 45, 2.25, 0.375)
    assert marine.weapon is not None
    assert (marine.weapon.damage, marine.weapon.range, marine.weapon.period_s) == (6, 5, 0.8608)
