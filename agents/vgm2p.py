"""VGM2P: Value-Guidance Multi-agent MeanFlow Policy (arXiv 2604.08174).

No official code exists. Defaults follow the paper's Table 3 and Algorithm 1; where it is silent, MAC-Flow,
on which it is built. The choices behind every ambiguity:

* the condition is c = 1[Q(o, a) - Q(o, â) >= 0] with one sampled â (Sec. 3.1; Alg. 1 line 9 would subtract V twice);
* reward and values are summed over agents (Eq. 13), so Q_tot is about N times the return; `mix="mean"` divides,
  `mix="independent"` is the ablation in which each agent learns by itself (Eq. 6, Fig. 2);
* the "unconditional" field of the guidance (Eq. 11) is u(· | c = 1), as the text says; `uncond` offers a
  learned null token and c = 0, which turn it into real guidance;
* continuous actions are clipped to [-1, 1]; discrete ones are one-hot vectors, read by an argmax over the
  available actions, in training as well;
* "VGM2P (FM)" keeps condition and guidance, but learns r = k alone (`instantaneous=1`) and takes 10 Euler steps
  on u(·, k, k) wherever an action is drawn (preset vgm2p-fm).

With `uncond="literal"` the fixed point for c = 1 is E[v | c = 1] for every guidance weight w: the executed
policy is MeanFlow cloning of the advantageous actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from agents import critics, flows
from agents.actions import ActionCodec, one_hot
from agents.api import Batch, Metrics, OfflineAgent, Params
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least, check_between

_NULL = 2
"""Condition token of the dropped label."""


@dataclass(frozen=True)
class Vgm2pConfig:
    """Hyperparameters of VGM2P."""

    hidden: tuple[int, ...] = (512, 512, 512, 512)
    """Widths of velocity and value networks (Table 3: 4 x 512)."""
    discount: float = 0.995
    """γ (Table 3)."""
    guidance: float = 3.0
    """w of the guided velocity (Eq. 11; the paper tries 3, 5, 10, 20). Above 3 training may diverge."""
    adv_threshold: float = 0.0
    """Advantage from which an action counts as good (c = 1)."""
    n_reference: int = 1
    """Samples of â that estimate the state's value."""
    mix: critics.Mix = "sum"
    """How agents' values form the team's (Eq. 13: sum; the ablation of Fig. 2: independent)."""
    uncond: Literal["literal", "null", "c0"] = "literal"
    """The field that guidance moves away from: c = 1 (the text), a null token, or c = 0."""
    label_dropout: float = 0.1
    """Share of labels replaced by the null token, only with uncond="null"."""
    cfg_rows: Literal["all", "positive"] = "all"
    """Rows with a guided target; "positive" leaves c = 0 rows unguided, which is stable up to w = 20."""
    tangent: Literal["guided", "plain"] = "guided"
    """Direction of MeanFlow's derivative: the guided velocity (MeanFlow's code) or v."""
    time_embedding: flows.TimeEmbedding = "raw"
    """How times enter the network."""
    instantaneous: float = 0.0
    """Share of training pairs with r = k, the larger of two uniform times (the paper: two uniform times, so 0)."""
    flow_steps: int = 1
    """Steps from noise to action when acting and for target actions."""
    n_critics: int = 2
    """Ensemble size."""
    q_aggregate: critics.Aggregate = "mean"
    """How the ensemble is reduced."""
    tau: float = 0.005
    """Rate of the target network."""
    mask_targets: bool = True
    """Restrict a' and â to the available actions."""
    sampler: flows.Sampler = "jump"
    """What a step is: a jump with the average velocity u(a, r, k), or an Euler step with u(a, k, k)."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for name in ("n_reference", "flow_steps", "n_critics"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("discount", "label_dropout", "instantaneous", "tau"):
            check_between(name, getattr(self, name), 0.0, 1.0)


class Vgm2p(OfflineAgent):
    """Value-guided MeanFlow policy."""

    name = "vgm2p"
    Config = Vgm2pConfig
    act_modes = ("fresh", "zero", "fixed")
    networks = ("velocity",)
    config: Vgm2pConfig

    def __init__(self, config: Vgm2pConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        self.codec = ActionCodec(spec)
        self._n_tokens = 3 if config.uncond == "null" else 2

    def init(self, generator: torch.Generator) -> Params:
        """Fresh velocity network and critics."""
        c, size = self.config, self.spec.action_size
        context = self.input_size + self._n_tokens
        policy = flows.velocity_init(context, size, c.hidden, c.time_embedding, generator)
        return policy | critics.q_init(self.input_size, size, c.hidden, c.n_critics, generator)

    def target_names(self, params: Params) -> list[str]:
        """The critics."""
        return critics.q_names(params, self.config.n_critics)

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """Gaussian noises [.., B, N, A], times [B, N, 2], uniforms for label dropout [B, N]."""
        shape, size = (batch_size, self.spec.n_agents), self.spec.action_size
        return {
            "next": torch.randn(*shape, size, generator=generator),
            "reference": torch.randn(self.config.n_reference, *shape, size, generator=generator),
            "path": torch.randn(*shape, size, generator=generator),
            "times": flows.draw_times(generator, shape, self.config.instantaneous),
            "dropout": torch.rand(*shape, generator=generator),
        }

    def losses(
        self, params: Params, targets: Params, batch: Batch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Critic loss (Eq. 13) plus policy loss (Eq. 11); they share no parameters."""
        c = self.config
        actions = self.codec.encode(batch.actions)
        with torch.no_grad():
            sampled = self._sample_targets(params, batch, noise)
            next_action, references = sampled[0], sampled[1:]
        values = critics.q_members(params, batch.inputs, actions, c.n_critics)
        y = critics.td_target(targets, batch, next_action, c.n_critics, c.q_aggregate, c.discount)
        critic_loss = critics.td_error(values, y, c.mix)
        advantage = self._advantage(params, values.detach(), batch.inputs, references)
        good = (advantage >= c.adv_threshold).long()
        policy_loss = self._policy_loss(params, batch.inputs, actions, good, noise)
        metrics = {
            "critic_loss": critic_loss.detach(),
            "policy_loss": policy_loss.detach(),
            "q_mean": values.detach().mean(),
            "share_good": good.float().mean(),
        }
        return critic_loss + policy_loss, metrics

    def _sample_targets(self, params: Params, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        """Encoded actions [1 + m, B, N, A]: a' at the next observation, then the m references â, in one pass."""
        inputs = torch.stack([batch.next_inputs, *[batch.inputs] * self.config.n_reference])
        drawn = torch.cat([noise["next"][None], noise["reference"]])
        vectors = self._sample(params, inputs, drawn)
        if not self.config.mask_targets or batch.available is None or batch.next_available is None:
            return self.codec.project(vectors, None)
        masks = torch.stack([batch.next_available, *[batch.available] * self.config.n_reference])
        return self.codec.project(vectors, masks)

    @torch.no_grad()
    def _advantage(self, params: Params, values: Tensor, inputs: Tensor, references: Tensor) -> Tensor:
        """Q(o, a) - mean over references of Q(o, â), [B, N]."""
        c = self.config
        baseline = critics.q_members(
            params, inputs.expand(len(references), *inputs.shape), references, c.n_critics
        )
        return critics.aggregate(values, c.q_aggregate) - critics.aggregate(baseline, c.q_aggregate).mean(
            dim=0
        )

    def _policy_loss(
        self, params: Params, inputs: Tensor, actions: Tensor, good: Tensor, noise: Mapping[str, Tensor]
    ) -> Tensor:
        """MeanFlow regression towards v_cfg = w v + (1 - w) u(a_k, k, k | uncond)."""
        c, times = self.config, noise["times"]
        k = times[..., 1:]
        point = (1.0 - k) * actions + k * noise["path"]
        plain = noise["path"] - actions
        tokens = torch.where(noise["dropout"] < c.label_dropout, _NULL, good) if c.uncond == "null" else good
        with torch.no_grad():
            other = {"literal": 1, "null": _NULL, "c0": 0}[c.uncond]
            field = flows.velocity(params, self._context(inputs, other), point, k, k, c.time_embedding)
            guided = c.guidance * plain + (1.0 - c.guidance) * field
            if c.cfg_rows == "positive":
                guided = torch.where(tokens[..., None] == 1, guided, plain)
            elif c.uncond == "null":
                guided = torch.where(tokens[..., None] == _NULL, plain, guided)
        error = flows.meanflow_error(
            params,
            self._context(inputs, tokens),
            point,
            times,
            guided,
            c.time_embedding,
            tangent=plain if c.tangent == "plain" else None,
            derivative="zero" if c.instantaneous == 1.0 else "jvp",
        )
        return error.mean()

    def _context(self, inputs: Tensor, token: Tensor | int) -> Tensor:
        """[..., N + D] to [..., N + D + tokens]."""
        if not isinstance(token, int):
            return torch.cat([inputs, one_hot(token, self._n_tokens)], dim=-1)
        shape = inputs.shape[:-1]
        others = [inputs.new_zeros(*shape, n) for n in (token, self._n_tokens - 1 - token)]
        return torch.cat([inputs, others[0], inputs.new_ones(*shape, 1), others[1]], dim=-1)

    def _sample(self, params: Mapping[str, Tensor], inputs: Tensor, noise: Tensor) -> Tensor:
        c, context = self.config, self._context(inputs, 1)
        return flows.sample(params, context, noise, c.time_embedding, c.flow_steps, c.sampler)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """One-step sample under c = 1; see Agent.act_batch."""
        return self.codec.decode(self._sample(params, inputs, noise), available)
