"""Films of every StarCraft scenario of the table: units are seen where they are, and no text runs into another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw

from env_adapters.api import RenderState, VectorEnv
from env_adapters.scenarios import SCENARIOS, make_vector
from videos import scoreboard, starcraft
from videos.arena import ZOOM, Arena
from videos.orders import ALLIES, MEDIVAC, describe, read_orders
from videos.scoreboard import COLOURS, panel_width
from videos.style import HEADER, Caption, Picture

NAMES = [name for name, scenario in SCENARIOS.items() if scenario.family in ("smac-v1", "smacv2")]
STEPS = 8
Box = tuple[float, float, float, float]
CAPTION = Caption(
    "terran_10_vs_11_conic-v1", "a rather long name of agents", 123456, "1.25x game speed", 1234.5
)


class Text(NamedTuple):
    """Something written in a picture."""

    image: Image.Image
    words: str
    box: Box


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """Every text written during the test."""
    written: list[Text] = []
    write = ImageDraw.ImageDraw.text

    def text(pen, place, words, **how):  # type: ignore[no-untyped-def]
        if words:
            box = pen.textbbox(place, words, font=how["font"], anchor=how["anchor"])
            written.append(Text(pen._image, words, box))
        write(pen, place, words, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return written


def apart(first: Box, second: Box) -> bool:
    """Whether two boxes (left, top, right, bottom) share no pixel."""
    beside = first[2] <= second[0] or second[2] <= first[0]
    return beside or first[3] <= second[1] or second[3] <= first[1]


def advance(env: VectorEnv, rng: np.random.Generator, available: np.ndarray) -> np.ndarray:
    """One step of agents that prefer targets to looks and looks to walking; returns the next masks [1, N, A]."""
    taste = rng.random(available.shape) + np.arange(available.shape[2]) / 10
    step = env.step(np.where(available, taste, -1.0).argmax(axis=2))
    assert step.available_actions is not None
    return step.available_actions


def visible(picture: Picture, state: RenderState) -> list[int]:
    """Pixels of its side's colour within each living unit's reach."""
    width, height = starcraft.SIZE[0] - panel_width(starcraft.SIZE[0]), starcraft.SIZE[1] - HEADER
    arrays, arena = state.arrays, Arena.of([state], width, height)
    places = arena.places(arrays["x"], arrays["y"]) / ZOOM
    amounts = []
    for unit in np.flatnonzero(arrays["health"] > 0):
        column, row = round(places[unit].real), HEADER + round(places[unit].imag)
        half = max(6, round(arrays["radius"][unit] * arena.scale / ZOOM))
        around = picture[row - half : row + half, column - half : column + half].astype(int)
        assert around.shape[:2] == (2 * half, 2 * half)  # it lies inside the picture
        own = np.abs(around - COLOURS[int(arrays["owner"][unit])]).max(axis=-1) < 60
        amounts.append(int(own.sum()))
    return amounts


def check_units(picture: Picture, state: RenderState) -> None:
    """Every living unit is seen, but for one under each aircraft."""
    aircraft = int(((state.arrays["type"] == MEDIVAC) & (state.arrays["health"] > 0)).sum())
    amounts = visible(picture, state)
    assert sum(amount < 12 for amount in amounts) <= aircraft, amounts


def check_texts(texts: Sequence[Text]) -> None:
    """No text of one picture runs into another or out of the picture."""
    for text in texts:
        width, height = text.image.size
        assert 0 <= text.box[0] < text.box[2] <= width, text.words
        assert 0 <= text.box[1] < text.box[3] <= height, text.words
    for first, second in combinations(texts, 2):
        assert first.image is not second.image or apart(first.box, second.box), (first.words, second.words)


def states_of(name: str) -> Iterator[RenderState]:
    """A scenario after a reset and in mid-episode."""
    env = make_vector(name, 1)
    rng = np.random.default_rng(5)
    available = env.reset(np.array([11])).available_actions
    assert available is not None
    yield env.render_state(0)
    for _ in range(STEPS):
        available = advance(env, rng, available)
    yield env.render_state(0)


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_is_drawn_after_a_reset_and_in_battle(name: str, texts: list[Text]) -> None:
    start, later = states_of(name)
    pictures = []
    for state in (start, later):
        texts.clear()
        pictures.append(starcraft.draw(state, caption=CAPTION))
        check_units(pictures[-1], state)
        check_texts(texts)
        agents = int((state.arrays["owner"] == ALLIES).sum())
        assert {str(agent) for agent in range(agents)} <= {text.words for text in texts}
    assert np.any(pictures[0][HEADER:] != pictures[1][HEADER:])
    told = [describe(order, later.arrays) for order in read_orders(later)]
    assert all(told)
    assert "_conic" not in name or any(words.startswith("look ") for words in told)


def test_the_checks_see_what_is_wrong(texts: list[Text], monkeypatch: pytest.MonkeyPatch) -> None:
    state = next(states_of("27m_vs_30m"))
    picture = starcraft.draw(state, caption=CAPTION)
    moved = state.arrays["x"] - 3.0 * (np.arange(57) == 3)
    with pytest.raises(AssertionError):
        check_units(picture, state._replace(arrays={**state.arrays, "x": moved}))
    check_texts(texts)
    monkeypatch.setattr(scoreboard, "_AGENT_ROW", (5.0, 5.0))
    starcraft.draw(state, caption=CAPTION)
    with pytest.raises(AssertionError):
        check_texts(texts)
