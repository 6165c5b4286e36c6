"""A temporal U-Net over the trajectories of a team, as pure functions of named tensors.

The network of Diffuser (arXiv 2205.09991) with MADiff's attention between agents (arXiv 2305.17330): residual
blocks of two convolutions over time, each followed by a GroupNorm of 8 groups and Mish; each level but the last
halves the time; on the way up the hidden layers of each level pass through an attention between agents before they
are joined. All agents share the parameters. Tensors are laid out [..., N, T, C]: agents, time, channels; a
convolution is one matrix product over the steps of its kernel side by side, which can be mapped over stacked seeds.

Released MADiff also feeds the time embedding to its attention; not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log, sqrt
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.api import Params
from env_adapters.bounds import check_at_least
from env_adapters.errors import InvalidValueError

_GROUPS: Final = 8
_HEADS: Final = 4
_KERNEL: Final = 5


def check_shape(channels: Sequence[int], embedding: int, length: int) -> None:
    """Raise InvalidValueError unless such a network can take trajectories of this length."""
    check_at_least("channels (how many levels)", len(channels), 1)
    wrong = [width for width in channels if width < 16 or width % 16]
    if wrong:
        raise InvalidValueError(f"channels has {wrong[0]}; give multiples of 16")
    if embedding < 4 or embedding % 2:
        raise InvalidValueError(f"embedding is {embedding}; give an even number from 4")
    if length % 2 ** (len(channels) - 1):
        raise InvalidValueError(
            f"history + horizon is {length}, which {len(channels) - 1} levels cannot halve; "
            f"give a multiple of {2 ** (len(channels) - 1)}"
        )


def linear_init(name: str, fan_in: int, fan_out: int, generator: torch.Generator) -> Params:
    """Weight and bias of a linear layer, uniform within 1 / sqrt(fan_in) as in PyTorch."""
    bound = 1.0 / sqrt(fan_in)
    weight = torch.rand(fan_out, fan_in, generator=generator)
    bias = torch.rand(fan_out, generator=generator)
    return {f"{name}.weight": (2.0 * weight - 1.0) * bound, f"{name}.bias": (2.0 * bias - 1.0) * bound}


def _linear(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])


def _block_init(name: str, inputs: int, outputs: int, embedding: int, generator: torch.Generator) -> Params:
    params = linear_init(f"{name}.first", _KERNEL * inputs, outputs, generator)
    params |= linear_init(f"{name}.second", _KERNEL * outputs, outputs, generator)
    for part in ("first", "second"):
        params[f"{name}.{part}.scale"] = torch.ones(outputs)
        params[f"{name}.{part}.shift"] = torch.zeros(outputs)
    params |= linear_init(f"{name}.time", embedding, outputs, generator)
    if inputs != outputs:
        params |= linear_init(f"{name}.residual", inputs, outputs, generator)
    return params


def _attention_init(name: str, channels: int, generator: torch.Generator) -> Params:
    """Queries and keys of C/16 channels a head, values of C/4; the output starts with weight 0."""
    params: Params = {f"{name}.gamma": torch.zeros(1)}
    for part, width in (("query", channels // 16), ("key", channels // 16), ("value", channels // 4)):
        params |= linear_init(f"{name}.{part}", channels, _HEADS * width, generator)
    return params


def unet_init(
    name: str,
    features: int,
    channels: Sequence[int],
    embedding: int,
    attention: bool,
    generator: torch.Generator,
) -> Params:
    """Parameters of a U-Net.

    Args:
        name: prefix of every parameter.
        features: numbers per agent and step.
        channels: widths of the levels (released: 128, 512, 1024).
        embedding: width of the embeddings of diffusion step and return, each (released: 128).
        attention: let agents attend to each other.
        generator: source of the initial weights.
    """
    params: Params = {}
    for part, first in (("step", embedding), ("return", 1)):
        widths = (
            [first, 4 * embedding, embedding] if part == "step" else [1, embedding, 4 * embedding, embedding]
        )
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            params |= linear_init(f"{name}.{part}.{layer}", fan_in, fan_out, generator)
    both = 2 * embedding
    for level, (low, high) in enumerate(pairwise([features, *channels])):
        params |= _block_init(f"{name}.down.{level}.0", low, high, both, generator)
        params |= _block_init(f"{name}.down.{level}.1", high, high, both, generator)
        if level < len(channels) - 1:
            params |= linear_init(f"{name}.down.{level}.half", 3 * high, high, generator)
    top = channels[-1]
    for part in ("0", "1"):
        params |= _block_init(f"{name}.middle.{part}", top, top, both, generator)
    if attention:
        params |= _attention_init(f"{name}.middle.attention", top, generator)
    for level, (low, high) in reversed(list(enumerate(pairwise(channels)))):
        params |= _block_init(f"{name}.up.{level}.0", 2 * high, low, both, generator)
        params |= _block_init(f"{name}.up.{level}.1", low, low, both, generator)
        params |= linear_init(f"{name}.up.{level}.even", 2 * low, low, generator)
        params[f"{name}.up.{level}.odd.weight"] = linear_init("odd", 2 * low, low, generator)["odd.weight"]
        if attention:
            params |= _attention_init(f"{name}.up.{level}.attention", high, generator)
    params |= linear_init(f"{name}.last", _KERNEL * channels[0], channels[0], generator)
    params[f"{name}.last.scale"] = torch.ones(channels[0])
    params[f"{name}.last.shift"] = torch.zeros(channels[0])
    return params | linear_init(f"{name}.out", channels[0], features, generator)


def _around(x: Tensor, kernel: int, stride: int = 1) -> Tensor:
    """Each `stride`-th step of [..., T, C] with its neighbours side by side, [..., T / stride, kernel C]."""
    reach = kernel // 2
    padded = F.pad(x, (0, 0, reach, reach))
    length = x.shape[-2]
    return torch.cat([padded[..., j : j + length : stride, :] for j in range(kernel)], dim=-1)


def _convolution(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Convolution over five steps, GroupNorm, Mish."""
    x = _linear(params, name, _around(x, _KERNEL))
    *_, length, width = x.shape
    groups = torch.unflatten(x, -1, (_GROUPS, width // _GROUPS)).transpose(-3, -2)
    normal = F.layer_norm(groups.flatten(-2), (length * width // _GROUPS,))
    x = torch.unflatten(normal, -1, (length, width // _GROUPS)).transpose(-3, -2).flatten(-2)
    return F.mish(x * params[f"{name}.scale"] + params[f"{name}.shift"])


def _block(params: Mapping[str, Tensor], name: str, x: Tensor, embedded: Tensor) -> Tensor:
    """Residual block; `embedded` is [..., N, 1, 2 E] after Mish."""
    hidden = _convolution(params, f"{name}.first", x) + _linear(params, f"{name}.time", embedded)
    hidden = _convolution(params, f"{name}.second", hidden)
    return hidden + (_linear(params, f"{name}.residual", x) if f"{name}.residual.weight" in params else x)


def _attention(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Attention between the agents of [..., N, T, C], over channels and time together."""
    if f"{name}.gamma" not in params:
        return x
    heads = []
    for part in ("query", "key", "value"):
        made = _linear(params, f"{name}.{part}", x)
        # [..., N, T, H d] to [..., H, N, T d]
        split = torch.unflatten(made, -1, (_HEADS, made.shape[-1] // _HEADS)).movedim(-2, -4)
        heads.append(split.flatten(-2))
    query, key, value = heads
    weights = (query @ key.transpose(-1, -2) / sqrt(query.shape[-1])).softmax(dim=-1)
    mixed = torch.unflatten(weights @ value, -1, (x.shape[-2], x.shape[-1] // _HEADS))
    return x + params[f"{name}.gamma"] * mixed.movedim(-4, -2).flatten(-2)


def _grow(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Transposed convolution of kernel 4 and stride 2: [..., T, C] to [..., 2 T, C]."""
    padded = F.pad(x, (0, 0, 1, 1))
    pairs = torch.cat([padded[..., :-1, :], padded[..., 1:, :]], dim=-1)
    even = _linear(params, f"{name}.even", pairs[..., :-1, :])
    odd = F.linear(pairs[..., 1:, :], params[f"{name}.odd.weight"], params[f"{name}.even.bias"])
    return torch.stack([even, odd], dim=-2).flatten(-3, -2)


def embed_step(time: Tensor, size: int) -> Tensor:
    """Sines and cosines of a time [...] at `size` / 2 frequencies from 1 down to 1e-4: [..., size]."""
    half = size // 2
    places = torch.arange(half, dtype=time.dtype, device=time.device)[None]
    rates = torch.exp(places * (-log(10000.0) / (half - 1)))
    angle = time[..., None] * rates
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def _layers(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    depth = sum(f"{name}.{layer}.weight" in params for layer in range(3))
    for layer in range(depth):
        x = _linear(params, f"{name}.{layer}", x)
        x = F.mish(x) if layer < depth - 1 else x
    return x


def unet(
    params: Mapping[str, Tensor],
    name: str,
    x: Tensor,
    time: Tensor,
    returns: Tensor,
    keep: Tensor,
) -> Tensor:
    """Apply the U-Net `name`.

    Args:
        params: of `unet_init`.
        name: its name there.
        x: noisy trajectories [..., N, T, F].
        time: diffusion steps from 0, as numbers [..., N] or anything that broadcasts to it.
        returns: what return to aim at, likewise.
        keep: 1 where the return is known to the network, 0 where it is hidden; likewise.
    """
    size = params[f"{name}.step.0.weight"].shape[-1]
    shape = x.shape[:-2]
    step = _layers(params, f"{name}.step", embed_step(time.to(x.dtype), size)).expand(*shape, size)
    aim = _layers(params, f"{name}.return", returns[..., None]) * keep[..., None]
    embedded = F.mish(torch.cat([step, aim.expand(*shape, size)], dim=-1))[..., None, :]
    levels = sum(f"{name}.up.{level}.0.time.weight" in params for level in range(16)) + 1
    skipped = []
    for level in range(levels):
        x = _block(params, f"{name}.down.{level}.0", x, embedded)
        x = _block(params, f"{name}.down.{level}.1", x, embedded)
        skipped.append(x)
        if level < levels - 1:
            x = _linear(params, f"{name}.down.{level}.half", _around(x, 3, stride=2))
    for part in ("0", "1"):
        x = _block(params, f"{name}.middle.{part}", x, embedded)
    x = _attention(params, f"{name}.middle.attention", x)
    for level in range(levels - 2, -1, -1):
        other = _attention(params, f"{name}.up.{level}.attention", skipped[level + 1])
        x = _block(params, f"{name}.up.{level}.0", torch.cat([x, other], dim=-1), embedded)
        x = _block(params, f"{name}.up.{level}.1", x, embedded)
        x = _grow(params, f"{name}.up.{level}", x)
    return _linear(params, f"{name}.out", _convolution(params, f"{name}.last", x))
