"""The trajectory diffusion of MADiff and DoF once more, in float64 NumPy with plain loops, sharing no code with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

Weights = Mapping[str, np.ndarray]


def mish(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(np.log1p(np.exp(x)))


def linear(p: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """Channels x time, kernel [out, taps, in], zero padding of half the taps."""
    taps, length = kernel.shape[1], x.shape[1]
    out = np.zeros((len(kernel), length // stride))
    for t in range(length // stride):
        for tap in range(taps):
            at = t * stride + tap - taps // 2
            if 0 <= at < length:
                out[:, t] += kernel[:, tap] @ x[:, at]
    return out + bias[:, None]


def spread(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Transposed convolution of stride 2 and padding 1, kernel [4, out, in]."""
    out = np.zeros((kernel.shape[1], 2 * x.shape[1])) + bias[:, None]
    for t in range(x.shape[1]):
        for tap in range(4):
            if 0 <= 2 * t - 1 + tap < out.shape[1]:
                out[:, 2 * t - 1 + tap] += kernel[tap] @ x[:, t]
    return out


def group_norm(x: np.ndarray) -> np.ndarray:
    parts = []
    for part in np.split(x, 8):
        parts.append((part - part.mean()) / np.sqrt(part.var() + 1e-5))
    return np.concatenate(parts)


class UnetReference:
    """The U-Net on one sample: agents as a list of arrays channels x time."""

    def __init__(self, p: Weights, name: str = "unet") -> None:
        self.p, self.name = p, name

    def kernel(self, name: str) -> np.ndarray:
        weight = self.p[f"{self.name}.{name}.weight"]
        return weight.reshape(len(weight), {True: 3, False: 5}["half" in name], -1)

    def conv(self, name: str, x: np.ndarray) -> np.ndarray:
        key = f"{self.name}.{name}"
        x = group_norm(convolve(x, self.kernel(name), self.p[f"{key}.bias"], 1))
        return mish(x * self.p[f"{key}.scale"][:, None] + self.p[f"{key}.shift"][:, None])

    def block(self, name: str, x: np.ndarray, e: np.ndarray) -> np.ndarray:
        key = f"{self.name}.{name}"
        hidden = self.conv(f"{name}.first", x) + linear(self.p, f"{key}.time", mish(e))[:, None]
        hidden = self.conv(f"{name}.second", hidden)
        return hidden + (
            linear(self.p, f"{key}.residual", x.T).T if f"{key}.residual.weight" in self.p else x
        )

    def attend(self, name: str, xs: list[np.ndarray]) -> list[np.ndarray]:
        key = f"{self.name}.{name}.attention"
        if f"{key}.gamma" not in self.p:
            return xs
        q, k, v = ([linear(self.p, f"{key}.{part}", x.T) for x in xs] for part in ("query", "key", "value"))
        results = []
        for i, x in enumerate(xs):
            mixed = np.zeros_like(x)
            for head in range(4):
                cut = slice(head * q[0].shape[1] // 4, (head + 1) * q[0].shape[1] // 4)
                place = slice(head * len(x) // 4, (head + 1) * len(x) // 4)
                dots = np.array([(q[i][:, cut] * other[:, cut]).sum() for other in k])
                dots = np.exp(dots / np.sqrt(q[0][:, cut].size))
                for weight, value in zip(dots / dots.sum(), v, strict=True):
                    mixed[place] += weight * value[:, place].T
            results.append(x + self.p[f"{key}.gamma"] * mixed)
        return results

    def grow(self, name: str, x: np.ndarray) -> np.ndarray:
        key = f"{self.name}.{name}"
        width = x.shape[0]
        even, odd = self.p[f"{key}.even.weight"], self.p[f"{key}.odd.weight"]
        taps = np.stack([odd[:, width:], even[:, width:], odd[:, :width], even[:, :width]])
        return spread(x, taps, self.p[f"{key}.even.bias"])

    def embedding(self, time: float, aim: float, keep: float) -> np.ndarray:
        key, p = self.name, self.p
        size = p[f"{key}.step.0.weight"].shape[1]
        rates = 10000.0 ** (-np.arange(size // 2) / (size // 2 - 1))
        wave = np.concatenate([np.sin(time * rates), np.cos(time * rates)])
        step = linear(p, f"{key}.step.1", mish(linear(p, f"{key}.step.0", wave)))
        aimed = mish(linear(p, f"{key}.return.0", np.array([aim])))
        aimed = linear(p, f"{key}.return.2", mish(linear(p, f"{key}.return.1", aimed)))
        return np.concatenate([step, aimed * keep])

    def __call__(self, x: np.ndarray, time: float, aim: float, keep: np.ndarray) -> np.ndarray:
        """[N, T, F] from noisy [N, T, F] and keep [N]."""
        es = [self.embedding(time, aim, float(k)) for k in keep]
        xs, levels, skipped = [part.T for part in x], 0, []
        while f"{self.name}.down.{levels}.0.time.bias" in self.p:
            for part in ("0", "1"):
                xs = [self.block(f"down.{levels}.{part}", y, e) for y, e in zip(xs, es, strict=True)]
            skipped.append(xs)
            half = f"down.{levels}.half"
            if f"{self.name}.{half}.bias" in self.p:
                bias = self.p[f"{self.name}.{half}.bias"]
                xs = [convolve(y, self.kernel(half), bias, 2) for y in xs]
            levels += 1
        for part in ("0", "1"):
            xs = [self.block(f"middle.{part}", y, e) for y, e in zip(xs, es, strict=True)]
        xs = self.attend("middle", xs)
        for level in range(levels - 2, -1, -1):
            others = self.attend(f"up.{level}", skipped[level + 1])
            xs = [np.concatenate(pair) for pair in zip(xs, others, strict=True)]
            for part in ("0", "1"):
                xs = [self.block(f"up.{level}.{part}", y, e) for y, e in zip(xs, es, strict=True)]
            xs = [self.grow(f"up.{level}", y) for y in xs]
        return np.stack([linear(self.p, f"{self.name}.out", self.conv("last", y).T) for y in xs])


def cosine_kept(n: int) -> np.ndarray:
    """ᾱ at steps 1 … n."""
    f = np.cos((np.arange(n + 1) / n + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.cumprod(1 - np.minimum(1 - f[1:] / f[:-1], 0.999))


class TrajectoryReference:
    """Both losses of one batch, and one action by DDIM."""

    def __init__(self, agent: Any, params: Mapping[str, torch.Tensor]) -> None:
        self.c, self.spec = agent.config, agent.spec
        self.p = {name: tensor.detach().double().numpy() for name, tensor in params.items()}
        self.unet, self.kept = UnetReference(self.p), cosine_kept(self.c.diffusion_steps)
        self.factors = self.p.get("factors", np.ones(self.spec.n_agents))

    def normal(self, x: np.ndarray) -> np.ndarray:
        values, levels = self.p["cdf.values"], self.p["cdf.levels"]
        flat = x.reshape(-1, x.shape[-1])
        columns = [np.interp(flat[:, i], values[:, i], levels[:, i]) for i in range(x.shape[-1])]
        return np.stack(columns, axis=-1).reshape(x.shape)

    def named(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        x = np.concatenate([before, after], axis=-1)
        depth = sum(1 for name in self.p if name.startswith("inverse.") and name.endswith("weight"))
        for layer in range(depth):
            x = linear(self.p, f"inverse.{layer}", x)
            x = np.maximum(x, 0) if layer < depth - 1 else x
        return x

    def trajectories(self, observations: np.ndarray) -> np.ndarray:
        """[..., N, D] to normalised [..., N, N + D]."""
        n = self.spec.n_agents
        identity = np.broadcast_to(np.eye(n), (*observations.shape[:-1], n))
        return self.normal(np.concatenate([identity, observations], axis=-1))

    def put(self, noisy: np.ndarray, clean: np.ndarray, viewer: int) -> np.ndarray:
        """What the viewer knows, in place; [N, L, F]."""
        noisy, h = noisy.copy(), self.c.history
        noisy[:, :h] = 0
        noisy[viewer, : h + 1] = clean[viewer, : h + 1]
        return noisy

    def losses(self, batch: Any, noise: Mapping[str, torch.Tensor]) -> dict[str, float]:
        h, size = self.c.history, len(batch.rewards)
        draws = {name: tensor.double().numpy() for name, tensor in noise.items()}
        clean = self.trajectories(batch.observations.double().numpy()).swapaxes(1, 2)
        acted = batch.acted.numpy()
        diffusion, inverse, count = 0.0, 0.0, 0
        for b in range(size):
            viewer, step = int(draws["viewer"][b]), int(draws["step"][b])
            kept, path = self.kept[step], draws["path"][b]
            point = self.put(np.sqrt(kept) * clean[b] + np.sqrt(1 - kept) * path, clean[b], viewer)
            aim = float(batch.returns_to_go[b]) / self.c.returns_scale
            error = (self.unet(point, step, aim, draws["keep"][b]) * self.factors[:, None, None] - path) ** 2
            error[:, :h] = 0
            error[viewer, h] = 0
            diffusion += error.mean(-1).sum() / (self.spec.n_agents * self.c.horizon - 1) / size
            for t in range(h, h + self.c.horizon - 1):
                for i in range(self.spec.n_agents if acted[b, t] else 0):
                    scores = self.named(clean[b, i, t], clean[b, i, t + 1])
                    inverse += self.action_error(scores, batch, (b, t, i))
                    count += 1
        inverse /= count
        loss = 0.5 * (diffusion + inverse)
        return {"diffusion_loss": diffusion, "inverse_loss": inverse, "loss": loss}

    def action_error(self, scores: np.ndarray, batch: Any, place: tuple[int, int, int]) -> float:
        action = batch.actions[place].numpy()
        if self.spec.action_kind == "continuous":
            return float(((scores - action) ** 2).mean())
        if batch.available is not None:
            scores = np.where(batch.available[place].numpy(), scores, -1e10)
        scores = scores - scores.max()
        return float(np.log(np.exp(scores).sum()) - scores[int(action)])

    def act(self, past: np.ndarray, me: int, start: np.ndarray) -> np.ndarray:
        """Scores of the action by DDIM from own observations [H + 1, D] and start noise [N, L, F]."""
        h, k_all, n = self.c.history, self.c.diffusion_steps, self.c.sampling_steps
        clean = np.zeros_like(start)
        whole = np.zeros((h + 1, self.spec.n_agents, past.shape[-1]))
        whole[:, me] = past
        clean[me, : h + 1] = self.trajectories(whole)[:, me]
        x, stride = self.c.start_noise * start, k_all // n
        for k in range(1 + (n - 1) * stride, 0, -stride):
            seen = self.put(x, clean, me)
            on, off = (
                self.unet(seen, k - 1, self.c.test_return, np.full(len(x), keep)) for keep in (1.0, 0.0)
            )
            e = off + self.c.guidance * (on - off)
            kept, below = self.kept[k - 1], self.kept[k - 1 - stride] if k > stride else 1.0
            x0 = np.clip((seen - np.sqrt(1 - kept) * e) / np.sqrt(kept), -1, 1)
            x = np.sqrt(below) * x0 + np.sqrt(1 - below) * e
        return self.named(clean[me, h], x[me, h + 1])
