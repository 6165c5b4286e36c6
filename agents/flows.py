"""Flows from noise to actions: MeanFlow's average velocity, and flow matching with a one-step student.

Path of a sample, noise at time 1: a_k = (1 - k) a + k e, velocity v = e - a (VGM2P Eq. 2).

* MeanFlow (arXiv 2505.13447, Eq. 6): the average velocity u(a_k, r, k | x) between times r <= k satisfies
  u = v - (k - r) du/dk along the path; one step from noise, e - u(e, 0, 1), is a sample.
* Flow matching (arXiv 2210.02747): the instantaneous velocity E[v | a_k, x], followed in Euler steps; a student
  may learn where each noise ends (arXiv 2502.02538).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi
from typing import Final, Literal

import torch
from torch import Tensor

from agents.api import Params
from agents.networks import mlp, mlp_init, mlp_with_tangent

TimeEmbedding = Literal["raw", "sin8"]
"""Times as they are, or as sine and cosine of 2^j pi t for j = 0..7 (MAC-Flow's discrete variant)."""
_N_FREQUENCIES = 8
Sampler = Literal["jump", "euler"]
"""Between two times: one jump with their average velocity u(a, r, k), or an Euler step with u(a, k, k)."""
Derivative = Literal["jvp", "difference", "zero"]
"""How du/dk is had: exactly, as a difference over `DIFFERENCE_STEP`, or not at all."""
DIFFERENCE_STEP: Final = 5e-3
"""Wide enough for float32: its error on du is about that of the exact derivative in single precision."""


def _time_size(embedding: TimeEmbedding) -> int:
    return 1 if embedding == "raw" else 2 * _N_FREQUENCIES


def _frequencies(like: Tensor) -> Tensor:
    return pi * 2.0 ** torch.arange(_N_FREQUENCIES, dtype=like.dtype, device=like.device)


def _embed(time: Tensor, embedding: TimeEmbedding) -> Tensor:
    """Embedding of a time [..., 1]."""
    if embedding == "raw":
        return time
    angle = time * _frequencies(time)
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=-1)


def _embed_rate(time: Tensor, rate: Tensor, embedding: TimeEmbedding) -> Tensor:
    """Derivative of the embedding when time moves at `rate`."""
    if embedding == "raw":
        return rate
    frequencies = _frequencies(time)
    angle = time * frequencies
    return torch.cat([torch.cos(angle), -torch.sin(angle)], dim=-1) * frequencies.repeat(2) * rate


def _moment(like: Tensor, time: Tensor | float, embedding: TimeEmbedding) -> Tensor:
    """Embedding [..., T] of times [..., 1], or of one time for all rows [..., X] of `like`.

    That one is embedded once: a library's sine may depend on how many numbers there are.
    """
    if isinstance(time, Tensor):
        return _embed(time, embedding)
    return _embed(like.new_full((1,), time), embedding).expand(*like.shape[:-1], -1)


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
    start: Tensor | float,
    end: Tensor | float,
    embedding: TimeEmbedding,
) -> Tensor:
    """u(point, start, end | context): [..., A] from context [..., C], point [..., A], times [..., 1] or one for all."""
    times = [_moment(point, time, embedding) for time in (start, end)]
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
    r, k = _embed(start, embedding), _embed(end, embedding)
    x = torch.cat([context, point, r, k], dim=-1)
    dk = _embed_rate(end, torch.ones_like(end), embedding)
    tangent = torch.cat([torch.zeros_like(context), direction, torch.zeros_like(r), dk], dim=-1)
    return mlp_with_tangent(params, "velocity", x, tangent)


def sample(
    params: Mapping[str, Tensor],
    context: Tensor,
    noise: Tensor,
    embedding: TimeEmbedding,
    n_steps: int = 1,
    sampler: Sampler = "jump",
) -> Tensor:
    """Walk from noise [..., A] at time 1 to a sample at time 0 in `n_steps` equal steps."""
    point = noise
    for i in range(n_steps, 0, -1):
        end, before = i / n_steps, (i - 1) / n_steps
        start = end if sampler == "euler" else before
        slope = velocity(params, context, point, start, end, embedding)
        point = point - (slope / n_steps if n_steps > 1 else slope)
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
    derivative: Derivative = "jvp",
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
        derivative: how du/dk is had; "zero" where r = k throughout, because nothing of it is left there.
    """
    r, k = times[..., :1], times[..., 1:]
    direction = guided if tangent is None else tangent
    if derivative == "jvp":
        u, du = velocity_with_tangent(params, context, point, r, k, direction, embedding)
        target = guided - (k - r) * du
    else:
        u, target = velocity(params, context, point, r, k, embedding), guided
    if derivative == "difference":
        h = DIFFERENCE_STEP
        with torch.no_grad():
            before = velocity(params, context, point - h * direction, r, k - h, embedding)
        target = guided - (k - r) * (u - before) / h
    return ((u - target.detach()) ** 2).sum(dim=-1)


def field_init(
    context_size: int,
    action_size: int,
    hidden: Sequence[int],
    embedding: TimeEmbedding,
    generator: torch.Generator,
) -> Params:
    """Parameters of the instantaneous velocity field; its input is [context, a_k, k]."""
    inputs = context_size + action_size + _time_size(embedding)
    return mlp_init("field", [inputs, *hidden, action_size], generator)


def field(
    params: Mapping[str, Tensor],
    context: Tensor,
    point: Tensor,
    time: Tensor | float,
    embedding: TimeEmbedding,
) -> Tensor:
    """Instantaneous velocity [..., A] at point [..., A] and time [..., 1], or one time for all."""
    embedded = _moment(point, time, embedding)
    return mlp(params, "field", torch.cat([context, point, embedded], dim=-1))


def matching_error(
    params: Mapping[str, Tensor],
    context: Tensor,
    actions: Tensor,
    noise: Tensor,
    time: Tensor,
    embedding: TimeEmbedding,
) -> Tensor:
    """Squared error [...] of the field at a_k against e - a (mean over A, as MAC-Flow's code takes it)."""
    point = (1.0 - time) * actions + time * noise
    return ((field(params, context, point, time, embedding) - (noise - actions)) ** 2).mean(dim=-1)


def euler(
    params: Mapping[str, Tensor], context: Tensor, noise: Tensor, embedding: TimeEmbedding, n_steps: int
) -> Tensor:
    """Follow the field from noise [..., A] at time 1 to a sample at time 0."""
    point = noise
    for i in range(n_steps, 0, -1):
        point = point - field(params, context, point, i / n_steps, embedding) / n_steps
    return point


def student_init(
    context_size: int, action_size: int, hidden: Sequence[int], generator: torch.Generator
) -> Params:
    """Parameters of a network that goes from noise to action at once; its input is [context, noise]."""
    return mlp_init("student", [context_size + action_size, *hidden, action_size], generator)


def student(params: Mapping[str, Tensor], context: Tensor, noise: Tensor) -> Tensor:
    """The student's action vectors [..., A]."""
    return mlp(params, "student", torch.cat([context, noise], dim=-1))
