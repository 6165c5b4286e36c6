"""Windows of recorded episodes, gathered on the device that holds the data.

Padding as in MADiff's and DoF's code (`use_zero_padding: False`): before its first moment and after its last one an
episode stands still. Unlike there, the observation after the last action is a moment of its own, and steps without
an action are marked, so that an agent can leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.api import WindowBatch


@dataclass(frozen=True)
class WindowData:
    """A dataset of E episodes and T transitions as tensors, laid out as `datasets.schema` says."""

    observations: Tensor
    """[T + E, N, D]"""
    actions: Tensor
    """Integers [T, N] or float32[T, N, A]."""
    rewards: Tensor
    """[T]"""
    available: Tensor | None
    """bool[T + E, N, A]"""
    returns_to_go: Tensor
    """[T], of `returns_to_go`."""
    episode: Tensor
    """int64[T], the episode of each transition."""
    offsets: Tensor
    """int64[E + 1], the first transition of each episode, then T."""


def episode_index(offsets: Tensor) -> Tensor:
    """The episode of each transition, int64[T], from the offsets [E + 1]."""
    episodes = torch.arange(len(offsets) - 1, device=offsets.device)
    return episodes.repeat_interleave(offsets.diff())


def returns_to_go(rewards: Tensor, offsets: Tensor, discount: float) -> Tensor:
    """Discounted sums of rewards [T] from each transition to the end of its episode, added up in float64."""
    lengths = offsets.diff()
    sums = torch.zeros(len(lengths), dtype=torch.float64, device=rewards.device)
    out = torch.zeros(len(rewards), dtype=torch.float64, device=rewards.device)
    # Backwards over all episodes at once: as many passes as the longest episode has steps.
    for back in range(1, int(lengths.max()) + 1 if len(lengths) else 1):
        there = torch.nonzero(lengths >= back)[:, 0]
        rows = offsets[1:][there] - back
        sums[there] = rewards[rows].double() + discount * sums[there]
        out[rows] = sums[there]
    return out.to(rewards.dtype)


def windows(data: WindowData, indices: Tensor, history: int, horizon: int) -> WindowBatch:
    """The windows around these transitions.

    Args:
        data: where from.
        indices: int64[B] or [K, B], transitions that happen now.
        history: steps before now.
        horizon: steps from now on, now included; at least 1.

    Returns:
        Windows of L = history + horizon steps.
    """
    episode = data.episode[indices][..., None]
    first, last = data.offsets[episode], data.offsets[episode + 1] - 1
    steps = indices[..., None] + torch.arange(-history, horizon, device=indices.device)
    acts = torch.minimum(torch.maximum(steps, first), last)
    # An episode has one moment more than it has transitions.
    moments = torch.minimum(torch.maximum(steps, first), last + 1)
    acted = acts == steps
    actions = data.actions[acts]
    rewards = data.rewards[acts]
    return WindowBatch(
        observations=data.observations[moments + episode],
        actions=actions if actions.is_floating_point() else actions.long(),
        rewards=torch.where(acted, rewards, torch.zeros_like(rewards)),
        available=None if data.available is None else data.available[moments + episode],
        seen=moments == steps,
        acted=acted,
        returns_to_go=data.returns_to_go[indices],
    )
