"""Generated SMACv2 scenarios: distributions against upstream's rules written in NumPy, draws, and placement."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from env_adapters.starcraft import generate, placement
from env_adapters.starcraft.random import next_uniform
from env_adapters.starcraft.smacv2_layer import RACE_TYPES
from env_adapters.starcraft.smacv2_options import SmacV2Options
from env_adapters.starcraft.units import ROW, UNITS, Mover

PATHABLE = np.zeros((32, 32), dtype=np.bool_)
PATHABLE[2:30, 2:30] = True
LEAST_P = 1e-4
"""Seeds are fixed, so a test below this either always fails or never."""


def plan_for(race: str, n_allies: int, n_enemies: int, **options: object) -> generate.Plan:
    return generate.make_plan(race, n_allies, n_enemies, PATHABLE, SmacV2Options.parse(**options))


def drawn(plan: generate.Plan, seed: int) -> tuple[generate.Scenario, int]:
    """One game of a seed and how many numbers it took from the generator."""
    generator, counter = np.array([seed], dtype=np.uint64), np.array([seed], dtype=np.uint64)
    scenario = generate.new_scenario(plan)
    generate.generate(generator, plan, scenario)
    taken = 0
    while counter != generator:
        next_uniform(counter)
        taken += 1
    return scenario, taken


def wanted_points(plan: generate.Plan, surrounded: bool, n: int) -> np.ndarray:
    """Wanted points [n, 2, U] before placement."""
    generator = np.array([7], dtype=np.uint64)
    points = np.zeros((n, 2, plan.n_allies + plan.n_enemies))
    draw = generate.draw_surrounded if surrounded else generate.draw_reflected
    for i in range(n):
        draw(generator, plan.n_allies, points[i])
    return points


def upstream_team(rng: np.random.Generator, race: str, n: int) -> list[str]:
    """Upstream's rule: draw, and again while the whole team is of types that must not be alone."""
    weights = {"T": [0.45, 0.45, 0.1], "P": [0.45, 0.45, 0.1], "Z": [0.45, 0.45, 0.1]}[race]
    alone = {"T": "Medivac", "P": "", "Z": "Baneling"}[race]
    while True:
        team = list(rng.choice(RACE_TYPES[race], size=n, p=weights))
        if any(name != alone for name in team):
            return team


@pytest.mark.parametrize("race", ["T", "P", "Z"])
def test_types_follow_upstreams_rule(race: str) -> None:
    """Teams of two, where the redraw of a team that must not be alone shows, against the rule in NumPy."""
    rng, plan = np.random.default_rng(1), plan_for(race, 2, 2)
    names = [f"{a}{b}" for a in RACE_TYPES[race] for b in RACE_TYPES[race]]
    ours, theirs = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for seed in range(8000):
        scenario, _ = drawn(plan, seed)
        ours["".join(UNITS[row].name for row in scenario.types[2:])] += 1
        theirs["".join(upstream_team(rng, race, 2))] += 1
    possible = [name for name in names if ours[name] + theirs[name]]
    assert len(possible) == (9 if race == "P" else 8)
    table = [[counts[name] for name in possible] for counts in (ours, theirs)]
    assert stats.chi2_contingency(table).pvalue > LEAST_P


def test_enemies_copy_the_team_and_extras_are_drawn_alike() -> None:
    extras = np.zeros(len(UNITS))
    plan = plan_for("T", 5, 7)
    for seed in range(3000):
        scenario, _ = drawn(plan, seed)
        assert sorted(scenario.types[:5]) == sorted(scenario.types[5:10])
        assert set(scenario.types[10:]) != {ROW["Medivac"]}
        np.add.at(extras, scenario.types[10:], 1)
    shares = extras[[ROW[name] for name in RACE_TYPES["T"]]] / extras.sum()
    expected = np.array([0.45, 0.45, 0.1 - 0.1**2]) / (1 - 0.1**2)
    np.testing.assert_allclose(shares, expected, atol=0.02)
    fewer, _ = drawn(plan_for("T", 5, 3), 1)
    assert len(fewer.types) == 8


def test_half_of_the_games_are_surrounded() -> None:
    plan = plan_for("Z", 5, 5)
    near_centre = 0
    for seed in range(2000):
        scenario, _ = drawn(plan, seed)
        near_centre += bool(np.hypot(scenario.x[:5] - 16, scenario.y[:5] - 16).max() < 2)
    assert stats.binomtest(near_centre, 2000, 0.5).pvalue > LEAST_P


def test_reflected_positions() -> None:
    points = wanted_points(plan_for("P", 5, 7), surrounded=False, n=2000)
    agents, mirrored, extra = points[:, :, :5], points[:, :, 5:10], points[:, :, 10:]
    np.testing.assert_array_equal(mirrored[:, 0], 32 - agents[:, 0])
    np.testing.assert_array_equal(mirrored[:, 1], agents[:, 1])
    for values, low, high in (
        (agents[:, 0], 0, 15), (agents[:, 1], 0, 32), (extra[:, 0], 16, 32), (extra[:, 1], 0, 32),
    ):  # fmt: skip
        assert stats.kstest(values.ravel(), stats.uniform(low, high - low).cdf).pvalue > LEAST_P


def upstream_group_sizes(rng: np.random.Generator, n_enemies: int) -> tuple[int, ...]:
    n_groups = rng.integers(1, 5)
    return tuple(sorted(rng.multinomial(n_enemies, np.ones(n_groups) / n_groups)))


def test_surrounding_groups() -> None:
    """Sizes as upstream's multinomial in NumPy, distances uniform, each group on a diagonal of its own."""
    rng, points = np.random.default_rng(3), wanted_points(plan_for("Z", 2, 4), surrounded=True, n=6000)
    assert (points[:, :, :2] == 16).all()
    ours: dict[tuple[int, ...], int] = {}
    theirs: dict[tuple[int, ...], int] = {}
    shares, diagonals = [], np.zeros(4)
    for enemies in points[:, :, 2:]:
        groups, sizes = np.unique(enemies, axis=1, return_counts=True)
        away = groups - 16
        np.testing.assert_allclose(np.abs(away[0]), np.abs(away[1]), rtol=1e-12)
        diagonal = (away[0] > 0) * 2 + (away[1] > 0)
        assert len(set(diagonal)) == len(diagonal)
        diagonals[diagonal] += 1
        shares += list((16 - np.abs(away[0])) / 14)
        for counts, key in ((ours, sizes), (theirs, [s for s in upstream_group_sizes(rng, 4) if s])):
            counts[tuple(sorted(key))] = counts.get(tuple(sorted(key)), 0) + 1
    assert stats.kstest(shares, stats.uniform.cdf).pvalue > LEAST_P
    assert stats.chisquare(diagonals).pvalue > LEAST_P
    keys = sorted(ours.keys() | theirs.keys())
    table = [[counts.get(key, 0) for key in keys] for counts in (ours, theirs)]
    assert stats.chi2_contingency(table).pvalue > LEAST_P


def test_groups_with_planted_equal_sizes_are_told_apart() -> None:
    """The size test has the power to reject groups that are always as equal as possible."""
    rng = np.random.default_rng(3)
    equal, theirs = {(4,): 1500, (2, 2): 1500, (1, 1, 2): 1500, (1, 1, 1, 1): 1500}, {}
    for _ in range(6000):
        key = tuple(s for s in upstream_group_sizes(rng, 4) if s)
        theirs[key] = theirs.get(key, 0) + 1
    keys = sorted(equal.keys() | theirs.keys())
    table = [[counts.get(key, 0) for key in keys] for counts in (equal, theirs)]
    assert stats.chi2_contingency(table).pvalue < LEAST_P


def test_capabilities_are_uniform_between_their_bounds() -> None:
    plan = plan_for("T", 5, 5, attack_probability=(0.7, 1.0), health_level=(0.0, 0.4))
    games = [drawn(plan, seed)[0] for seed in range(500)]
    attack = np.concatenate([game.attack_probability for game in games])
    level = np.concatenate([game.health_level for game in games])
    assert stats.kstest(attack, stats.uniform(0.7, 0.3).cdf).pvalue > LEAST_P
    assert stats.kstest(level, stats.uniform(0.0, 0.4).cdf).pvalue > LEAST_P


def test_a_seed_decides_everything_and_capabilities_draw_last() -> None:
    plain, capable = plan_for("T", 5, 6), plan_for("T", 5, 6, health_level=(0.1, 0.2), mask_probability=0.5)
    for seed in range(50):
        first, again = drawn(plain, seed), drawn(plain, seed)
        assert [a.tobytes() for a in first[0]] == [a.tobytes() for a in again[0]]
        other, taken = drawn(capable, seed)
        assert [a.tobytes() for a in other[:3]] == [a.tobytes() for a in first[0][:3]]
        assert taken == first[1] + 5 + 5 * 6
    assert drawn(plain, 1)[0].x.tobytes() != drawn(plain, 2)[0].x.tobytes()


def test_agents_are_numbered_by_type_then_place() -> None:
    order = sorted(unit.name for unit in UNITS)
    for seed in range(200):
        scenario, _ = drawn(plan_for("P", 6, 6), seed)
        names = [order.index(UNITS[row].name) for row in scenario.types[:6]]
        keys = list(zip(names, scenario.x[:6], scenario.y[:6], strict=True))
        assert all(a <= b for a, b in pairwise(keys))
        assert (np.rint(scenario.x * 4096) == scenario.x * 4096).all()


KINDS = [ROW[name] for name in ("Marine", "Marauder", "Medivac", "Colossus", "Zealot", "Stalker")]
CANDIDATES = placement.spiral(16.0)
PLAN = plan_for("T", 1, 1)
spots = st.tuples(st.sampled_from(KINDS), st.integers(0, 32 * 8), st.integers(0, 32 * 8))


def placed(kinds: np.ndarray, wanted: np.ndarray, grids: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    x, y = np.full((2, len(kinds)), np.nan)
    lost = placement.place(kinds, wanted, PLAN.body, grids, 2.0, 30.0, CANDIDATES, x, y)
    return x, y, lost


def is_free(
    kinds: np.ndarray, u: int, x: np.ndarray, y: np.ndarray, at: np.ndarray, grids: np.ndarray
) -> bool:
    """Whether unit u fits at a point next to units 0 to u - 1, by brute force over all cells."""
    body, (at_x, at_y) = PLAN.body, at
    inner, flies = body.inner[kinds[u]], body.footing[kinds[u]] == Mover.AIR
    if not (2 + inner <= at_x < 30 - inner and 2 + inner <= at_y < 30 - inner):
        return False
    low = np.arange(32)  # a cell holds its lower edge and not its upper one
    gap_x, gap_y = (np.maximum(np.maximum(low - c, c - low - 1), 0) for c in (at_x, at_y))
    in_x, in_y = ((low <= c + inner) & (low + 1 > c - inner) for c in (at_x, at_y))
    touched = (gap_x[:, None] ** 2 + gap_y[None, :] ** 2 <= inner**2) & in_x[:, None] & in_y[None, :]
    if not grids[body.footing[kinds[u]]][touched].all():
        return False
    for v in range(u):
        reach = body.separation[kinds[u]] + body.separation[kinds[v]]
        same_plane = flies == (body.footing[kinds[v]] == Mover.AIR)
        if same_plane and (x[v] - at_x) ** 2 + (y[v] - at_y) ** 2 < reach**2:
            return False
    return True


@settings(max_examples=60)
@given(st.lists(spots, min_size=1, max_size=12), st.booleans())
def test_each_unit_gets_the_nearest_free_candidate(units: list[tuple[int, int, int]], walls: bool) -> None:
    kinds = np.array([kind for kind, _, _ in units], dtype=np.int64)
    wanted = np.array([[x / 8, y / 8] for _, x, y in units]).T.copy()
    grids = PLAN.grids.copy()
    if walls:
        grids[Mover.GROUND, 12:20, 14:17] = False
    x, y, lost = placed(kinds, wanted, grids)
    assert lost == 0
    for u in range(len(kinds)):
        here = np.array([x[u], y[u]])
        assert is_free(kinds, u, x, y, here, grids)
        moved = np.hypot(*(here - wanted[:, u]))
        for candidate in CANDIDATES:
            if np.hypot(*candidate) >= moved:
                break
            assert not is_free(kinds, u, x, y, wanted[:, u] + candidate, grids)


def test_equal_units_at_one_point_spread_south_first() -> None:
    kinds = np.full(5, ROW["Marine"])
    x, y, _ = placed(kinds, np.full((2, 5), 16.0), PLAN.grids)
    offsets = list(zip(x - 16, y - 16, strict=True))
    assert offsets == [(0, 0), (0, -0.75), (0.75, 0), (0, 0.75), (-0.75, 0)]


def test_flyers_and_ground_units_share_a_point() -> None:
    x, y, _ = placed(np.array([ROW["Marine"], ROW["Medivac"]]), np.full((2, 2), 16.0), PLAN.grids)
    assert (x == 16).all()
    assert (y == 16).all()


def test_a_unit_without_a_spot_is_reported() -> None:
    x, _, lost = placed(np.array([ROW["Marine"]]), np.full((2, 1), 16.0), np.zeros_like(PLAN.grids))
    assert lost == 1
    assert x[0] == 16


@pytest.mark.parametrize(("race", "n", "m"), [("T", 20, 23), ("P", 20, 23), ("Z", 20, 23), ("P", 3, 10)])
def test_generated_games_are_playable(race: str, n: int, m: int) -> None:
    plan = plan_for(race, n, m)
    for seed in range(60):
        scenario, _ = drawn(plan, seed)
        for u in range(1, n + m):
            at = np.array([scenario.x[u], scenario.y[u]])
            assert is_free(scenario.types, u, scenario.x, scenario.y, at, plan.grids)
