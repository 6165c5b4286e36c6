"""The VGM2P step in JAX, when `jax` is installed: the peer of the same algorithm under another compiler.

Written for speed comparisons of this one configuration (discrete actions, two critics, literal guidance, the paper's
defaults); its loss is that of the project on the same numbers (tested where jax is installed).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

Arrays = dict[str, np.ndarray]
_ONE_THREAD: Final = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
_RATE, _TAU, _DISCOUNT, _GUIDANCE = 3e-4, 0.005, 0.995, 3.0
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_CRITICS: Final = ("q0", "q1")


def is_installed() -> bool:
    """Whether JAX can be used here."""
    return find_spec("jax") is not None


def version() -> str:
    """Its version, for the record."""
    return f"jax {installed_version('jax')}"


def _jax() -> tuple[Any, Any]:
    """Modules `jax` and `jax.numpy`, on one CPU thread if this is the first use in the process."""
    os.environ.setdefault("XLA_FLAGS", _ONE_THREAD)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return import_module("jax"), import_module("jax.numpy")


def _mlp(params: Mapping[str, Any], name: str, x: Any) -> Any:
    jax, jnp = _jax()
    depth = sum(key.startswith(f"{name}.") and key.endswith(".weight") for key in params)
    for layer in range(depth):
        x = x @ params[f"{name}.{layer}.weight"].T + params[f"{name}.{layer}.bias"]
        if layer < depth - 1:
            x = jax.nn.gelu(x, approximate=True)
            if f"{name}.{layer}.norm_scale" in params:
                centred = x - x.mean(-1, keepdims=True)
                scaled = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
                x = scaled * params[f"{name}.{layer}.norm_scale"] + params[f"{name}.{layer}.norm_shift"]
    return x


def _velocity(params: Mapping[str, Any], inputs: Any, token: Any, point: Any, r: Any, k: Any) -> Any:
    jax, jnp = _jax()
    tokens = jnp.broadcast_to(jax.nn.one_hot(token, 2), (*inputs.shape[:-1], 2))
    return _mlp(params, "velocity", jnp.concatenate([inputs, tokens, point, r, k], -1))


def _values(params: Mapping[str, Any], inputs: Any, actions: Any) -> Any:
    _, jnp = _jax()
    x = jnp.concatenate([inputs, actions], -1)
    return jnp.stack([_mlp(params, name, x)[..., 0] for name in _CRITICS])


def loss(params: Any, targets: Any, batch: Any, noise: Any) -> Any:
    """Critic and policy loss of one batch (arrays as the fields of `agents.api.Batch`), a scalar."""
    jax, jnp = _jax()
    stop = jax.lax.stop_gradient
    n_actions = noise["path"].shape[-1]
    actions = jax.nn.one_hot(batch["actions"], n_actions)
    inputs = jnp.stack([batch["next_inputs"], batch["inputs"]])
    drawn = jnp.concatenate([noise["next"][None], noise["reference"]])
    zeros, ones = jnp.zeros_like(drawn[..., :1]), jnp.ones_like(drawn[..., :1])
    sampled = drawn - _velocity(params, inputs, 1, drawn, zeros, ones)
    masks = jnp.stack([batch["next_available"], batch["available"]])
    following, reference = stop(jax.nn.one_hot(jnp.where(masks, sampled, -jnp.inf).argmax(-1), n_actions))
    future = _values(targets, batch["next_inputs"], following).mean(0)
    y = batch["rewards"][:, None] + _DISCOUNT * (1.0 - batch["terminated"][:, None]) * future
    values = _values(params, batch["inputs"], actions)
    critic = ((values.sum(-1) - stop(y).sum(-1)) ** 2).mean()
    advantage = stop(values.mean(0) - _values(params, batch["inputs"], reference).mean(0))
    good = (advantage >= 0.0).astype(jnp.int32)
    r, k = noise["times"][..., :1], noise["times"][..., 1:]
    point, plain = (1.0 - k) * actions + k * noise["path"], noise["path"] - actions
    field = stop(_velocity(params, batch["inputs"], 1, point, k, k))
    guided = _GUIDANCE * plain + (1.0 - _GUIDANCE) * field

    def along(at: Any, end: Any) -> Any:
        return _velocity(params, batch["inputs"], good, at, r, end)

    u, du = jax.jvp(along, (point, k), (guided, jnp.ones_like(k)))
    return critic + ((u - stop(guided - (k - r) * du)) ** 2).sum(-1).mean()


def steps(params: Arrays, targets: Arrays, batch: Arrays, noise: Arrays) -> Callable[[int], None]:
    """The whole update (loss, gradient, Adam, Polyak), jitted: call it with a number of steps."""
    jax, jnp = _jax()

    def update(state: Any, batch: Any, noise: Any) -> Any:
        params, targets, first, second, count = state
        gradient = jax.grad(loss)(params, targets, batch, noise)
        count = count + 1
        first = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: _BETA2 * v + (1 - _BETA2) * g * g, second, gradient)
        low, high = 1 - _BETA1**count, 1 - _BETA2**count
        params = jax.tree.map(
            lambda p, m, v: p - _RATE * (m / low) / (jnp.sqrt(v / high) + _EPSILON), params, first, second
        )
        targets = {name: t + _TAU * (params[name] - t) for name, t in targets.items()}
        return params, targets, first, second, count

    jitted = jax.jit(update, donate_argnums=0)
    tensors, slow = jax.tree.map(jnp.array, (params, targets))
    nothing = jax.tree.map(jnp.zeros_like, tensors)
    state = (tensors, slow, nothing, jax.tree.map(jnp.zeros_like, tensors), jnp.zeros(()))
    place = [jax.tree.map(jnp.array, part) for part in (batch, noise)]

    def run(n_steps: int) -> None:
        nonlocal state
        for _ in range(n_steps):
            state = jitted(state, *place)
        jax.block_until_ready(state)

    return run
