"""Multi-layer perceptrons with a forward-mode derivative, and a recurrent cell, as pure functions of named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.api import Params
from agents.gelu import gelu, gelu_with_slope

if TYPE_CHECKING:
    from agents.rowwise import RowwiseMlp


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


class ActingParams(dict[str, Tensor]):
    """Parameters to act by: `mlp` computes the networks named, row by row, as `agents.rowwise` does.

    Args:
        params: single precision, on the CPU.
        networks: names of MLPs with GELU and without LayerNorm.
    """

    def __init__(self, params: Mapping[str, Tensor], networks: Sequence[str]) -> None:
        from agents.rowwise import RowwiseMlp  # a compiler, which training does not need

        super().__init__(params)
        self.rowwise: dict[str, RowwiseMlp] = {}
        for name in networks:
            layers = range(_depth(params, name))
            if not layers:  # a part that this configuration does without
                continue
            weights, biases = ([params[f"{name}.{i}.{part}"] for i in layers] for part in ("weight", "bias"))
            self.rowwise[name] = RowwiseMlp(weights, biases)


def _depth(params: Mapping[str, Tensor], name: str) -> int:
    depth = 0
    while f"{name}.{depth}.weight" in params:
        depth += 1
    return depth


def mlp(
    params: Mapping[str, Tensor], name: str, x: Tensor, activation: Callable[[Tensor], Tensor] = gelu
) -> Tensor:
    """Apply the MLP `name` to x [..., sizes[0]]: GELU (tanh form) between layers by default, linear output."""
    if isinstance(params, ActingParams) and name in params.rowwise:
        return params.rowwise[name](x)
    depth = _depth(params, name)
    for layer in range(depth):
        x = F.linear(x, params[f"{name}.{layer}.weight"], params[f"{name}.{layer}.bias"])
        if layer < depth - 1:
            x = activation(x)
            scale = params.get(f"{name}.{layer}.norm_scale")
            if scale is not None:
                x = F.layer_norm(x, x.shape[-1:], scale, params[f"{name}.{layer}.norm_shift"])
    return x


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
            x, slope = gelu_with_slope(x)
            tangent = slope * tangent
    return x, tangent


def gru_init(name: str, inputs: int, size: int, generator: torch.Generator) -> Params:
    """Parameters of a GRU cell, uniform within 1 / sqrt(size) as in PyTorch."""
    bound = 1.0 / sqrt(size)
    shapes = {"input": (3 * size, inputs), "hidden": (3 * size, size)}
    params: Params = {}
    for part, shape in shapes.items():
        params[f"{name}.{part}.weight"] = (torch.rand(shape, generator=generator) * 2.0 - 1.0) * bound
        params[f"{name}.{part}.bias"] = (torch.rand(shape[0], generator=generator) * 2.0 - 1.0) * bound
    return params


def gru(params: Mapping[str, Tensor], name: str, x: Tensor, hidden: Tensor) -> Tensor:
    """The next hidden state [..., size] of the GRU cell `name` (arXiv 1412.3555, in PyTorch's form)."""
    parts = [
        F.linear(y, params[f"{name}.{part}.weight"], params[f"{name}.{part}.bias"]).chunk(3, dim=-1)
        for part, y in (("input", x), ("hidden", hidden))
    ]
    (x_reset, x_update, x_new), (h_reset, h_update, h_new) = parts
    update = torch.sigmoid(x_update + h_update)
    candidate = torch.tanh(x_new + torch.sigmoid(x_reset + h_reset) * h_new)
    return (1.0 - update) * candidate + update * hidden
