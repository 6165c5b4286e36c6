"""VGM2P and MeanFlow: the derivative, and VGM2P's losses against plain NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy_networks import Networks, compare
from test_agents import CONTINUOUS, DISCRETE, random_batch
from toy_training import LINE, samples, train_toy

from agents import flows
from agents.networks import mlp, mlp_init, mlp_with_tangent
from agents.vgm2p import Vgm2p, Vgm2pConfig
from env_adapters.api import TeamSpec

torch.set_num_threads(1)


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


class Reference(Networks):
    """VGM2P's losses once more."""

    def u(self, x: np.ndarray, c: np.ndarray, z: np.ndarray, r: np.ndarray, k: np.ndarray) -> np.ndarray:
        tokens = 3 if self.c.uncond == "null" else 2
        return self.net("velocity", x, np.eye(tokens)[c], z, self.time(r), self.time(k))

    def sample(self, x: np.ndarray, noise: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        z, one, good = noise, np.ones((*x.shape[:-1], 1)), np.ones(x.shape[:-1], dtype=int)
        for k in np.linspace(1, 0, self.c.flow_steps + 1)[:-1]:
            r = k if self.c.sampler == "euler" else k - 1 / self.c.flow_steps
            z = z - self.u(x, good, z, r * one, k * one) / self.c.flow_steps
        return self.project(z, mask if self.c.mask_targets else None)

    def losses(self) -> dict[str, float]:
        c = self.c
        critic = self.critic_loss(self.sample(self.x2, self.n["next"], self.mask2), c.mix)
        reduce = np.min if c.q_aggregate == "min" else np.mean
        drawn = [self.q(self.x, self.sample(self.x, e, self.mask)) for e in self.n["reference"]]
        reference = np.mean([reduce(q, axis=0) for q in drawn], axis=0)
        good = (reduce(self.q(self.x, self.a), axis=0) - reference >= c.adv_threshold).astype(int)
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
        policy = float(np.mean(np.sum(error**2, -1)))
        return {
            "critic_loss": critic,
            "policy_loss": policy,
            "share_good": float(good.mean()),
            "loss": critic + policy,
        }


VARIANTS: list[dict[str, Any]] = [
    {},
    {"mix": "mean", "guidance": 1.0},
    {"uncond": "null"},
    {"uncond": "c0", "tangent": "plain"},
    {"cfg_rows": "positive", "guidance": 10.0, "adv_threshold": 0.05},
    {"mix": "independent", "q_aggregate": "min"},
    {"instantaneous": 1.0, "flow_steps": 10, "sampler": "euler"},
    {"flow_steps": 3, "n_reference": 4, "instantaneous": 0.5},
    {"time_embedding": "sin8", "mask_targets": False, "n_critics": 3},
]


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
@pytest.mark.parametrize(
    "options", VARIANTS, ids=lambda options: "-".join(map(str, options.values())) or "default"
)
def test_losses_equal_an_independent_evaluation(options: dict[str, Any], spec: TeamSpec) -> None:
    agent = Vgm2p(Vgm2pConfig(hidden=(24, 24), **options), spec)
    compare(agent, Reference, random_batch(spec, 16, seed=5))


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
    reference = Reference(agent, params, batch, noise)
    values = reference.q(reference.x, reference.a)
    no_future = np.mean((values.sum(-1) - 5 * batch.rewards.numpy()) ** 2)
    assert losses[1] == pytest.approx(no_future, rel=1e-4)
    assert losses[0] != pytest.approx(no_future, rel=1e-2)


def test_weight_one_is_meanflow_of_the_labelled_actions() -> None:
    """Whatever the unconditional field says."""
    batch = random_batch(CONTINUOUS, 16, seed=5)
    losses = []
    for uncond in ("literal", "c0"):
        agent = Vgm2p(Vgm2pConfig(hidden=(24,), guidance=1.0, uncond=uncond), CONTINUOUS)
        params = agent.init(torch.Generator().manual_seed(3))
        noise = agent.draw_training_noise(torch.Generator().manual_seed(4), 16)
        losses.append(float(agent.losses(params, params, batch, noise)[1]["policy_loss"]))
    assert losses[0] == losses[1]


def test_flow_matching_reads_the_diagonal_only() -> None:
    """VGM2P (FM) trains and samples u(·, k, k): a network that differs off the diagonal makes no difference."""
    agent = Vgm2p(Vgm2pConfig(hidden=(24,), instantaneous=1.0, flow_steps=4, sampler="euler"), CONTINUOUS)
    params = agent.init(torch.Generator().manual_seed(3))
    changed = dict(params)
    weight = params["velocity.0.weight"].clone()
    weight[:, -2] += 1.0  # r
    weight[:, -1] -= 1.0  # k
    changed["velocity.0.weight"] = weight
    noise = agent.draw_training_noise(torch.Generator().manual_seed(4), 16)
    batch = random_batch(CONTINUOUS, 16, seed=5)
    first, second = (agent.losses(p, p, batch, noise)[0] for p in (params, changed))
    assert torch.allclose(first, second, rtol=1e-5)
    jump = Vgm2p(replace(agent.config, sampler="jump"), CONTINUOUS)
    inputs, draw = batch.inputs[:, 0], torch.randn(16, 2, generator=torch.Generator().manual_seed(1))
    near, far = (
        (a.act_batch(params, inputs, None, draw, "fresh") - a.act_batch(changed, inputs, None, draw, "fresh"))
        .abs()
        .max()
        for a in (agent, jump)
    )
    assert near < 1e-5 < far


def good_and_bad(size: int = 4000) -> torch.Tensor:
    """Half near 0.6, half scattered around -0.4: [size, 1, 1]."""
    generator = torch.Generator().manual_seed(2)
    good = torch.rand(size, 1, 1, generator=generator) < 0.5
    noise = torch.randn(size, 1, 1, generator=generator)
    return torch.where(good, 0.6 + 0.1 * noise, -0.4 + 0.2 * noise)


@pytest.mark.slow
@pytest.mark.parametrize(("guidance", "cfg_rows"), [(1.0, "all"), (3.0, "all"), (10.0, "positive")])
def test_the_policy_clones_the_rewarded_actions(
    guidance: float, cfg_rows: Literal["all", "positive"]
) -> None:
    """The literal fixed point does not depend on w; nothing is claimed of the literal target at w >= 10."""
    config = Vgm2pConfig(hidden=(64, 64), n_critics=1, guidance=guidance, cfg_rows=cfg_rows)
    agent = Vgm2p(config, LINE)
    params = train_toy(agent, good_and_bad(), 2000, reward=lambda action: (action > 0.25).float(), rate=2e-3)
    drawn = samples(agent, params, "fresh")
    assert float((drawn > 0.25).float().mean()) > 0.85
    assert float(drawn.mean()) == pytest.approx(0.6, abs=0.15)
