"""What an agent is: a frozen configuration, pure losses of parameters, and one decentralised policy.

All agents of a team share parameters; an agent's own index enters as a one-hot in front of its
observation. Optimiser, target averaging, seeds, devices and files belong to `training.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from env_adapters.api import FloatArray, TeamSpec

Params = dict[str, Tensor]
"""Named tensors; a checkpoint is exactly these."""
Metrics = dict[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """Transitions as tensors. B samples; shapes as in env_adapters.api."""

    inputs: Tensor
    """[B, N, N + D], agent one-hot in front of the observation."""
    actions: Tensor
    """int64[B, N] or float32[B, N, A]."""
    rewards: Tensor
    """[B]"""
    next_inputs: Tensor
    """[B, N, N + D]"""
    terminated: Tensor
    """float32[B], 1 where no future follows; a cut episode (truncated) has 0."""
    available: Tensor | None
    """bool[B, N, A]"""
    next_available: Tensor | None
    """bool[B, N, A]"""


class Agent(ABC):
    """One algorithm for one team. Holds no parameters: every method takes them."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    act_modes: ClassVar[tuple[str, ...]]
    """Ways to turn the policy into an action; the first is the default."""

    def __init__(self, config: Any, spec: TeamSpec) -> None:
        self.config = config
        self.spec = spec

    @property
    def input_size(self) -> int:
        """N + D."""
        return self.spec.n_agents + self.spec.observation_size

    @abstractmethod
    def init(self, generator: torch.Generator) -> Params:
        """Fresh parameters."""

    @abstractmethod
    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """Actions of R independent agents.

        Args:
            params: parameters.
            inputs: [R, N + D].
            available: bool[R, A] or None.
            noise: [R, Z] as `draw_noise` made it.
            mode: one of `act_modes`.

        Returns:
            int64[R] or float32[R, A].
        """

    def draw_noise(self, rng: np.random.Generator, mode: str) -> FloatArray:
        """All randomness of one action of one agent, [Z]. Default: A standard normals."""
        return rng.standard_normal(self.spec.action_size, dtype=np.float32)


class OfflineAgent(Agent):
    """An agent trained on transitions."""

    @abstractmethod
    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """All randomness of one update, so that `losses` is a pure function."""

    @abstractmethod
    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Scalar loss whose gradient is the update, and detached numbers for the log."""

    def target_names(self, params: Params) -> list[str]:
        """Parameters that have a slowly following copy; default none."""
        return []


def with_identity(observations: Tensor) -> Tensor:
    """Put the agent one-hot in front: [..., N, D] to [..., N, N + D]."""
    n_agents = observations.shape[-2]
    identity = torch.eye(n_agents, dtype=observations.dtype, device=observations.device)
    return torch.cat([identity.expand(*observations.shape[:-2], n_agents, n_agents), observations], dim=-1)
