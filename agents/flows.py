"""MeanFlow: the average velocity u(a_k, r, k | x) between times r <= k, learned and sampled in one step.

Path of a sample, noise at time 1: a_k = (1 - k) a + k e, velocity v = e - a (VGM2P Eq. 2). The average
velocity satisfies u = v - (k - r) du/dk along the path (MeanFlow, arXiv 2505.13447, Eq. 6), which gives the
regression target below; one step from noise, e - u(e, 0, 1), is a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi
from typing import Literal

import torch
from torch import Tensor

from agents.api import Params
from agents.networks import mlp, mlp_init, mlp_with_tangent

TimeEmbedding = Literal["raw", "sin8"]
"""Times as they are, or as sine and cosine of 2^j pi t for j = 0..7 (MAC-Flow's discrete variant)."""
_N_FREQUENCIES = 8


def _time_size(embedding: TimeEmbedding) -> int:
    return 1 if embedding == "raw" else 2 * _N_FREQUENCIES


def _embed(time: Tensor, rate: Tensor, embedding: TimeEmbedding) -> tuple[Tensor, Tensor]:
    """Embedding of a time [..., 1] and its derivative when time moves at `rate`."""
    if embedding == "raw":
        return time, rate
    frequencies = pi * 2.0 ** torch.arange(_N_FREQUENCIES, dtype=time.dtype, device=time.device)
    angle = time * frequencies
    sine, cosine = torch.sin(angle), torch.cos(angle)
    return torch.cat([sine, cosine], dim=-1), torch.cat([cosine, -sine], dim=-1) * frequencies.repeat(
        2
    ) * rate


def velocity_init(
    context_size: int,
    action_size: int,
    hidden: Sequence[int],
    embedding: TimeEmbedding,
    generator: torch.Generator,
) -> Params:
    """Parameters of the velocity network; its input is [context, a_k, r, k]."""
    inputs = context_size + action_size + 2 * _time_size(embedding)
    return mlp_init("velocity", [inputs, *hidden, action_size], generator)


def velocity(
    params: Mapping[str, Tensor],
    context: Tensor,
    point: Tensor,
    start: Tensor,
    end: Tensor,
    embedding: TimeEmbedding,
) -> Tensor:
    """u(point, start, end | context): [..., A] from context [..., C], point [..., A], times [..., 1]."""
    times = [_embed(time, torch.zeros_like(time), embedding)[0] for time in (start, end)]
    return mlp(params, "velocity", torch.cat([context, point, *times], dim=-1))


def velocity_with_tangent(
    params: Mapping[str, Tensor],
    context: Tensor,
    point: Tensor,
    start: Tensor,
    end: Tensor,
    direction: Tensor,
    embedding: TimeEmbedding,
) -> tuple[Tensor, Tensor]:
    """U as in `velocity`, and its derivative (no gradient) when point moves along `direction` and end at rate 1."""
    r, dr = _embed(start, torch.zeros_like(start), embedding)
    k, dk = _embed(end, torch.ones_like(end), embedding)
    x = torch.cat([context, point, r, k], dim=-1)
    tangent = torch.cat([torch.zeros_like(context), direction, dr, dk], dim=-1)
    return mlp_with_tangent(params, "velocity", x, tangent)


def sample(
    params: Mapping[str, Tensor], context: Tensor, noise: Tensor, embedding: TimeEmbedding, n_steps: int = 1
) -> Tensor:
    """Walk from noise [..., A] at time 1 to a sample at time 0 in `n_steps` equal jumps."""
    point = noise
    ones = torch.ones_like(noise[..., :1])
    for i in range(n_steps, 0, -1):
        end, start = ones * (i / n_steps), ones * ((i - 1) / n_steps)
        point = point - velocity(params, context, point, start, end, embedding) / n_steps
    return point


def draw_times(generator: torch.Generator, shape: Sequence[int], instantaneous: float) -> Tensor:
    """Sorted pairs of uniform times [..., 2] (r <= k); a share of them has r = k."""
    times, _ = torch.rand(*shape, 2, generator=generator).sort(dim=-1)
    if instantaneous > 0.0:
        same = torch.rand(*shape, 1, generator=generator) < instantaneous
        times = torch.where(same, times[..., 1:].expand_as(times), times)
    return times


def meanflow_error(
    params: Mapping[str, Tensor],
    context: Tensor,
    point: Tensor,
    times: Tensor,
    guided: Tensor,
    embedding: TimeEmbedding,
    tangent: Tensor | None = None,
) -> Tensor:
    """Squared error [...] of u against MeanFlow's target guided - (k - r) du/dk (summed over A).

    Args:
        params: velocity network.
        context: [..., C].
        point: a_k [..., A].
        times: [..., 2], r and k.
        guided: velocity to learn [..., A]; plain e - a, or a guided mixture.
        embedding: time embedding.
        tangent: direction of the derivative in action space; default `guided`, as MeanFlow's code does.
    """
    r, k = times[..., :1], times[..., 1:]
    direction = guided if tangent is None else tangent
    u, du = velocity_with_tangent(params, context, point, r, k, direction, embedding)
    target = (guided - (k - r) * du).detach()
    return ((u - target) ** 2).sum(dim=-1)
