"""Behaviour cloning with a diffusion policy ("BC (Diffusion)" in the tables).

No code of that row was released. Here: denoising diffusion (DDPM, arXiv 2006.11239) of one agent's action with
an MLP that predicts the noise, K = 15 steps, squared-cosine schedule (arXiv 2102.09672, as Diffusion Policy,
which MAC-Flow cites) or the variance-preserving one of Diffusion-QL (arXiv 2208.06193). The predicted action is
clipped to [-1, 1] at every step. Discrete actions are one-hot vectors, read by an argmax over the available ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, exp, pi, sqrt
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents import flows
from agents.actions import ActionCodec
from agents.api import Batch, Metrics, OfflineAgent, Params
from env_adapters.api import FloatArray, TeamSpec
from env_adapters.bounds import check_at_least

Schedule = Literal["cosine", "vp"]


@dataclass(frozen=True)
class BcDiffusionConfig:
    """Hyperparameters of diffusion behaviour cloning."""

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of the noise network (4 x 512)."""
    diffusion_steps: int = 15
    """K, in training and when acting."""
    schedule: Schedule = "cosine"
    """How fast actions turn into noise."""
    time_embedding: flows.TimeEmbedding = "raw"
    """How the step, as k / K, enters the network."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        check_at_least("diffusion_steps", self.diffusion_steps, 1)


class _Step(NamedTuple):
    """Numbers of one step k: of the forward process, and of its posterior given the clean action."""

    signal: float
    """sqrt(ᾱ_k)"""
    noise: float
    """sqrt(1 - ᾱ_k)"""
    of_clean: float
    """Weight of the clean action in the posterior mean."""
    of_noisy: float
    """Weight of the noisy action in the posterior mean."""
    std: float
    """Standard deviation of the posterior, 0 for k = 1."""


def _betas(schedule: Schedule, n_steps: int) -> list[float]:
    """Variances added at steps 1 … K."""
    if schedule == "vp":
        low, high = 0.1, 10.0
        return [
            1.0 - exp(-low / n_steps - 0.5 * (high - low) * (2 * k - 1) / n_steps**2)
            for k in range(1, n_steps + 1)
        ]
    remaining = [cos((k / n_steps + 0.008) / 1.008 * pi / 2) ** 2 for k in range(n_steps + 1)]
    return [min(1.0 - remaining[k] / remaining[k - 1], 0.999) for k in range(1, n_steps + 1)]


def diffusion_steps(schedule: Schedule, n_steps: int) -> list[_Step]:
    """Steps 1 … K (DDPM, Eq. 4 and 7)."""
    steps, kept = [], 1.0
    for beta in _betas(schedule, n_steps):
        before, kept = kept, kept * (1.0 - beta)
        steps.append(
            _Step(
                signal=sqrt(kept),
                noise=sqrt(1.0 - kept),
                of_clean=sqrt(before) * beta / (1.0 - kept),
                of_noisy=sqrt(1.0 - beta) * (1.0 - before) / (1.0 - kept),
                std=sqrt((1.0 - before) / (1.0 - kept) * beta),
            )
        )
    return steps


class BcDiffusion(OfflineAgent):
    """Diffusion behaviour cloning."""

    name = "bc-diffusion"
    Config = BcDiffusionConfig
    act_modes = ("fresh", "zero", "fixed")
    config: BcDiffusionConfig

    def __init__(self, config: BcDiffusionConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        self.codec = ActionCodec(spec)
        self._steps = diffusion_steps(config.schedule, config.diffusion_steps)

    def init(self, generator: torch.Generator) -> Params:
        """Fresh noise network."""
        c = self.config
        return flows.field_init(self.input_size, self.spec.action_size, c.hidden, c.time_embedding, generator)

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """`path` [B, N, A] and `step` int64[B, N], 0 … K - 1."""
        shape = (batch_size, self.spec.n_agents)
        return {
            "path": torch.randn(*shape, self.spec.action_size, generator=generator),
            "step": torch.randint(self.config.diffusion_steps, shape, generator=generator),
        }

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Squared error of the predicted noise (DDPM, Eq. 14)."""
        actions, step = self.codec.encode(batch.actions), noise["step"]
        scales = torch.tensor([[s.signal, s.noise] for s in self._steps], device=actions.device)[step]
        point = scales[..., :1] * actions + scales[..., 1:] * noise["path"]
        time = (step[..., None] + 1).to(actions.dtype) / self.config.diffusion_steps
        predicted = flows.field(params, batch.inputs, point, time, self.config.time_embedding)
        loss = ((predicted - noise["path"]) ** 2).mean()
        return loss, {"policy_loss": loss.detach()}

    def draw_noise(self, rng: np.random.Generator, mode: str) -> FloatArray:
        """Standard normals [K A]: the start, then one draw for each step but the last."""
        return rng.standard_normal(self.config.diffusion_steps * self.spec.action_size, dtype=np.float32)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """K denoising steps; see Agent.act_batch."""
        n_steps = self.config.diffusion_steps
        draws = noise.reshape(*noise.shape[:-1], n_steps, self.spec.action_size)
        point = draws[..., 0, :]
        for k in range(n_steps, 0, -1):
            step = self._steps[k - 1]
            time = torch.full_like(point[..., :1], k / n_steps)
            predicted = flows.field(params, inputs, point, time, self.config.time_embedding)
            clean = ((point - step.noise * predicted) / step.signal).clamp(-1.0, 1.0)
            point = step.of_clean * clean + step.of_noisy * point
            if k > 1:
                point = point + step.std * draws[..., n_steps - k + 1, :]
        return self.codec.decode(point, available)
