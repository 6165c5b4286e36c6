"""What MADiff and DoF share: diffusion of the team's observations ahead, and actions read off them.

A window of the last `history` and the next `horizon` observations of all agents is diffused, the present one among
the next. What one agent knows is put in place before every step of the network: its own history and present; the
history of others is zero and their future unknown. The network also hears which return to aim at, hidden at random
in training, so that sampling may lean away from the prediction without it (classifier-free guidance). A second
network, shared by all agents, names the action between two successive observations of one agent.

One agent's action needs the whole sampling from its own history. Nothing else crosses between agents.

As in MADiff's code: cosine schedule, clipping to [-1, 1], starts from half the noise, illegal actions at -1e10, half
of either loss, the last observation repeated after the end. Unlike there: actions are learned from the steps ahead
that really happened; the return to aim at stays the same during an episode, because an agent sees no reward; the
averaged weights follow at every update.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents import cdf
from agents.actions import ActionCodec, one_hot
from agents.api import Metrics, OfflineAgent, Params, WindowBatch, with_identity
from agents.diffusion import WORD, Draws, Step, ancestral, diffusion_steps, implicit, noised
from agents.networks import mlp, mlp_init
from agents.unet import check_shape, unet, unet_init
from env_adapters.api import FloatArray, TeamSpec
from env_adapters.bounds import check_at_least, check_between

_ILLEGAL = -1e10


@dataclass(frozen=True)
class TrajectoryConfig:
    """Hyperparameters of diffusion over trajectories."""

    channels: tuple[int, ...] = (32, 64, 128)
    """Widths of the U-Net's levels (released: 128, 512, 1024)."""
    embedding: int = 32
    """Width of the embeddings of diffusion step and return (released: 128)."""
    inverse_hidden: tuple[int, ...] = (256, 256)
    """Widths of the network that names actions."""
    history: int = 20
    """Past steps (SMAC: 20, MuJoCo: 18)."""
    horizon: int = 4
    """Steps from now on, now included (SMAC: 4, MuJoCo: 10)."""
    diffusion_steps: int = 200
    """K in training."""
    sampling_steps: int = 15
    """Steps of DDIM when acting; 0 for all K steps of DDPM."""
    guidance: float = 1.2
    """Weight of the prediction with the return against the one without."""
    drop_return: float = 0.25
    """Share of training samples from which the return is hidden."""
    start_noise: float = 0.5
    """Standard deviation of the noise that sampling starts from."""
    discount: float = 0.99
    """γ of the returns-to-go."""
    returns_scale: float = 20.0
    """Returns are divided by it (SMAC: 20)."""
    test_return: float = 1.0
    """The return to aim at when acting, divided already (SMAC: 1)."""
    normaliser_knots: int = 33
    """Points of the normaliser's table per feature; 2 scale by the extremes."""
    tau: float = 0.005
    """How fast the averaged weights, by which the agent acts, follow the trained ones (released: 0.005)."""
    rows_per_call: int = 1
    """Actions computed together; a single action costs as much as so many, and more together are hardly faster."""

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for field, least in (("history", 0), ("horizon", 2), ("diffusion_steps", 1), ("normaliser_knots", 2)):
            check_at_least(field, getattr(self, field), least)
        check_at_least("rows_per_call", self.rows_per_call, 1)
        check_between("sampling_steps", self.sampling_steps, 0, self.diffusion_steps)
        for field in ("drop_return", "discount", "tau"):
            check_between(field, getattr(self, field), 0.0, 1.0)
        check_between("start_noise", self.start_noise, 0.0, 10.0)
        check_between("returns_scale", self.returns_scale, 1e-6, 1e9)
        check_shape(self.channels, self.embedding, self.history + self.horizon)


class TrajectoryAgent(OfflineAgent):
    """Diffusion over the trajectories of a team; `attention` and what follows differ between methods."""

    act_modes = ("fresh", "zero", "fixed")
    attention: ClassVar[bool]
    """Whether the trajectories of different agents depend on each other."""
    config: TrajectoryConfig

    def __init__(self, config: TrajectoryConfig, spec: TeamSpec) -> None:
        super().__init__(config, spec)
        self.codec = ActionCodec(spec)
        self._steps: list[Step] = diffusion_steps("cosine", config.diffusion_steps)

    @property
    def history(self) -> int:
        """See OfflineAgent.history."""
        return self.config.history

    @property
    def horizon(self) -> int:
        """See OfflineAgent.horizon."""
        return self.config.horizon

    @property
    def returns_discount(self) -> float:
        """See OfflineAgent.returns_discount."""
        return self.config.discount

    @property
    def block_rows(self) -> int:
        """See Agent.block_rows."""
        return self.config.rows_per_call

    @property
    def memory_size(self) -> int:
        """Whether it has begun, who it is, and the last `history` + 1 observations."""
        return 1 + self.spec.n_agents + (self.config.history + 1) * self.spec.observation_size

    def init(self, generator: torch.Generator) -> Params:
        """Fresh networks, and a normaliser that only clips."""
        c, features = self.config, self.input_size
        params = unet_init("unet", features, c.channels, c.embedding, self.attention, generator)
        params |= mlp_init("inverse", [2 * features, *c.inverse_hidden, self.spec.action_size], generator)
        return params | cdf.cdf_init(features, c.normaliser_knots)

    def fit(self, params: Params, observations: Tensor) -> Params:
        """Put the normaliser's table of these observations [M, N, D] in."""
        rows = with_identity(observations).flatten(0, 1)
        return params | cdf.cdf_fit(rows, self.config.normaliser_knots)

    def target_names(self, params: Params) -> list[str]:
        """Every weight: the copies are their averages."""
        return [name for name in params if name not in cdf.NAMES]

    def acting_params(self, params: Params, targets: Params) -> Params:
        """The averaged weights."""
        return params | targets

    def draw_training_noise(self, generator: torch.Generator, batch_size: int) -> dict[str, Tensor]:
        """`path` [B, N, L, F], `step` int64[B] from 0, `keep` [B, N], `viewer` int64[B]."""
        c, n_agents = self.config, self.spec.n_agents
        shape = (batch_size, n_agents, c.history + c.horizon, self.input_size)
        return {
            "path": torch.randn(shape, generator=generator),
            "step": torch.randint(c.diffusion_steps, (batch_size,), generator=generator),
            "keep": (torch.rand(batch_size, n_agents, generator=generator) >= c.drop_return).float(),
            "viewer": torch.randint(n_agents, (batch_size,), generator=generator),
        }

    def losses(
        self, params: Params, targets: Params, batch: WindowBatch, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Metrics]:
        """Half the error of the predicted noise (of what is unknown to the viewer), half that of the actions."""
        clean = cdf.uniformed(params, with_identity(batch.observations)).transpose(1, 2)
        viewer = one_hot(noise["viewer"], self.spec.n_agents).to(clean.dtype)
        known = self._known(viewer)
        step, returns = noise["step"], batch.returns_to_go / self.config.returns_scale
        point = noised(self._steps, clean, noise["path"], step[:, None, None, None])
        point = known * (clean * viewer[..., None, None]) + (1.0 - known) * point
        predicted = unet(
            params, "unet", point, step[:, None].to(clean.dtype), returns[:, None], noise["keep"]
        )
        predicted = predicted * self._weights(params)[..., None, None]
        error = ((predicted - noise["path"]) ** 2).mean(dim=-1, keepdim=True)
        unknown = 1.0 - known
        diffusion = (error * unknown).sum() / unknown.sum()
        inverse = self._inverse_loss(params, clean, batch)
        # The table is no weight: its gradient is exactly zero, so that no optimiser moves it.
        fixed = sum((0.0 * params[name].sum() for name in cdf.NAMES), torch.zeros_like(diffusion))
        loss = 0.5 * (diffusion + inverse) + fixed
        return loss, {"diffusion_loss": diffusion.detach(), "inverse_loss": inverse.detach()}

    def _known(self, viewer: Tensor) -> Tensor:
        """1 where numbers are put in place for a viewer [R, N']: all history, its own present; [R, N', L, 1]."""
        c = self.config
        time = torch.arange(c.history + c.horizon, device=viewer.device)[None]
        past, now = (time < c.history).to(viewer.dtype), (time == c.history).to(viewer.dtype)
        return (past + now * viewer[..., None])[..., None]

    def _weights(self, params: Mapping[str, Tensor]) -> Tensor:
        """Factors [1, N] of the agents' predicted noise."""
        return params["unet.out.bias"].new_ones(1, self.spec.n_agents)

    def _inverse(self, params: Mapping[str, Tensor], before: Tensor, after: Tensor) -> Tensor:
        """Scores or values of the action between two observations [..., F]: [..., A]."""
        return mlp(params, "inverse", torch.cat([before, after], dim=-1), F.relu)

    def _inverse_loss(self, params: Params, clean: Tensor, batch: WindowBatch) -> Tensor:
        """Mean over the actions ahead that really happened: cross entropy, or squared error."""
        ahead = slice(self.config.history, -1)
        made = self._inverse(params, clean[:, :, ahead], clean[:, :, self.config.history + 1 :]).transpose(
            1, 2
        )
        actions = batch.actions[:, ahead]
        if self.codec.discrete:
            if batch.available is not None:
                made = made.masked_fill(~batch.available[:, ahead], _ILLEGAL)
            chosen = one_hot(actions, self.spec.action_size).to(made.dtype)
            error = -(chosen * made.log_softmax(dim=-1)).sum(dim=-1)
        else:
            error = ((made - actions) ** 2).mean(dim=-1)
        acted = batch.acted[:, ahead, None].to(error.dtype)
        return (error * acted).sum() / (acted.sum() * self.spec.n_agents)

    def draw_noise(self, rng: np.random.Generator, mode: str) -> FloatArray:
        """The seed of one action, [2] whole numbers below 2^24: all noise of its sampling comes from it."""
        return rng.integers(0, WORD, 2).astype(np.float32)

    def remember(self, params: Mapping[str, Tensor], memory: Tensor, inputs: Tensor) -> Tensor:
        """Push the observation in; the first one of an episode fills the whole history."""
        n_agents = self.spec.n_agents
        seen = inputs[:, None, n_agents:]
        past = torch.unflatten(memory[:, 1 + n_agents :], -1, (-1, self.spec.observation_size))
        past = torch.where(memory[:, :1, None] > 0.0, past, seen)
        past = torch.cat([past[:, 1:], seen], dim=1)
        return torch.cat([torch.ones_like(memory[:, :1]), inputs[:, :n_agents], past.flatten(1)], dim=-1)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        """Sample what is ahead from a memory, then name the first action; see Agent.act_batch."""
        c, n_agents = self.config, self.spec.n_agents
        identity = inputs[:, 1 : 1 + n_agents]
        past = torch.unflatten(inputs[:, 1 + n_agents :], -1, (-1, self.spec.observation_size))
        own = torch.cat([identity[:, None].expand(-1, c.history + 1, -1), past], dim=-1)
        own = cdf.uniformed(params, own)
        ahead = self._sample(params, own, identity, Draws(noise, mode))
        made = self._inverse(params, own[:, -1], ahead)
        return self.codec.decode(made, available)

    def _viewer(self, identity: Tensor) -> Tensor:
        """Whose trajectories a row samples, 1 for its own: [R, N'] from [R, N]."""
        return identity

    def _keep(self, draws: Draws, rows: Tensor) -> Tensor:
        """Whether the two predictions know the return: [R, 2, 1]."""
        return rows.new_tensor([[[1.0], [0.0]]]).expand(len(rows), 2, 1)

    def _sample(self, params: Mapping[str, Tensor], own: Tensor, identity: Tensor, draws: Draws) -> Tensor:
        """The own next observation [R, F], from own observations [R, history + 1, F]."""
        c, viewer = self.config, self._viewer(identity)
        known = self._known(viewer)
        context = F.pad(own, (0, 0, 0, c.horizon - 1))[:, None] * viewer[..., None, None]
        shape = context.shape[1:]
        weight = self._weights(params)
        weight = weight if viewer.shape[-1] > 1 else (identity * weight).sum(dim=-1, keepdim=True)
        aim = own.new_full((1, 1, 1), c.test_return)

        def predict(point: Tensor, k: int) -> Tensor:
            point = known * context + (1.0 - known) * point
            both = point[:, None].expand(-1, 2, -1, -1, -1)
            time = own.new_full((1, 1, 1), float(k - 1))
            out = (
                unet(params, "unet", both, time, aim, self._keep(draws, own)) * weight[:, None, :, None, None]
            )
            return out[:, 1] + c.guidance * (out[:, 0] - out[:, 1])

        start = c.start_noise * draws.normal(*shape)
        if c.sampling_steps:
            point = implicit(self._steps, predict, start, c.sampling_steps)
        else:
            point = ancestral(self._steps, predict, start, lambda k: draws.normal(*shape))
        return (point[:, :, c.history + 1] * viewer[..., None]).sum(dim=1)
