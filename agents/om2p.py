"""OM2P: offline multi-agent mean-flow policy (arXiv 2508.06269), continuous actions only.

Official code: lizr16/OM2P, commit f3cfd05, agents/fql_meanfield.py. Per agent: MeanFlow of the behaviour's actions
+ `q_weight` times minus the value of the policy's own action, and an independent critic with one-step targets.
The paper estimates du/dk without derivatives, as a difference. One network serves all agents here, with the
agent's one-hot; the code trains separate ones.

As released (preset om2p-released) it is another method, reproduced by two options:

* `derivative="zero"`: the default step of the difference, 1e-12, is below float32, so that du/dk is 0 there (and
  its term has the opposite sign). Times are two independent uniforms, not sorted;
* `sampler="raw"`: the network's output, trained as a velocity, is itself the action. Noise also goes in at the
  time at which training shows actions (k = 0). What is left is a one-step policy driven by the value.

Left out: the optional CEM term of OMAR (off by default in the code) and its time distributions `exp` and
`quadratic`. The paper's time distribution is not stated in the code's defaults: uniform here, Beta(2, 2) as option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from agents import critics, flows
from agents.actions import ActionCodec, require_kind
from agents.api import Batch, Metrics, OfflineAgent, Params
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least, check_between


@dataclass(frozen=True)
class Om2pConfig:
    """Hyperparameters of OM2P."""

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of velocity and value networks."""
    discount: float = 0.99
    """γ"""
    q_weight: float = 1.0
    """Weight of the value in the policy's loss (the code advises 0.01 to 10)."""
    normalize_q: bool = False
    """Divide the value by the mean of |Q|."""
    derivative: flows.Derivative = "difference"
    """How du/dk is had."""
    time_distribution: Literal["uniform", "beta"] = "uniform"
    """Of r and k: uniform, or Beta(2, 2)."""
    sort_times: bool = True
    """Whether r <= k, as MeanFlow demands; the code does not."""
    sampler: Literal["meanflow", "raw"] = "meanflow"
    """Action: e - u(e, 0, 1), or the network's output as it is."""
    time_embedding: flows.TimeEmbedding = "raw"
    """How times enter the network."""
    n_critics: int = 2
    """Ensemble size."""
    q_aggregate: critics.Aggregate = "mean"
    """How the target ensemble is reduced."""
    tau: float = 0.005
    """Rate of the target network."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        check_at_least("n_critics", self.n_critics, 1)
        for name in ("discount", "tau"):
            check_between(name, getattr(self, name), 0.0, 1.0)
        check_between("q_weight", self.q_weight, 0.0, 1e6)


class Om2p(OfflineAgent):
    """MeanFlow policy pulled towards actions of high value."""

    name = "om2p"
    Config = Om2pConfig
    act_modes = ("fresh", "zero", "fixed")
    networks = ("velocity",)
    config: Om2pConfig

    def __init__(self, config: Om2pConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        require_kind(self.name, spec, "continuous", "vgm2p, mac-flow")
        self.codec = ActionCodec(spec)

    def init(self, generator: torch.Generator) -> Params:
        """Fresh velocity network and critics."""
        c, size = self.config, self.spec.action_size
        policy = flows.velocity_init(self.input_size, size, c.hidden, c.time_embedding, generator)
        return policy | critics.q_init(self.input_size, size, c.hidden, c.n_critics, generator)

    def target_names(self, params: Params) -> list[str]:
        """The critics."""
        return critics.q_names(params, self.config.n_critics)

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """Gaussian noises `next`, `path`, `policy` [B, N, A]; `times` [B, N, 2]."""
        shape, size = (batch_size, self.spec.n_agents), self.spec.action_size
        noise = {name: torch.randn(*shape, size, generator=generator) for name in ("next", "path", "policy")}
        # The median of three uniforms is Beta(2, 2).
        n_draws = 3 if self.config.time_distribution == "beta" else 1
        times = torch.rand(*shape, 2, n_draws, generator=generator).median(dim=-1).values
        return noise | {"times": times.sort(dim=-1).values if self.config.sort_times else times}

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Critic loss, MeanFlow regression, and the value of the policy's actions."""
        c = self.config
        critic_loss = self._critic_loss(params, targets, batch, noise["next"])
        k = noise["times"][..., 1:]
        point = (1.0 - k) * batch.actions + k * noise["path"]
        velocity = noise["path"] - batch.actions
        error = flows.meanflow_error(
            params, batch.inputs, point, noise["times"], velocity, c.time_embedding, derivative=c.derivative
        )
        flow_loss = error.mean() / self.spec.action_size
        own = self._sample(params, batch.inputs, noise["policy"]).clamp(-1.0, 1.0)
        q = critics.q_guidance(params, batch.inputs, own, c.n_critics)
        q_loss = -q.mean()
        if c.normalize_q:
            q_loss = q_loss / q.detach().abs().mean()
        metrics = {
            "critic_loss": critic_loss.detach(),
            "flow_loss": flow_loss.detach(),
            "q_mean": q.detach().mean(),
        }
        return critic_loss + flow_loss + c.q_weight * q_loss, metrics

    def _critic_loss(self, params: Params, targets: Params, batch: Batch, noise: Tensor) -> Tensor:
        """Every agent's own temporal-difference error."""
        c = self.config
        with torch.no_grad():
            next_actions = self._sample(params, batch.next_inputs, noise).clamp(-1.0, 1.0)
        y = critics.td_target(targets, batch, next_actions, c.n_critics, c.q_aggregate, c.discount)
        values = critics.q_members(params, batch.inputs, batch.actions, c.n_critics)
        return critics.td_error(values, y, "independent") / self.spec.n_agents

    def _sample(self, params: Mapping[str, Tensor], inputs: Tensor, noise: Tensor) -> Tensor:
        """Action vectors [..., A], not clipped."""
        if self.config.sampler == "meanflow":
            return flows.sample(params, inputs, noise, self.config.time_embedding)
        # The code's velocity points from noise to action and its time runs the other way: r = 1, k = 0.
        return -flows.velocity(params, inputs, noise, 1.0, 0.0, self.config.time_embedding)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """One-step sample; see Agent.act_batch."""
        return self.codec.decode(self._sample(params, inputs, noise), available)
