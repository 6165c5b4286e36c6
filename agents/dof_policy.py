"""DoF as a policy (ICLR 2025): one small diffusion per agent, guided by the value of its own action.

A diffusion policy in the manner of Diffusion-QL (arXiv 2208.06193) for each agent: the network predicts the noise of
the agent's own action from its own view; twin critics rate view and action and learn from actions of the averaged
policy. The paper's text was not at hand. Assumed of it, as defaults: the value's gradient goes through the whole
sampling into the policy, and the schedule ends in pure noise. As released ("dof-policy-released"): the value is
detached in every mode, so that the policy only clones, and the schedule's variances are those of a thousand steps.

Networks are shared by all agents, who find their index in front of their view; in the code each has its own. There
one of 50 samples is picked at random, which is one sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents.actions import require_kind
from agents.api import Batch, Metrics, OfflineAgent, Params
from agents.diffusion import Schedule, ancestral, diffusion_steps, noised
from agents.networks import mlp, mlp_init
from agents.unet import embed_step
from env_adapters.api import FloatArray, TeamSpec
from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import InvalidValueError


@dataclass(frozen=True)
class DofPolicyConfig:
    """Hyperparameters of DoF's policy."""

    hidden: tuple[int, ...] = (256, 256, 256)
    """Widths of the noise network and of the critics."""
    embedding: int = 16
    """Width of the embedding of the diffusion step."""
    diffusion_steps: int = 10
    """K, in training and when acting."""
    schedule: Schedule = "vp"
    """How fast actions turn into noise."""
    guide: Literal["value", "none"] = "value"
    """Whether the value's gradient reaches the policy."""
    eta: float = 0.5
    """Weight of the value in the policy's loss (released for MPE: 0.5)."""
    discount: float = 0.99
    """γ."""
    tau: float = 0.005
    """How fast averaged policy and target critics follow."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        check_at_least("diffusion_steps", self.diffusion_steps, 1)
        if self.embedding < 4 or self.embedding % 2:
            raise InvalidValueError(f"embedding is {self.embedding}; give an even number from 4")
        check_between("eta", self.eta, 0.0, 1e6)
        for field in ("discount", "tau"):
            check_between(field, getattr(self, field), 0.0, 1.0)


class DofPolicy(OfflineAgent):
    """Diffusion policy with twin critics, for continuous actions."""

    name = "dof-policy"
    Config = DofPolicyConfig
    act_modes = ("fresh", "zero", "fixed")
    config: DofPolicyConfig

    def __init__(self, config: DofPolicyConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        require_kind(self.name, spec, "continuous", "dof")
        self._steps = diffusion_steps(config.schedule, config.diffusion_steps)

    def init(self, generator: torch.Generator) -> Params:
        """Fresh policy and critics."""
        c, view, size = self.config, self.input_size, self.spec.action_size
        params = mlp_init("step", [c.embedding, 2 * c.embedding, c.embedding], generator)
        params |= mlp_init("policy", [size + c.embedding + view, *c.hidden, size], generator)
        for critic in ("q0", "q1"):
            params |= mlp_init(critic, [view + size, *c.hidden, 1], generator)
        return params

    def target_names(self, params: Params) -> list[str]:
        """Every parameter: the averaged policy acts in the targets, which the copied critics rate."""
        return list(params)

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """`path` [B, N, A], `step` int64[B, N] from 0, `next` and `new` [B, N, K, A], `coin` [1]."""
        c, shape, size = self.config, (batch_size, self.spec.n_agents), self.spec.action_size
        drawn = {
            "path": torch.randn(*shape, size, generator=generator),
            "step": torch.randint(c.diffusion_steps, shape, generator=generator),
            "next": torch.randn(*shape, c.diffusion_steps, size, generator=generator),
        }
        if c.guide == "value":
            drawn["new"] = torch.randn(*shape, c.diffusion_steps, size, generator=generator)
            drawn["coin"] = (torch.rand(1, generator=generator) < 0.5).float()
        return drawn

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Cloning, minus the value of the policy's own actions, plus both critics' regressions."""
        c = self.config
        point = noised(self._steps, batch.actions, noise["path"], noise["step"][..., None])
        predicted = self._predict(params, batch.inputs, point, noise["step"][..., None])
        clone = ((predicted - noise["path"]) ** 2).mean()
        with torch.no_grad():
            following = self._sample(targets, batch.next_inputs, noise["next"])
            ahead = torch.minimum(*self._values(targets, batch.next_inputs, following))
            y = batch.rewards[:, None] + c.discount * (1.0 - batch.terminated[:, None]) * ahead
        values = self._values(params, batch.inputs, batch.actions)
        critic = sum((((q - y) ** 2).mean(dim=0).sum() for q in values), torch.zeros_like(clone))
        metrics = {"policy_loss": clone.detach(), "critic_loss": critic.detach()}
        loss = clone + critic
        if c.guide == "value":
            guide = self._guide(params, batch.inputs, noise)
            metrics["value_loss"] = guide.detach()
            loss = loss + c.eta * guide
        return loss, metrics

    def _guide(self, params: Params, inputs: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """Minus the mean value of own actions by one critic, in units of the other's size."""
        still = {name: tensor.detach() if name.startswith("q") else tensor for name, tensor in params.items()}
        first, second = self._values(still, inputs, self._sample(params, inputs, noise["new"]))
        coin = noise["coin"][0]
        ratios = [
            mine.mean(dim=0) / other.abs().mean(dim=0).detach()
            for mine, other in ((first, second), (second, first))
        ]
        return -(coin * ratios[0] + (1.0 - coin) * ratios[1]).sum()

    def _predict(self, params: Mapping[str, Tensor], inputs: Tensor, point: Tensor, step: Tensor) -> Tensor:
        """The noise in actions [..., A] at a step from 0, [..., 1]."""
        embedded = embed_step(step[..., 0].to(point.dtype), self.config.embedding)
        time = mlp(params, "step", embedded, F.mish).expand(*point.shape[:-1], -1)
        return mlp(params, "policy", torch.cat([point, time, inputs], dim=-1), F.mish)

    def _sample(self, params: Mapping[str, Tensor], inputs: Tensor, draws: Tensor) -> Tensor:
        """Actions [..., A] in [-1, 1] from views [..., N + D] and normals [..., K, A]."""
        n_steps = self.config.diffusion_steps

        def predict(point: Tensor, k: int) -> Tensor:
            return self._predict(params, inputs, point, point.new_full((1,), float(k - 1)))

        point = ancestral(self._steps, predict, draws[..., 0, :], lambda k: draws[..., n_steps - k + 1, :])
        return point.clamp(-1.0, 1.0)

    def _values(self, params: Mapping[str, Tensor], inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Both critics' values [...]."""
        both = torch.cat([inputs, actions], dim=-1)
        first, second = (mlp(params, critic, both, F.mish)[..., 0] for critic in ("q0", "q1"))
        return first, second

    def draw_noise(self, rng: np.random.Generator, mode: str) -> FloatArray:
        """Standard normals [K A]: the start, then one draw for each step but the last."""
        return rng.standard_normal(self.config.diffusion_steps * self.spec.action_size, dtype=np.float32)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """K denoising steps; see Agent.act_batch."""
        draws = noise.reshape(*noise.shape[:-1], self.config.diffusion_steps, self.spec.action_size)
        return self._sample(params, inputs, draws)
