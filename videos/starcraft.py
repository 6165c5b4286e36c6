"""Films of StarCraft battles, seen from above.

One environment step is 8 game loops, half a game second. A film shows 6 pictures a step, 15 a second: 1.25
times the game's "normal" speed (people play at 1.4, called "faster"). Positions and health run linearly from
step to step. The record says that a shot hit during a step, not when: the shots of a step are spread over
it so that a volley reads as single shots.

Allies are blue and numbered, enemies orange. A dashed line leads from an agent to the target it chose, an
arrowhead shows the way it was told to go, a bright line is a shot that hit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from env_adapters.api import BoolArray, DoubleArray, IntArray, RenderState
from env_adapters.rollout import Episode
from videos import marks
from videos.arena import ZOOM, Arena, Places
from videos.style import (
    BLUE,
    FAINT,
    HEADER,
    MUTED,
    ORANGE,
    WHITE,
    Caption,
    Colour,
    Picture,
    banner,
    font,
    gauge,
    header,
    joined,
    step_counter,
)

FPS = 15
SUBSTEPS = 6
"""Pictures per environment step."""
SIZE = (768, 448)
"""Width and height in pixels."""

_ALLIES, _ENEMIES = 1, 2
_COLOURS = {_ALLIES: BLUE, _ENEMIES: ORANGE}
_FALL = 0.6  # share of a step after which a unit that dies in it falls
_SPREAD, _GLOW = 0.45, 0.4  # of a step: over which shots start, and for which each is seen
_LEAST_RADIUS = 15.0  # enlarged pixels
_MEDIVAC = 54
_MOVES = {2: 1j, 3: -1j, 4: 1 + 0j, 5: -1 + 0j}  # SMAC actions: north, south, east, west
_FIRST_TARGET = 6  # SMAC actions from here on name a target
_STEP_S = 0.5  # game seconds per environment step
_PACE = f"{FPS / SUBSTEPS * _STEP_S:g}x game speed"


@dataclass(frozen=True)
class _Moment:
    """All units at one instant of a step. Arrays [U] unless noted."""

    state: RenderState
    time: float
    """In steps."""
    places: Places
    radii: DoubleArray
    facing: DoubleArray
    health: DoubleArray
    health_after: DoubleArray
    """At the end of the step."""
    shield: DoubleArray
    alive: BoolArray
    shot_at: IntArray
    """Unit that is hit during this step, or -1."""
    glow: DoubleArray
    """Brightness of that shot just now, 0 to 1."""
    actions: IntArray
    """[N], the joint action of this step; empty when not recorded."""


def _moment(arena: Arena, state: RenderState, following: RenderState | None, fraction: float) -> _Moment:
    now, then = state.arrays, (following or state).arrays

    def between(name: str) -> DoubleArray:
        return np.asarray(now[name] + (then[name] - now[name]) * fraction, dtype=np.float64)

    turn = (then["facing"] - now["facing"] + math.pi) % (2 * math.pi) - math.pi
    start = np.arange(len(now["type"])) * 0.618 % 1 * _SPREAD  # golden ratio: neighbours never fire together
    since = (fraction - start) / _GLOW
    return _Moment(
        state=state,
        time=float(now["step"]) + fraction,
        places=arena.places(between("x"), between("y")),
        radii=np.maximum(now["radius"] * arena.scale, _LEAST_RADIUS),
        facing=now["facing"] + turn * fraction,
        health=between("health"),
        health_after=then["health"],
        shield=between("shield"),
        alive=(now["health"] > 0) & ((then["health"] > 0) | (fraction < _FALL)),
        shot_at=then["shot_at"],
        glow=np.where((since >= 0) & (since < 1), 1 - since, 0.0) if following else np.ones_like(since),
        actions=np.asarray(then.get("agent_action", ()), dtype=np.int64),
    )


def _fall_times(states: Sequence[RenderState]) -> DoubleArray:
    """[U], the time in steps at which each unit falls; infinite for survivors."""
    times = np.full(len(states[0].arrays["health"]), np.inf)
    for state in reversed(states):
        times[state.arrays["health"] <= 0] = float(state.arrays["step"]) - 1 + _FALL
    return times


def _draw_orders(pen: marks.Pen, moment: _Moment) -> None:
    owner = moment.state.arrays["owner"]
    allies, enemies = np.flatnonzero(owner == _ALLIES), np.flatnonzero(owner == _ENEMIES)
    for agent, action in zip(allies, moment.actions, strict=False):  # no actions: nothing to draw
        if not moment.alive[agent]:
            continue
        targets = allies if moment.state.arrays["type"][agent] == _MEDIVAC else enemies
        place, radius = moment.places[agent], moment.radii[agent]
        if action in _MOVES:
            marks.move_arrow(pen, place, radius, _MOVES[int(action)], BLUE)
        elif 0 <= action - _FIRST_TARGET < len(targets) and moment.alive[targets[action - _FIRST_TARGET]]:
            marks.target_line(pen, place, moment.places[targets[action - _FIRST_TARGET]], BLUE)


def _draw_units(pen: marks.Pen, moment: _Moment) -> None:
    arrays = moment.state.arrays
    agent_index = np.cumsum(arrays["owner"] == _ALLIES) - 1
    alive = np.flatnonzero(moment.alive)
    for u in alive:
        owner = int(arrays["owner"][u])
        label = str(agent_index[u]) if owner == _ALLIES else ""
        place, radius = moment.places[u], moment.radii[u]
        marks.unit(pen, place, radius, moment.facing[u], int(arrays["type"][u]), _COLOURS[owner], label)
    for u in alive:  # bars lie above every body
        health = (moment.health[u], moment.health_after[u], arrays["health_max"][u])
        shield = (moment.shield[u], arrays["shield_max"][u])
        marks.bars(pen, moment.places[u], moment.radii[u], health, shield)


def _draw_shots(pen: marks.Pen, moment: _Moment) -> None:
    owner = moment.state.arrays["owner"]
    for u in np.flatnonzero((moment.shot_at >= 0) & (moment.glow > 0)):
        v = moment.shot_at[u]
        colour: Colour = marks.HEALTH if owner[u] == owner[v] else _COLOURS[int(owner[u])]
        radii = (moment.radii[u], moment.radii[v])
        marks.shot(pen, moment.places[u], moment.places[v], radii, colour, moment.glow[u])


def _field(arena: Arena, moment: _Moment, fall_times: DoubleArray) -> Image.Image:
    """The arena with everything on it, at its final size. Only the part with units on it is drawn afresh."""
    field = arena.ground.copy()
    age = moment.time - fall_times
    shown = np.flatnonzero(moment.alive | (age < marks.FADE_STEPS))
    if not len(shown):
        return field
    patch, corner = arena.cut(moment.places[shown], marks.REACH * moment.radii.max() + marks.BARS)
    pen = marks.Pen(patch, corner)
    for u in shown[~moment.alive[shown]]:
        colour = _COLOURS[int(moment.state.arrays["owner"][u])]
        marks.fallen(pen, moment.places[u], moment.radii[u], colour, age[u])
    _draw_orders(pen, moment)
    _draw_units(pen, moment)
    _draw_shots(pen, moment)
    field.paste(patch.reduce(ZOOM), (round(corner.real) // ZOOM, round(corner.imag) // ZOOM))
    return field


def _strength(state: RenderState, owner: int) -> tuple[int, int, float]:
    """Units alive, units at the start, and the share of health and shield that is left."""
    arrays, side = state.arrays, state.arrays["owner"] == owner
    alive = arrays["health"][side] > 0
    left = np.sum((arrays["health"][side] + arrays["shield"][side]) * alive)
    most = np.sum(arrays["health_max"][side] + arrays["shield_max"][side])
    return int(alive.sum()), len(alive), float(left / max(most, 1e-9))


def _strip(state: RenderState, caption: Caption, width: int) -> Image.Image:
    """The header: who plays, then the strength of both sides on either side of the step counter."""
    strip = header(caption, width)
    pen = ImageDraw.Draw(strip)
    row = 46
    for owner, edge, inwards in ((_ALLIES, 0, 1), (_ENEMIES, width, -1)):
        alive, size, share = _strength(state, owner)
        anchor, name = ("lm", "ALLIES") if owner == _ALLIES else ("rm", "ENEMIES")
        pen.text((edge + inwards * 14, row), name, font=font(11), fill=MUTED, anchor=anchor)
        count, colour = f"{alive}/{size}", _COLOURS[owner]
        pen.text((edge + inwards * 72, row), count, font=font(17), fill=colour, anchor=anchor)
        start, length = edge + inwards * 130, inwards * (width / 2 - 130 - 66)
        gauge(pen, start, start + length, row, FAINT, 5)
        gauge(pen, start, start + length * share, row, colour, 5)
    step_counter(strip, width / 2, int(state.arrays["step"]), int(state.arrays["time_limit"]))
    return strip


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
        state: arrays as the embedded engine records them.
        following: the next step; without it the picture shows `state` and the shots that led to it.
        fraction: how far between the two, 0 to 1.
        caption: the header's first line.
        size: width and height in pixels.

    Returns:
        uint8[height, width, 3].
    """
    states = [state] if following is None else [state, following]
    arena = Arena.of(states, size[0], size[1] - HEADER)
    field = _field(arena, _moment(arena, state, following, fraction), _fall_times(states))
    return joined(_strip(state, caption, size[0]), field)


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
    width, height = SIZE
    arena, fall_times = Arena.of(states, width, height - HEADER), _fall_times(states)
    caption = Caption(states[0].scenario, title, episode.seed, _PACE)
    returns = np.cumsum([0.0, *episode.rewards])
    for index, (state, following) in enumerate(pairwise(states)):
        strip = _strip(state, replace(caption, episode_return=returns[index]), width)
        for k in range(SUBSTEPS):
            yield joined(strip, _field(arena, _moment(arena, state, following, k / SUBSTEPS), fall_times))
    nothing = np.full(len(fall_times), -1)  # the last shots and orders are over
    still = replace(_moment(arena, states[-1], None, 0.0), shot_at=nothing, actions=nothing)
    field = _field(arena, still, fall_times)
    alive, allies, _ = _strength(states[-1], _ALLIES)
    detail = f"return {returns[-1]:.2f}  ·  {episode.length} steps  ·  {alive} of {allies} allies left"
    banner(field, *_outcome(episode), detail)
    last = joined(_strip(states[-1], replace(caption, episode_return=returns[-1]), width), field)
    yield from [last] * FPS
