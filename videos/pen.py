"""The tool that marks are drawn with. Places are enlarged pixels, right + i * down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from videos.style import INK, Colour

Outline = npt.NDArray[np.complex128]
"""Corners of a polygon, in order."""


class Pen:
    """Draws on a cut-out of the arena, in place; opacity runs from 0 to 1.

    Args:
        image: the cut-out.
        corner: place of its upper left corner, whole numbers.
    """

    def __init__(self, image: Image.Image, corner: complex) -> None:
        self._image = image
        self._draw = ImageDraw.Draw(image, "RGBA")
        self._corner = corner

    def _box(self, at: complex, radius: float) -> tuple[float, float, float, float]:
        at -= self._corner
        return at.real - radius, at.imag - radius, at.real + radius, at.imag + radius

    def _flat(self, points: Outline) -> list[float]:
        points = points - self._corner
        return list(np.column_stack([points.real, points.imag]).ravel().tolist())

    def polygon(self, points: Outline, fill: Colour, opacity: float = 1.0, rim: int = 0) -> None:
        """Filled outline, with a dark rim of `rim` pixels where that is not 0."""
        flat = self._flat(points)
        if rim:  # polygon's own wide rim is ten times slower
            self._draw.line(flat + flat[:4], fill=INK, width=rim)
        self._draw.polygon(flat, fill=(*fill, round(255 * opacity)))

    def path(self, points: Outline, colour: Colour, width: int, opacity: float = 1.0) -> None:
        """Strokes from point to point."""
        fill = (*colour, round(255 * opacity))
        self._draw.line(self._flat(points), fill=fill, width=width, joint="curve")

    def disc(self, at: complex, radius: float, fill: Colour, opacity: float = 1.0) -> None:
        """Filled circle."""
        self._draw.ellipse(self._box(at, radius), fill=(*fill, round(255 * opacity)))

    def ring(self, at: complex, radius: float, colour: Colour, width: int, opacity: float = 1.0) -> None:
        """Circle."""
        self._draw.ellipse(self._box(at, radius), outline=(*colour, round(255 * opacity)), width=width)

    def line(self, start: complex, end: complex, colour: Colour, width: int, opacity: float = 1.0) -> None:
        """Straight stroke."""
        start, end = start - self._corner, end - self._corner
        ends = (start.real, start.imag, end.real, end.imag)
        self._draw.line(ends, fill=(*colour, round(255 * opacity)), width=width)

    def rectangle(self, corner: complex, width: float, height: float, fill: Colour) -> None:
        """Filled rectangle from its upper left corner; nothing where it is narrower than a pixel."""
        left, top = corner.real - self._corner.real, corner.imag - self._corner.imag
        if width >= 1:
            self._draw.rectangle((left, top, left + width - 1, top + height - 1), fill=fill)

    def stamp(self, sprite: Image.Image, at: complex) -> None:
        """Lay a picture with transparency over a place, its middle on it."""
        width, height = sprite.size
        left, top = round(at.real) - width // 2, round(at.imag) - height // 2
        place = (left - round(self._corner.real), top - round(self._corner.imag))
        self._image.paste(sprite, place, sprite)
