"""Behaviour cloning with flow matching ("BC (FM)" in the tables of MAC-Flow and VGM2P).

The tables do not say which policy acted. Default: 10 Euler steps on the learned velocity field. With
`distill > 0` (preset bc-flow-distilled, MAC-Flow's released FlowBCAgent with 3) a one-step student learns where
the Euler steps end, and acts. Compared with the released code: noise at time 1 instead of 0, which is the same
flow; discrete actions as one-hot vectors, read by an argmax over the available ones.
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
class BcFlowConfig:
    """Hyperparameters of flow-matching behaviour cloning."""

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of velocity field and student (4 x 512)."""
    time_embedding: flows.TimeEmbedding = "raw"
    """How the time enters the network."""
    flow_steps: int = 10
    """Euler steps from noise to action."""
    distill: float = 0.0
    """Weight α of the one-step student's error; above 0 the student acts."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        check_at_least("flow_steps", self.flow_steps, 1)
        check_between("distill", self.distill, 0.0, 1e6)


class BcFlow(OfflineAgent):
    """Flow-matching behaviour cloning."""

    name = "bc-flow"
    Config = BcFlowConfig
    act_modes = ("fresh", "zero", "fixed")
    networks = ("field", "student")
    config: BcFlowConfig

    def __init__(self, config: BcFlowConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        self.codec = ActionCodec(spec)
        self._has_student = config.distill > 0.0

    def init(self, generator: torch.Generator) -> Params:
        """Fresh velocity field, and a student where there is one."""
        c, size = self.config, self.spec.action_size
        params = flows.field_init(self.input_size, size, c.hidden, c.time_embedding, generator)
        if self._has_student:
            params |= flows.student_init(self.input_size, size, c.hidden, generator)
        return params

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """`path` and `student` [B, N, A], `time` [B, N, 1]."""
        shape, size = (batch_size, self.spec.n_agents), self.spec.action_size
        return {
            "path": torch.randn(*shape, size, generator=generator),
            "time": torch.rand(*shape, 1, generator=generator),
            "student": torch.randn(*shape, size, generator=generator),
        }

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Flow matching of the behaviour's actions; plus α times the student's error against the Euler steps."""
        c, actions = self.config, self.codec.encode(batch.actions)
        loss = flows.matching_error(
            params, batch.inputs, actions, noise["path"], noise["time"], c.time_embedding
        ).mean()
        metrics = {"policy_loss": loss.detach()}
        if self._has_student:
            with torch.no_grad():
                ends = flows.euler(params, batch.inputs, noise["student"], c.time_embedding, c.flow_steps)
                ends = ends if self.codec.discrete else ends.clamp(-1.0, 1.0)
            distilled = ((flows.student(params, batch.inputs, noise["student"]) - ends) ** 2).mean()
            metrics["distill_loss"] = distilled.detach()
            loss = loss + c.distill * distilled
        return loss, metrics

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """Euler steps, or the student's one; see Agent.act_batch."""
        c = self.config
        if self._has_student:
            return self.codec.decode(flows.student(params, inputs, noise), available)
        vectors = flows.euler(params, inputs, noise, c.time_embedding, c.flow_steps)
        return self.codec.decode(vectors, available)
