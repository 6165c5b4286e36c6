"""The fastest peer, when `jaxmarl` is installed: SMAX, a StarCraft-like world in JAX (Rutherford et al., 2023).

SMAX is not SMAC: it has its own units, damage, observations and reward. Only speed is compared, under the same random
policy, inside one jitted scan, as JAX plays fastest. It may use every core of the machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from typing import Any

_SCAN = 64
"""Environment steps of each game in one call."""


def is_installed() -> bool:
    """Whether SMAX can be played here."""
    return find_spec("jaxmarl") is not None and find_spec("jax") is not None


def version() -> str:
    """Versions of jaxmarl and jax, for the record."""
    return ", ".join(f"{name} {installed_version(name)}" for name in ("jaxmarl", "jax"))


@contextmanager
def _standard_output_to_error() -> Iterator[None]:
    """Keep the result clean: the package prints while it is imported, past any replaced `sys.stdout`."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _step(env: Any, key: Any, state: Any) -> tuple[Any, Any]:
    """One step of one game: random available actions; returns the next state and a sum that uses all outputs."""
    jax, jnp = import_module("jax"), import_module("jax.numpy")
    key_step, *keys = jax.random.split(key, 1 + len(env.agents))
    masks = env.get_avail_actions(state)
    actions = {
        agent: jax.random.categorical(k, jnp.where(masks[agent], 0.0, -jnp.inf))
        for agent, k in zip(env.agents, keys, strict=True)
    }
    observations, state, rewards, _, _ = env.step(key_step, state, actions)
    used = jax.tree.map(jnp.sum, (observations, rewards))
    return state, sum(jax.tree.leaves(used))


def play(map_name: str, n_games: int) -> Callable[[], int]:
    """Compile and warm up; returns a function that plays a scan and returns the environment steps played."""
    jax = import_module("jax")
    with _standard_output_to_error():
        worlds = import_module("jaxmarl.environments.smax")
    env = worlds.HeuristicEnemySMAX(scenario=worlds.map_name_to_scenario(map_name))
    games = jax.vmap(lambda key, state: _step(env, key, state))

    def scan(key: Any, state: Any) -> tuple[Any, Any, Any]:
        def body(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Any]:
            key, state = carry
            key, now = jax.random.split(key)
            state, used = games(jax.random.split(now, n_games), state)
            return (key, state), used.sum()

        (key, state), used = jax.lax.scan(body, (key, state), None, length=_SCAN)
        return key, state, used.sum()

    compiled = jax.jit(scan)
    key = jax.random.key(0)
    _, state = jax.vmap(env.reset)(jax.random.split(key, n_games))
    now = compiled(key, state)

    def advance() -> int:
        nonlocal now
        now = compiled(now[0], now[1])
        now[2].block_until_ready()
        return n_games * _SCAN

    advance()
    return advance
