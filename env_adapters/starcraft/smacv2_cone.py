"""Reach of an agent: a circle, or a cone round the direction it looks in."""

from __future__ import annotations

from math import atan, sqrt

from env_adapters.jit import kernel
from env_adapters.starcraft.smacv2_layer import CLAMP, Layer


@kernel
def in_cone(layer: Layer, view: int, dx: float, dy: float) -> bool:
    """Whether (dx, dy) lies in the cone round a look direction, by upstream's comparison of slopes.

    A slope does not tell a direction from its opposite, so due east and due west also see a whole cone behind, and the
    others a sliver next to the y axis on the other side.
    """
    east = dx > 0.0
    dx = max(dx, CLAMP) if east else min(dx, -CLAMP)
    return abs(atan(dy / dx) - layer.look_angle[view, int(east)]) < layer.half_angle


@kernel
def reaches(layer: Layer, view: int, reach: float, dx: float, dy: float) -> bool:
    """Whether (dx, dy) is no farther than `reach` cells and, with cones, in the cone of look direction `view`."""
    if sqrt(dx * dx + dy * dy) > reach:
        return False
    return layer.n_views == 0 or in_cone(layer, view, dx, dy)


@kernel
def sees(layer: Layer, view: int, sight: float, dx: float, dy: float, distance: float) -> bool:
    """Whether (dx, dy), dead or alive, is in an agent's field of view: nearer than `sight`, or in its cone."""
    if layer.n_views == 0:
        return distance < sight
    return distance <= sight and in_cone(layer, view, dx, dy)
