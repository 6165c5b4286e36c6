"""What an agent is: a frozen configuration, pure losses of parameters, and one decentralised policy.

All agents of a team share parameters; an agent's own index enters as a one-hot in front of its
observation. Optimiser, target averaging, seeds, devices and files belong to `training.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from env_adapters.api import FloatArray, TeamSpec

BLOCK_ROWS: Final = 32
"""Rows of every call of a library's network while acting, unless an agent says otherwise."""

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


@dataclass(frozen=True)
class WindowBatch:
    """Pieces of episodes as tensors: L = history + horizon steps around a moment called now, step `history`.

    A step beyond the beginning or the end of the episode repeats the first or the last one of it and is marked;
    nothing of another episode is in a window. `agents.windows` makes them.
    """

    observations: Tensor
    """[B, L, N, D]"""
    actions: Tensor
    """int64[B, L, N] or float32[B, L, N, A]; the action at the observation of the same step."""
    rewards: Tensor
    """[B, L], 0 where nobody acted."""
    available: Tensor | None
    """bool[B, L, N, A]"""
    seen: Tensor
    """bool[B, L], whether the observation is of this step and not a repetition."""
    acted: Tensor
    """bool[B, L], whether there was an action; the observation after an episode's last action has none."""
    returns_to_go: Tensor
    """[B], discounted sum of the rewards from now to the end of the episode."""


class Agent(ABC):
    """One algorithm for one team. Holds no parameters: every method takes them.

    An agent may remember: it states the `memory_size` M of a row of numbers, zeros when an episode begins. Before
    each action `remember` works the agent's own view into its row, and `act_batch` is then given the row, not the
    view. Nothing else lasts from one action to the next.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    act_modes: ClassVar[tuple[str, ...]]
    """Ways to turn the policy into an action; the first is the default."""
    networks: ClassVar[tuple[str, ...]] = ()
    """The MLPs with GELU that `act_batch` asks, if it mixes the numbers of a row nowhere else: then acting computes them
    row by row (`agents.rowwise`) and needs no blocks."""

    def __init__(self, config: Any, spec: TeamSpec) -> None:
        self.config = config
        self.spec = spec

    @property
    def input_size(self) -> int:
        """N + D."""
        return self.spec.n_agents + self.spec.observation_size

    @property
    def memory_size(self) -> int:
        """M, numbers that one agent keeps from action to action; 0 for an agent without memory."""
        return 0

    @property
    def block_rows(self) -> int:
        """Rows of every call of a library's network while acting; few for an agent whose single action is costly."""
        return BLOCK_ROWS

    @abstractmethod
    def init(self, generator: torch.Generator) -> Params:
        """Fresh parameters."""

    def remember(self, params: Mapping[str, Tensor], memory: Tensor, inputs: Tensor) -> Tensor:
        """What R independent agents remember after seeing something.

        Args:
            params: parameters.
            memory: [R, M], what they remembered before.
            inputs: [R, N + D], what they see now.

        Returns:
            [R, M]. All that `act_batch` will know, so the present view belongs in it.
        """
        raise NotImplementedError(f"agent '{self.name}' has no memory")

    @abstractmethod
    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """Actions of R independent agents.

        Args:
            params: parameters.
            inputs: [R, N + D]; for an agent with memory [R, M], as `remember` made it.
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
    """An agent trained on recorded transitions, or on windows of recorded episodes (`horizon` above 0)."""

    @property
    def history(self) -> int:
        """Steps before now in a training window."""
        return 0

    @property
    def horizon(self) -> int:
        """Steps from now on in a training window; 0 for an agent that learns from single transitions."""
        return 0

    @property
    def returns_discount(self) -> float:
        """γ of a window's returns-to-go."""
        return 1.0

    def fit(self, params: Params, observations: Tensor) -> Params:
        """Put statistics of the data into fresh parameters; called once, before the first update.

        Args:
            params: of `init`.
            observations: [M, N, D], any number of moments.

        Returns:
            The parameters to start from. What `losses` gives no gradient keeps its value.
        """
        return params

    @abstractmethod
    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """All randomness of one update, so that `losses` is a pure function."""

    @abstractmethod
    def losses(
        self, params: Params, targets: Params, batch: Any, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Scalar loss whose gradient is the update, and detached numbers for the log.

        `batch` is a `Batch`, or a `WindowBatch` for an agent with a `horizon`.
        """

    def target_names(self, params: Params) -> list[str]:
        """Parameters that have a slowly following copy; default none."""
        return []

    def acting_params(self, params: Params, targets: Params) -> Params:
        """The parameters that a checkpoint keeps, by which the agent acts; default the trained ones."""
        return params


def with_identity(observations: Tensor) -> Tensor:
    """Put the agent one-hot in front: [..., N, D] to [..., N, N + D]."""
    n_agents = observations.shape[-2]
    identity = torch.eye(n_agents, dtype=observations.dtype, device=observations.device)
    return torch.cat([identity.expand(*observations.shape[:-2], n_agents, n_agents), observations], dim=-1)
