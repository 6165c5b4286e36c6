"""Shares of behaviours so that a dataset's episode returns have a wanted mean and spread.

Statistics of datasets weigh episodes, recipes share out transitions: a behaviour of long episodes has fewer of them
per transition. With transition shares w and mean lengths l, episode shares are p = (w / l) / sum(w / l).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError

MOST_CANDIDATES: Final = 8
"""Every subset is looked at, so many are few."""
_EXACT: Final = 1e-6
"""Relative distance up to which a target counts as reached."""


@dataclass(frozen=True)
class Candidate:
    """One behaviour, as measured over some episodes."""

    returns: DoubleArray
    """Episode returns [E]."""
    mean_length: float
    """Steps per episode."""


@dataclass(frozen=True)
class Mixture:
    """What was found."""

    shares: tuple[float, ...]
    """Of the transitions, one per candidate, sum 1; 0 leaves one out."""
    mean: float
    """Predicted mean of the episode returns."""
    std: float
    """Predicted standard deviation of the episode returns."""
    reached: bool
    """Whether these are the targets; if not, they are the nearest that these candidates can give."""


def find_mixture(
    candidates: Sequence[Candidate], mean: float, std: float, least_share: float = 0.0
) -> Mixture:
    """The most even use of the candidates that hits both targets, or the nearest miss.

    First and second moment of a mixture are linear in the episode shares p >= 0. Among those that meet both
    targets, the one of least sum p^2 is taken; where none does, the one of least distance, each moment counted in
    units of `std`, and among equals again the most even. Minima are found by trying every subset of candidates
    (an active-set search, exact for so few).

    Args:
        candidates: at most `MOST_CANDIDATES`.
        mean: wanted mean of the episode returns.
        std: wanted standard deviation, above 0.
        least_share: candidates with a smaller share of the transitions are left out, and the others searched again.

    Raises:
        InvalidValueError: no or too many candidates, one without returns or length, or impossible targets.
    """
    _check(candidates, mean, std, least_share)
    chosen = list(range(len(candidates)))
    while True:
        shares = _transition_shares([candidates[i] for i in chosen], mean, std)
        kept = [i for i, share in zip(chosen, shares, strict=True) if share >= least_share and share > 0.0]
        if len(kept) in (0, len(chosen)):
            break
        chosen = kept
    everyone = np.zeros(len(candidates))
    everyone[chosen] = shares
    got_mean, got_std = predicted(candidates, everyone)
    reached = abs(got_mean - mean) + abs(got_std - std) <= _EXACT * (abs(mean) + std)
    return Mixture(tuple(everyone.tolist()), got_mean, got_std, reached)


def predicted(candidates: Sequence[Candidate], shares: Sequence[float] | DoubleArray) -> tuple[float, float]:
    """Mean and standard deviation of the episode returns of a dataset with these shares of the transitions."""
    lengths = np.array([candidate.mean_length for candidate in candidates])
    episodes = np.asarray(shares, dtype=np.float64) / lengths
    episodes /= episodes.sum()
    first, second = (float(episodes @ moment) for moment in _moments(candidates))
    return first, float(np.sqrt(max(0.0, second - first**2)))


def _check(candidates: Sequence[Candidate], mean: float, std: float, least_share: float) -> None:
    if not 1 <= len(candidates) <= MOST_CANDIDATES:
        raise InvalidValueError(f"{len(candidates)} candidates to mix; give 1 to {MOST_CANDIDATES}")
    for index, candidate in enumerate(candidates):
        if not (len(candidate.returns) and np.isfinite(candidate.returns).all()):
            raise InvalidValueError(f"candidate {index} has no returns, or some that are not finite")
        if not 0.0 < candidate.mean_length < np.inf:
            raise InvalidValueError(f"candidate {index} has mean length {candidate.mean_length}")
    if not (np.isfinite(mean) and 0.0 < std < np.inf and 0.0 <= least_share <= 1.0):
        raise InvalidValueError(f"targets {mean} ± {std} with shares from {least_share} on make no sense")


def _moments(candidates: Sequence[Candidate]) -> tuple[DoubleArray, DoubleArray]:
    """First and second moment of each candidate's returns, [C] each."""
    first = np.array([np.mean(candidate.returns, dtype=np.float64) for candidate in candidates])
    second = np.array([np.mean(np.square(candidate.returns, dtype=np.float64)) for candidate in candidates])
    return first, second


def _transition_shares(candidates: Sequence[Candidate], mean: float, std: float) -> DoubleArray:
    """Shares of the transitions [C] whose episode shares are the best; see `find_mixture`."""
    first, second = _moments(candidates)
    # Around the target and in its unit, so that the distance below weighs both moments alike.
    offset = (first - mean) / std
    rows = np.stack([offset, (second - 2.0 * mean * first + mean**2) / std**2])
    episodes = _most_even(rows, np.array([0.0, 1.0]))
    transitions = episodes * [candidate.mean_length for candidate in candidates]
    shares: DoubleArray = transitions / transitions.sum()
    return shares


def _most_even(rows: DoubleArray, wanted: DoubleArray) -> DoubleArray:
    """Among p [C] >= 0 of sum 1 those with rows @ p nearest to `wanted`, and of these the one of least norm.

    On each subset this is a least-squares problem with an equality; its minimum over all subsets whose solution is
    not negative is the minimum of the whole.
    """
    n = rows.shape[1]
    best, best_score = np.full(n, 1.0 / n), (np.inf, np.inf)
    for size in range(1, n + 1):
        for subset in itertools.combinations(range(n), size):
            part = _on_subset(rows[:, subset], wanted)
            if part.min() < 0.0:
                continue
            miss = float(np.linalg.norm(rows[:, subset] @ part - wanted))
            score = (0.0 if miss < _EXACT else round(miss, 9), float(part @ part))
            if score < best_score:
                best, best_score = np.zeros(n), score
                best[list(subset)] = part
    return best


def _on_subset(rows: DoubleArray, wanted: DoubleArray) -> DoubleArray:
    """Nearest p of sum 1, negative or not; the one of least norm where several are equally near."""
    n = rows.shape[1]
    even = np.full(n, 1.0 / n)
    # p = even + basis @ z keeps the sum; the columns of the basis are orthonormal, so least |z| is least |p|.
    basis = np.linalg.svd(np.ones((1, n)))[2][1:].T
    z = np.linalg.lstsq(rows @ basis, wanted - rows @ even, rcond=1e-10)[0] if n > 1 else np.zeros(0)
    solution: DoubleArray = even + basis @ z
    return np.where(np.abs(solution) < 1e-12, 0.0, solution)
