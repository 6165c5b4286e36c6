"""The agents' networks once more, in float64 NumPy, sharing no code with them: what loss tests compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from agents.api import Batch, OfflineAgent, Params


def double(batch: Batch) -> Batch:
    """The batch with every number in float64."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return Batch(
        **{k: v.double() if v is not None and v.is_floating_point() else v for k, v in values.items()}
    )


def double_tensors(tensors: Mapping[str, torch.Tensor]) -> Params:
    """Named tensors with every number in float64."""
    return {k: v.detach().double() if v.is_floating_point() else v for k, v in tensors.items()}


class Networks:
    """Parameters, batch and noise of one loss, and the networks that act on them."""

    def __init__(
        self, agent: OfflineAgent, params: Params, batch: Batch, noise: Mapping[str, torch.Tensor]
    ) -> None:
        self.c, self.spec, self.batch = agent.config, agent.spec, batch
        self.p = {k: v.detach().double().numpy() for k, v in params.items()}
        self.n: dict[str, Any] = {k: v.numpy() for k, v in double_tensors(noise).items()}
        self.x, self.x2 = batch.inputs.double().numpy(), batch.next_inputs.double().numpy()
        raw = batch.actions.numpy()
        self.discrete = self.spec.action_kind == "discrete"
        self.a = np.eye(self.spec.action_size)[raw] if self.discrete else raw.astype(float)
        self.mask = None if batch.available is None else batch.available.numpy()
        self.mask2 = None if batch.next_available is None else batch.next_available.numpy()

    @staticmethod
    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def net(self, name: str, *parts: np.ndarray) -> np.ndarray:
        x = np.concatenate(parts, axis=-1)
        layers = sum(1 for key in self.p if key.startswith(f"{name}.") and key.endswith("weight"))
        for layer in range(layers):
            x = x @ self.p[f"{name}.{layer}.weight"].T + self.p[f"{name}.{layer}.bias"]
            if layer < layers - 1:
                x = self.gelu(x)
                if f"{name}.{layer}.norm_scale" in self.p:
                    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
                    x = x * self.p[f"{name}.{layer}.norm_scale"] + self.p[f"{name}.{layer}.norm_shift"]
        return x

    def time(self, t: np.ndarray) -> np.ndarray:
        if self.c.time_embedding == "raw":
            return t
        angle = t * np.pi * 2.0 ** np.arange(8)
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)

    def field(self, x: np.ndarray, z: np.ndarray, t: np.ndarray) -> np.ndarray:
        return self.net("field", x, z, self.time(t))

    def euler(self, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Towards the action along time 0, 1/K, ... as MAC-Flow counts it: noise there is at 0."""
        z, n = noise, self.c.flow_steps
        for i in range(n):
            z = z - self.field(x, z, np.full((*z.shape[:-1], 1), 1 - i / n)) / n
        return z

    def student(self, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.net("student", x, noise)

    def project(self, vectors: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """The action that vectors stand for, as a vector."""
        if not self.discrete:
            return vectors.clip(-1, 1)
        scores = vectors if mask is None else np.where(mask, vectors, -np.inf)
        return np.eye(self.spec.action_size)[scores.argmax(-1)]

    def q(self, x: np.ndarray, a: np.ndarray) -> np.ndarray:
        return np.stack([self.net(f"q{m}", x, a)[..., 0] for m in range(self.c.n_critics)])

    def critic_loss(self, next_action: np.ndarray, mix: str, members: str = "each") -> float:
        """Targets by the same parameters: tests pass copies of the critics as targets."""
        b, reduce = self.batch, np.min if self.c.q_aggregate == "min" else np.mean
        following = reduce(self.q(self.x2, next_action), axis=0)
        y = b.rewards.numpy()[:, None] + self.c.discount * (1 - b.terminated.numpy()[:, None]) * following
        values = self.q(self.x, self.a)
        if members == "mean":
            values = values.mean(0, keepdims=True)
        if mix == "independent":
            return float(np.mean(np.sum((values - y) ** 2, axis=-1)))
        together = np.sum if mix == "sum" else np.mean
        return float(np.mean((together(values, axis=-1) - together(y, axis=-1)) ** 2))


def compare(
    agent: OfflineAgent, reference: type[Networks], batch: Batch, expected_total: bool = True
) -> None:
    """Metrics (and the loss) of an agent in float64 equal the reference's to 1e-5."""
    params = double_tensors(agent.init(torch.Generator().manual_seed(3)))
    batch = double(batch)
    noise = double_tensors(agent.draw_training_noise(torch.Generator().manual_seed(4), len(batch.rewards)))
    targets = {name: params[name].clone() for name in agent.target_names(params)}
    loss, metrics = agent.losses(params, targets, batch, noise)
    expected = reference(agent, params, batch, noise).losses()  # type: ignore[attr-defined]
    got = {name: float(value) for name, value in metrics.items()} | {"loss": float(loss)}
    for name, value in expected.items():
        assert np.isclose(got[name], value, rtol=1e-5, atol=1e-6), (name, got[name], value)
    assert "loss" in expected or not expected_total
