"""The policy that PPO trains (arXiv 1707.06347, 2103.01955 for teams): shared actor, central value.

Used only to make behaviour policies for datasets; see online.py for the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.actions import mask_unavailable
from agents.api import Agent, Params
from agents.networks import mlp, mlp_init
from env_adapters.api import FloatArray

_CLIP_INPUT = 10.0


@dataclass(frozen=True)
class PpoConfig:
    """Shape of the PPO networks."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of actor and value network."""
    initial_std: float = 0.6
    """Standard deviation of continuous actions at the start."""
    behavior_std: float = -1.0
    """Standard deviation when sampling continuous actions; negative: the learned one."""


class Ppo(Agent):
    """Actor and central value function with normalised inputs."""

    name = "ppo"
    Config = PpoConfig
    act_modes = ("greedy", "sample")
    networks = ("actor",)
    config: PpoConfig

    def init(self, generator: torch.Generator) -> Params:
        """Fresh networks; names starting with `norm` are running statistics, not trained."""
        spec, hidden = self.spec, self.config.hidden
        params = mlp_init("actor", [self.input_size, *hidden, spec.action_size], generator)
        params[f"actor.{len(hidden)}.weight"] *= 0.01
        params |= mlp_init("value", [spec.state_size, *hidden, 1], generator)
        if spec.action_kind == "continuous":
            params["log_std"] = torch.full((spec.action_size,), float(np.log(self.config.initial_std)))
        params |= {
            "norm.input_mean": torch.zeros(self.input_size),
            "norm.input_std": torch.ones(self.input_size),
        }
        params |= {
            "norm.state_mean": torch.zeros(spec.state_size),
            "norm.state_std": torch.ones(spec.state_size),
        }
        params |= {"norm.return_mean": torch.zeros(()), "norm.return_std": torch.ones(())}
        return params

    def actor(self, params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits or mean actions [..., A]."""
        return mlp(params, "actor", _normalise(inputs, params["norm.input_mean"], params["norm.input_std"]))

    @staticmethod
    def acting(params: Mapping[str, Tensor]) -> Params:
        """The parameters that `act_batch` reads: the actor with its normalisation, no value network."""
        return {
            name: tensor
            for name, tensor in params.items()
            if name.startswith(("actor.", "norm.input_")) or name == "log_std"
        }

    def value(self, params: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """Normalised value [...] of global states [..., S]."""
        return mlp(
            params, "value", _normalise(states, params["norm.state_mean"], params["norm.state_std"])
        ).squeeze(-1)

    def draw_noise(self, rng: np.random.Generator, mode: str) -> FloatArray:
        """Gumbel noise for discrete, Gaussian for continuous actions; zeros when greedy."""
        size = self.spec.action_size
        if mode == "greedy":
            return np.zeros(size, dtype=np.float32)
        if self.spec.action_kind == "continuous":
            return rng.standard_normal(size, dtype=np.float32)
        return rng.gumbel(size=size).astype(np.float32)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """Greedy or sampled action; see Agent.act_batch."""
        out = self.actor(params, inputs)
        if self.spec.action_kind == "discrete":
            return mask_unavailable(out + noise, available).argmax(dim=-1)
        std = params["log_std"].exp() if self.config.behavior_std < 0 else self.config.behavior_std
        return (out + noise * std).clamp(-1.0, 1.0)


def _normalise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return ((x - mean) / std).clamp(-_CLIP_INPUT, _CLIP_INPUT)
