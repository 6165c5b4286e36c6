"""Behaviour cloning with simple policies: "BC (Gaussian)" of the tables.

Continuous actions: a Gaussian whose mean is an MLP without squashing, fitted by the squared error of its mode;
one standard deviation per action component, learned by likelihood with the mean held fixed, serves sampling
only. Discrete actions: a categorical distribution, fitted by cross entropy over all actions and restricted to
the available ones when acting. The SMAC rows of that name in the papers are of the second kind (OG-MARL's
recurrent one, which samples); without memory here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from agents.actions import mask_unavailable, one_hot, require_kind
from agents.api import Batch, Metrics, OfflineAgent, Params
from agents.networks import mlp, mlp_init
from env_adapters.api import FloatArray, TeamSpec

_LOG_STD_RANGE: Final = (-5.0, 2.0)


@dataclass(frozen=True)
class BcGaussianConfig:
    """Hyperparameters of Gaussian behaviour cloning."""

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of the policy network (4 x 512, as every agent of the papers' tables)."""


@dataclass(frozen=True)
class BcCategoricalConfig:
    """Hyperparameters of categorical behaviour cloning."""

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of the policy network (4 x 512, as every agent of the papers' tables)."""


class _Clone(OfflineAgent):
    """An MLP from a view to one number per action (component)."""

    config: Any
    networks = ("policy",)

    def init(self, generator: torch.Generator) -> Params:
        """Fresh policy network."""
        return mlp_init("policy", [self.input_size, *self.config.hidden, self.spec.action_size], generator)

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """None: the losses are deterministic."""
        return {}


class BcGaussian(_Clone):
    """Gaussian policy for continuous actions."""

    name = "bc-gaussian"
    Config = BcGaussianConfig
    act_modes = ("greedy", "sample")

    def __init__(self, config: BcGaussianConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        require_kind(self.name, spec, "continuous", "bc-categorical")

    def init(self, generator: torch.Generator) -> Params:
        """Fresh policy network and unit standard deviations."""
        return super().init(generator) | {"log_std": torch.zeros(self.spec.action_size)}

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Squared error of the mode, plus the likelihood that fits the standard deviation alone."""
        squared = (mlp(params, "policy", batch.inputs) - batch.actions) ** 2
        log_std = params["log_std"].clamp(*_LOG_STD_RANGE)
        likelihood = (log_std + 0.5 * squared.detach() * torch.exp(-2.0 * log_std)).mean()
        loss = squared.mean()
        return loss + likelihood, {
            "policy_loss": loss.detach(),
            "std": log_std.detach().exp().mean(),
        }

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """Mode or sample, clipped to [-1, 1]; see Agent.act_batch."""
        std = params["log_std"].clamp(*_LOG_STD_RANGE).exp()
        return (mlp(params, "policy", inputs) + noise * std).clamp(-1.0, 1.0)


class BcCategorical(_Clone):
    """Categorical policy for discrete actions."""

    name = "bc-categorical"
    Config = BcCategoricalConfig
    act_modes = ("sample", "greedy")

    def __init__(self, config: BcCategoricalConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        require_kind(self.name, spec, "discrete", "bc-gaussian")

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Cross entropy of the behaviour's actions."""
        chosen = one_hot(batch.actions, self.spec.action_size)
        log_probabilities = mlp(params, "policy", batch.inputs).log_softmax(dim=-1)
        loss = -(chosen * log_probabilities).sum(dim=-1).mean()
        return loss, {"policy_loss": loss.detach()}

    def draw_noise(self, rng: np.random.Generator, mode: str) -> FloatArray:
        """Gumbel noise, whose argmax samples the softmax."""
        return rng.gumbel(size=self.spec.action_size).astype(np.float32)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """Likeliest or sampled available action; see Agent.act_batch."""
        return mask_unavailable(mlp(params, "policy", inputs) + noise, available).argmax(dim=-1)
