"""Episodes within training seeds: how much of the uncertainty is the training's, how much the episodes'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError
from harness.statistics.checks import check_resamples, finite_scores, finite_values, tail_probability
from harness.statistics.intervals import Interval, mean_interval
from harness.statistics.special import student_t_quantile, student_t_tail

Groups = Sequence[Sequence[float] | DoubleArray]
"""Per training seed the values of its episodes; seeds may have different numbers of episodes."""


@dataclass(frozen=True)
class TwoLevel:
    """A mean over training seeds, each weighing the same, and where its uncertainty comes from."""

    mean: float
    interval: Interval[float] | None
    """Student's t over the means of the seeds (K - 1 degrees of freedom); None for one seed, or equal means."""
    seed_std: float | None
    """Spread between training seeds, without what the episodes add; None for one seed."""
    episode_std: float | None
    """Spread of episodes within a seed; None where every seed has one episode."""
    seed_share: float | None
    """Part of the variance of `mean` that more episodes cannot remove, 0 to 1."""
    n_seeds: int
    n_episodes: int
    advice: str
    """One line: which of the two to buy more of."""


def _checked(groups: Groups) -> list[DoubleArray]:
    if not groups:
        raise InvalidValueError("two levels need at least one training seed")
    arrays = []
    for index, group in enumerate(groups):
        try:
            arrays.append(finite_values(group, at_least=1))
        except InvalidValueError as error:
            raise InvalidValueError(f"training seed {index} of {len(groups)}: {error}") from None
    return arrays


def _episode_variance(arrays: list[DoubleArray]) -> float | None:
    """Pooled within seeds; None without a seed of two episodes."""
    freedom = sum(array.size - 1 for array in arrays)
    return sum(float(((array - array.mean()) ** 2).sum()) for array in arrays) / freedom if freedom else None


def _advice(n_seeds: int, share: float | None) -> str:
    if n_seeds == 1:
        return "one training seed: this speaks of one checkpoint only; train more seeds before more episodes"
    if share is None:
        return "one episode per training seed: play more episodes to tell the two apart"
    if share >= 0.5:
        return f"train more seeds: they make {share:.0%} of the variance, which more episodes cannot remove"
    return f"play more episodes: they make {1 - share:.0%} of the variance, training seeds the rest"


def two_level(groups: Groups, confidence: float = 0.95) -> TwoLevel:
    """Mean over training seeds with both sources of uncertainty.

    The variance of K means of n_k episodes estimates var_seed + var_episode mean(1 / n_k) (unweighted means;
    S. Searle, G. Casella, C. McCulloch, "Variance Components", 1992, chapter 4); what exceeds the episodes'
    part is the training's.

    Raises:
        InvalidValueError: no seed, a seed without episodes, a value that is not finite (the message names
            seed and episode), or a confidence outside (0, 1).
    """
    arrays = _checked(groups)
    tail_probability(confidence)
    means = np.array([array.mean() for array in arrays])
    within = _episode_variance(arrays)
    share = seed_std = None
    if means.size > 1:
        between = float(means.var(ddof=1))
        noise = (within or 0.0) * float(np.mean([1.0 / array.size for array in arrays]))
        if within is not None:
            seed_std = float(np.sqrt(max(0.0, between - noise)))
            share = seed_std**2 / max(between, noise) if max(between, noise) > 0.0 else None
    return TwoLevel(
        mean=float(means.mean()),
        interval=mean_interval(means, confidence),
        seed_std=seed_std,
        episode_std=None if within is None else float(np.sqrt(within)),
        seed_share=share,
        n_seeds=means.size,
        n_episodes=sum(array.size for array in arrays),
        advice=_advice(means.size, share),
    )


def two_level_bootstrap(groups: Groups, rng: np.random.Generator, n_resamples: int = 10_000) -> DoubleArray:
    """Resampled means [n_resamples]: training seeds drawn with replacement, then episodes within each drawn seed.

    A. Davison and D. Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8. With few seeds
    its quantiles are too narrow: `two_level` is the interval to report.

    Raises:
        InvalidValueError: as `two_level`, or no resamples.
    """
    arrays = _checked(groups)
    check_resamples(n_resamples)
    seeds = rng.integers(len(arrays), size=(n_resamples, len(arrays)))
    means = np.empty(seeds.shape)
    for index, array in enumerate(arrays):
        drawn = seeds == index
        times, rows = int(drawn.sum()), max(1, (1 << 16) // array.size)
        values = [
            array[rng.integers(array.size, size=(min(rows, times - start), array.size))].mean(axis=1)
            for start in range(0, times, rows)
        ]
        means[drawn] = np.concatenate(values) if values else []
    return np.asarray(means.mean(axis=1))


@dataclass(frozen=True)
class Difference:
    """First side minus second, with the uncertainty of everything that was drawn at random."""

    estimate: float
    interval: Interval[float] | None
    """None where nothing varies: no width could be told."""
    p_value: float | None
    """Of "no difference", by Student's t; None with the interval."""
    covers_training: bool
    """Whether it speaks of the methods (several training seeds a side) or of these checkpoints only."""


def _difference(
    estimate: float, parts: list[tuple[float, float]], covers_training: bool, confidence: float
) -> Difference:
    """Student's t for a sum of variances (variance, degrees of freedom): F. Satterthwaite, Biometrics 2 (1946)."""
    tail = tail_probability(confidence)
    total = sum(variance for variance, _ in parts)
    if total <= 0.0:
        return Difference(estimate, None, None, covers_training)
    freedom = total**2 / sum(variance**2 / df for variance, df in parts)
    error = total**0.5
    half = student_t_quantile(1.0 - tail, freedom) * error
    p_value = student_t_tail(estimate / error, freedom)
    return Difference(estimate, Interval(estimate - half, estimate + half), p_value, covers_training)


def crossed_difference(ours: Any, theirs: Any, confidence: float = 0.95) -> Difference:
    """Difference of means where every run of both sides met the same episodes.

    Training seeds and episodes are crossed: the variance is that over seeds plus that over episodes (of the
    difference of the sides' means in each episode). Noise of single episodes is in both, which errs on the
    careful side (two-way clustering without its third term: C. Cameron, J. Gelbach, D. Miller, J. Business and
    Economic Statistics 29, 2011, section 2). With one run a side it is the paired t interval.

    Args:
        ours: values [K, E], one row per training seed.
        theirs: values [K', E].
        confidence: two-sided coverage.

    Raises:
        InvalidValueError: ragged or empty values, one that is not finite, another number of episodes, or a
            confidence outside (0, 1).
    """
    sides = [finite_scores(ours), finite_scores(theirs)]
    n_episodes = sides[0].shape[1]
    if sides[1].shape[1] != n_episodes:
        raise InvalidValueError(f"both sides need the same episodes, got {n_episodes}, {sides[1].shape[1]}")
    estimate = float(sides[0].mean() - sides[1].mean())
    parts = []
    if n_episodes > 1:
        apart = sides[0].mean(axis=0) - sides[1].mean(axis=0)
        parts.append((float(apart.var(ddof=1)) / n_episodes, n_episodes - 1.0))
    covers_training = all(len(side) > 1 for side in sides)
    for side in sides if covers_training else []:
        n_seeds = len(side)
        parts.append((float(side.mean(axis=1).var(ddof=1)) / n_seeds, n_seeds - 1.0))
    return _difference(estimate, parts, covers_training, confidence)


def nested_difference(ours: Groups, theirs: Groups, confidence: float = 0.95) -> Difference:
    """Difference of means where every run met its own episodes.

    With several training seeds on both sides, Welch's t over the means of the seeds (B. Welch, Biometrika 34,
    1947), which hold the episodes' spread already; else Welch's t over episodes, of these checkpoints only.

    Raises:
        InvalidValueError: as `two_level`.
    """
    sides = [_checked(ours), _checked(theirs)]
    means = [np.array([array.mean() for array in side]) for side in sides]
    covers_training = all(len(side) > 1 for side in sides)
    if covers_training:
        parts = [(float(side.var(ddof=1)) / side.size, side.size - 1.0) for side in means]
    else:
        parts = [
            (float(array.var(ddof=1)) / array.size / len(side) ** 2, array.size - 1.0)
            for side in sides
            for array in side
            if array.size > 1
        ]
    estimate = float(means[0].mean() - means[1].mean())
    return _difference(estimate, parts, covers_training, confidence)
