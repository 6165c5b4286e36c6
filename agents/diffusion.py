"""Denoising diffusion: noise schedules, the forward process, and the two samplers.

Step k = 1 … K of the forward process turns clean numbers x into sqrt(ᾱ_k) x + sqrt(1 - ᾱ_k) e with e ~ N(0, I);
a network predicts e. Sampling goes back from K: by the posterior of each step (DDPM, arXiv 2006.11239, Eq. 7), or
over fewer steps without noise (DDIM, arXiv 2010.02502, Eq. 12 with η = 0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cos, exp, pi, sqrt
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor

WORD: Final = 2**24
"""Whole numbers below this are exact in float32."""
Schedule = Literal["cosine", "vp", "linear"]
"""How fast numbers turn into noise: squared cosine (arXiv 2102.09672), variance preserving (arXiv 2208.06193), or
variances from 1e-4 to 0.02 whatever K is (arXiv 2006.11239, where K is 1000; with a small K much signal is left)."""
Predict = Callable[[Tensor, int], Tensor]
"""The predicted noise [...] of noisy numbers [...] at step k."""


class Step(NamedTuple):
    """Numbers of one step k: of the forward process, and of its posterior given the clean numbers."""

    signal: float
    """sqrt(ᾱ_k)"""
    noise: float
    """sqrt(1 - ᾱ_k)"""
    of_clean: float
    """Weight of the clean numbers in the posterior mean."""
    of_noisy: float
    """Weight of the noisy numbers in the posterior mean."""
    std: float
    """Standard deviation of the posterior, 0 for k = 1."""


def _betas(schedule: Schedule, n_steps: int) -> list[float]:
    """Variances added at steps 1 … K."""
    if schedule == "vp":
        low, high = 0.1, 10.0
        return [
            1.0 - exp(-low / n_steps - 0.5 * (high - low) * (2 * k - 1) / n_steps**2)
            for k in range(1, n_steps + 1)
        ]
    if schedule == "linear":
        return [1e-4 + (2e-2 - 1e-4) * k / max(1, n_steps - 1) for k in range(n_steps)]
    remaining = [cos((k / n_steps + 0.008) / 1.008 * pi / 2) ** 2 for k in range(n_steps + 1)]
    return [min(1.0 - remaining[k] / remaining[k - 1], 0.999) for k in range(1, n_steps + 1)]


def diffusion_steps(schedule: Schedule, n_steps: int) -> list[Step]:
    """Steps 1 … K (DDPM, Eq. 4 and 7)."""
    steps, kept = [], 1.0
    for beta in _betas(schedule, n_steps):
        before, kept = kept, kept * (1.0 - beta)
        steps.append(
            Step(
                signal=sqrt(kept),
                noise=sqrt(1.0 - kept),
                of_clean=sqrt(before) * beta / (1.0 - kept),
                of_noisy=sqrt(1.0 - beta) * (1.0 - before) / (1.0 - kept),
                std=sqrt((1.0 - before) / (1.0 - kept) * beta),
            )
        )
    return steps


def noised(steps: Sequence[Step], clean: Tensor, noise: Tensor, index: Tensor) -> Tensor:
    """The forward process at steps `index` + 1: [...] from clean numbers and noise [...], int64 index [..., 1 …]."""
    scales = torch.tensor([[s.signal, s.noise] for s in steps], dtype=clean.dtype, device=clean.device)[index]
    return scales[..., 0] * clean + scales[..., 1] * noise


def _clean(step: Step, point: Tensor, predicted: Tensor) -> Tensor:
    """The clean numbers that the predicted noise stands for, clipped to [-1, 1]."""
    return ((point - step.noise * predicted) / step.signal).clamp(-1.0, 1.0)


def ancestral(
    steps: Sequence[Step], predict: Predict, point: Tensor, draw: Callable[[int], Tensor] | None
) -> Tensor:
    """Walk from noise [...] through all K steps (DDPM).

    Args:
        steps: the schedule.
        predict: the network.
        point: where to start, at step K.
        draw: standard normals [...] to add after step k = K … 2; None to follow the means.
    """
    for k in range(len(steps), 0, -1):
        step = steps[k - 1]
        clean = _clean(step, point, predict(point, k))
        point = step.of_clean * clean + step.of_noisy * point
        if k > 1 and draw is not None:
            point = point + step.std * draw(k)
    return point


def implicit(steps: Sequence[Step], predict: Predict, point: Tensor, n_steps: int) -> Tensor:
    """Walk from noise [...] in `n_steps` equal strides of K // n_steps, without noise (DDIM).

    The visited steps are 1, 1 + stride, …, so that the first one may lie below K, as in the diffusers library.
    """
    stride = len(steps) // n_steps
    for k in range(1 + (n_steps - 1) * stride, 0, -stride):
        step = steps[k - 1]
        predicted = predict(point, k)
        clean = _clean(step, point, predicted)
        below = steps[k - stride - 1] if k > stride else None
        point = clean if below is None else below.signal * clean + below.noise * predicted
    return point


class Draws:
    """The randomness of R actions, each from its own seed; nothing but zeros in the mode `zero`."""

    def __init__(self, noise: Tensor, mode: str) -> None:
        self._like = noise
        self._generators: list[torch.Generator] | None = None
        if mode != "zero":
            seeds = [int(low) + WORD * int(high) for low, high in noise.tolist()]
            self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normal(self, *shape: int) -> Tensor:
        """Standard normals [R, *shape]."""
        if self._generators is None:
            return self._like.new_zeros(len(self._like), *shape)
        return torch.stack([torch.randn(shape, generator=g) for g in self._generators]).to(self._like.dtype)

    def exceeds(self, share: float) -> Tensor:
        """1 with probability 1 - share, else 0: [R]; always 1 in the mode `zero`."""
        if self._generators is None:
            return self._like.new_ones(len(self._like))
        drawn = [float(torch.rand((), generator=g)) >= share for g in self._generators]
        return torch.tensor(drawn, dtype=self._like.dtype)
