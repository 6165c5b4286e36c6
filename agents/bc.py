"""Behaviour cloning with a MeanFlow policy ("BC (MF)" in the tables of VGM2P, its Eq. 10).

No official code exists; this is VGM2P's policy without condition and guidance, one step from noise to action.
Differences that matter: plain squared error (MeanFlow's adaptive weighting collapses discrete choices), two
uniform times per sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from agents import flows
from agents.actions import ActionCodec
from agents.api import Batch, Metrics, OfflineAgent, Params
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least, check_between


@dataclass(frozen=True)
class BcConfig:
    """Hyperparameters of MeanFlow behaviour cloning."""

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of the velocity network (Table 3: 4 x 512)."""
    time_embedding: flows.TimeEmbedding = "raw"
    """How times enter the network."""
    instantaneous: float = 0.0
    """Share of training pairs with r = k (the paper: two uniform times, so 0)."""
    flow_steps: int = 1
    """Jumps from noise to action when acting."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        check_at_least("flow_steps", self.flow_steps, 1)
        check_between("instantaneous", self.instantaneous, 0.0, 1.0)


class BcMeanFlow(OfflineAgent):
    """MeanFlow behaviour cloning."""

    name = "bc-meanflow"
    Config = BcConfig
    act_modes = ("fresh", "zero", "fixed")
    networks = ("velocity",)
    config: BcConfig

    def __init__(self, config: BcConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        self.codec = ActionCodec(spec)

    def init(self, generator: torch.Generator) -> Params:
        """Fresh velocity network."""
        c = self.config
        return flows.velocity_init(
            self.input_size, self.spec.action_size, c.hidden, c.time_embedding, generator
        )

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """`path` [B, N, A] and `times` [B, N, 2]."""
        shape = (batch_size, self.spec.n_agents)
        return {
            "path": torch.randn(*shape, self.spec.action_size, generator=generator),
            "times": flows.draw_times(generator, shape, self.config.instantaneous),
        }

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """MeanFlow regression towards the behaviour's actions."""
        actions = self.codec.encode(batch.actions)
        k = noise["times"][..., 1:]
        point = (1.0 - k) * actions + k * noise["path"]
        error = flows.meanflow_error(
            params, batch.inputs, point, noise["times"], noise["path"] - actions, self.config.time_embedding
        )
        loss = error.mean()
        return loss, {"policy_loss": loss.detach()}

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """One-step sample; see Agent.act_batch."""
        vectors = flows.sample(params, inputs, noise, self.config.time_embedding, self.config.flow_steps)
        return self.codec.decode(vectors, available)
