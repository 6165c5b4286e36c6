"""Discrete and continuous actions behind one code: vectors of length A for the network, actions for the world."""

from __future__ import annotations

import torch
from torch import Tensor

from env_adapters.api import TeamSpec
from env_adapters.errors import MismatchError


def one_hot(indices: Tensor, size: int) -> Tensor:
    """int64[...] to float32[..., size]; unlike torch's own, it can be mapped over stacked seeds."""
    return (indices[..., None] == torch.arange(size, device=indices.device)).to(torch.float32)


class ActionCodec:
    """Translates between actions and the real vectors that generative policies produce.

    Discrete actions are one-hot vectors, read back by an argmax over the available actions; continuous
    ones are clipped to [-1, 1].
    """

    def __init__(self, spec: TeamSpec) -> None:
        self.discrete = spec.action_kind == "discrete"
        self.size = spec.action_size

    def encode(self, actions: Tensor) -> Tensor:
        """int64[...] or float32[..., A] to float32[..., A]."""
        return one_hot(actions, self.size) if self.discrete else actions

    def decode(self, vectors: Tensor, available: Tensor | None) -> Tensor:
        """float32[..., A] to int64[...] or float32[..., A]."""
        if not self.discrete:
            return vectors.clamp(-1.0, 1.0)
        return mask_unavailable(vectors, available).argmax(dim=-1)

    def project(self, vectors: Tensor, available: Tensor | None) -> Tensor:
        """The vector of the action that `vectors` stand for: encode(decode(·))."""
        return self.encode(self.decode(vectors, available))


def mask_unavailable(scores: Tensor, available: Tensor | None) -> Tensor:
    """Push the scores of unavailable actions to minus infinity."""
    return scores if available is None else scores.masked_fill(~available, -torch.inf)


def soften(vectors: Tensor, available: Tensor | None) -> Tensor:
    """One-hot of the best available action [..., A] whose gradient is that of the softmax (straight-through).

    A large finite number stands for minus infinity, so that a row without any available action has a gradient.
    """
    scores = vectors if available is None else vectors.masked_fill(~available, -1e9)
    soft = scores.softmax(dim=-1)
    hard = one_hot(scores.argmax(dim=-1), scores.shape[-1])
    return hard + soft - soft.detach()


def require_kind(agent: str, spec: TeamSpec, kind: str, instead: str) -> None:
    """Raise MismatchError unless actions are of this kind; `instead` names agents that fit the others."""
    if spec.action_kind != kind:
        raise MismatchError(
            f"agent '{agent}' needs {kind} actions, those of {spec.scenario} are {spec.action_kind}; "
            f"choose {instead} or another agent (harness ls agents)"
        )
