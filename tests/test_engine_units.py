"""Each unit's own mechanics: armour, shields, recovery, missiles, second blows, lances, bursts, healing, orders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from env_adapters.starcraft import maps, units
from env_adapters.starcraft.engine import advance
from env_adapters.starcraft.ground import find_ways, first_corner, roominess
from env_adapters.starcraft.orders import (
    order_attack,
    order_attack_move,
    order_heal,
    order_hunt,
    order_idle_enemies,
    order_move,
    order_stop,
)
from env_adapters.starcraft.spawns import new_unit
from env_adapters.starcraft.stats import unit_stats
from env_adapters.starcraft.table import (
    AIM,
    COOLDOWN,
    ENERGY,
    HEALTH,
    N_FIELDS,
    ORDER,
    ORDER_ATTACK,
    ORDER_IDLE,
    SHIELD,
    SHIELD_WAIT,
    TARGET,
    X,
    Y,
)
from env_adapters.starcraft.units import ROW

STATS = unit_stats()
OPEN = np.full((3, 32, 32), 2, dtype=np.int8)
NO_WAYS = np.zeros((0, 0), dtype=np.uint16)
LOOPS = units.LOOPS_PER_SECOND


class Field:
    """A table of named units on open ground: (owner, type, x, y), the agents' first."""

    def __init__(self, *placed: tuple[int, str, float, float]) -> None:
        self.table = np.zeros((N_FIELDS, len(placed)))
        self.n_agents = sum(owner == 1 for owner, *_ in placed)
        for column, (owner, name, x, y) in enumerate(placed):
            new_unit(self.table, STATS, column, ROW[name], owner, x, y)
        self.rng = np.array([3], dtype=np.uint64)

    def play(self, loops: int, cells: np.ndarray = OPEN, ways: np.ndarray = NO_WAYS) -> None:
        advance(self.table, STATS, cells, ways, self.rng, self.n_agents, loops)

    def life(self, column: int) -> tuple[float, float]:
        return self.table[HEALTH, column], self.table[SHIELD, column]

    def until_hurt(self, column: int, limit: int = 64) -> int:
        """Loops until the unit loses anything."""
        before = self.life(column)
        for loop in range(1, limit + 1):
            self.play(1)
            if self.life(column) != before:
                return loop
        raise AssertionError(f"unit {column} was not hurt within {limit} loops")


def calm(*placed: tuple[int, str, float, float]) -> Field:
    """A field whose enemies neither strike nor heal nor recover their shields for now."""
    field = Field(*placed)
    field.table[COOLDOWN, field.n_agents :] = 1e6
    field.table[SHIELD_WAIT] = 1e6
    field.table[ENERGY] = 0.0
    return field


def damage_of_one_attack(attacker: str, victim: str, distance: float) -> float:
    """What the first attack takes from a victim without shield, all its blows together."""
    field = calm((1, attacker, 10.0, 16.0), (2, victim, 10.0 + distance, 16.0))
    field.table[SHIELD, 1] = 0.0
    before = field.table[HEALTH, 1]
    order_attack(field.table, STATS, 0, 1)
    field.until_hurt(1)
    while field.table[COOLDOWN, 0] > 2:
        field.play(1)
    return float(before - field.table[HEALTH, 1])


@pytest.mark.parametrize(
    ("attacker", "victim", "distance", "expected"),
    [
        ("Marine", "Marauder", 4.0, 6 - 1),
        ("Marauder", "Marine", 4.0, 10),
        ("Marauder", "Stalker", 4.0, 10 + 10 - 1),
        ("Stalker", "Zealot", 4.0, 10 - 1),
        ("Stalker", "Marauder", 4.0, 10 + 4 - 1),
        ("Zealot", "Marine", 0.9, 8 + 8),
        ("Zealot", "Marauder", 0.9, 7 + 7),
        ("SpineCrawler", "Stalker", 5.0, 25 + 5 - 1),
    ],
)
def test_damage_is_base_plus_bonus_minus_armour(
    attacker: str, victim: str, distance: float, expected: float
) -> None:
    assert damage_of_one_attack(attacker, victim, distance) == pytest.approx(expected)


def test_shields_absorb_first_and_without_armour() -> None:
    field = calm((1, "Stalker", 10.0, 16.0), (2, "Zealot", 14.0, 16.0))
    field.table[SHIELD, 1] = 4.0
    order_attack(field.table, STATS, 0, 1)
    field.until_hurt(1)
    assert field.life(1) == (100.0 - (10 - 4 - 1), 0.0)


def test_shields_recover_ten_seconds_after_the_last_hit() -> None:
    field = Field((1, "Marine", 10.0, 16.0), (2, "Stalker", 14.0, 16.0))
    field.table[COOLDOWN, 1] = 1e6
    order_attack(field.table, STATS, 0, 1)
    field.until_hurt(1)
    order_stop(field.table, STATS, 0)
    shield = field.table[SHIELD, 1]
    assert shield == 80.0 - 6.0
    field.play(10 * LOOPS - 1)
    assert field.table[SHIELD, 1] == shield
    field.play(LOOPS)
    assert field.table[SHIELD, 1] == pytest.approx(shield + 2.0)


def test_zerg_life_recovers_at_once() -> None:
    field = Field((1, "Hydralisk", 10.0, 16.0))
    field.table[HEALTH, 0] = 50.0
    field.play(2 * LOOPS)
    assert field.table[HEALTH, 0] == pytest.approx(50.0 + 2 * 0.2734)


def test_a_missile_takes_its_time_and_lands_though_its_shooter_dies() -> None:
    field = Field((1, "Stalker", 10.0, 16.0), (2, "Marauder", 16.5, 16.0))
    field.table[HEALTH, 1] = 1000.0
    order_attack(field.table, STATS, 0, 1)
    launched = 0
    while field.table[COOLDOWN, 0] == 0.0:
        field.play(1)
        launched += 1
    assert field.table[HEALTH, 1] == 1000.0
    field.table[HEALTH, 0] = 0.0
    flight = field.until_hurt(1)
    assert flight == int(np.ceil(6.5 / 18.75 * LOOPS))
    assert field.table[HEALTH, 1] == 1000.0 - 13.0


def test_a_dying_zealot_strikes_no_second_blow() -> None:
    field = calm((1, "Zealot", 10.0, 16.0), (2, "Marauder", 10.9, 16.0))
    order_attack(field.table, STATS, 0, 1)
    field.until_hurt(1)
    field.table[HEALTH, 0] = 0.0
    field.play(20)
    assert field.table[HEALTH, 1] == 125.0 - 7.0


def test_a_new_order_during_the_wind_up_costs_no_cooldown() -> None:
    field = Field((1, "Hydralisk", 10.0, 16.0), (2, "Zealot", 14.0, 16.0))
    order_attack(field.table, STATS, 0, 1)
    field.play(1)
    order_move(field.table, STATS, 0, 5.0, 16.0)
    field.play(1)
    assert field.table[COOLDOWN, 0] == 0.0
    assert field.life(1) == (100.0, 50.0)


def test_a_hydralisk_strikes_slower_but_without_missile_at_close_range() -> None:
    first = {}
    for distance in (1.2, 4.0):
        field = Field((1, "Hydralisk", 10.0, 16.0), (2, "Marauder", 10.0 + distance, 16.0))
        order_attack(field.table, STATS, 0, 1)
        first[distance] = field.until_hurt(1)
    assert first[1.2] == 1 + int(np.ceil(0.3 * LOOPS))
    assert first[4.0] == 1 + int(np.ceil(0.208 * LOOPS)) + int(np.ceil(4.0 / 40 * LOOPS))


def test_lances_hit_everybody_across_the_line_of_fire_and_only_enemies_on_the_ground() -> None:
    field = calm(
        (1, "Colossus", 10.0, 16.0),
        (1, "Marine", 15.0, 16.6),
        (2, "Marauder", 15.0, 16.0),
        (2, "Marauder", 15.0, 17.2),
        (2, "Marauder", 15.0, 18.5),
        (2, "Marauder", 17.0, 16.0),
        (2, "Medivac", 15.0, 15.5),
    )
    order_attack(field.table, STATS, 0, 2)
    field.until_hurt(2)
    hit = 125.0 - 2 * (20.0 - 1.0)
    assert [field.table[HEALTH, c] for c in range(1, 7)] == [45.0, hit, hit, 125.0, 125.0, 150.0]


def test_a_baneling_bursts_on_its_target_and_when_it_is_killed() -> None:
    attack = calm((1, "Baneling", 10.0, 16.0), (2, "Zealot", 10.9, 16.0), (2, "Zealot", 12.5, 16.0))
    order_attack(attack.table, STATS, 0, 1)
    attack.until_hurt(1)
    assert attack.table[HEALTH, 0] == 0.0
    assert attack.life(1) == (100.0, 50.0 - 35.0)
    assert attack.life(2) == (100.0, 50.0 - 35.0)
    killed = calm((1, "Marine", 10.0, 16.0), (2, "Baneling", 11.0, 16.0))
    killed.table[HEALTH, 0], killed.table[HEALTH, 1] = 40.0, 1.0
    order_attack(killed.table, STATS, 0, 1)
    killed.until_hurt(0)
    assert killed.table[HEALTH, 1] == 0.0
    assert killed.table[HEALTH, 0] == 40.0 - 35.0


def test_a_burst_sets_off_the_next() -> None:
    field = Field(
        (1, "Marine", 8.0, 16.0),
        (1, "Baneling", 12.5, 16.0),
        (2, "Baneling", 11.5, 16.0),
        (2, "Zealot", 14.0, 16.0),
    )
    field.table[HEALTH, 1] = field.table[HEALTH, 2] = 1.0
    order_attack(field.table, STATS, 0, 2)
    field.until_hurt(2)
    field.play(1)
    assert field.table[HEALTH, 1] == 0.0
    assert field.table[SHIELD, 3] == 15.0


def test_only_weapons_against_air_reach_a_medivac() -> None:
    field = Field((1, "Marauder", 10.0, 16.0), (1, "Marine", 10.0, 15.0), (2, "Medivac", 14.0, 16.0))
    order_attack(field.table, STATS, 0, 2)
    order_attack(field.table, STATS, 1, 2)
    assert field.table[ORDER, 0] == ORDER_IDLE
    assert field.table[ORDER, 1] == ORDER_ATTACK
    field.until_hurt(2)
    assert field.table[HEALTH, 2] == 150.0 - 5.0


def test_a_medivac_heals_nine_life_a_second_for_a_third_of_it_in_energy() -> None:
    field = Field((1, "Medivac", 10.0, 16.0), (1, "Marauder", 11.0, 16.0))
    field.table[HEALTH, 1] = 50.0
    energy = field.table[ENERGY, 0]
    order_heal(field.table, STATS, 0, 1)
    field.play(LOOPS)
    assert field.table[HEALTH, 1] == pytest.approx(59.0)
    assert field.table[ENERGY, 0] == pytest.approx(energy + 0.5625 - 9 * 0.33)
    order_heal(field.table, STATS, 0, 0)
    assert field.table[TARGET, 0] == 1.0, "a Medivac must not turn to itself"


def test_two_medivacs_do_not_heal_one_unit_and_agents_heal_only_on_orders() -> None:
    field = Field((2, "Medivac", 10.0, 16.0), (2, "Medivac", 10.0, 17.5), (2, "Marine", 11.0, 16.5))
    field.table[HEALTH, 2] = 20.0
    field.play(LOOPS)
    assert field.table[HEALTH, 2] == pytest.approx(29.0)
    assert sorted(field.table[AIM, :2]) == [-1.0, 2.0]
    own = Field((1, "Medivac", 10.0, 16.0), (1, "Marine", 11.0, 16.5))
    own.table[HEALTH, 1] = 20.0
    own.play(LOOPS)
    assert own.table[HEALTH, 1] == 20.0


def test_ground_units_walk_under_a_colossus_and_round_anybody_else() -> None:
    sideways = {}
    for name in ("Colossus", "Stalker"):
        field = calm((1, "Zealot", 9.0, 16.0), (2, name, 12.0, 16.0))
        order_move(field.table, STATS, 0, 16.0, 16.0)
        offsets = []
        for _ in range(3 * LOOPS):
            field.play(1)
            offsets.append(abs(field.table[Y, 0] - 16.0))
        sideways[name] = max(offsets)
    assert sideways["Colossus"] == 0.0
    assert sideways["Stalker"] > 0.5


def test_units_near_one_under_attack_turn_on_the_attacker() -> None:
    field = Field(
        (1, "Stalker", 10.0, 16.0),
        (2, "Zealot", 17.0, 16.0),
        (2, "Zealot", 20.0, 16.0),
        (2, "Zealot", 25.0, 16.0),
    )
    order_attack(field.table, STATS, 0, 1)
    field.until_hurt(1)
    assert field.table[TARGET, 1:].tolist() == [0.0, 0.0, -1.0]


def test_smacv2s_script_sends_idle_enemies_to_the_nearest_agent() -> None:
    field = Field(
        (1, "Marine", 5.0, 16.0),
        (1, "Marine", 9.0, 16.0),
        (2, "Marine", 20.0, 16.0),
        (2, "Medivac", 21.0, 16.0),
    )
    order_idle_enemies(field.table, STATS, 2)
    assert (field.table[ORDER, 2], field.table[TARGET, 2]) == (ORDER_ATTACK, 1.0)
    field.play(LOOPS)
    assert field.table[X, 2] < 18.0
    assert field.table[X, 3] < 20.0, "the Medivac follows"


def test_hunters_go_on_to_the_next_agent() -> None:
    field = Field((1, "Marine", 10.0, 16.0), (1, "Marine", 10.0, 26.0), (2, "Zergling", 11.5, 16.0))
    field.table[HEALTH, 0] = 1.0
    order_hunt(field.table, STATS, 2)
    field.play(20)
    assert field.table[HEALTH, 0] == 0.0
    assert field.table[TARGET, 2] == 1.0


def test_the_way_round_a_wall_is_found_and_walked() -> None:
    walkable = np.zeros((32, 32), dtype=np.bool_)
    walkable[2:30, 2:30] = True
    walkable[15:17, 2:24] = False
    ways = find_ways(walkable)
    corner = first_corner(ways, 8.0, 10.0, 24.0, 10.0)
    assert corner == (14.375, 24.625)
    field = Field((2, "Zealot", 8.0, 10.0))
    order_attack_move(field.table, STATS, 0, 24.0, 10.0)
    field.play(22 * LOOPS, np.stack([roominess(walkable)] * 3), ways)
    assert np.hypot(field.table[X, 0] - 24.0, field.table[Y, 0] - 10.0) < 0.5


def test_open_arenas_need_no_ways() -> None:
    assert maps.load("5m_vs_6m").ways.shape == (0, 0)
    assert maps.load("corridor").ways.shape == (1024, 1024)


def test_unit_numbers_are_those_of_the_game_data() -> None:
    facts = json.loads((Path(__file__).parent / "golden" / "units.json").read_text())["units"]
    assert set(facts) == set(ROW)
    for unit in units.UNITS:
        fact = facts[unit.name]
        weapon, close = unit.weapon, unit.close_weapon
        mine = [
            unit.id,
            unit.health,
            unit.shield,
            unit.armor,
            unit.speed,
            unit.radius,
            unit.separation_radius,
        ]
        assert mine == fact["body"], unit.name
        given = [
            [
                w.damage,
                w.range,
                w.period_s,
                w.damage_point_s,
                w.backswing_s,
                dict([w.bonus] if w.bonus else []),
            ]
            for w in (weapon, close)
            if w is not None
        ]
        assert given == fact["weapons"], unit.name
