"""Single units on open ground against the game's data: rate of damage, burst, healing, walking speed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.finding import Finding, mean_interval, reference
from env_adapters.api import DoubleArray
from env_adapters.starcraft.engine import advance
from env_adapters.starcraft.orders import order_attack, order_heal, order_move
from env_adapters.starcraft.spawns import new_unit
from env_adapters.starcraft.stats import unit_stats
from env_adapters.starcraft.table import ALLY, ENEMY, HEALTH, N_FIELDS, RADIUS, REACH, X
from env_adapters.starcraft.units import LOOPS_PER_SECOND, LOOPS_PER_STEP, ROW

_STATS = unit_stats()
_OPEN = np.full((3, 32, 32), 2, dtype=np.int8)
_NO_WAYS = np.zeros((0, 0), dtype=np.uint16)
_ENDLESS = 1e9
"""Health of what is shot at."""
_WINDOW_S = 40
_RAMP_STEPS = 6
"""Steps after which every unit walks at full speed."""


def _pair(name: str, gap: float) -> DoubleArray:
    """An agent's unit and, `gap` cells to the east, an enemy Marine with endless health."""
    table = np.zeros((N_FIELDS, 2))
    new_unit(table, _STATS, 0, ROW[name], ALLY, 8.0, 16.0)
    new_unit(table, _STATS, 1, ROW["Marine"], ENEMY, 8.0 + gap, 16.0)
    table[HEALTH, 1] = _ENDLESS
    return table


def _play(table: DoubleArray, loops: int, generator: np.ndarray) -> None:
    """Advance units of which none acts without an order."""
    advance(table, _STATS, _OPEN, _NO_WAYS, generator, table.shape[1], loops)


def damage_rates(name: str, windows: int) -> DoubleArray:
    """Damage per game second of a unit that attacks a Marine without end, in windows of 40 s [windows]."""
    table = _pair(name, 1.0)
    table[X, 1] = table[X, 0] + table[REACH, 0] + table[RADIUS, 1] - 0.05
    generator = np.zeros(1, dtype=np.uint64)
    order_attack(table, _STATS, 0, 1)
    _play(table, 2 * LOOPS_PER_SECOND, generator)
    rates = []
    for _ in range(windows):
        before = table[HEALTH, 1]
        _play(table, _WINDOW_S * LOOPS_PER_SECOND, generator)
        rates.append((before - table[HEALTH, 1]) / _WINDOW_S)
    return np.array(rates)


def findings(windows: int) -> Iterator[Finding]:
    """Every weapon, the Baneling's burst, the Medivac's healing and everybody's walk."""
    real = reference()["units"]
    for name, weapon in real["weapons"].items():
        yield _rate(name, weapon, real, windows)
    yield _burst(real)
    yield _heal(real)
    yield _walks(real)


def _rate(name: str, weapon: dict[str, float], real: dict[str, Any], windows: int) -> Finding:
    rates = damage_rates(name, windows)
    interval = mean_interval(rates)
    damage = weapon["damage"] * weapon["blows"]
    period = weapon["period_s"] + float(np.mean(real["random_delay_s"]))
    slowest, fastest = damage / (period + 1.0 / LOOPS_PER_SECOND), damage / period
    return Finding(
        what=f"{name}: damage per game second to a Marine",
        reference=f"{slowest:.2f} .. {fastest:.2f} (the next attack begins up to one loop late)",
        here=f"{rates.mean():.2f}",
        inside=interval.upper >= slowest and interval.lower <= fastest,
        source=real["source"],
        n=round(float(rates.sum()) * _WINDOW_S / damage),
        value=float(rates.mean()),
        interval=interval,
    )


def _burst(real: dict[str, Any]) -> Finding:
    table = _pair("Baneling", 0.9)
    order_attack(table, _STATS, 0, 1)
    _play(table, LOOPS_PER_STEP, np.zeros(1, dtype=np.uint64))
    damage, wanted = _ENDLESS - float(table[HEALTH, 1]), real["baneling_burst_on_light"]
    return Finding(
        "Baneling: damage of its burst to a Marine",
        f"{wanted}",
        f"{damage:g}",
        damage == wanted,
        real["source"],
        1,
        damage,
    )


def _heal(real: dict[str, Any]) -> Finding:
    table = np.zeros((N_FIELDS, 2))
    new_unit(table, _STATS, 0, ROW["Medivac"], ALLY, 8.0, 16.0)
    new_unit(table, _STATS, 1, ROW["Marine"], ALLY, 9.0, 16.0)
    table[HEALTH, 1] = 1.0
    generator = np.zeros(1, dtype=np.uint64)
    order_heal(table, _STATS, 0, 1)
    _play(table, LOOPS_PER_SECOND, generator)
    before = table[HEALTH, 1]
    _play(table, 2 * LOOPS_PER_SECOND, generator)
    rate, wanted = float(table[HEALTH, 1] - before) / 2.0, real["heal_per_s"]
    what = "Medivac: life healed per game second"
    return Finding(what, f"{wanted}", f"{rate:.2f}", abs(rate - wanted) < 0.01, real["source"], 1, rate)


def _walks(real: dict[str, Any]) -> Finding:
    errors = {}
    for name, speed in real["speed"].items():
        table = _pair(name, 23.0)[:, :1].copy()
        generator = np.zeros(1, dtype=np.uint64)
        order_move(table, _STATS, 0, 31.0, 16.0)
        _play(table, _RAMP_STEPS * LOOPS_PER_STEP, generator)
        before = table[X, 0]
        _play(table, LOOPS_PER_STEP, generator)
        errors[name] = abs(float(table[X, 0] - before) - speed * LOOPS_PER_STEP / LOOPS_PER_SECOND)
    worst = max(errors, key=lambda name: errors[name])
    return Finding(
        what=f"walking speed of {len(errors)} unit types: largest error, cells per step",
        reference="0 (at most 0.002: positions are multiples of 1/4096)",
        here=f"{errors[worst]:.4f} ({worst})",
        inside=errors[worst] <= 0.002,
        source=real["source"],
        n=len(errors),
        value=errors[worst],
    )
