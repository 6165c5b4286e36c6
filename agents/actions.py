"""Discrete and continuous actions behind one code: vectors of length A for the network, actions for the world."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from env_adapters.api import TeamSpec


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
        return F.one_hot(actions, self.size).to(torch.float32) if self.discrete else actions

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
