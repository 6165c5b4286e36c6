"""MAC-Flow: coordination by flow matching, distilled into one-step policies (arXiv 2511.05005).

Official code: DongsuLeeTech/mac-flow, commit e47e324 (discrete actions); the continuous agent is missing there
and was read in a complete derived copy. Loss: flow matching of the behaviour + α times the error of a one-step
student against 10 Euler steps - the team's value of the student's actions + the critic's temporal-difference
error. Each agent's flow sees its own observation alone, as in the code, although the paper speaks of a joint one.

Where code and paper differ, the default follows the paper and a preset the code:

* discrete guidance: the code feeds the critic the one-hot of the student's argmax, which passes no gradient, so
  it trains a distilled clone (mac-flow-released, `guidance="argmax"`); here the softmax's gradient passes
  straight through the one-hot;
* discrete distillation: squared error of vectors here, cross entropy to the argmax of the Euler steps there;
* values: summed over agents here and in the discrete code, averaged in the continuous one
  (mac-flow-released-mujoco);
* widths, γ and α: 4 x 512, 0.995 and 3 here; 4 x 256, 0.99 and 3 in the discrete code; α = 1 in the continuous.

Left out: the recurrent front of the discrete code, which stays at its random initial weights there; the factor
1/2 of its critic loss, to which Adam is indifferent; its reading of `terminated` one step late. The code acts without noise on discrete actions (act mode `zero`) and with
one noise for all steps on continuous ones (`fixed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from agents import critics, flows
from agents.actions import ActionCodec, soften
from agents.api import Batch, Metrics, OfflineAgent, Params
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least, check_between


@dataclass(frozen=True)
class MacFlowConfig:
    """Hyperparameters of MAC-Flow."""

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of field, student and value networks."""
    discount: float = 0.995
    """γ"""
    alpha: float = 3.0
    """Weight of the distillation (α)."""
    normalize_q: bool = True
    """Divide the guidance by the mean of |Q| (continuous code: yes, discrete: no)."""
    guidance: Literal["straight-through", "argmax"] = "straight-through"
    """Discrete actions: how the value's gradient reaches the student; argmax lets none through."""
    distill: Literal["vectors", "argmax"] = "vectors"
    """Discrete actions: squared error of action vectors, or cross entropy to the argmax of the Euler steps."""
    mix: critics.Mix = "sum"
    """How agents' values form the team's in the critic's error."""
    td_members: Literal["each", "mean"] = "each"
    """Whether each critic is fitted, or their mean (discrete code)."""
    time_embedding: flows.TimeEmbedding = "raw"
    """How the time enters the field."""
    flow_steps: int = 10
    """Euler steps whose end the student learns."""
    n_critics: int = 2
    """Ensemble size."""
    q_aggregate: critics.Aggregate = "mean"
    """How the target ensemble is reduced."""
    tau: float = 0.005
    """Rate of the target network."""
    mask_targets: bool = True
    """Restrict a' and the student's action to the available ones (the code: in acting only)."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for name in ("flow_steps", "n_critics"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("discount", "tau"):
            check_between(name, getattr(self, name), 0.0, 1.0)
        check_between("alpha", self.alpha, 0.0, 1e6)


class MacFlow(OfflineAgent):
    """One-step student of a flow, guided by the team's value."""

    name = "mac-flow"
    Config = MacFlowConfig
    act_modes = ("fresh", "zero", "fixed")
    networks = ("student",)
    config: MacFlowConfig

    def __init__(self, config: MacFlowConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        self.codec = ActionCodec(spec)

    def init(self, generator: torch.Generator) -> Params:
        """Fresh field, student and critics."""
        c, size = self.config, self.spec.action_size
        params = flows.field_init(self.input_size, size, c.hidden, c.time_embedding, generator)
        params |= flows.student_init(self.input_size, size, c.hidden, generator)
        return params | critics.q_init(self.input_size, size, c.hidden, c.n_critics, generator)

    def target_names(self, params: Params) -> list[str]:
        """The critics."""
        return critics.q_names(params, self.config.n_critics)

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """Gaussian noises `next`, `path`, `student` [B, N, A]; `time` [B, N, 1]."""
        shape, size = (batch_size, self.spec.n_agents), self.spec.action_size
        noise = {name: torch.randn(*shape, size, generator=generator) for name in ("next", "path", "student")}
        return noise | {"time": torch.rand(*shape, 1, generator=generator)}

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Critic loss, flow matching, distillation and guidance."""
        c, actions = self.config, self.codec.encode(batch.actions)
        critic_loss = self._critic_loss(params, targets, batch, actions, noise["next"])
        flow_loss = flows.matching_error(
            params, batch.inputs, actions, noise["path"], noise["time"], c.time_embedding
        ).mean()
        vectors = flows.student(params, batch.inputs, noise["student"])
        distill_loss = self._distill_loss(params, batch, vectors, noise["student"])
        q = self._team_value(params, batch, vectors)
        q_loss = -q.mean()
        if c.normalize_q:
            q_loss = q_loss / q.detach().abs().mean()
        metrics = {
            "critic_loss": critic_loss.detach(),
            "flow_loss": flow_loss.detach(),
            "distill_loss": distill_loss.detach(),
            "q_mean": q.detach().mean(),
        }
        return critic_loss + flow_loss + c.alpha * distill_loss + q_loss, metrics

    def _critic_loss(
        self, params: Params, targets: Params, batch: Batch, actions: Tensor, noise: Tensor
    ) -> Tensor:
        """Temporal-difference error with the student's next actions."""
        c = self.config
        with torch.no_grad():
            vectors = flows.student(params, batch.next_inputs, noise)
            next_actions = self.codec.project(vectors, batch.next_available if c.mask_targets else None)
        y = critics.td_target(targets, batch, next_actions, c.n_critics, c.q_aggregate, c.discount)
        values = critics.q_members(params, batch.inputs, actions, c.n_critics)
        if c.td_members == "mean":
            values = values.mean(dim=0, keepdim=True)
        return critics.td_error(values, y, c.mix)

    def _distill_loss(self, params: Params, batch: Batch, vectors: Tensor, noise: Tensor) -> Tensor:
        """The student's error against the end of the Euler steps from the same noise."""
        c = self.config
        with torch.no_grad():
            ends = flows.euler(params, batch.inputs, noise, c.time_embedding, c.flow_steps)
        if not self.codec.discrete:
            return ((vectors - ends.clamp(-1.0, 1.0)) ** 2).mean()
        if c.distill == "vectors":
            return ((vectors - ends) ** 2).mean()
        chosen = self.codec.project(ends, batch.available if c.mask_targets else None)
        return -(chosen * vectors.log_softmax(dim=-1)).sum(dim=-1).mean()

    def _team_value(self, params: Params, batch: Batch, vectors: Tensor) -> Tensor:
        """Mean over agents of Q(o_i, student's action) [B]; the gradient reaches the student alone."""
        c = self.config
        available = batch.available if c.mask_targets else None
        if self.codec.discrete and c.guidance == "straight-through":
            actions = soften(vectors, available)
        else:
            actions = self.codec.project(vectors, available)
        return critics.q_guidance(params, batch.inputs, actions, c.n_critics).mean(dim=-1)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """The student's one step; see Agent.act_batch."""
        return self.codec.decode(flows.student(params, inputs, noise), available)
