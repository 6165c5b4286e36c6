"""Behaviour cloning: losses against plain NumPy, samplers on known distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy_networks import Networks, compare
from test_agents import CONTINUOUS, DISCRETE, random_batch
from toy_training import CHOICE, LINE, four_choices, has_odds, has_two_modes, samples, train_toy, two_modes

from agents.api import OfflineAgent
from agents.bc import BcConfig, BcMeanFlow
from agents.bc_diffusion import BcDiffusion, BcDiffusionConfig
from agents.bc_flow import BcFlow, BcFlowConfig
from agents.bc_gaussian import BcCategorical, BcCategoricalConfig, BcGaussian, BcGaussianConfig
from agents.diffusion import Schedule, diffusion_steps
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, MismatchError

torch.set_num_threads(1)
BOTH = pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])


class MeanFlowReference(Networks):
    def losses(self) -> dict[str, float]:
        r, k = self.n["times"][..., :1], self.n["times"][..., 1:]
        z, v, h = (1 - k) * self.a + k * self.n["path"], self.n["path"] - self.a, 1e-5

        def u(z: np.ndarray, k: np.ndarray) -> np.ndarray:
            return self.net("velocity", self.x, z, self.time(r), self.time(k))

        du = (u(z + h * v, k + h) - u(z - h * v, k - h)) / (2 * h)
        loss = float(np.mean(np.sum((u(z, k) - v + (k - r) * du) ** 2, axis=-1)))
        return {"policy_loss": loss, "loss": loss}


class FlowReference(Networks):
    """In MAC-Flow's notation: noise at time 0, action at time 1."""

    def losses(self) -> dict[str, float]:
        t = 1 - self.n["time"]
        point = (1 - t) * self.n["path"] + t * self.a
        velocity = -self.field(self.x, point, 1 - t)
        flow = float(np.mean((velocity - (self.a - self.n["path"])) ** 2))
        if self.c.distill == 0:
            return {"policy_loss": flow, "loss": flow}
        ends = self.euler(self.x, self.n["student"])
        ends = ends if self.discrete else ends.clip(-1, 1)
        distill = float(np.mean((self.student(self.x, self.n["student"]) - ends) ** 2))
        return {"policy_loss": flow, "distill_loss": distill, "loss": flow + self.c.distill * distill}


class DiffusionReference(Networks):
    def losses(self) -> dict[str, float]:
        n, step = self.c.diffusion_steps, self.n["step"] + 1
        if self.c.schedule == "cosine":
            f = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * np.pi / 2) ** 2
            beta = np.minimum(1 - f[1:] / f[:-1], 0.999)
        else:
            k = np.arange(1, n + 1)
            beta = 1 - np.exp(-0.1 / n - 0.5 * 9.9 * (2 * k - 1) / n**2)
        kept = np.cumprod(1 - beta)[step - 1][..., None]
        point = np.sqrt(kept) * self.a + np.sqrt(1 - kept) * self.n["path"]
        predicted = self.field(self.x, point, step[..., None] / n)
        loss = float(np.mean((predicted - self.n["path"]) ** 2))
        return {"policy_loss": loss, "loss": loss}


class GaussianReference(Networks):
    def losses(self) -> dict[str, float]:
        squared = (self.net("policy", self.x) - self.a) ** 2
        std = np.exp(self.p["log_std"])
        policy = float(np.mean(squared))
        likelihood = float(np.mean(np.log(std) + squared / (2 * std**2)))
        return {"policy_loss": policy, "std": float(std.mean()), "loss": policy + likelihood}


class CategoricalReference(Networks):
    def losses(self) -> dict[str, float]:
        logits = self.net("policy", self.x)
        odds = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        loss = float(-np.mean(np.log((odds * self.a).sum(-1))))
        return {"policy_loss": loss, "loss": loss}


@BOTH
@pytest.mark.parametrize("options", [{}, {"time_embedding": "sin8", "instantaneous": 0.4}])
def test_meanflow_loss(options: dict[str, Any], spec: TeamSpec) -> None:
    agent = BcMeanFlow(BcConfig(hidden=(24, 24), **options), spec)
    compare(agent, MeanFlowReference, random_batch(spec, 16, seed=5))


@BOTH
@pytest.mark.parametrize("options", [{}, {"distill": 3.0}, {"time_embedding": "sin8", "distill": 1.0}])
def test_flow_loss(options: dict[str, Any], spec: TeamSpec) -> None:
    compare(BcFlow(BcFlowConfig(hidden=(24, 24), **options), spec), FlowReference, random_batch(spec, 16))


@BOTH
@pytest.mark.parametrize("options", [{}, {"schedule": "vp", "diffusion_steps": 10}])
def test_diffusion_loss(options: dict[str, Any], spec: TeamSpec) -> None:
    agent = BcDiffusion(BcDiffusionConfig(hidden=(24, 24), **options), spec)
    compare(agent, DiffusionReference, random_batch(spec, 16))


def test_gaussian_and_categorical_loss() -> None:
    gaussian = BcGaussian(BcGaussianConfig(hidden=(24, 24)), CONTINUOUS)
    compare(gaussian, GaussianReference, random_batch(CONTINUOUS, 16))
    categorical = BcCategorical(BcCategoricalConfig(hidden=(24, 24)), DISCRETE)
    compare(categorical, CategoricalReference, random_batch(DISCRETE, 16))


def test_the_likelihood_does_not_move_the_mean() -> None:
    """The mean follows the squared error of the mode alone, at any standard deviation."""
    agent = BcGaussian(BcGaussianConfig(hidden=(8,)), CONTINUOUS)
    batch, gradients = random_batch(CONTINUOUS, 16), []
    for shift in (0.0, -2.0):
        params = agent.init(torch.Generator().manual_seed(0))
        params["log_std"] = params["log_std"] + shift
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in params.items()}
        agent.losses(leaves, {}, batch, {})[0].backward()  # type: ignore[no-untyped-call]
        gradients.append(leaves["policy.0.weight"].grad)
    assert torch.equal(gradients[0], gradients[1])  # type: ignore[arg-type]


def test_clones_refuse_actions_of_the_other_kind() -> None:
    with pytest.raises(MismatchError, match=r"bc-gaussian.*discrete; choose bc-categorical"):
        BcGaussian(BcGaussianConfig(), DISCRETE)
    with pytest.raises(MismatchError, match=r"bc-categorical.*continuous; choose bc-gaussian"):
        BcCategorical(BcCategoricalConfig(), CONTINUOUS)


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (BcConfig, {"instantaneous": 1.5}),
        (BcFlowConfig, {"flow_steps": 0}),
        (BcFlowConfig, {"distill": -1.0}),
        (BcFlowConfig, {"distill": float("nan")}),
        (BcDiffusionConfig, {"diffusion_steps": 0}),
    ],
)
def test_senseless_options_are_refused(config: type[Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        config(**wrong)


@pytest.mark.parametrize("schedule", ["cosine", "vp"])
@pytest.mark.parametrize("n_steps", [1, 10, 15, 200])
def test_denoising_undoes_noising(schedule: Schedule, n_steps: int) -> None:
    """Given the clean action, a denoising step has mean and variance of the step before."""
    signal, variance = 1.0, 0.0
    for k, step in enumerate(diffusion_steps(schedule, n_steps), start=1):
        assert step.of_clean + step.of_noisy * step.signal == pytest.approx(signal, abs=1e-9)
        assert (step.of_noisy * step.noise) ** 2 + step.std**2 == pytest.approx(variance, abs=1e-9)
        assert step.std == 0.0 or k > 1
        signal, variance = step.signal, step.noise**2
    assert n_steps == 1 or signal < 0.1


def toy_clones(spec: TeamSpec) -> dict[str, tuple[OfflineAgent, int, float]]:
    """Agents that must reproduce a distribution, the updates that they need, and the learning rate."""
    small, wide = (64, 64), (96, 96, 96)
    return {
        "meanflow": (BcMeanFlow(BcConfig(hidden=wide), spec), 2500, 1e-3),
        "flow": (BcFlow(BcFlowConfig(hidden=small), spec), 700, 3e-3),
        "flow-distilled": (BcFlow(BcFlowConfig(hidden=small, distill=3.0), spec), 800, 3e-3),
        "diffusion": (BcDiffusion(BcDiffusionConfig(hidden=wide), spec), 900, 2e-3),
        "diffusion-vp": (BcDiffusion(BcDiffusionConfig(hidden=wide, schedule="vp"), spec), 1200, 2e-3),
    }


SLOW = ("meanflow", "diffusion-vp")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in toy_clones(LINE)]
)
def test_samples_have_both_modes(name: str) -> None:
    agent, steps, rate = toy_clones(LINE)[name]
    assert has_two_modes(samples(agent, train_toy(agent, two_modes(), steps, rate=rate), "fresh"), near=0.75)


@pytest.mark.parametrize("name", toy_clones(CHOICE))
def test_samples_have_the_odds(name: str) -> None:
    agent, steps, rate = toy_clones(CHOICE)[name]
    params = train_toy(agent, four_choices(), min(steps, 1200), rate=rate)
    assert has_odds(samples(agent, params, "fresh"), tolerance=0.1)


def test_the_categorical_clone_has_the_odds() -> None:
    agent = BcCategorical(BcCategoricalConfig(hidden=(32,)), CHOICE)
    params = train_toy(agent, four_choices(), 400)
    assert has_odds(samples(agent, params, "sample"), tolerance=0.04)
    rows = torch.zeros(5, 4)
    assert (agent.act_batch(params, torch.ones(5, 2), None, rows, "greedy") == 0).all()


def test_the_gaussian_clone_has_mean_and_spread() -> None:
    agent = BcGaussian(BcGaussianConfig(hidden=(32,)), LINE)
    params = train_toy(agent, two_modes(), 1500, rate=3e-3)
    greedy = agent.act_batch(params, torch.ones(1, 2), None, torch.zeros(1, 1), "greedy")
    assert float(greedy) == pytest.approx(0.4 * 0.6, abs=0.08)
    assert float(params["log_std"].exp()) == pytest.approx(0.55, abs=0.05)
