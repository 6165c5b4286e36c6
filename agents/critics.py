"""Action values of single agents, Q(o_i, a_i), as an ensemble of MLPs, and their temporal-difference error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from agents.api import Batch, Params
from agents.networks import mlp, mlp_init

Aggregate = Literal["mean", "min"]
Mix = Literal["sum", "mean", "independent"]
"""How agents' values form the team's: their sum (VDN), their mean, or not at all: each learns by itself."""


def q_init(
    input_size: int, action_size: int, hidden: Sequence[int], n_members: int, generator: torch.Generator
) -> Params:
    """Parameters of `n_members` MLPs with LayerNorm; input [id, o, a], output one value."""
    params: Params = {}
    for member in range(n_members):
        params |= mlp_init(f"q{member}", [input_size + action_size, *hidden, 1], generator, layer_norm=True)
    return params


def q_names(params: Mapping[str, Tensor], n_members: int) -> list[str]:
    """Names of the ensemble's parameters."""
    prefixes = tuple(f"q{member}." for member in range(n_members))
    return [name for name in params if name.startswith(prefixes)]


def q_members(params: Mapping[str, Tensor], inputs: Tensor, actions: Tensor, n_members: int) -> Tensor:
    """Values [M, ...] of inputs [..., N + D] and encoded actions [..., A]."""
    x = torch.cat([inputs, actions], dim=-1)
    return torch.stack([mlp(params, f"q{member}", x).squeeze(-1) for member in range(n_members)])


def q_guidance(params: Mapping[str, Tensor], inputs: Tensor, actions: Tensor, n_members: int) -> Tensor:
    """Ensemble mean [...] of the values, whose gradient reaches the actions and not the critics."""
    frozen = {name: params[name].detach() for name in q_names(params, n_members)}
    return q_members(frozen, inputs, actions, n_members).mean(dim=0)


def aggregate(values: Tensor, how: Aggregate) -> Tensor:
    """Reduce the ensemble axis of [M, ...]."""
    return values.mean(dim=0) if how == "mean" else values.amin(dim=0)


@torch.no_grad()
def td_target(
    targets: Mapping[str, Tensor],
    batch: Batch,
    next_actions: Tensor,
    n_members: int,
    how: Aggregate,
    discount: float,
) -> Tensor:
    """y_i = r + γ (1 - terminated) Q(o'_i, a'_i) by the target networks, [B, N]; r is the team's."""
    following = aggregate(q_members(targets, batch.next_inputs, next_actions, n_members), how)
    return batch.rewards[:, None] + discount * (1.0 - batch.terminated[:, None]) * following


def td_error(values: Tensor, y: Tensor, mix: Mix) -> Tensor:
    """Mean over ensemble and batch of (mix_i Q_i - mix_i y_i)², or of Σ_i (Q_i - y_i)² if independent.

    Args:
        values: Q(o_i, a_i) of every member, [M, B, N].
        y: targets [B, N].
        mix: how agents are put together.
    """
    if mix == "independent":
        return ((values - y) ** 2).sum(dim=-1).mean()
    if mix == "sum":
        return ((values.sum(dim=-1) - y.sum(dim=-1)) ** 2).mean()
    return ((values.mean(dim=-1) - y.mean(dim=-1)) ** 2).mean()
