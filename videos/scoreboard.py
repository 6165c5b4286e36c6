"""What stands round a battle: the strength of both sides above it, unit types and agents' actions beside it."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from env_adapters.api import RenderState
from videos.effects import HEAL
from videos.marks import ENERGY, HEALTH, HEALTH_LOW, SHIELD
from videos.orders import ALLIES, ENEMIES, MEDIVAC, Order, describe, type_name
from videos.pen import Pen
from videos.sprites import unit_sprite
from videos.style import (
    BLUE,
    FAINT,
    MUTED,
    ORANGE,
    STRIP,
    WHITE,
    Caption,
    Colour,
    font,
    gauge,
    header,
    shorten,
    step_counter,
)

PANEL: Final = 200
"""Width of the panel beside the battle, in pixels."""
COLOURS: Final = {ALLIES: BLUE, ENEMIES: ORANGE}

_PANEL_FROM = 640  # narrower pictures have no panel
_ICON_RADIUS = 7
_TYPE_ROW, _HEADING, _KEY_ROW = 26, 22, 16
_AGENT_ROW = (12.5, 18.0)  # least and most
_GAUGE = (34.0, 68.0)  # columns between which an agent's health is shown


def panel_width(width: int) -> int:
    """Pixels that the panel takes of a picture of this width."""
    return PANEL if width >= _PANEL_FROM else 0


def strength(state: RenderState, owner: int) -> tuple[int, int, float]:
    """Units alive, units at the start, and the share of health and shield that is left."""
    arrays, side = state.arrays, state.arrays["owner"] == owner
    alive = arrays["health"][side] > 0
    left = np.sum((arrays["health"][side] + arrays["shield"][side]) * alive)
    most = np.sum(arrays["health_max"][side] + arrays["shield_max"][side])
    return int(alive.sum()), len(alive), float(left / max(most, 1e-9))


def strip(state: RenderState, caption: Caption, width: int) -> Image.Image:
    """The header: who plays, then the strength of both sides on either side of the step counter."""
    image = header(caption, width)
    pen = ImageDraw.Draw(image)
    row = 46
    for owner, edge, inwards in ((ALLIES, 0, 1), (ENEMIES, width, -1)):
        alive, size, share = strength(state, owner)
        anchor, name = ("lm", "ALLIES") if owner == ALLIES else ("rm", "ENEMIES")
        pen.text((edge + inwards * 14, row), name, font=font(11), fill=MUTED, anchor=anchor)
        count, colour = f"{alive}/{size}", COLOURS[owner]
        pen.text((edge + inwards * 72, row), count, font=font(17), fill=colour, anchor=anchor)
        start, length = edge + inwards * 130, inwards * (width / 2 - 130 - 66)
        gauge(pen, start, start + length, row, FAINT, 5)
        gauge(pen, start, start + length * share, row, colour, 5)
    step_counter(image, width / 2, int(state.arrays["step"]), int(state.arrays["time_limit"]))
    return image


def panel(state: RenderState, orders: tuple[Order, ...], height: int) -> Image.Image:
    """Unit types with the living of both sides, agents with health and action, and what the colours mean.

    Args:
        state: the moment.
        orders: [N], what the agents do next; empty when not known.
        height: pixels.
    """
    image = Image.new("RGB", (PANEL, height), STRIP)
    pen = ImageDraw.Draw(image)
    pen.line((0, 0, 0, height), fill=FAINT)
    row = _draw_types(image, pen, state)
    keys = _keys(state)
    below = height - _KEY_ROW * ((len(keys) + 1) // 2) - 6
    _draw_agents(pen, state, orders, row + 4, below)
    for k, (name, colour) in enumerate(keys):
        left, middle = 12 + (k % 2) * PANEL / 2, below + _KEY_ROW * (k // 2 + 0.5)
        pen.rectangle((left, middle - 2, left + 14, middle + 2), fill=colour)
        pen.text((left + 20, middle), name, font=font(11), fill=MUTED, anchor="lm")
    return image


def _keys(state: RenderState) -> list[tuple[str, Colour]]:
    arrays = state.arrays
    keys = [("health", HEALTH)]
    if (arrays["shield_max"] > 0).any():
        keys.append(("shield", SHIELD))
    if (arrays["type"] == MEDIVAC).any():
        keys += [("energy", ENERGY)] if "energy" in arrays else []
        keys.append(("healing", HEAL))
    return keys


def _draw_types(image: Image.Image, pen: ImageDraw.ImageDraw, state: RenderState) -> float:
    """One row per unit type: living of all allies, its name, living of all enemies; returns the row below."""
    arrays = state.arrays
    pen.text((PANEL / 2, 14), "UNITS LEFT", font=font(11), fill=MUTED, anchor="mm")
    row = _HEADING + _TYPE_ROW / 2
    for unit_type in dict.fromkeys(arrays["type"].tolist()):
        name = shorten(type_name(unit_type), 12, PANEL - 116)
        pen.text((PANEL / 2, row), name, font=font(12), fill=WHITE, anchor="mm")
        for owner, edge, inwards, heading in ((ALLIES, 0, 1, 0), (ENEMIES, PANEL, -1, 45)):
            side = (arrays["type"] == unit_type) & (arrays["owner"] == owner)
            if not side.any():
                continue
            icon = unit_sprite(unit_type, COLOURS[owner], _ICON_RADIUS, heading, False)
            Pen(image, 0j).stamp(icon, complex(edge + inwards * 19, row))
            alive = str(int((side & (arrays["health"] > 0)).sum()))
            place = (edge + inwards * 47, row)
            pen.text(place, alive, font=font(13), fill=COLOURS[owner], anchor="mm")
        row += _TYPE_ROW
    return row - _TYPE_ROW / 2


def _draw_agents(
    pen: ImageDraw.ImageDraw, state: RenderState, orders: tuple[Order, ...], top: float, bottom: float
) -> None:
    """One row per agent between two rows of pixels: number, health and shield, and what it does."""
    arrays = state.arrays
    agents = np.flatnonzero(arrays["owner"] == ALLIES)
    pen.line((10, top, PANEL - 10, top), fill=FAINT)
    pen.text((PANEL / 2, top + 12), "AGENTS", font=font(11), fill=MUTED, anchor="mm")
    least, most = _AGENT_ROW
    step = max(least, min(most, (bottom - top - _HEADING) / max(len(agents), 1)))
    size = 12 if step >= 15 else 11
    for number, u in enumerate(agents):
        row = top + _HEADING + step * (number + 0.5)
        if row + step / 2 > bottom + 1:
            return
        alive = arrays["health"][u] > 0
        fill, saying = (BLUE, WHITE) if alive else (FAINT, MUTED)
        pen.text((26, row), str(number), font=font(size), fill=fill, anchor="rm")
        words = "dead" if not alive else describe(orders[number], arrays) if orders else ""
        text = shorten(words, size, PANEL - _GAUGE[1] - 16)
        pen.text((_GAUGE[1] + 8, row), text, font=font(size), fill=saying, anchor="lm")
        if alive:
            _draw_gauges(pen, arrays["health"][u] / arrays["health_max"][u], row, HEALTH)
            if arrays["shield_max"][u] > 0:
                _draw_gauges(pen, arrays["shield"][u] / arrays["shield_max"][u], row - 4, SHIELD)


def _draw_gauges(pen: ImageDraw.ImageDraw, share: float, row: float, colour: Colour) -> None:
    left, right = _GAUGE
    low = colour == HEALTH and share <= 1 / 3
    gauge(pen, left, right, row + 1, FAINT, 1)
    gauge(pen, left, left + (right - left) * share, row + 1, HEALTH_LOW if low else colour, 1)
