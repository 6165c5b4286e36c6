"""The empty StarCraft arena of one film: which part of the map is shown, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from env_adapters.api import BoolArray, DoubleArray, RenderState
from videos.style import FAINT, Colour

Places = npt.NDArray[np.complex128]

ZOOM = 2
"""The arena is drawn this many times larger than it is shown and then reduced, which smooths every edge."""

_MARGIN = 1.6  # map units kept free round all units
_BEYOND = np.array([0.5, 1.0])  # of which beyond the walkable part: east, and north, where the bars are
_LEAST_WIDTH = 12.0  # map units; a duel is not blown up further

_GROUND: Colour = (45, 50, 58)
_GRID: Colour = (53, 59, 68)
_ROCK: Colour = (25, 27, 32)
_ROCK_HATCH: Colour = (30, 33, 38)
_EDGE = 3  # pixels


@dataclass(frozen=True)
class Arena:
    """A window onto the map. Places are enlarged pixels, right + i * down from the window's corner."""

    ground: Image.Image
    """Picture of the window."""
    enlarged: Image.Image
    """The same, ZOOM times larger."""
    left: float
    """Map x of the window's left edge."""
    top: float
    """Map y of the window's upper edge; map y grows upwards."""
    scale: float
    """Enlarged pixels per map unit."""

    @classmethod
    def of(cls, states: Sequence[RenderState], width: int, height: int) -> Arena:
        """Show every place that a unit visits in `states`, with a margin that ends where the walkable part does.

        Args:
            states: moments of one game, at least one.
            width: pixels of the finished picture.
            height: likewise.
        """
        pathable = np.asarray(states[0].arrays["pathable"], dtype=np.bool_)
        pixels = np.array([width, height], dtype=np.float64) * ZOOM
        centre, scale = _window(states, pathable, pixels)
        left, top = float(centre[0] - pixels[0] / scale / 2), float(centre[1] + pixels[1] / scale / 2)
        columns, rows = (np.arange(n, dtype=np.float64) + 0.5 for n in pixels)
        enlarged = _ground(pathable, left + columns / scale, top - rows / scale)
        return cls(enlarged.reduce(ZOOM), enlarged, left, top, scale)

    def places(self, x: DoubleArray, y: DoubleArray) -> Places:
        """Map coordinates as places."""
        return (x - self.left) * self.scale + 1j * (self.top - y) * self.scale

    def cut(self, places: Places, margin: float) -> tuple[Image.Image, complex]:
        """Copy the part of the enlarged picture that holds these places; returns it and its upper left corner.

        The corner is a multiple of ZOOM, so that the reduced part fits into the reduced picture.
        """
        width, height = self.enlarged.size
        left = max(0, int(places.real.min() - margin) // ZOOM * ZOOM)
        top = max(0, int(places.imag.min() - margin) // ZOOM * ZOOM)
        right = min(width, int(places.real.max() + margin) // ZOOM * ZOOM + ZOOM)
        bottom = min(height, int(places.imag.max() + margin) // ZOOM * ZOOM + ZOOM)
        return self.enlarged.crop((left, top, max(right, left + ZOOM), max(bottom, top + ZOOM))), complex(
            left, top
        )


def _window(
    states: Sequence[RenderState], pathable: BoolArray, pixels: DoubleArray
) -> tuple[DoubleArray, float]:
    """Map coordinates of the window's centre, and its scale."""
    places = np.concatenate([np.stack([state.arrays["x"], state.arrays["y"]]) for state in states], axis=1)
    walkable = np.argwhere(pathable)
    low, high = places.min(axis=1), places.max(axis=1)
    low = np.minimum(low, np.maximum(low - _MARGIN, walkable.min(axis=0) - 0.5))
    high = np.maximum(high, np.minimum(high + _MARGIN, walkable.max(axis=0) + 1 + _BEYOND))
    least = _LEAST_WIDTH * pixels / pixels[0]
    return (low + high) / 2, float((pixels / np.maximum(high - low, least)).min())


def _ground(pathable: BoolArray, x: DoubleArray, y: DoubleArray) -> Image.Image:
    """Walkable ground with a grid of 2 map units, hatched rock, and the edge between the two.

    Args:
        pathable: [x, y], map cells.
        x: map coordinate of every column of the picture.
        y: map coordinate of every row.
    """
    cells = np.pad(pathable, 1).T  # everything outside the map is rock
    column = np.clip(np.floor(x).astype(int) + 1, 0, cells.shape[1] - 1)
    row = np.clip(np.floor(y).astype(int) + 1, 0, cells.shape[0] - 1)
    ground = np.ascontiguousarray(cells[row][:, column])
    inner = ground.copy()
    for near, far in ((inner, ground), (inner.T, ground.T)):
        near[_EDGE:] &= far[:-_EDGE]
        near[:-_EDGE] &= far[_EDGE:]
    pixel = abs(x[1] - x[0])
    grid = np.logical_or.outer(y % 2 < 2 * pixel, x % 2 < 2 * pixel)
    hatch = np.add.outer(np.arange(len(y), dtype=np.int16), np.arange(len(x), dtype=np.int16)) // 12 % 2
    colour = hatch.astype(np.uint8)  # index into the palette below
    np.copyto(colour, 4, where=ground)
    np.copyto(colour, grid + np.uint8(2), where=inner)
    picture = Image.fromarray(colour, "P")
    picture.putpalette([part for entry in (_ROCK, _ROCK_HATCH, _GROUND, _GRID, FAINT) for part in entry])
    return picture.convert("RGB")
