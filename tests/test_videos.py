"""Films of battles: pictures show what the render states say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imageio_ffmpeg import count_frames_and_secs, read_frames

from env_adapters.api import RenderState
from env_adapters.rollout import Episode
from videos import encode, marks, starcraft
from videos.arena import ZOOM, Arena
from videos.scoreboard import panel_width
from videos.style import BLUE, HEADER, ORANGE, WHITE, Caption, Picture, font, mix, shorten

MARINE = 48
UNIT_TYPES = (48, 51, 54, 74, 73, 4, 105, 107, 9, 98)
SMALL = (384, 256)
CAPTION = Caption("5m_vs_6m-v1", "bc", 3)


def render_state(places: list[complex], owners: list[int], step: int = 0, **changes: object) -> RenderState:
    """Marines at full health, standing still on a 32 x 16 field, unless `changes` says otherwise."""
    n = len(places)
    pathable = np.zeros((32, 32), dtype=bool)
    pathable[2:30, 8:24] = True
    arrays = {
        "type": np.full(n, MARINE),
        "owner": np.array(owners),
        "x": np.array(places).real,
        "y": np.array(places).imag,
        "facing": np.where(np.array(owners) == 1, 0.0, np.pi),
        "health": np.full(n, 45.0),
        "health_max": np.full(n, 45.0),
        "shield": np.zeros(n),
        "shield_max": np.zeros(n),
        "radius": np.full(n, 0.375),
        "shot_at": np.full(n, -1),
        "pathable": pathable,
        "step": np.array(step),
        "time_limit": np.array(70),
    }
    arrays |= {name: np.asarray(value) for name, value in changes.items()}
    return RenderState("starcraft", "5m_vs_6m-v1", arrays)


def battle(n_steps: int, won: bool, truncated: bool = False) -> Episode:
    """5 against 6: they walk, shoot at their opposite numbers, and one side falls unit by unit."""
    owners = [1] * 5 + [2] * 6
    loser = 2 if won else 1
    frames = []
    for t in range(n_steps + 1):
        share = t / n_steps
        places = [complex(9 + 4 * share, 14 + i) for i in range(5)] + [
            complex(23 - 4 * share, 13 + i) for i in range(6)
        ]
        losers = [u for u in range(11) if owners[u] == loser]
        dead = losers[: 0 if truncated else round(share * len(losers))]
        health = np.where(np.isin(np.arange(11), dead), 0.0, 45 - 30 * share)
        shots = [5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 4] if t > n_steps // 2 else [-1] * 11
        actions = [6, 7, 2, 5, 1]
        frames.append(render_state(places, owners, t, health=health, shot_at=shots, agent_action=actions))
    return Episode(3, [0.5] * n_steps, terminated=not truncated, truncated=truncated, won=won, frames=frames)


def amount(picture: Picture, colour: tuple[int, int, int]) -> int:
    """Number of pixels of a colour."""
    return int((np.abs(picture.astype(int) - colour).max(axis=-1) <= 6).sum())


def centre(picture: Picture, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean row and column of the pixels of a colour, below the header and beside the panel."""
    field = picture[HEADER:, : picture.shape[1] - panel_width(picture.shape[1])].astype(int)
    return np.argwhere(np.abs(field - colour).max(axis=-1) <= 6).mean(axis=0)


def around(picture: Picture, states: list[RenderState], unit: int, reach: int = 14) -> Picture:
    """The square of pixels round one unit of the last state."""
    width = picture.shape[1] - panel_width(picture.shape[1])
    arena = Arena.of(states, width, picture.shape[0] - HEADER)
    arrays = states[-1].arrays
    place = arena.places(arrays["x"][unit : unit + 1], arrays["y"][unit : unit + 1])[0] / ZOOM
    column, row = round(place.real), round(place.imag) + HEADER
    return picture[row - reach : row + reach, column - reach : column + reach]


def test_units_have_their_sides_colour_where_they_stand() -> None:
    state = render_state([10 + 16j, 18 + 14j], [1, 2])
    picture = starcraft.draw(state, caption=CAPTION)
    assert picture.shape == (544, 960, 3)
    assert picture.dtype == np.uint8
    ally, enemy = (around(picture, [state], unit) for unit in (0, 1))
    assert amount(ally, BLUE) > 150
    assert amount(ally, ORANGE) == 0
    assert amount(enemy, ORANGE) > 150
    assert amount(enemy, BLUE) == 0


def test_north_is_up() -> None:
    picture = starcraft.draw(render_state([16 + 18j, 16 + 12j], [1, 2]), caption=CAPTION)
    assert centre(picture, BLUE)[0] < centre(picture, ORANGE)[0] - 50


@settings(max_examples=8)
@given(fraction=st.floats(0, 1), way=st.complex_numbers(max_magnitude=3))
def test_units_move_linearly_between_steps(fraction: float, way: complex) -> None:
    start, end = (
        render_state([place, 12 + 12j, 20 + 20j], [1, 2, 2]) for place in (16 + 16j, 16 + 16j + way)
    )
    first, between, last = (
        centre(starcraft.draw(start, end, share, caption=CAPTION, size=SMALL), BLUE)
        for share in (0.0, fraction, 1.0)
    )
    np.testing.assert_allclose(between, first + (last - first) * fraction, atol=0.7)


def test_turning_takes_the_short_way() -> None:
    """From 170 to -170 degrees the rifle points west all the time; the long way would pass east."""
    states = [render_state([16 + 16j], [1], facing=[angle]) for angle in np.deg2rad([170, -170])]
    pictures = [starcraft.draw(*states, share, caption=CAPTION) for share in (0.0, 0.5, 1.0)]
    rifles = [centre(picture, mix(BLUE, WHITE, 0.45))[1] for picture in pictures]
    assert max(rifles) < centre(pictures[0], BLUE)[1] - 10


def test_a_shot_is_a_line_between_two_units() -> None:
    places, owners = [12 + 16j, 18 + 16j], [1, 2]
    quiet = starcraft.draw(render_state(places, owners), caption=CAPTION).astype(int)
    shot = starcraft.draw(render_state(places, owners, shot_at=[1, -1]), caption=CAPTION).astype(int)
    rows, columns = np.nonzero(np.abs(quiet - shot).sum(axis=-1) > 40)
    ally, enemy = centre(quiet.astype(np.uint8), BLUE), centre(quiet.astype(np.uint8), ORANGE)
    assert set(range(round(ally[1]) + 35, round(enemy[1]) - 35)) <= set(columns)
    assert rows.max() - rows.min() < 40
    assert columns.min() > ally[1]


def test_a_shot_glows_at_some_time_of_its_step_and_is_gone_at_the_end() -> None:
    states = [
        render_state([12 + 16j, 18 + 16j], [1, 2], t, shot_at=[-1, 0] if t else [-1, -1]) for t in (0, 1)
    ]
    quiet = render_state([12 + 16j, 18 + 16j], [1, 2], 1)
    changed = [
        np.any(
            starcraft.draw(*states, f, caption=CAPTION)
            != starcraft.draw(states[0], quiet, f, caption=CAPTION)
        )
        for f in np.arange(starcraft.SUBSTEPS) / starcraft.SUBSTEPS
    ]
    assert any(changed)
    assert not changed[-1]


@pytest.mark.parametrize(("unit", "colour"), [(0, BLUE), (1, ORANGE)])
def test_the_dead_leave_a_cross_that_fades(unit: int, colour: tuple[int, int, int]) -> None:
    places, owners = [12 + 16j, 18 + 16j], [1, 2]
    dying = np.arange(2) == unit
    states = [render_state(places, owners, t, health=45.0 * ~(dying & (t >= 2))) for t in range(14)]
    film = list(starcraft.film(Episode(1, [0.0] * 13, won=False, truncated=True, frames=states), "bc"))
    marks_left = [around(film[t * starcraft.SUBSTEPS], states, unit) for t in range(13)]
    assert amount(marks_left[1], colour) > 150
    assert amount(marks_left[3], colour) < 60
    contrast = [int(np.ptp(picture.astype(int), axis=(0, 1)).max()) for picture in marks_left]
    assert contrast[3] > contrast[6] > contrast[9]
    assert contrast[12] < 15


def test_a_bar_is_as_long_as_the_health_left() -> None:
    lengths = []
    for health in (45.0, 30.0, 20.0):
        picture = starcraft.draw(
            render_state([12 + 16j, 18 + 16j], [1, 2], health=[health, 45]), caption=CAPTION
        )
        lengths.append(amount(picture[HEADER:, :380], marks.HEALTH))
    assert lengths[0] == pytest.approx(lengths[1] * 1.5, rel=0.15)
    assert lengths[0] == pytest.approx(lengths[2] * 2.25, rel=0.15)


def test_the_header_shows_the_running_return_and_nothing_else_changes() -> None:
    state = render_state([12 + 16j, 18 + 16j], [1, 2])
    pictures = [starcraft.draw(state, caption=Caption("5m_vs_6m-v1", "bc", 3, "", r)) for r in (1.25, 7.75)]
    rows, columns = np.nonzero((pictures[0] != pictures[1]).any(axis=-1))
    assert len(rows) > 10
    assert rows.max() < HEADER / 2
    assert columns.min() > 800


def test_the_return_in_a_film_runs_with_the_rewards() -> None:
    episode = battle(3, won=True)
    film = list(starcraft.film(episode, "bc"))
    for index in range(3):
        caption = Caption("5m_vs_6m-v1", "bc", 3, "1.25x game speed", 0.5 * index)
        expected = starcraft.draw(episode.frames[index], caption=caption)
        np.testing.assert_array_equal(film[index * starcraft.SUBSTEPS][:HEADER], expected[:HEADER])


@pytest.mark.parametrize(
    ("won", "truncated", "colour"), [(True, False, BLUE), (False, False, ORANGE), (False, True, WHITE)]
)
def test_a_film_ends_with_its_outcome_for_a_second(
    won: bool, truncated: bool, colour: tuple[int, int, int]
) -> None:
    film = list(starcraft.film(battle(4, won, truncated), "bc"))
    assert len(film) == 4 * starcraft.SUBSTEPS + starcraft.FPS
    rims = [amount(picture[HEADER + 90 : HEADER + 95], colour) for picture in film]  # the banner's lower edge
    assert min(rims[-starcraft.FPS :]) > 2 * (starcraft.SIZE[0] - panel_width(starcraft.SIZE[0]))
    assert max(rims[: -starcraft.FPS]) < 200


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4))
def test_drawing_only_the_busy_part_loses_nothing(seed: int, n: int) -> None:
    """The same picture comes out when the whole arena is drawn afresh."""
    rng = np.random.default_rng(seed)
    places = list(rng.uniform(12, 20, n) + 1j * rng.uniform(12, 20, n))
    changes = {
        "type": rng.choice(UNIT_TYPES, n),
        "facing": rng.uniform(-4, 4, n),
        "radius": rng.uniform(0.3, 1.1, n),
        "health": rng.uniform(0, 45, n) * (rng.random(n) < 0.7),
        "shot_at": (np.arange(n) + 1) % n,
        "shield": np.full(n, 20.0),
        "shield_max": np.full(n, 30.0),
        "agent_action": rng.integers(-1, 10, n),
    }
    state = render_state(places, [1 + u % 2 for u in range(n)], 5, **changes)
    busy = starcraft.draw(state, caption=CAPTION, size=SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "REACH", 1000.0)
        whole = starcraft.draw(state, caption=CAPTION, size=SMALL)
    np.testing.assert_array_equal(busy, whole)


def test_rock_is_darker_than_ground_and_the_window_holds_every_unit() -> None:
    state = render_state([6 + 23.5j, 27 + 10j], [1, 2])
    arena = Arena.of([state], 768, 384)
    picture = np.asarray(arena.ground).astype(int)
    inside = arena.places(np.array([16.5, 16.5]), np.array([16.5, 24.3])) / ZOOM
    ground, rock = (picture[round(p.imag), round(p.real)].sum() for p in inside)
    assert rock < ground
    places = arena.places(state.arrays["x"], state.arrays["y"]) / ZOOM
    assert (places.real > 10).all() and (places.real < 758).all()
    assert (places.imag > 10).all() and (places.imag < 374).all()


def test_long_titles_are_cut_to_fit() -> None:
    cut = shorten("a very long name " * 20, 13, 200)
    assert font(13).getlength(cut) <= 200
    assert cut.endswith("…")
    assert shorten("bc", 13, 200) == "bc"


def test_film_episode_of_a_battle(tmp_path: Path) -> None:
    path = encode.film_episode(battle(3, won=True), tmp_path / "battle.mp4", "bc")
    meta = next(read_frames(str(path)))
    assert meta["size"] == starcraft.SIZE
    assert meta["fps"] == starcraft.FPS
    assert count_frames_and_secs(str(path))[0] == 3 * starcraft.SUBSTEPS + starcraft.FPS
