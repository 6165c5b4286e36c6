"""Multi-layer perceptrons as pure functions of named tensors, with a forward-mode derivative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.api import Params


def mlp_init(name: str, sizes: Sequence[int], generator: torch.Generator, layer_norm: bool = False) -> Params:
    """Parameters of an MLP: uniform variance scaling (fan average, scale 1), zero biases.

    Args:
        name: prefix of every parameter.
        sizes: input, hidden and output widths.
        generator: source of the initial weights.
        layer_norm: add scale and shift of a LayerNorm after each hidden activation.
    """
    params: Params = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        bound = sqrt(6.0 / (fan_in + fan_out))
        params[f"{name}.{layer}.weight"] = (
            torch.rand(fan_out, fan_in, generator=generator) * 2.0 - 1.0
        ) * bound
        params[f"{name}.{layer}.bias"] = torch.zeros(fan_out)
        if layer_norm and layer < len(sizes) - 2:
            params[f"{name}.{layer}.norm_scale"] = torch.ones(fan_out)
            params[f"{name}.{layer}.norm_shift"] = torch.zeros(fan_out)
    return params


def _depth(params: Mapping[str, Tensor], name: str) -> int:
    depth = 0
    while f"{name}.{depth}.weight" in params:
        depth += 1
    return depth


def mlp(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Apply the MLP `name` to x [..., sizes[0]]: GELU (tanh form) between layers, linear output."""
    depth = _depth(params, name)
    for layer in range(depth):
        x = F.linear(x, params[f"{name}.{layer}.weight"], params[f"{name}.{layer}.bias"])
        if layer < depth - 1:
            x = F.gelu(x, approximate="tanh")
            scale = params.get(f"{name}.{layer}.norm_scale")
            if scale is not None:
                x = F.layer_norm(x, x.shape[-1:], scale, params[f"{name}.{layer}.norm_shift"])
    return x


def _gelu_slope(x: Tensor) -> Tensor:
    """Derivative of the tanh form of GELU."""
    inner = sqrt(2.0 / pi) * (x + 0.044715 * x**3)
    tanh = torch.tanh(inner)
    return 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * sqrt(2.0 / pi) * (1.0 + 3 * 0.044715 * x * x)


def mlp_with_tangent(
    params: Mapping[str, Tensor], name: str, x: Tensor, tangent: Tensor
) -> tuple[Tensor, Tensor]:
    """Value of an MLP without LayerNorm and its derivative along `tangent`.

    The value carries gradients, the derivative does not: MeanFlow's target stops them anyway. One shared
    forward pass instead of `torch.func.jvp`'s two; equal to it to 1e-6 (tested).
    """
    depth = _depth(params, name)
    tangent = tangent.detach()
    for layer in range(depth):
        weight = params[f"{name}.{layer}.weight"]
        x = F.linear(x, weight, params[f"{name}.{layer}.bias"])
        tangent = F.linear(tangent, weight.detach())
        if layer < depth - 1:
            tangent = _gelu_slope(x.detach()) * tangent
            x = F.gelu(x, approximate="tanh")
    return x, tangent
