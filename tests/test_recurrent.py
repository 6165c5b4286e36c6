"""Recurrent cloning and DoF's policy: losses against plain NumPy, and what they learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy_networks import Networks, double, double_tensors
from numpy_trajectories import mish
from test_agents import CONTINUOUS, DISCRETE, build, random_batch, random_windows
from toy_training import LINE, train_toy, two_modes

from agents import registry
from agents.api import OfflineAgent, WindowBatch
from agents.bc_recurrent import BcRecurrent, BcRecurrentConfig
from agents.dof_policy import DofPolicy, DofPolicyConfig
from agents.networks import gru, gru_init
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, MismatchError

torch.set_num_threads(1)


def test_the_cell_is_that_of_pytorch() -> None:
    params = gru_init("cell", 5, 7, torch.Generator().manual_seed(0))
    cell = torch.nn.GRUCell(5, 7)
    names = {"weight_ih": "input.weight", "weight_hh": "hidden.weight", "bias_ih": "input.bias"}
    names["bias_hh"] = "hidden.bias"
    cell.load_state_dict({theirs: params[f"cell.{ours}"] for theirs, ours in names.items()})
    x, h = (torch.randn(3, n, generator=torch.Generator().manual_seed(n)) for n in (5, 7))
    torch.testing.assert_close(gru(params, "cell", x, h), cell(x, h))


def unrolled(agent: Any, params: Any, batch: WindowBatch) -> float:
    """The loss of recurrent cloning, one sequence and agent at a time."""
    p = {name: tensor.double().numpy() for name, tensor in params.items()}
    n, width, total, count = agent.spec.n_agents, agent.config.width, 0.0, 0
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    for b in range(len(batch.rewards)):
        for i in range(n):
            h = np.zeros(width)
            for t in range(agent.config.sequence):
                view = np.concatenate([np.eye(n)[i], batch.observations[b, t, i].double().numpy()])
                x = np.maximum(p["first.0.weight"] @ view + p["first.0.bias"], 0)
                gi = p["cell.input.weight"] @ x + p["cell.input.bias"]
                gh = p["cell.hidden.weight"] @ h + p["cell.hidden.bias"]
                r, z = sigmoid(gi[:width] + gh[:width]), sigmoid((gi + gh)[width : 2 * width])
                h = (1 - z) * np.tanh(gi[2 * width :] + r * gh[2 * width :]) + z * h
                if not batch.acted[b, t]:
                    continue
                out = p["policy.0.weight"] @ np.maximum(h, 0) + p["policy.0.bias"]
                action = batch.actions[b, t, i].numpy()
                if agent.spec.action_kind == "discrete":
                    total += np.log(np.exp(out).sum()) - out[int(action)]
                else:
                    total += float(((out - action) ** 2).mean())
                count += 1
    return total / count


@pytest.mark.parametrize(
    ("name", "spec"), [("bc-recurrent", DISCRETE), ("bc-recurrent-gaussian", CONTINUOUS)]
)
def test_recurrent_losses_equal_plain_loops(name: str, spec: TeamSpec) -> None:
    config = replace(registry.default_config(name), width=9, sequence=5)
    agent = registry.load_class(name)(config, spec)
    assert isinstance(agent, OfflineAgent) and (agent.history, agent.horizon) == (0, 5)
    params = double_tensors(agent.init(torch.Generator().manual_seed(0)))
    batch = random_windows(agent, 6)
    batch = replace(batch, observations=batch.observations.double(), actions=batch.actions)
    loss, metrics = agent.losses(params, {}, batch, {})
    assert float(loss) == pytest.approx(unrolled(agent, params, batch), rel=1e-5)
    assert metrics["policy_loss"] == loss


def test_recurrent_cloning_learns_what_only_memory_can_tell() -> None:
    """The first observation decides every later action; after it everything looks the same."""
    spec = replace(DISCRETE, n_agents=1, observation_size=1, action_size=2)
    agent = BcRecurrent(BcRecurrentConfig(width=16, sequence=4), spec)
    params = {k: v.requires_grad_() for k, v in agent.init(torch.Generator().manual_seed(0)).items()}
    choice = torch.arange(32) % 2
    observations = torch.zeros(32, 4, 1, 1)
    observations[:, 0, 0, 0] = 2.0 * choice - 1.0
    actions = choice[:, None, None].expand(32, 4, 1)
    true = torch.ones(32, 4, dtype=torch.bool)
    batch = WindowBatch(observations, actions, torch.zeros(32, 4), None, true, true, torch.zeros(32))
    optimizer = torch.optim.Adam(list(params.values()), lr=1e-2)
    for _ in range(150):
        loss, _ = agent.losses(params, {}, batch, {})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    memory = torch.zeros(2, 16)
    for t in range(6):
        seen = torch.tensor([[1.0, -1.0], [1.0, 1.0]]) if t == 0 else torch.tensor([[1.0, 0.0]] * 2)
        memory = agent.remember(params, memory, seen)
        acted = agent.act_batch(params, memory, None, torch.zeros(2, 2), "greedy")
        assert t > 3 or acted.tolist() == [0, 1]


def test_recurrent_agents_refuse_actions_of_the_other_kind() -> None:
    with pytest.raises(MismatchError, match="bc-recurrent-gaussian"):
        build("bc-recurrent", CONTINUOUS)
    with pytest.raises(MismatchError, match="choose bc-recurrent "):
        build("bc-recurrent-gaussian", DISCRETE)
    with pytest.raises(MismatchError, match="choose dof "):
        build("dof-policy", DISCRETE)
    with pytest.raises(InvalidValueError, match="sequence"):
        BcRecurrentConfig(sequence=0)
    with pytest.raises(InvalidValueError, match="embedding"):
        DofPolicyConfig(embedding=5)
    with pytest.raises(InvalidValueError, match="eta"):
        DofPolicyConfig(eta=-1.0)


class DofPolicyReference(Networks):
    """Diffusion and twin critics per agent; targets act with the same parameters."""

    @staticmethod
    def gelu(x: np.ndarray) -> np.ndarray:
        return mish(x)

    def steps(self) -> tuple[np.ndarray, np.ndarray]:
        n = self.c.diffusion_steps
        if self.c.schedule == "linear":
            beta = np.linspace(1e-4, 2e-2, n)
        else:
            k = np.arange(1, n + 1)
            beta = 1 - np.exp(-0.1 / n - 0.5 * 9.9 * (2 * k - 1) / n**2)
        return beta, np.cumprod(1 - beta)

    def predicted(self, x: np.ndarray, z: np.ndarray, t: np.ndarray) -> np.ndarray:
        half = self.c.embedding // 2
        angle = t[..., None] * 10000.0 ** (-np.arange(half) / (half - 1))
        time = self.net("step", np.concatenate([np.sin(angle), np.cos(angle)], axis=-1))
        return self.net("policy", z, time, x)

    def sampled(self, x: np.ndarray, draws: np.ndarray) -> np.ndarray:
        beta, kept = self.steps()
        z = draws[..., 0, :]
        for i in reversed(range(len(beta))):
            e = self.predicted(x, z, np.full(z.shape[:-1], float(i)))
            clean = ((z - np.sqrt(1 - kept[i]) * e) / np.sqrt(kept[i])).clip(-1, 1)
            before = kept[i - 1] if i else 1.0
            z = np.sqrt(before) * beta[i] * clean + np.sqrt(1 - beta[i]) * (1 - before) * z
            z /= 1 - kept[i]
            if i:
                noise = draws[..., len(beta) - i, :]
                z = z + np.sqrt(beta[i] * (1 - before) / (1 - kept[i])) * noise
        return z.clip(-1, 1)

    def rated(self, x: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.net("q0", x, a)[..., 0], self.net("q1", x, a)[..., 0]

    def losses(self) -> dict[str, float]:
        kept = self.steps()[1][self.n["step"]][..., None]
        point = np.sqrt(kept) * self.a + np.sqrt(1 - kept) * self.n["path"]
        error = self.predicted(self.x, point, self.n["step"].astype(float)) - self.n["path"]
        clone = float(np.mean(error**2))
        ahead = np.minimum(*self.rated(self.x2, self.sampled(self.x2, self.n["next"])))
        b = self.batch
        y = b.rewards.numpy()[:, None] + self.c.discount * (1 - b.terminated.numpy()[:, None]) * ahead
        critic = sum(float(np.mean((q - y) ** 2)) for q in self.rated(self.x, self.a)) * self.spec.n_agents
        numbers = {"policy_loss": clone, "critic_loss": critic, "loss": clone + critic}
        if self.c.guide == "value":
            q = self.rated(self.x, self.sampled(self.x, self.n["new"]))
            q = q if self.n["coin"][0] else q[::-1]
            guide = -float((q[0].mean(0) / np.abs(q[1]).mean(0)).sum())
            numbers |= {"value_loss": guide, "loss": clone + critic + self.c.eta * guide}
        return numbers


@pytest.mark.parametrize("name", ["dof-policy", "dof-policy-released"])
def test_the_policy_loss_of_dof(name: str) -> None:
    config = replace(registry.default_config(name), hidden=(12, 12), diffusion_steps=4)
    agent = DofPolicy(config, CONTINUOUS)
    params = double_tensors(agent.init(torch.Generator().manual_seed(3)))
    batch = double(random_batch(CONTINUOUS, 8))
    for seed in range(3):
        noise = double_tensors(agent.draw_training_noise(torch.Generator().manual_seed(seed), 8))
        loss, metrics = agent.losses(params, dict(params), batch, noise)
        got = {key: float(value) for key, value in metrics.items()} | {"loss": float(loss)}
        assert got == pytest.approx(DofPolicyReference(agent, params, batch, noise).losses(), rel=1e-5)


def gradient(name: str, of: str) -> float:
    """Size of the policy's gradient that comes through the value, with cloning's taken away."""
    config = replace(registry.default_config(name), hidden=(12, 12), diffusion_steps=4)
    found = []
    for eta in (0.0, 1.0):
        agent = DofPolicy(replace(config, eta=eta), CONTINUOUS)
        leaves = {k: v.requires_grad_() for k, v in agent.init(torch.Generator().manual_seed(0)).items()}
        targets = {k: v.detach() for k, v in leaves.items()}
        noise = agent.draw_training_noise(torch.Generator().manual_seed(0), 8)
        agent.losses(leaves, targets, random_batch(CONTINUOUS, 8), noise)[0].backward()  # type: ignore[no-untyped-call]
        found.append(leaves[of].grad)
    return float((found[1] - found[0]).abs().max())  # type: ignore[operator]


def test_the_value_guides_the_policy_and_not_itself_and_as_released_nothing() -> None:
    assert gradient("dof-policy", "policy.0.weight") > 1e-4
    assert gradient("dof-policy", "q0.0.weight") == gradient("dof-policy", "q1.0.weight") == 0.0
    assert gradient("dof-policy-released", "policy.0.weight") == 0.0


def test_the_value_pulls_the_policy_towards_the_better_mode() -> None:
    shares = []
    for guide in ("value", "none"):
        config = DofPolicyConfig(hidden=(32, 32), guide=guide, eta=3.0, diffusion_steps=5)  # type: ignore[arg-type]
        agent = DofPolicy(config, LINE)
        params = train_toy(agent, two_modes(), 150, reward=lambda a: -a, rate=3e-3)
        rng = np.random.default_rng(0)
        noise = torch.from_numpy(np.stack([agent.draw_noise(rng, "fresh") for _ in range(1000)]))
        drawn = agent.act_batch(params, torch.ones(1000, 2), None, noise, "fresh")
        shares.append(float((drawn < 0).float().mean()))
    assert shares[0] > shares[1] + 0.2, shares
