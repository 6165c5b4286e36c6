"""OM2P, as published and as released: losses against plain NumPy, derivative, samplers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy_networks import Networks, compare
from test_agents import CONTINUOUS, DISCRETE, random_batch, small
from toy_training import LINE, samples, train_toy, two_modes

from agents import flows
from agents.bc import BcConfig, BcMeanFlow
from agents.om2p import Om2p, Om2pConfig
from env_adapters.errors import InvalidValueError, MismatchError

torch.set_num_threads(1)


class Reference(Networks):
    def u(self, x: np.ndarray, z: np.ndarray, r: np.ndarray, k: np.ndarray) -> np.ndarray:
        return self.net("velocity", x, z, self.time(r), self.time(k))

    def sample(self, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
        one = np.ones((*x.shape[:-1], 1))
        if self.c.sampler == "raw":
            return (-self.u(x, noise, one, 0 * one)).clip(-1, 1)
        return (noise - self.u(x, noise, 0 * one, one)).clip(-1, 1)

    def slope(self, z: np.ndarray, v: np.ndarray, r: np.ndarray, k: np.ndarray) -> np.ndarray:
        if self.c.derivative == "zero":
            return np.zeros_like(v)
        if self.c.derivative == "difference":
            h = 5e-3
            return (self.u(self.x, z, r, k) - self.u(self.x, z - h * v, r, k - h)) / h
        h = 1e-5
        return (self.u(self.x, z + h * v, r, k + h) - self.u(self.x, z - h * v, r, k - h)) / (2 * h)

    def losses(self) -> dict[str, float]:
        c = self.c
        critic = self.critic_loss(self.sample(self.x2, self.n["next"]), "independent") / self.spec.n_agents
        r, k = self.n["times"][..., :1], self.n["times"][..., 1:]
        z, v = (1 - k) * self.a + k * self.n["path"], self.n["path"] - self.a
        error = self.u(self.x, z, r, k) - v + (k - r) * self.slope(z, v, r, k)
        flow = float(np.mean(error**2))
        q = self.q(self.x, self.sample(self.x, self.n["policy"])).mean(0)
        guidance = -q.mean() / (np.abs(q).mean() if c.normalize_q else 1.0)
        return {
            "critic_loss": critic,
            "flow_loss": flow,
            "q_mean": float(q.mean()),
            "loss": critic + flow + c.q_weight * guidance,
        }


@pytest.mark.parametrize(
    "config",
    [
        small("om2p"),
        small("om2p-released"),
        replace(small("om2p"), derivative="jvp", time_distribution="beta", normalize_q=True, q_weight=0.1),
    ],
    ids=["published", "released", "others"],
)
def test_losses_equal_an_independent_evaluation(config: Om2pConfig) -> None:
    compare(Om2p(config, CONTINUOUS), Reference, random_batch(CONTINUOUS, 16, seed=5))


def test_discrete_actions_are_refused_in_one_line() -> None:
    with pytest.raises(MismatchError) as refused:
        Om2p(Om2pConfig(), DISCRETE)
    assert "om2p" in str(refused.value) and "continuous" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("wrong", [{"n_critics": 0}, {"q_weight": -1.0}, {"discount": 1.5}, {"tau": -0.1}])
def test_senseless_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        Om2pConfig(**wrong)


def test_the_difference_is_close_to_the_derivative_and_the_released_step_is_lost() -> None:
    """du/dk in float32: the step of the project is good to 1 %, a step of 1e-12 moves almost no time at all."""
    generator = torch.Generator().manual_seed(0)
    params = flows.velocity_init(4, 2, (64, 64), "raw", generator)
    context, point, direction = (torch.randn(500, n, generator=generator) for n in (4, 2, 2))
    r, k = torch.rand(500, 1, generator=generator) * 0.4, torch.rand(500, 1, generator=generator) * 0.5 + 0.5
    u, exact = flows.velocity_with_tangent(params, context, point, r, k, direction, "raw")
    h = flows.DIFFERENCE_STEP
    before = flows.velocity(params, context, point - h * direction, r, k - h, "raw")
    assert float(((u - before) / h - exact).norm() / exact.norm()) < 0.01
    assert torch.equal(k - 1e-12, k)


def test_beta_times_are_beta_two_two() -> None:
    agent = Om2p(Om2pConfig(hidden=(8,), time_distribution="beta", sort_times=False), CONTINUOUS)
    times = agent.draw_training_noise(torch.Generator().manual_seed(0), 20000)["times"]
    assert float(times.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(times.var()) == pytest.approx(0.05, abs=0.002)
    assert float((times < 0.25).float().mean()) == pytest.approx(0.15625, abs=0.01)


def test_without_value_it_is_meanflow_cloning() -> None:
    """Same regression, same sampler as the clone, whose samples are tested against known distributions."""
    agent = Om2p(Om2pConfig(hidden=(24, 24), derivative="jvp"), CONTINUOUS)
    clone = BcMeanFlow(BcConfig(hidden=(24, 24)), CONTINUOUS)
    params = agent.init(torch.Generator().manual_seed(0))
    batch, noise = (
        random_batch(CONTINUOUS, 16),
        agent.draw_training_noise(torch.Generator().manual_seed(1), 16),
    )
    ours = agent.losses(params, params, batch, noise)[1]["flow_loss"] * CONTINUOUS.action_size
    assert torch.allclose(ours, clone.losses(params, {}, batch, noise)[0])
    rows, draw = batch.inputs[:, 0], noise["next"][:, 0]
    ours, theirs = (a.act_batch(params, rows, None, draw, "fresh") for a in (agent, clone))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("preset", ["om2p", "om2p-released"])
def test_rewards_move_the_policy_to_the_rarer_mode(preset: str) -> None:
    agent = Om2p(replace(small(preset), hidden=(64, 64), n_critics=1), LINE)
    params = train_toy(agent, two_modes(), 400, reward=lambda action: (action < 0).float())
    assert float((samples(agent, params, "fresh") < 0).float().mean()) > 0.6
