"""Behaviour cloning with a diffusion policy ("BC (Diffusion)" in the tables).

No code of that row was released. Here: denoising diffusion (DDPM, arXiv 2006.11239) of one agent's action with
an MLP that predicts the noise, K = 15 steps, squared-cosine schedule (arXiv 2102.09672, as Diffusion Policy,
which MAC-Flow cites) or the variance-preserving one of Diffusion-QL (arXiv 2208.06193). The predicted action is
clipped to [-1, 1] at every step. Discrete actions are one-hot vectors, read by an argmax over the available ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents import flows
from agents.actions import ActionCodec
from agents.api import Batch, Metrics, OfflineAgent, Params
from agents.diffusion import Schedule, ancestral, diffusion_steps, noised
from env_adapters.api import FloatArray, TeamSpec
from env_adapters.bounds import check_at_least


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


class BcDiffusion(OfflineAgent):
    """Diffusion behaviour cloning."""

    name = "bc-diffusion"
    Config = BcDiffusionConfig
    act_modes = ("fresh", "zero", "fixed")
    networks = ("field",)
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
        point = noised(self._steps, actions, noise["path"], step[..., None])
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
        c = self.config
        draws = noise.reshape(*noise.shape[:-1], c.diffusion_steps, self.spec.action_size)

        def predict(point: Tensor, k: int) -> Tensor:
            return flows.field(params, inputs, point, k / c.diffusion_steps, c.time_embedding)

        point = ancestral(
            self._steps, predict, draws[..., 0, :], lambda k: draws[..., c.diffusion_steps - k + 1, :]
        )
        return self.codec.decode(point, available)
