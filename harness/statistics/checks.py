"""What every statistic asks of its input; a refusal says which value, of how many, is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from env_adapters.api import DoubleArray, IntArray
from env_adapters.errors import InvalidValueError


def check_probability(name: str, value: float) -> float:
    """Return `value` where it lies strictly between 0 and 1 (NaN does not); raise InvalidValueError else."""
    if not 0.0 < value < 1.0:
        raise InvalidValueError(f"{name} is {value}; give a number between 0 and 1, such as 0.95 or 0.05")
    return value


def tail_probability(confidence: float) -> float:
    """Probability outside on one side of a two-sided interval."""
    return (1.0 - check_probability("confidence", confidence)) / 2.0


def _check_finite(array: DoubleArray, what: str) -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = wrong[0].tolist()
        where = f"{place[0]} of {array.size}" if array.ndim == 1 else f"{place}"
        raise InvalidValueError(f"{what} {where} is not finite ({array[tuple(place)]})")


def _as_numbers(values: Any, what: str) -> DoubleArray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{what} do not form a table of numbers: {error}") from None


def finite_values(values: Sequence[float] | DoubleArray, at_least: int) -> DoubleArray:
    """Values [n] as doubles.

    Raises:
        InvalidValueError: fewer than `at_least`, another number of axes, or a value that is not finite.
    """
    array = _as_numbers(values, "values")
    if array.ndim != 1 or array.size < at_least:
        raise InvalidValueError(
            f"statistics need a list of at least {at_least} values, got shape {array.shape}"
        )
    _check_finite(array, "value")
    return array


def finite_scores(scores: Any, at_least: int = 1) -> DoubleArray:
    """Scores [K runs, M tasks] as doubles.

    Raises:
        InvalidValueError: ragged rows, fewer than `at_least` runs, no tasks, or a score that is not finite.
    """
    array = _as_numbers(scores, "scores")
    if array.ndim != 2 or array.shape[0] < at_least or array.shape[1] < 1:
        raise InvalidValueError(f"scores need shape [at least {at_least} runs, tasks], got {array.shape}")
    _check_finite(array, "score [run, task]")
    return array


def same_length(ours: Sequence[float] | DoubleArray, theirs: Sequence[float] | DoubleArray) -> None:
    """Raise InvalidValueError unless both sides hold one value per pair."""
    if len(ours) != len(theirs):
        raise InvalidValueError(
            f"pairs need two equally long lists, got {len(ours)} and {len(theirs)} values"
        )


def counts(successes: Any, n: Any) -> tuple[IntArray, IntArray]:
    """Two broadcast arrays of counts, successes within trials.

    Raises:
        InvalidValueError: no trials, or successes outside 0..n.
    """
    hits, trials = np.broadcast_arrays(np.asarray(successes), np.asarray(n))
    impossible = (trials < 1) | (hits < 0) | (hits > trials) | (hits != np.floor(hits))
    if impossible.any():
        got = f"{hits[impossible][0]:g} of {trials[impossible][0]:g}"
        raise InvalidValueError(f"a win rate needs at least one episode and wins among them, got {got}")
    return hits.astype(np.int64), trials.astype(np.int64)


def check_resamples(n_resamples: int) -> None:
    """Raise InvalidValueError unless at least one bootstrap sample is asked for."""
    if n_resamples < 1:
        raise InvalidValueError(f"n_resamples is {n_resamples}; give at least 1")
