"""The look that all films share: colours, lettering, the header strip and the closing banner.

Colours of sides and limbs are the sky blue and orange of Okabe and Ito's palette ("Color Universal Design",
2008), which people with any common colour vision tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Picture = npt.NDArray[np.uint8]
"""[height, width, 3], red green blue."""

BLUE: Colour = (86, 180, 233)
ORANGE: Colour = (230, 159, 0)
WHITE: Colour = (240, 243, 247)
MUTED: Colour = (146, 154, 166)
FAINT: Colour = (70, 76, 86)
INK: Colour = (12, 14, 18)
STRIP: Colour = (24, 27, 33)

HEADER = 64
"""Height of the strip above the picture."""

_BETWEEN = "  ·  "
_MARGIN = 14


@dataclass(frozen=True)
class Caption:
    """What the first line of the header says."""

    scenario: str
    title: str = ""
    """Who acts, for example the agent's name."""
    seed: int | None = None
    """Episode seed."""
    pace: str = ""
    """How fast the film runs, for example "normal game speed"."""
    episode_return: float = 0.0
    """Sum of the rewards so far."""


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's built-in typeface at `size` pixels; needs no font file. It covers ASCII and a few signs more."""
    loaded = ImageFont.load_default(size=size)
    assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return loaded


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour that lies `share` (0 to 1) of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shorten(text: str, size: int, width: float) -> str:
    """Cut `text` with an ellipsis so that it takes at most `width` pixels at this size."""
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def header(caption: Caption, width: int) -> Image.Image:
    """Draw the strip above the picture; its lower half is left for the film's own gauges."""
    strip = Image.new("RGB", (width, HEADER), STRIP)
    pen = ImageDraw.Draw(strip)
    pen.line((0, HEADER - 1, width, HEADER - 1), fill=FAINT)
    returned = f"{caption.episode_return:.{2 if abs(caption.episode_return) < 100 else 0}f}"
    pen.text((width - _MARGIN, 17), returned, font=font(19), fill=WHITE, anchor="rm")
    end = width - _MARGIN - font(19).getlength(returned) - 7
    pen.text((end, 18), "return", font=font(13), fill=MUTED, anchor="rm")
    room = end - font(13).getlength("return") - 2 * _MARGIN
    scenario = shorten(caption.scenario, 17, room)
    pen.text((_MARGIN, 17), scenario, font=font(17), fill=WHITE, anchor="lm")
    used = font(17).getlength(scenario) + 10
    seed = "" if caption.seed is None else f"seed {caption.seed}"
    facts = [fact for fact in (caption.title, caption.pace, seed) if fact]
    while len(facts) > 1 and font(13).getlength(_BETWEEN.join(facts)) > room - used:
        facts.pop()
    text = shorten(_BETWEEN.join(facts), 13, room - used)
    pen.text((_MARGIN + used, 18), text, font=font(13), fill=MUTED, anchor="lm")
    return strip


def step_counter(strip: Image.Image, centre: float, step: int, limit: int) -> None:
    """Write "step 3 / 70" into the lower half of a header, over a thin line that grows with it."""
    pen = ImageDraw.Draw(strip)
    pen.text((centre, 43), f"step {step} / {limit}", font=font(14), fill=WHITE, anchor="mm")
    gauge(pen, centre - 50, centre + 50, 55, FAINT, 1)
    gauge(pen, centre - 50, centre - 50 + 100 * step / max(limit, 1), 55, WHITE, 1)


def gauge(pen: ImageDraw.ImageDraw, start: float, end: float, row: float, colour: Colour, half: int) -> None:
    """Horizontal bar between two columns, given in either order, `half` pixels to each side of its row."""
    if abs(end - start) >= 1:
        pen.rectangle((min(start, end), row - half, max(start, end) - 1, row + half), fill=colour)


def joined(strip: Image.Image, picture: Image.Image) -> Picture:
    """Header above picture, as uint8[height, width, 3]."""
    return np.concatenate([np.asarray(strip), np.asarray(picture)])


def banner(picture: Image.Image, headline: str, colour: Colour, detail: str) -> None:
    """Lay a dark band with a headline and a line of detail across the top of `picture`, in place."""
    width, height = picture.size[0], 92
    pen = ImageDraw.Draw(picture, "RGBA")
    pen.rectangle((0, 0, width, height), fill=(*INK, 215))
    pen.line((0, height, width, height), fill=colour, width=3)
    pen.text((width / 2, 36), headline, font=font(46), fill=colour, anchor="mm")
    pen.text((width / 2, 75), detail, font=font(15), fill=WHITE, anchor="mm")
