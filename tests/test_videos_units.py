"""Films of battles: every unit type, its weapon, its bars and its orders can be told from the picture."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from env_adapters.api import RenderState
from env_adapters.scenarios import make_vector
from env_adapters.starcraft import units
from env_adapters.starcraft.battle import ACTION_NAMES
from env_adapters.starcraft.units import UNITS, UnitType
from videos import effects, marks, starcraft
from videos.arena import ZOOM
from videos.orders import FIXED_ACTIONS, describe, read_orders, view_directions
from videos.pen import Pen
from videos.scene import Scene
from videos.scoreboard import panel_width
from videos.silhouettes import EXTENT, silhouette
from videos.sprites import unit_sprite
from videos.style import BLUE, HEADER, WHITE, Caption, Picture

BY_NAME = {unit.name: unit for unit in UNITS}
CAPTION = Caption("MMM2-v1", "bc", 3)
FIELD = starcraft.SIZE[0] - panel_width(starcraft.SIZE[0])


def battle(
    allies: str, enemies: str, step: int = 3, scenario: str = "MMM2-v1", **changes: object
) -> RenderState:
    """Units of these types at full health, the sides facing each other 5 cells apart."""
    types = [BY_NAME[name] for name in (*allies.split(), *enemies.split())]
    owner = np.array([1] * len(allies.split()) + [2] * len(enemies.split()))
    rank = np.array([np.sum(owner[:u] == owner[u]) for u in range(len(owner))])
    arrays: dict[str, object] = {
        "type": [unit.id for unit in types],
        "owner": owner,
        "x": np.where(owner == 1, 13.5, 18.5),
        "y": 18.0 - 2.0 * rank,
        "facing": np.where(owner == 1, 0.0, math.pi),
        "health": [unit.health for unit in types],
        "health_max": [unit.health for unit in types],
        "shield": [unit.shield for unit in types],
        "shield_max": [unit.shield for unit in types],
        "energy": [unit.energy_start for unit in types],
        "radius": [unit.radius for unit in types],
        "shot_at": np.full(len(types), -1),
        "pathable": np.ones((32, 32), dtype=bool),
        "step": step,
        "agent_action": np.ones(int((owner == 1).sum()), dtype=np.int64),
        "time_limit": 70,
    }
    arrays |= changes
    return RenderState("starcraft", scenario, {name: np.asarray(value) for name, value in arrays.items()})


def amount(picture: Picture, colour: tuple[int, int, int], near: int = 6) -> int:
    """Number of pixels of a colour on the field."""
    field = picture[HEADER:, :FIELD].astype(int)
    return int((np.abs(field - colour).max(axis=-1) <= near).sum())


def changed(first: Picture, second: Picture) -> np.ndarray:
    """Rows and columns of the field's pixels that differ, [K, 2]."""
    difference = np.abs(first.astype(int) - second).sum(axis=-1)[HEADER:, :FIELD]
    return np.argwhere(difference > 40)


def column_of(state: RenderState, x: float) -> float:
    """Column of the picture at a map coordinate."""
    arena = Scene.of([state], FIELD, starcraft.SIZE[1] - HEADER).arena
    return float(arena.places(np.array([x]), np.zeros(1)).real[0]) / ZOOM


def shape(unit: UnitType, heading: int) -> np.ndarray:
    """Where a unit of common size covers the ground, at the smallest size of a film, bool[64, 64]."""
    image = Image.new("RGB", (64, 64))
    Pen(image, 0j).stamp(unit_sprite(unit.id, WHITE, 14, heading, False), 32 + 32j)
    return np.asarray(image).max(axis=-1) > 100


@pytest.mark.parametrize(("first", "second"), list(combinations(BY_NAME, 2)))
def test_unit_types_are_told_apart_in_any_direction(first: str, second: str) -> None:
    for heading in (0, 20, 52):
        one, other = shape(BY_NAME[first], heading), shape(BY_NAME[second], heading)
        assert (one & other).sum() < 0.8 * (one | other).sum()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_body_holds_its_number_and_its_parts_keep_within_reach(unit: UnitType) -> None:
    parts = silhouette(unit.id)
    assert all(np.abs(part.outline).max() <= EXTENT for part in parts)
    sprite = np.asarray(unit_sprite(unit.id, BLUE, 40, 0, False)).astype(int)
    rows, columns = np.indices(sprite.shape[:2]) - len(sprite) / 2 + 0.5
    middle = rows**2 + columns**2 < (0.42 * 40) ** 2
    assert (sprite[middle][:, 3] == 255).all()
    assert len({tuple(pixel) for pixel in sprite[middle]}) == 1  # a number stands on one colour


def test_unknown_types_have_a_shape_too() -> None:
    assert silhouette(12345) is silhouette(0)


def test_shield_bars_are_as_long_as_the_shield_and_only_where_there_are_shields() -> None:
    pictures = [
        starcraft.draw(battle("Zealot", "Marine", shield=[share * 50, 0.0]), caption=CAPTION)
        for share in (1.0, 0.5, 0.0)
    ]
    full, half, none = (amount(picture, marks.SHIELD) for picture in pictures)
    assert full > 60
    assert half == pytest.approx(full / 2, rel=0.15)
    assert none == 0
    assert min(amount(picture, marks.HEALTH) for picture in pictures) > 60


def test_medivacs_show_energy_and_old_recordings_without_it_are_drawn() -> None:
    state = battle("Medivac Marine", "Marine")
    old = {name: array for name, array in state.arrays.items() if name not in ("energy", "agent_action")}
    assert amount(starcraft.draw(state, caption=CAPTION), marks.ENERGY) > 15
    picture = starcraft.draw(state._replace(arrays=old), caption=CAPTION)
    assert amount(picture, marks.ENERGY) == 0
    assert amount(picture, BLUE) > 300
    empty = starcraft.draw(state._replace(arrays={**old, "energy": np.zeros(3)}), caption=CAPTION)
    assert len(changed(picture, empty)) > 30  # the frame of the bar


@pytest.mark.parametrize("sides", [("Medivac Marine", "Marine"), ("Marine", "Medivac Marine")])
def test_healing_is_a_beam_of_its_own_colour_for_the_whole_step(sides: tuple[str, str]) -> None:
    healer = 0 if sides[0].startswith("Medivac") else 1
    quiet = battle(*sides)
    shots = np.where(np.arange(3) == healer, healer + 1, -1)
    health = np.where(np.arange(3) == healer + 1, 20.0, quiet.arrays["health"])
    for fraction in (0.0, 0.5, 0.9):
        healed = battle(*sides, step=4, health=health, shot_at=shots)
        left = battle(*sides, step=4, health=health)
        beam = starcraft.draw(quiet, healed, fraction, caption=CAPTION)
        assert (
            amount(beam, effects.HEAL, 30)
            > amount(starcraft.draw(quiet, left, fraction, caption=CAPTION), effects.HEAL, 30) + 60
        )


def shot_film(shooter: str, at: float) -> list[np.ndarray]:
    """Pixels [K, 2] that a shot of an ally changes at six instants of its step; its target stands `at` cells east."""
    where = {"x": [13.5, 13.5 + at]}
    quiet, later = (battle(shooter, "Zealot", step, **where) for step in (3, 4))
    hit = battle(shooter, "Zealot", 4, **where, shot_at=[1, -1])
    return [
        changed(*(starcraft.draw(quiet, then, f, caption=CAPTION) for then in (later, hit)))
        for f in np.arange(6) / 6
    ]


def test_bullets_span_the_way_and_missiles_travel() -> None:
    bullet, missile = (
        [float(np.ptp(pixels[:, 1])) for pixels in shot_film(name, 5.0) if len(pixels)]
        for name in ("Marine", "Stalker")
    )
    assert bullet[0] > 1.5 * missile[0]
    reached = [pixels[:, 1].max() for pixels in shot_film("Stalker", 5.0) if len(pixels)]
    assert reached[1] > reached[0] + 40


def test_blades_strike_at_the_target_only() -> None:
    state = battle("Zealot", "Zealot", x=[13.5, 14.5])
    for pixels in shot_film("Zealot", 1.0):
        if len(pixels):
            assert pixels[:, 1].min() > column_of(state, 13.5) - 5
            assert pixels[:, 1].max() < column_of(state, 15.5)
    assert any(len(pixels) > 20 for pixels in shot_film("Zealot", 1.0))
    for pixels in shot_film("Zealot", 5.0):  # blades do not fly
        assert not len(pixels) or pixels[:, 1].max() < column_of(battle("Zealot", "Zealot"), 16.5)


def test_lances_sweep_across_the_line_of_fire() -> None:
    state = battle("Colossus", "Zealot")
    cell = column_of(state, 14.5) - column_of(state, 13.5)
    rows = np.concatenate([pixels[:, 0] for pixels in shot_film("Colossus", 5.0)])
    assert np.ptp(rows) == pytest.approx(2 * units.LANCE_HALF_WIDTH * cell, abs=0.5 * cell)
    assert max(np.ptp(pixels[:, 0]) for pixels in shot_film("Stalker", 5.0) if len(pixels)) < cell


def test_a_dying_baneling_bursts_as_far_as_it_hurts() -> None:
    def frame(name: str, fraction: float) -> Picture:
        states = [battle(name, "Zealot", step, health=[30.0 * (step < 4), 100.0]) for step in (3, 4)]
        return starcraft.draw(*states, fraction, caption=CAPTION)

    cell = column_of(battle("Baneling", "Zealot"), 14.5) - column_of(battle("Baneling", "Zealot"), 13.5)
    pixels = changed(frame("Baneling", 0.98), frame("Marine", 0.98))
    reach = column_of(battle("Baneling", "Zealot"), 13.5) - pixels[:, 1].min()
    assert 0.6 * units.BURST_RADIUS * cell < reach < 1.1 * units.BURST_RADIUS * cell
    assert len(changed(frame("Baneling", 0.4), frame("Marine", 0.4))) < len(pixels) / 3


def test_whole_units_have_no_bars_in_a_crowd() -> None:
    crowd = battle("Marine " * 14, "Marine " * 14, y=np.tile(np.arange(14) * 1.6 + 4, 2))
    assert amount(starcraft.draw(crowd, caption=CAPTION), marks.HEALTH) == 0
    hurt = crowd._replace(arrays={**crowd.arrays, "health": np.where(np.arange(28) == 3, 30.0, 45.0)})
    assert amount(starcraft.draw(hurt, caption=CAPTION), marks.HEALTH) > 10


def test_actions_are_named_as_the_simulator_names_them() -> None:
    assert FIXED_ACTIONS == ACTION_NAMES
    state = battle(
        "Medivac Marine Marine Marine Marine", "Zealot SpineCrawler", agent_action=[8, 7, 2, 1, -1]
    )
    told = [describe(order, state.arrays) for order in read_orders(state)]
    assert told == ["heal 2", "attack Spine Crawler", "move north", "stop", ""]
    cones = battle("Stalker " * 4, "Zealot", scenario="protoss_5_vs_5_conic-v1", agent_action=[6, 9, 17, 18])
    assert [describe(order, cones.arrays) for order in read_orders(cones)] == [
        "look 0°",
        "look 90°",
        "look 330°",
        "attack Zealot",
    ]


def test_agents_look_where_the_simulator_says() -> None:
    env = make_vector("zerg_5_vs_5_conic", 1)
    rng = np.random.default_rng(2)
    available = env.reset(np.array([4])).available_actions
    states, views = [env.render_state(0)], [env._memory.fov[0].copy()]  # type: ignore[attr-defined]
    for _ in range(12):
        assert available is not None
        available = env.step((available * rng.random(available.shape)).argmax(axis=2)).available_actions
        states.append(env.render_state(0))
        views.append(env._memory.fov[0].copy())  # type: ignore[attr-defined]
    told = view_directions(states, [read_orders(state) for state in states])
    np.testing.assert_array_equal(np.round(np.array(told) / (2 * np.pi) * 12) % 12, np.array(views))
    assert len(np.unique(views)) > 3
    assert np.isnan(view_directions(states[3:4], [()])).all()  # a moment alone does not tell


def test_a_view_cone_lies_on_the_side_that_is_looked_to() -> None:
    names = {"scenario": "protoss_5_vs_5_conic-v1"}
    start = battle("Stalker", "Zealot", 0, **names)
    idle, turned = (battle("Stalker", "Zealot", 1, agent_action=[action], **names) for action in (1, 9))
    north = changed(
        starcraft.draw(start, idle, caption=CAPTION), starcraft.draw(start, turned, caption=CAPTION)
    )
    middle = (
        Scene.of([start], FIELD, starcraft.SIZE[1] - HEADER).arena.places(np.array([13.5]), np.array([18.0]))[
            0
        ]
        / ZOOM
    )
    above = north[np.abs(north[:, 1] - middle.real) < 5, 0]
    assert above.min() < middle.imag - 60
    assert above.max() < middle.imag + 20


@pytest.mark.parametrize("dead", [False, True])
def test_agents_carry_their_numbers_until_they_die(dead: bool) -> None:
    """The same unit in the same place looks different as agent 0 and as agent 1."""
    pictures = []
    for places in (np.array([18.0, 14.0, 16.0]), np.array([14.0, 18.0, 16.0])):
        health = np.where((places == 18.0) & dead, 0.0, 45.0)
        pictures.append(
            starcraft.draw(battle("Marine Marine", "Marine", y=places, health=health), caption=CAPTION)
        )
    north = changed(*pictures)[:, 0] < (starcraft.SIZE[1] - HEADER) / 2
    assert (~north).sum() > 10
    assert not north.any() if dead else north.sum() > 10


@pytest.mark.parametrize(
    ("name", "scenario"),
    [("Stalker", "protoss_5_vs_5_conic-v1"), ("Colossus", "1c3s5z-v1"), ("Baneling", "bane_vs_bane-v1")],
)
def test_no_effect_is_cut_off(name: str, scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same picture comes out when the whole arena is drawn afresh."""
    health = [0.0 if name == "Baneling" else 80.0, 50.0]
    places = {"x": [13.5, 18.5], "y": [18.0, 18.0], "shot_at": [1, -1], "agent_action": [8]}
    states = [battle(name, "Marine", step, scenario, health=health, **places) for step in (1, 2)]
    busy = starcraft.draw(*states, 0.3, caption=CAPTION)
    monkeypatch.setattr(marks, "REACH", 1000.0)
    np.testing.assert_array_equal(busy, starcraft.draw(*states, 0.3, caption=CAPTION))
