"""The one trace of the real game at hand: 3m, every agent always stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.finding import Finding, reference
from env_adapters import scenarios
from env_adapters.api import DoubleArray
from env_adapters.starcraft.units import LOOPS_PER_SECOND, ROW, UNITS

_MAP, _STEPS = "3m", 26
_HALTED = 8
"""Step by which enemy 0 stands and shoots."""


class Trace(NamedTuple):
    """3m under the stop policy, B episodes of T steps."""

    dead: DoubleArray
    """Dead agents after each step [T, B]."""
    enemy: DoubleArray
    """Position of enemy 0 after each step [T, B, 2]."""
    agents: DoubleArray
    """Positions of the agents, which stay there [3, 2]."""


def play_stop_policy(n_games: int) -> Trace:
    """Play it, one seed per game."""
    with scenarios.make_vector(_MAP, n_games) as env:
        step = env.reset(np.arange(n_games, dtype=np.int64))
        n = env.spec.n_agents
        start = env.render_state(0).arrays
        dead, enemy = [], []
        for _ in range(_STEPS):
            assert step.available_actions is not None
            step = env.step(step.available_actions.argmax(axis=-1))  # stop, or no-op for the dead
            states = [env.render_state(game).arrays for game in range(n_games)]
            dead.append([(state["health"][:n] <= 0).sum() for state in states])
            enemy.append([(state["x"][n], state["y"][n]) for state in states])
    agents = np.stack([start["x"][:n], start["y"][:n]], axis=1)
    return Trace(np.array(dead, dtype=np.float64), np.array(enemy), agents)


def findings(n_games: int) -> Iterator[Finding]:
    """Deaths, positions, walking speed and halting distance against the trace."""
    real = reference()["trace"]
    trace = play_stop_policy(n_games)
    for killed, real_step in enumerate(real["death_steps"], start=1):
        steps = (trace.dead >= killed).argmax(axis=0) + 1
        typical = float(np.median(steps))
        yield Finding(
            what=f"3m, agents always stop: step of death {killed}",
            reference=f"{real_step} (median within 1)",
            here=f"{typical:g} ({steps.min()} .. {steps.max()})",
            inside=abs(typical - real_step) <= 1,
            source=real["source"],
            n=n_games,
            value=typical,
        )
    yield from _walk(trace, real, n_games)


def _walk(trace: Trace, real: dict[str, Any], n_games: int) -> Iterator[Finding]:
    rows = np.array(real["enemy0"])
    steps = [int(step) for step in rows[:, 0]]
    typical = np.median(trace.enemy[np.array(steps) - 1], axis=1)
    error = float(np.abs(typical - rows[:, 1:]).max())
    one_loop = UNITS[ROW["Marine"]].speed / LOOPS_PER_SECOND
    yield _finding(
        f"3m, agents always stop: largest error of enemy 0's median position in {len(rows)} steps, cells",
        f"0 (at most one loop's walk, {one_loop:.2f})",
        error,
        error <= one_loop,
        n_games,
    )
    length, wanted = float(np.hypot(*(typical[1] - typical[0]))), real["cells_per_step"]
    yield _finding(
        "Marine: cells walked in a step", f"{wanted}", length, abs(length - wanted) < 1e-3, n_games
    )
    halt = typical[steps.index(_HALTED)]
    distance, limit = float(np.hypot(*(trace.agents - halt).T).min()), real["halting_distance"]
    yield _finding(
        "Marine: distance at which an attacker halts, cells",
        f"{limit}, less at most one loop's walk",
        distance,
        limit - one_loop < distance <= limit,
        n_games,
    )


def _finding(what: str, wanted: str, value: float, inside: bool, n_games: int) -> Finding:
    return Finding(what, wanted, f"{value:.4f}", inside, reference()["trace"]["source"], n_games, value)
