"""Films of StarCraft battles, seen from above.

One environment step is 8 game loops, half a game second. A film shows 6 pictures a step, 15 a second: 1.25
times the game's "normal" speed (people play at 1.4, called "faster"). Positions and health run linearly from
step to step. The record says that a shot hit during a step, not when: the shots of a step are spread over
it so that a volley reads as single shots.

Allies are blue and numbered, enemies orange. A dashed line leads from an agent to the target it chose, an
arrowhead shows the way it was told to go, a pale wedge where an agent with a view cone looks. What a shot
looks like is its shooter's weapon (effects.py). Where many units fight, those that have lost nothing have
no bars.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image

from env_adapters.api import BoolArray, RenderState
from env_adapters.rollout import Episode
from env_adapters.starcraft.units import UNITS
from videos import effects, marks
from videos.arena import ZOOM
from videos.orders import ALLIES, look_directions
from videos.pen import Pen
from videos.scene import NOT_SHOWN, Moment, Scene
from videos.scoreboard import COLOURS, panel, panel_width, strength, strip
from videos.style import BLUE, HEADER, ORANGE, WHITE, Caption, Colour, Picture, banner, joined

FPS: Final = 15
SUBSTEPS: Final = 6
"""Pictures per environment step."""
SIZE: Final = (960, 544)
"""Width and height in pixels."""

_STEP_S = 0.5  # game seconds per environment step
_PACE = f"{FPS / SUBSTEPS * _STEP_S:g}x game speed"
_ENERGY_MAX = {unit.id: unit.energy_max for unit in UNITS if unit.energy_max > 0}


def _draw_orders(pen: Pen, moment: Moment) -> None:
    agents = np.flatnonzero(moment.state.arrays["owner"] == ALLIES)
    looks = look_directions(moment.state.scenario)
    for agent, direction in zip(agents, moment.views, strict=True):
        if not moment.alive[agent] or math.isnan(direction):
            continue
        for turned in effects.seen_directions(direction):
            place, radius = moment.places[agent], moment.radii[agent]
            effects.view_cone(pen, place, radius, turned, 2 * math.pi / looks, moment.cell)
    for agent, order in zip(agents, moment.orders, strict=False):  # no orders: nothing to draw
        if not moment.alive[agent]:
            continue
        place, radius = moment.places[agent], moment.radii[agent]
        if order.verb == "move":
            marks.move_arrow(pen, place, radius, order.way, BLUE)
        elif order.target >= 0 and moment.alive[order.target]:
            colour = effects.HEAL if order.verb == "heal" else BLUE
            opacity = 0.35 if moment.crowded else 0.6
            marks.target_line(pen, place, moment.places[order.target], colour, opacity)


def _draw_units(pen: Pen, moment: Moment) -> None:
    arrays, alive = moment.state.arrays, np.flatnonzero(moment.alive)
    for u in sorted(alive, key=lambda u: marks.flies(int(arrays["type"][u]))):  # those in the air last
        owner, unit_type = int(arrays["owner"][u]), int(arrays["type"][u])
        place, radius, facing = moment.places[u], moment.radii[u], moment.facing[u]
        marks.unit(pen, place, radius, facing, unit_type, COLOURS[owner], owner != ALLIES)
    for agent, u in enumerate(np.flatnonzero(arrays["owner"] == ALLIES)):  # numbers lie above every body
        if moment.alive[u]:
            marks.number(pen, moment.places[u], moment.radii[u], agent)
    spared = _unharmed(moment) if moment.crowded else np.zeros(len(moment.alive), dtype=np.bool_)
    for u in alive[~spared[alive]]:  # and bars above numbers
        health = (moment.health[u], moment.health_after[u], arrays["health_max"][u])
        marks.bars(pen, moment.places[u], moment.radii[u], health, _second_bar(moment, u))


def _unharmed(moment: Moment) -> BoolArray:
    """[U], units that have lost neither health nor shield."""
    arrays = moment.state.arrays
    worst = np.minimum(moment.health, moment.health_after)
    return np.asarray((worst >= arrays["health_max"]) & (moment.shield >= arrays["shield_max"]))


def _second_bar(moment: Moment, u: int) -> tuple[float, float, Colour] | None:
    arrays = moment.state.arrays
    if arrays["shield_max"][u] > 0:
        return moment.shield[u], arrays["shield_max"][u], marks.SHIELD
    energy_max = _ENERGY_MAX.get(int(arrays["type"][u]))
    if energy_max is not None and "energy" in arrays:
        return moment.energy[u], energy_max, marks.ENERGY
    return None


def _draw_shots(pen: Pen, moment: Moment, fraction: float) -> None:
    arrays = moment.state.arrays
    for u in np.flatnonzero(moment.shot_at >= 0):
        v, unit_type = moment.shot_at[u], int(arrays["type"][u])
        progress = fraction if effects.lasts_all_step(unit_type) else moment.progress[u]
        if progress == NOT_SHOWN:
            continue
        radii, colour = (moment.radii[u], moment.radii[v]), COLOURS[int(arrays["owner"][u])]
        shot = effects.Shot(moment.places[u], moment.places[v], radii, colour, moment.cell, progress)
        effects.draw_shot(pen, unit_type, shot)


def _draw_fallen(pen: Pen, moment: Moment, u: int) -> None:
    arrays = moment.state.arrays
    if effects.bursts(int(arrays["type"][u])):
        effects.burst(pen, moment.places[u], moment.cell, moment.age[u])
    marks.fallen(pen, moment.places[u], moment.radii[u], COLOURS[int(arrays["owner"][u])], moment.age[u])


def _field(scene: Scene, backdrop: Image.Image, moment: Moment, fraction: float) -> Image.Image:
    """The arena with everything on it, at its final size. Only the part with units on it is drawn afresh."""
    field = backdrop.copy()
    shown = np.flatnonzero(moment.alive | (moment.age < marks.FADE_STEPS))
    if not len(shown):
        return field
    types = frozenset(moment.state.arrays["type"][shown].tolist())
    margin = marks.REACH * moment.radii.max() + marks.BARS
    margin = max(margin, effects.reach(types, bool(np.isfinite(moment.views).any()), moment.cell))
    patch, corner = scene.arena.cut(moment.places[shown], margin)
    pen = Pen(patch, corner)
    for u in shown[~moment.alive[shown]]:
        _draw_fallen(pen, moment, u)
    _draw_orders(pen, moment)
    _draw_units(pen, moment)
    _draw_shots(pen, moment, fraction)
    field.paste(patch.reduce(ZOOM), (round(corner.real) // ZOOM, round(corner.imag) // ZOOM))
    return field


def _backdrop(scene: Scene, index: int, size: tuple[int, int]) -> Image.Image:
    """The empty arena of step `index`, with the panel beside it."""
    width, height = size[0], size[1] - HEADER
    if not panel_width(width):
        return scene.arena.ground
    backdrop = Image.new("RGB", (width, height))
    backdrop.paste(scene.arena.ground)
    orders = scene.orders[min(index + 1, len(scene.states) - 1)]
    backdrop.paste(panel(scene.states[index], orders, height), (width - panel_width(width), 0))
    return backdrop


def _scene(states: list[RenderState], size: tuple[int, int]) -> Scene:
    return Scene.of(states, size[0] - panel_width(size[0]), size[1] - HEADER)


def draw(
    state: RenderState,
    following: RenderState | None = None,
    fraction: float = 0.0,
    *,
    caption: Caption,
    size: tuple[int, int] = SIZE,
) -> Picture:
    """Draw one moment of one battle.

    Args:
        state: arrays as the embedded engine records them; `energy` and `agent_action` may be missing.
        following: the next step; without it the picture shows `state` and the shots that led to it.
        fraction: how far between the two, 0 to 1.
        caption: the header's first line.
        size: width and height in pixels; pictures under 640 pixels wide leave out the panel at the right.

    Returns:
        uint8[height, width, 3].
    """
    scene = _scene([state] if following is None else [state, following], size)
    field = _field(scene, _backdrop(scene, 0, size), scene.moment(0, fraction), fraction)
    return joined(strip(state, caption, size[0]), field)


def _outcome(episode: Episode) -> tuple[str, Colour]:
    if episode.won:
        return "WON", BLUE
    return ("TIME OUT", WHITE) if episode.truncated else ("LOST", ORANGE)


def film(episode: Episode, title: str) -> Iterator[Picture]:
    """Yield the pictures of a whole battle, FPS to a second, ending with its outcome for one second.

    Args:
        episode: with T + 1 frames.
        title: who acts; stands in the header beside scenario and episode seed.

    Yields:
        T * SUBSTEPS + FPS pictures, uint8 of `SIZE`.
    """
    states = episode.frames
    scene = _scene(states, SIZE)
    caption = Caption(states[0].scenario, title, episode.seed, _PACE)
    returns = np.cumsum([0.0, *episode.rewards])
    for index, state in enumerate(states[:-1]):
        above = strip(state, replace(caption, episode_return=returns[index]), SIZE[0])
        backdrop = _backdrop(scene, index, SIZE)
        for k in range(SUBSTEPS):
            fraction = k / SUBSTEPS
            yield joined(above, _field(scene, backdrop, scene.moment(index, fraction), fraction))
    yield from [_last_picture(scene, episode, replace(caption, episode_return=returns[-1]))] * FPS


def _last_picture(scene: Scene, episode: Episode, caption: Caption) -> Picture:
    """The last state, when shots and orders are over, under the outcome."""
    scene = replace(scene, orders=[()] * len(scene.states))
    index = episode.length
    moment = scene.moment(index)
    still = replace(moment, shot_at=np.full(len(moment.alive), -1))
    picture = _field(scene, _backdrop(scene, index, SIZE), still, 0.0)
    alive, allies, _ = strength(scene.states[-1], ALLIES)
    left = f"{alive} of {allies} allies left"
    detail = f"return {caption.episode_return:.2f}  ·  {episode.length} steps  ·  {left}"
    field = picture.crop((0, 0, SIZE[0] - panel_width(SIZE[0]), picture.height))
    banner(field, *_outcome(episode), detail)
    picture.paste(field)
    return joined(strip(scene.states[-1], caption, SIZE[0]), picture)
