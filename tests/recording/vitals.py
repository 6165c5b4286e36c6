"""Random life, shields, energy and cooldowns for unit tables, and what a step does to them.

A style is a number stored in the golden files as `event_style`; 0 to 9 mean what the README of the golden
files says, 10 holds extreme values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .positions import as_float32

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ALL_ALIVE_STYLES: Final = (3, 4)
REGENERATION_STYLE: Final = 5
WON_STYLE: Final = 6
LOST_STYLE: Final = 7
BOTH_DIE_STYLE: Final = 8
MEDIVACS_STYLE: Final = 9
EXTREME_STYLE: Final = 10
N_STYLES: Final = 11
_ENERGY_MAX: Final = 200.0
_COOLDOWN_MAX: Final = 50.0
_TINY: Final = 2.0**-10


@dataclass(frozen=True)
class Team:
    """What does not change over a step: [U] each."""

    enemy: Flags
    medivac: Flags
    health_max: Values
    shield_max: Values


@dataclass
class Vitals:
    """Points of life, shield and energy and loops of cooldown, [U] each; health 0 is dead."""

    health: Values
    shield: Values
    energy: Values
    cooldown: Values

    def rounded(self) -> Vitals:
        """The same, each value exactly a float32."""
        return Vitals(*(as_float32(v) for v in (self.health, self.shield, self.energy, self.cooldown)))


def _points(rng: np.random.Generator, maximum: Values) -> Values:
    """Full, whole, a 256th of the maximum, or anything below it."""
    whole = np.maximum(np.floor(rng.random(maximum.shape) * maximum), np.minimum(1, maximum))
    kinds = np.stack([maximum, whole, maximum / 256, rng.random(maximum.shape) * maximum])
    return np.asarray(np.choose(rng.integers(0, 4, maximum.shape), kinds))


def before(style: int, rng: np.random.Generator, team: Team) -> Vitals:
    """Vitals before the step."""
    count = team.health_max.shape
    health = np.maximum(_points(rng, team.health_max), _TINY)
    shield = np.where(rng.random(count) < 0.2, 0.0, _points(rng, team.shield_max))
    energy = rng.random(count) * _ENERGY_MAX
    cooldown = np.where(rng.random(count) < 0.5, 0.0, rng.random(count) * _COOLDOWN_MAX)
    if style == EXTREME_STYLE:
        health = rng.choice([1.0, _TINY, 0.5], count) * np.where(
            rng.random(count) < 0.5, team.health_max, 1.0
        )
        shield = rng.choice([0.0, 1.0], count) * team.shield_max
        energy = rng.choice([0.0, _ENERGY_MAX], count)
        cooldown = rng.choice([0.0, 1.0, 1e3, 1e6, _TINY], count)
    if style not in ALL_ALIVE_STYLES:
        health[rng.random(count) < rng.choice([0.0, 0.15, 0.6])] = 0.0
    return Vitals(health, shield, energy, cooldown).rounded()


def after(style: int, rng: np.random.Generator, team: Team, old: Vitals) -> Vitals:
    """Vitals after the step; who was dead stays dead."""
    count = old.health.shape
    unchanged = style == MEDIVACS_STYLE and not team.medivac.any()
    if unchanged:
        return old
    health, shield = old.health.copy(), old.shield.copy()
    hit = rng.random(count) < 0.4
    if style == REGENERATION_STYLE:
        hit &= ~team.enemy
    damage = np.where(
        hit, np.where(rng.random(count) < 0.5, rng.integers(1, 13, count), rng.uniform(0, 12, count)), 0
    )
    to_shield = np.minimum(damage, shield)
    shield -= to_shield
    health -= damage - to_shield
    if style != REGENERATION_STYLE:
        health[rng.random(count) < 0.1] = 0.0
    _regenerate(style, rng, team, health, shield, hit)
    if style in ALL_ALIVE_STYLES:
        health = np.maximum(health, _TINY)
    health = np.where(old.health > 0, np.clip(health, 0, None), 0.0)
    _wipe_out(style, rng, team, health)
    energy = np.where(team.medivac, rng.random(count) * _ENERGY_MAX, old.energy)
    cooldown = np.where(
        rng.random(count) < 0.5, np.maximum(old.cooldown - 8, 0), rng.random(count) * _COOLDOWN_MAX
    )
    if style == EXTREME_STYLE:
        energy, cooldown = old.energy, old.cooldown
    return Vitals(health, shield, energy, cooldown).rounded()


def _regenerate(
    style: int, rng: np.random.Generator, team: Team, health: Values, shield: Values, hit: Flags
) -> None:
    growing = ~hit & (rng.random(health.shape) < 0.5)
    shield += np.where(growing, np.minimum(rng.random(health.shape) * 2, team.shield_max - shield), 0.0)
    if style == REGENERATION_STYLE:
        health += np.where(team.enemy, np.minimum(4.0, team.health_max - health), 0.0)


def _wipe_out(style: int, rng: np.random.Generator, team: Team, health: Values) -> None:
    """Kill a whole side, both, or all but one side's Medivacs."""
    if style in (WON_STYLE, BOTH_DIE_STYLE):
        health[team.enemy] = 0.0
    if style in (LOST_STYLE, BOTH_DIE_STYLE):
        health[~team.enemy] = 0.0
    if style == MEDIVACS_STYLE:
        side = team.enemy == (rng.random() < 0.5)
        health[side & ~team.medivac] = 0.0
