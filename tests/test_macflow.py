"""MAC-Flow, as published and as released: losses against plain NumPy, what guides the student, samplers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy_networks import Networks, compare
from test_agents import CONTINUOUS, DISCRETE, random_batch, small
from toy_training import CHOICE, LINE, four_choices, has_odds, has_two_modes, samples, train_toy, two_modes

from agents.macflow import MacFlow, MacFlowConfig
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError

torch.set_num_threads(1)
BOTH = pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])


class Reference(Networks):
    def losses(self) -> dict[str, float]:
        c = self.c
        masks = (self.mask, self.mask2) if c.mask_targets else (None, None)
        critic = self.critic_loss(
            self.project(self.student(self.x2, self.n["next"]), masks[1]), c.mix, c.td_members
        )
        t = self.n["time"]
        velocity = self.field(self.x, (1 - t) * self.a + t * self.n["path"], t)
        flow = float(np.mean((velocity - (self.n["path"] - self.a)) ** 2))
        vectors = self.student(self.x, self.n["student"])
        distill = self.distill(vectors, self.euler(self.x, self.n["student"]), masks[0])
        q = self.q(self.x, self.project(vectors, masks[0])).mean(0).mean(-1)
        guidance = -q.mean() / (np.abs(q).mean() if c.normalize_q else 1.0)
        return {
            "critic_loss": critic,
            "flow_loss": flow,
            "distill_loss": distill,
            "q_mean": float(q.mean()),
            "loss": critic + flow + c.alpha * distill + guidance,
        }

    def distill(self, vectors: np.ndarray, ends: np.ndarray, mask: np.ndarray | None) -> float:
        if not self.discrete:
            return float(np.mean((vectors - ends.clip(-1, 1)) ** 2))
        if self.c.distill == "vectors":
            return float(np.mean((vectors - ends) ** 2))
        odds = np.exp(vectors) / np.exp(vectors).sum(-1, keepdims=True)
        return float(-np.mean(np.log((odds * self.project(ends, mask)).sum(-1))))


@BOTH
@pytest.mark.parametrize(
    "config",
    [
        small("mac-flow"),
        small("mac-flow-released"),
        small("mac-flow-released-mujoco"),
        replace(small("mac-flow"), mix="independent", distill="argmax", q_aggregate="min", flow_steps=3),
    ],
    ids=["published", "released", "released-mujoco", "others"],
)
def test_losses_equal_an_independent_evaluation(config: MacFlowConfig, spec: TeamSpec) -> None:
    compare(MacFlow(config, spec), Reference, random_batch(spec, 16, seed=5))


def gradients(agent: MacFlow, spec: TeamSpec, shift: float) -> dict[str, torch.Tensor]:
    """Gradients of everything, with the critics' first layer shifted."""
    params = agent.init(torch.Generator().manual_seed(3))
    params["q0.0.weight"] = params["q0.0.weight"] * (1.0 + shift)
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in params.items()}
    targets = {name: params[name].detach() for name in agent.target_names(params)}
    noise = agent.draw_training_noise(torch.Generator().manual_seed(4), 16)
    agent.losses(leaves, targets, random_batch(spec, 16), noise)[0].backward()  # type: ignore[no-untyped-call]
    return {name: tensor.grad for name, tensor in leaves.items() if tensor.grad is not None}


@pytest.mark.parametrize(
    ("name", "spec", "guided"),
    [
        ("mac-flow", DISCRETE, True),
        ("mac-flow", CONTINUOUS, True),
        ("mac-flow-released", DISCRETE, False),
        ("mac-flow-released", CONTINUOUS, True),
    ],
)
def test_the_value_reaches_the_student_except_as_released(name: str, spec: TeamSpec, guided: bool) -> None:
    agent = MacFlow(small(name), spec)
    before, after = gradients(agent, spec, 0.0), gradients(agent, spec, 0.5)
    layers = [key for key in before if key.startswith("student")]
    assert any(not torch.equal(before[key], after[key]) for key in layers) is guided
    fields = [key for key in before if key.startswith("field")]
    assert fields and all(torch.equal(before[key], after[key]) for key in fields)


def test_guidance_does_not_train_the_critics() -> None:
    """The critics' gradient is that of the temporal-difference error alone."""
    plain, strong = (
        gradients(
            MacFlow(MacFlowConfig(hidden=(8,), alpha=alpha, normalize_q=normal), CONTINUOUS), CONTINUOUS, 0
        )
        for alpha, normal in ((0.0, True), (3.0, False))
    )
    assert all(torch.equal(plain[key], strong[key]) for key in plain if key.startswith("q"))


@pytest.mark.parametrize(
    "wrong", [{"flow_steps": 0}, {"n_critics": 0}, {"alpha": -1.0}, {"discount": 1.5}, {"tau": float("nan")}]
)
def test_senseless_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        MacFlowConfig(**wrong)


TOY = MacFlowConfig(hidden=(64, 64), normalize_q=False, n_critics=1)


def test_without_rewards_the_student_has_both_modes() -> None:
    agent = MacFlow(TOY, LINE)
    assert has_two_modes(samples(agent, train_toy(agent, two_modes(), 800, rate=3e-3), "fresh"), near=0.7)


def test_without_rewards_the_student_has_the_odds() -> None:
    agent = MacFlow(TOY, CHOICE)
    params = train_toy(agent, four_choices(), 600, rate=3e-3)
    assert has_odds(samples(agent, params, "fresh"), tolerance=0.1)


def test_rewards_move_the_student_to_the_rarer_mode() -> None:
    agent = MacFlow(replace(TOY, alpha=1.0, normalize_q=True), LINE)
    params = train_toy(agent, two_modes(), 500, reward=lambda action: (action < 0).float())
    assert float((samples(agent, params, "fresh") < 0).float().mean()) > 0.6


@pytest.mark.parametrize("guidance", ["straight-through", "argmax"])
def test_rewards_move_the_discrete_student_unless_as_released(
    guidance: Literal["straight-through", "argmax"],
) -> None:
    agent = MacFlow(replace(TOY, alpha=0.3, flow_steps=5, guidance=guidance), CHOICE)
    params = train_toy(agent, four_choices(), 400, reward=lambda action: (action == 1).float())
    share = float((samples(agent, params, "fresh") == 1).float().mean())
    assert share > 0.6 if guidance == "straight-through" else abs(share - 0.3) < 0.1
