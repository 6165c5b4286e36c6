"""Ways to replace what teammates see. Masks always leave an action open."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from env_adapters.api import BoolArray
from harness.leak.histories import History, Pool

Perturb = Callable[[History, BoolArray, Pool, np.random.Generator], History]
"""Replaces every row of a history; `keep` [G, N] says whose will be put back."""


def _moments(history: History, keep: BoolArray, pool: Pool, rng: np.random.Generator) -> History:
    return pool.others(history, rng)


def _past(history: History, keep: BoolArray, pool: Pool, rng: np.random.Generator) -> History:
    """Another first half, the true second one: only what teammates remember differs there."""
    other, half = pool.others(history, rng), history.length // 2
    other.observations[half:] = history.observations[half:]
    if other.masks is not None and history.masks is not None:
        other.masks[half:] = history.masks[half:]
    return other


def _exchanged(history: History, keep: BoolArray, pool: Pool, rng: np.random.Generator) -> History:
    """Those whose rows do not stay hand them round in a circle."""
    order = np.broadcast_to(np.arange(keep.shape[1]), keep.shape).copy()
    for game, kept in enumerate(keep):
        order[game, ~kept] = np.roll(np.flatnonzero(~kept), 1)
    games = np.arange(len(keep))[:, None]
    masks = None if history.masks is None else history.masks[:, games, order]
    return History(history.seeds, history.observations[:, games, order], masks)


def _noise(history: History, keep: BoolArray, pool: Pool, rng: np.random.Generator) -> History:
    observations = rng.standard_normal(history.observations.shape, dtype=np.float32)
    masks = None if history.masks is None else np.ones_like(history.masks)
    return History(history.seeds, observations, masks)


def _blank(history: History, keep: BoolArray, pool: Pool, rng: np.random.Generator) -> History:
    """Nothing to see and one action left, as for the dead."""
    masks = None
    if history.masks is not None:
        masks = np.zeros_like(history.masks)
        np.put_along_axis(masks, history.masks.argmax(axis=-1)[..., None], True, axis=-1)
    return History(history.seeds, np.zeros_like(history.observations), masks)


PAST = "teammates had another past"
"""The perturbation whose second half is true."""

PERTURBATIONS: dict[str, Perturb] = {
    "teammates saw other moments": _moments,
    PAST: _past,
    "teammates exchanged what they saw": _exchanged,
    "teammates saw noise": _noise,
    "teammates saw nothing": _blank,
}
"""What teammates live through instead, in words -> how it is made."""


def perturbed(
    perturb: Perturb, base: History, keep: BoolArray, pool: Pool, rng: np.random.Generator
) -> tuple[History, BoolArray]:
    """Replace what everybody sees except those who are kept.

    Args:
        perturb: one of `PERTURBATIONS`.
        base: G games; rows of kept agents come through bit for bit.
        keep: [G, N].
        pool: rows to choose from.
        rng: source of the choices.

    Returns:
        The new history and where it really differs, bool[T, G, N].
    """
    other = perturb(base, keep, pool, rng)
    other.observations[:, keep] = base.observations[:, keep]
    changed = (other.observations != base.observations).any(axis=-1)
    if other.masks is not None and base.masks is not None:
        other.masks[:, keep] = base.masks[:, keep]
        changed |= (other.masks != base.masks).any(axis=-1)
    return other, changed
