"""VGM2P and MeanFlow: the derivative, the losses against plain NumPy, the sampler on a known distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_agents import CONTINUOUS, DISCRETE, random_batch

from agents import flows
from agents.api import Batch, Params
from agents.bc import BcConfig, BcMeanFlow
from agents.networks import mlp, mlp_init, mlp_with_tangent
from agents.vgm2p import Vgm2p, Vgm2pConfig
from env_adapters.api import TeamSpec

torch.set_num_threads(1)
Arrays = Mapping[str, np.ndarray]


def test_tangent_equals_torch_jvp() -> None:
    generator = torch.Generator().manual_seed(0)
    params = mlp_init("net", [7, 32, 32, 5], generator)
    x, tangent = torch.randn(40, 7, generator=generator), torch.randn(40, 7, generator=generator)
    value, derivative = mlp_with_tangent(params, "net", x, tangent)
    expected_value, expected = torch.func.jvp(lambda y: mlp(params, "net", y), (x,), (tangent,))
    assert torch.allclose(value, expected_value, atol=1e-6)
    assert torch.allclose(derivative, expected, atol=1e-6)


@pytest.mark.parametrize("embedding", ["raw", "sin8"])
def test_velocity_tangent_equals_torch_jvp(embedding: flows.TimeEmbedding) -> None:
    generator = torch.Generator().manual_seed(0)
    params = flows.velocity_init(4, 3, (32, 32), embedding, generator)
    context, point, direction = (torch.randn(20, n, generator=generator) for n in (4, 3, 3))
    r, k = torch.rand(20, 1, generator=generator) * 0.4, torch.rand(20, 1, generator=generator) * 0.5 + 0.5
    _, derivative = flows.velocity_with_tangent(params, context, point, r, k, direction, embedding)
    _, expected = torch.func.jvp(
        lambda z, t: flows.velocity(params, context, z, r, t, embedding),
        (point, k),
        (direction, torch.ones_like(k)),
    )
    assert torch.allclose(derivative, expected, rtol=1e-4, atol=1e-5)


class Reference:
    """VGM2P's losses once more, in float64 NumPy, sharing no code with the agent."""

    def __init__(self, agent: Vgm2p, params: Params, batch: Batch, noise: Mapping[str, torch.Tensor]) -> None:
        self.c, self.spec = agent.config, agent.spec
        self.p = {k: v.detach().double().numpy() for k, v in params.items()}
        self.n = {k: v.double().numpy() for k, v in noise.items()}
        self.batch = batch
        self.x, self.x2 = batch.inputs.double().numpy(), batch.next_inputs.double().numpy()
        raw = batch.actions.numpy()
        self.a = (
            np.eye(self.spec.action_size)[raw] if self.spec.action_kind == "discrete" else raw.astype(float)
        )

    @staticmethod
    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def net(self, name: str, x: np.ndarray) -> np.ndarray:
        layers = sum(1 for key in self.p if key.startswith(f"{name}.") and key.endswith("weight"))
        for layer in range(layers):
            x = x @ self.p[f"{name}.{layer}.weight"].T + self.p[f"{name}.{layer}.bias"]
            if layer < layers - 1:
                x = self.gelu(x)
                if f"{name}.{layer}.norm_scale" in self.p:
                    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
                    x = x * self.p[f"{name}.{layer}.norm_scale"] + self.p[f"{name}.{layer}.norm_shift"]
        return x

    def u(self, x: np.ndarray, c: np.ndarray, z: np.ndarray, r: np.ndarray, k: np.ndarray) -> np.ndarray:
        tokens = 3 if self.c.uncond == "null" else 2
        return self.net("velocity", np.concatenate([x, np.eye(tokens)[c], z, r, k], axis=-1))

    def sample(self, x: np.ndarray, noise: np.ndarray, mask: torch.Tensor | None) -> np.ndarray:
        one = np.ones((*x.shape[:-1], 1))
        action = noise - self.u(x, np.ones(x.shape[:-1], dtype=int), noise, 0 * one, one)
        if self.spec.action_kind == "continuous":
            return action.clip(-1, 1)
        assert mask is not None
        return np.eye(self.spec.action_size)[np.where(mask.numpy(), action, -np.inf).argmax(-1)]

    def q(self, x: np.ndarray, a: np.ndarray) -> np.ndarray:
        pair = np.concatenate([x, a], axis=-1)
        return np.stack([self.net(f"q{m}", pair)[..., 0] for m in range(self.c.n_critics)])

    def losses(self) -> dict[str, float]:
        b, c = self.batch, self.c
        following = self.q(self.x2, self.sample(self.x2, self.n["next"], b.next_available)).mean(0)
        y = b.rewards.numpy()[:, None] + c.discount * (1 - b.terminated.numpy()[:, None]) * following
        mix = np.sum if c.mix == "sum" else np.mean
        values = self.q(self.x, self.a)
        critic = np.mean((mix(values, axis=-1) - mix(y, axis=-1)) ** 2)
        reference = self.q(self.x, self.sample(self.x, self.n["reference"][0], b.available)).mean(0)
        good = (values.mean(0) - reference >= c.adv_threshold).astype(int)
        r, k = self.n["times"][..., :1], self.n["times"][..., 1:]
        z, v = (1 - k) * self.a + k * self.n["path"], self.n["path"] - self.a
        token = np.where(self.n["dropout"] < c.label_dropout, 2, good) if c.uncond == "null" else good
        other = np.full_like(good, {"literal": 1, "null": 2, "c0": 0}[c.uncond])
        guided = c.guidance * v + (1 - c.guidance) * self.u(self.x, other, z, k, k)
        if c.cfg_rows == "positive":
            guided = np.where(token[..., None] == 1, guided, v)
        elif c.uncond == "null":
            guided = np.where(token[..., None] == 2, v, guided)
        direction, h = (v if c.tangent == "plain" else guided), 1e-5
        ahead = self.u(self.x, token, z + h * direction, r, k + h)
        behind = self.u(self.x, token, z - h * direction, r, k - h)
        target = guided - (k - r) * (ahead - behind) / (2 * h)
        error = self.u(self.x, token, z, r, k) - target
        return {
            "critic_loss": critic,
            "policy_loss": float(np.mean(np.sum(error**2, -1))),
            "share_good": good.mean(),
        }


VARIANTS: list[dict[str, Any]] = [
    {},
    {"mix": "mean", "guidance": 1.0},
    {"uncond": "null"},
    {"uncond": "c0", "tangent": "plain"},
    {"cfg_rows": "positive", "guidance": 10.0, "adv_threshold": 0.05},
]


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
@pytest.mark.parametrize(
    "options", VARIANTS, ids=lambda options: "-".join(map(str, options.values())) or "default"
)
def test_losses_equal_an_independent_evaluation(options: dict[str, Any], spec: TeamSpec) -> None:
    agent = Vgm2p(Vgm2pConfig(hidden=(24, 24), **options), spec)
    params = agent.init(torch.Generator().manual_seed(3))
    batch = random_batch(spec, 16, seed=5)
    noise = agent.draw_training_noise(torch.Generator().manual_seed(4), 16)
    targets = {name: params[name].clone() for name in agent.target_names(params)}
    _, metrics = agent.losses(params, targets, batch, noise)
    expected = Reference(agent, params, batch, noise).losses()
    for name, value in expected.items():
        assert float(metrics[name]) == pytest.approx(value, rel=1e-4, abs=1e-5), name


def test_a_cut_episode_bootstraps_and_a_terminated_one_does_not() -> None:
    agent = Vgm2p(Vgm2pConfig(hidden=(16,)), DISCRETE)
    params = agent.init(torch.Generator().manual_seed(3))
    noise = agent.draw_training_noise(torch.Generator().manual_seed(4), 8)
    targets = {name: params[name] + 10.0 for name in agent.target_names(params)}
    batch = random_batch(DISCRETE, 8)
    losses = [
        float(
            agent.losses(params, targets, replace(batch, terminated=torch.full((8,), ended)), noise)[1][
                "critic_loss"
            ]
        )
        for ended in (0.0, 1.0)
    ]
    values = Reference(agent, params, batch, noise).q(
        batch.inputs.double().numpy(), np.eye(12)[batch.actions.numpy()]
    )
    no_future = np.mean((values.sum(-1) - 5 * batch.rewards.numpy()) ** 2)
    assert losses[1] == pytest.approx(no_future, rel=1e-4)
    assert losses[0] != pytest.approx(no_future, rel=1e-2)


def train_toy(agent: BcMeanFlow, actions: torch.Tensor, steps: int) -> Params:
    params = {k: v.requires_grad_() for k, v in agent.init(torch.Generator().manual_seed(0)).items()}
    optimizer = torch.optim.Adam(list(params.values()), lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.ones(128, 1, 2)
    for _ in range(steps):
        rows = torch.randint(len(actions), (128,), generator=generator)
        batch = Batch(inputs, actions[rows], torch.zeros(128), inputs, torch.zeros(128), None, None)
        loss, _ = agent.losses(params, {}, batch, agent.draw_training_noise(generator, 128))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in params.items()}


def test_one_step_sampling_reproduces_two_modes() -> None:
    spec = TeamSpec("toy-v1", "toy", "test/1", 1, 1, 1, "continuous", 1, 5, False)
    generator = torch.Generator().manual_seed(2)
    modes = torch.where(torch.rand(4000, 1, 1, generator=generator) < 0.7, 0.6, -0.6)
    actions = modes + 0.05 * torch.randn(4000, 1, 1, generator=generator)
    agent = BcMeanFlow(BcConfig(hidden=(96, 96, 96)), spec)
    params = train_toy(agent, actions, 3000)
    noise = torch.randn(4000, 1, generator=generator)
    samples = agent.act_batch(params, torch.ones(4000, 2), None, noise, "fresh")
    assert float((samples > 0).float().mean()) == pytest.approx(0.7, abs=0.08)
    near = ((samples - 0.6).abs() < 0.25) | ((samples + 0.6).abs() < 0.25)
    assert float(near.float().mean()) > 0.8


def test_one_step_sampling_reproduces_discrete_odds() -> None:
    spec = TeamSpec("toy-v1", "toy", "test/1", 1, 1, 1, "discrete", 4, 5, False)
    generator = torch.Generator().manual_seed(2)
    actions = torch.multinomial(torch.tensor([0.6, 0.3, 0.1, 0.0]), 4000, True, generator=generator)[:, None]
    agent = BcMeanFlow(BcConfig(hidden=(64, 64)), spec)
    params = train_toy(agent, actions, 1500)
    noise = torch.randn(4000, 4, generator=generator)
    chosen = agent.act_batch(params, torch.ones(4000, 2), None, noise, "fresh")
    shares = torch.bincount(chosen, minlength=4) / 4000
    assert torch.allclose(shares, torch.tensor([0.6, 0.3, 0.1, 0.0]), atol=0.08), shares
