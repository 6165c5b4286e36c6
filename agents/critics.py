"""Action values of single agents, Q(o_i, a_i), as an ensemble of MLPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from agents.api import Params
from agents.networks import mlp, mlp_init

Aggregate = Literal["mean", "min"]


def q_init(
    input_size: int, action_size: int, hidden: Sequence[int], n_members: int, generator: torch.Generator
) -> Params:
    """Parameters of `n_members` MLPs with LayerNorm; input [id, o, a], output one value."""
    params: Params = {}
    for member in range(n_members):
        params |= mlp_init(f"q{member}", [input_size + action_size, *hidden, 1], generator, layer_norm=True)
    return params


def q_members(params: Mapping[str, Tensor], inputs: Tensor, actions: Tensor, n_members: int) -> Tensor:
    """Values [M, ...] of inputs [..., N + D] and encoded actions [..., A]."""
    x = torch.cat([inputs, actions], dim=-1)
    return torch.stack([mlp(params, f"q{member}", x).squeeze(-1) for member in range(n_members)])


def aggregate(values: Tensor, how: Aggregate) -> Tensor:
    """Reduce the ensemble axis of [M, ...]."""
    return values.mean(dim=0) if how == "mean" else values.amin(dim=0)
