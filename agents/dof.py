"""DoF over trajectories (ICLR 2025): one diffusion per agent whose noises, taken together, are the team's.

MADiff without attention between agents, so that each one needs to sample its own trajectory only. The paper's text
was not at hand. Assumed of it, as defaults: guidance against a prediction that really does not know the return, and a
learned factor per agent on its predicted noise (the weighted concatenation). As released ("dof-released"): no factor
in the configurations given, and the pass meant to hide the return hides it from a random 25 % only, so that guidance
is mostly off. One network serves all agents in either case, as in the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from agents.api import Params
from agents.diffusion import Draws
from agents.trajectories import TrajectoryAgent, TrajectoryConfig


@dataclass(frozen=True)
class DofConfig(TrajectoryConfig):
    """Hyperparameters of DoF."""

    sampling_steps: int = 0
    """Steps of DDIM when acting; 0 for all K steps of DDPM (released)."""
    noise_factors: Literal["learned", "one"] = "learned"
    """Whether each agent's predicted noise has a learned factor."""
    unguided: Literal["hidden", "random"] = "hidden"
    """The second prediction of guidance: without the return, or without it at a random `drop_return` of times."""


class Dof(TrajectoryAgent):
    """DoF over trajectories."""

    name = "dof"
    Config = DofConfig
    attention = False
    config: DofConfig

    def init(self, generator: torch.Generator) -> Params:
        """Fresh networks, and factors of 1."""
        params = super().init(generator)
        if self.config.noise_factors == "learned":
            params["factors"] = torch.ones(self.spec.n_agents)
        return params

    def _weights(self, params: Mapping[str, Tensor]) -> Tensor:
        return params["factors"][None] if "factors" in params else super()._weights(params)

    def _viewer(self, identity: Tensor) -> Tensor:
        return torch.ones_like(identity[:, :1])

    def _keep(self, draws: Draws, rows: Tensor) -> Tensor:
        keep = super()._keep(draws, rows)
        if self.config.unguided == "hidden":
            return keep
        second = draws.exceeds(self.config.drop_return)
        return torch.stack([torch.ones_like(second), second], dim=-1)[..., None]
