"""Behaviour cloning with a recurrent policy: the "BC" rows of OG-MARL (arXiv 2302.00521), which SMAC tables quote.

A linear layer, ReLU, a GRU, ReLU and a linear layer, shared by all agents; learned from sequences of 20 steps that
start without memory. Discrete actions: cross entropy over all actions; acting samples the softmax of the available
ones. Continuous actions: squared error without squashing; acting takes the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.actions import mask_unavailable, one_hot, require_kind
from agents.api import Metrics, OfflineAgent, Params, WindowBatch, with_identity
from agents.networks import gru, gru_init, mlp, mlp_init
from env_adapters.api import FloatArray, TeamSpec
from env_adapters.bounds import check_at_least


@dataclass(frozen=True)
class BcRecurrentConfig:
    """Hyperparameters of recurrent behaviour cloning."""

    width: int = 64
    """Width of the first layer and of the hidden state."""
    sequence: int = 20
    """Steps that are unrolled in training."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        check_at_least("width", self.width, 1)
        check_at_least("sequence", self.sequence, 1)


@dataclass(frozen=True)
class BcRecurrentGaussianConfig(BcRecurrentConfig):
    """Hyperparameters of recurrent behaviour cloning of continuous actions."""


class _Recurrent(OfflineAgent):
    """From views to one number per action (component), with a hidden state."""

    config: BcRecurrentConfig

    @property
    def horizon(self) -> int:
        """See OfflineAgent.horizon."""
        return self.config.sequence

    @property
    def memory_size(self) -> int:
        """The hidden state."""
        return self.config.width

    def init(self, generator: torch.Generator) -> Params:
        """Fresh layers and cell."""
        width = self.config.width
        params = mlp_init("first", [self.input_size, width], generator)
        params |= gru_init("cell", width, width, generator)
        return params | mlp_init("policy", [width, self.spec.action_size], generator)

    def remember(self, params: Mapping[str, Tensor], memory: Tensor, inputs: Tensor) -> Tensor:
        """The next hidden state."""
        return gru(params, "cell", mlp(params, "first", inputs).relu(), memory)

    def _scores(self, params: Mapping[str, Tensor], hidden: Tensor) -> Tensor:
        return mlp(params, "policy", hidden.relu())

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """None: the losses are deterministic."""
        return {}

    def losses(
        self, params: Params, targets: Params, batch: WindowBatch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Mean error over the steps that really happened."""
        inputs = with_identity(batch.observations)
        hidden, states = inputs.new_zeros(*inputs.shape[:1], self.spec.n_agents, self.config.width), []
        for view in inputs.unbind(dim=1):
            hidden = self.remember(params, hidden, view)
            states.append(hidden)
        error = self._error(self._scores(params, torch.stack(states, dim=1)), batch.actions)
        acted = batch.acted[..., None].to(error.dtype)
        loss = (error * acted).sum() / (acted.sum() * self.spec.n_agents)
        return loss, {"policy_loss": loss.detach()}

    def _error(self, scores: Tensor, actions: Tensor) -> Tensor:
        """Error of each step [B, L, N]."""
        raise NotImplementedError


class BcRecurrent(_Recurrent):
    """Recurrent categorical policy for discrete actions."""

    name = "bc-recurrent"
    Config = BcRecurrentConfig
    act_modes = ("sample", "greedy")

    def __init__(self, config: BcRecurrentConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        require_kind(self.name, spec, "discrete", "bc-recurrent-gaussian")

    def _error(self, scores: Tensor, actions: Tensor) -> Tensor:
        chosen = one_hot(actions, self.spec.action_size).to(scores.dtype)
        return -(chosen * scores.log_softmax(dim=-1)).sum(dim=-1)

    def draw_noise(self, rng: np.random.Generator, mode: str) -> FloatArray:
        """Gumbel noise, whose argmax samples the softmax."""
        return rng.gumbel(size=self.spec.action_size).astype(np.float32)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """Likeliest or sampled available action of a hidden state; see Agent.act_batch."""
        return mask_unavailable(self._scores(params, inputs) + noise, available).argmax(dim=-1)


class BcRecurrentGaussian(_Recurrent):
    """Recurrent policy for continuous actions, fitted by the squared error of its mean."""

    name = "bc-recurrent-gaussian"
    Config = BcRecurrentGaussianConfig
    act_modes = ("greedy",)

    def __init__(self, config: BcRecurrentGaussianConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        require_kind(self.name, spec, "continuous", "bc-recurrent")

    def _error(self, scores: Tensor, actions: Tensor) -> Tensor:
        return ((scores - actions) ** 2).mean(dim=-1)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """The mean of a hidden state, clipped to [-1, 1]; see Agent.act_batch."""
        return self._scores(params, inputs).clamp(-1.0, 1.0)
