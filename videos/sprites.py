"""Units and numbers as small pictures with transparency, drawn once and stamped many times.

A film shows the same few unit types in a limited number of directions; stamping is ten times as fast as
drawing their outlines afresh.
"""

from __future__ import annotations

import cmath
import math
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from videos.pen import Pen
from videos.silhouettes import EXTENT, silhouette
from videos.style import INK, WHITE, Colour, font, mix

DIRECTIONS: Final = 90
"""Units are drawn facing one of this many directions, 4 degrees apart."""

_FINER = 2  # sprites are drawn this many times larger and then reduced
_RIM = 3  # pixels of the finished sprite
_WEDGE = np.array([0.5 + 0j, -0.25 + 0.34j, -0.25 - 0.34j])


def direction(facing: float) -> int:
    """Nearest of the DIRECTIONS to an angle in radians, counter-clockwise from east."""
    return round(facing / (2 * math.pi) * DIRECTIONS) % DIRECTIONS


@lru_cache(maxsize=1024)
def unit_sprite(
    unit_type: int, colour: Colour, radius: int, heading: int, wedge: bool, opacity: float = 1.0
) -> Image.Image:
    """A unit seen from above, in the middle of a square RGBA picture.

    Args:
        unit_type: StarCraft II catalogue number.
        colour: its side's.
        radius: in pixels.
        heading: one of DIRECTIONS, counter-clockwise from east.
        wedge: mark the middle with a dark arrowhead, for units without a number.
        opacity: below 1 for units that others are to be seen through.
    """
    half = math.ceil(radius * EXTENT) + _RIM
    image = Image.new("RGBA", (2 * half * _FINER, 2 * half * _FINER))
    pen, middle = Pen(image, 0j), complex(half, half) * _FINER
    turn = radius * _FINER * cmath.exp(2j * math.pi * heading / DIRECTIONS)
    for part in silhouette(unit_type):
        tinted = mix(colour, WHITE if part.tint > 0 else INK, abs(part.tint))
        pen.polygon((part.outline * turn).conjugate() + middle, tinted, rim=_RIM * _FINER)
    if wedge:
        pen.polygon((_WEDGE * turn).conjugate() + middle, INK)
    sprite = image.reduce(_FINER)
    sprite.putalpha(sprite.getchannel("A").point([round(level * opacity) for level in range(256)]))
    return sprite


@lru_cache(maxsize=256)
def text_sprite(text: str, size: int, colour: Colour) -> Image.Image:
    """A word in the middle of an RGBA picture, `size` pixels high."""
    width = math.ceil(font(size).getlength(text)) + 2
    image = Image.new("RGBA", (width, size + 4), (*colour, 0))
    middle = (width / 2, size / 2 + 2)
    ImageDraw.Draw(image).text(middle, text, font=font(size), fill=colour, anchor="mm")
    return image
