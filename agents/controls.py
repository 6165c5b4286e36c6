"""Agents that nobody trains: the reference lines of every table, and a check of every world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.actions import mask_unavailable
from agents.api import Agent, Params
from env_adapters.api import FloatArray, TeamSpec
from env_adapters.errors import MismatchError


@dataclass(frozen=True)
class NoConfig:
    """Controls have nothing to configure."""


class _Control(Agent):
    Config = NoConfig

    def init(self, generator: torch.Generator) -> Params:
        """No parameters."""
        return {}


class Random(_Control):
    """Uniform over the available actions (discrete) or over [-1, 1] (continuous)."""

    name = "random"
    act_modes = ("sample",)

    def draw_noise(self, rng: np.random.Generator, mode: str) -> FloatArray:
        """One uniform number per action."""
        return rng.random(self.spec.action_size, dtype=np.float32)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """The available action with the largest number; see Agent.act_batch."""
        if self.spec.action_kind == "continuous":
            return 2.0 * noise - 1.0
        return mask_unavailable(noise, available).argmax(dim=-1)


class Noop(_Control):
    """The idlest available action: the first one that the mask allows (no-op if dead, else stop), or zeros."""

    name = "noop"
    act_modes = ("greedy",)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """See Agent.act_batch."""
        if self.spec.action_kind == "continuous":
            return torch.zeros(len(inputs), self.spec.action_size)
        if available is None:
            return torch.zeros(len(inputs), dtype=torch.int64)
        return available.to(torch.int64).argmax(dim=-1)


class Nearest(_Control):
    """Scripted Marine: shoot the nearest enemy in range; else walk to the nearest one in sight; else walk east."""

    name = "nearest"
    act_modes = ("greedy",)

    def __init__(self, config: NoConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        if spec.layout != "smac-v1":
            raise MismatchError(
                f"agent 'nearest' reads layout smac-v1; {spec.scenario} has layout {spec.layout}; use random or noop there"
            )
        from env_adapters.starcraft.smac_layer import N_FIXED_ACTIONS, enemy_features

        self._first_target = N_FIXED_ACTIONS
        self._enemies = enemy_features(spec.n_agents, spec.observation_size, spec.action_size) + spec.n_agents

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """See Agent.act_batch."""
        assert available is not None
        rows = inputs[:, torch.from_numpy(self._enemies)]  # (R, enemies, 4): attackable, distance, dx, dy
        distance = torch.where(rows[..., 1] > 0, rows[..., 1], torch.inf)
        in_range = torch.where(available[:, self._first_target :], distance, torch.inf)
        nearest = rows[torch.arange(len(rows)), distance.argmin(dim=-1)]
        dx, dy = nearest[:, 2], nearest[:, 3]
        along_x, along_y = torch.where(dx < 0, 5, 4), torch.where(dy < 0, 3, 2)
        walk = torch.where(dy.abs() > dx.abs(), along_y, along_x)
        wanted = torch.where(
            in_range.amin(dim=-1).isfinite(), self._first_target + in_range.argmin(dim=-1), walk
        )
        fallback = available.to(torch.int64).argmax(dim=-1)
        return torch.where(available.gather(1, wanted[:, None]).squeeze(1), wanted, fallback)
