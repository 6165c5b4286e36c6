"""Mixtures: exact on cases with a known answer, even where there is a choice, honest where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.mixture import Candidate, find_mixture, predicted
from env_adapters.errors import InvalidValueError


def candidate(mean: float, std: float, length: float = 10.0) -> Candidate:
    return Candidate(np.array([mean - std, mean + std]), length)


def sampled(candidates: list[Candidate], shares: tuple[float, ...]) -> tuple[float, float]:
    """Mean and deviation of a dataset built episode by episode, the slow and obvious way."""
    returns: list[float] = []
    for part, share in zip(candidates, shares, strict=True):
        n_episodes = round(share * 2_000_000 / part.mean_length)
        returns += np.resize(part.returns, n_episodes).tolist()
    return float(np.mean(returns)), float(np.std(returns))


def test_a_mixture_gives_what_it_predicts() -> None:
    candidates = [candidate(20.0, 0.5, 25.0), candidate(8.0, 3.0, 40.0), candidate(2.0, 1.0, 60.0)]
    found = find_mixture(candidates, 14.0, 7.0)
    assert found.reached and (found.mean, found.std) == pytest.approx((14.0, 7.0))
    assert sum(found.shares) == pytest.approx(1.0) and min(found.shares) >= 0.0
    assert sampled(candidates, found.shares) == pytest.approx((14.0, 7.0), rel=1e-3)
    by_transitions = np.average([20.0, 8.0, 2.0], weights=found.shares)
    assert abs(by_transitions - 14.0) > 0.5, (
        "lengths that differ make shares of episodes and transitions differ"
    )


def test_two_candidates_have_one_answer() -> None:
    found = find_mixture([candidate(20.0, 0.0), candidate(0.0, 0.0)], 15.0, np.sqrt(75.0))
    assert found.reached and found.shares == pytest.approx((0.75, 0.25))


def test_several_behaviours_are_used_evenly() -> None:
    alike = [candidate(10.0, 2.0)] * 4
    assert find_mixture(alike, 10.0, 2.0).shares == pytest.approx((0.25,) * 4)
    spread = [candidate(mean, 1.0) for mean in (4.0, 8.0, 12.0, 16.0)]
    assert min(find_mixture(spread, 10.0, np.sqrt(21.0)).shares) == pytest.approx(0.25)
    assert find_mixture(spread, 10.0, np.sqrt(17.0)).shares == pytest.approx((0.1875, 0.3125, 0.3125, 0.1875))


@pytest.mark.parametrize(
    ("mean", "std", "shares", "nearest"),
    [
        (25.0, 1.0, (1.0, 0.0), (20.0, 1.0)),
        (-5.0, 1.0, (0.0, 1.0), (0.0, 1.0)),
    ],
)
def test_unreachable_targets(
    mean: float, std: float, shares: tuple[float, ...], nearest: tuple[float, float]
) -> None:
    found = find_mixture([candidate(20.0, 1.0), candidate(0.0, 1.0)], mean, std)
    assert not found.reached
    assert found.shares == pytest.approx(shares) and (found.mean, found.std) == pytest.approx(nearest)


def test_a_spread_out_of_reach_is_missed_by_as_little_as_possible() -> None:
    candidates = [candidate(20.0, 1.0), candidate(0.0, 1.0)]
    found = find_mixture(candidates, 10.0, 3.0)
    assert not found.reached
    rows = np.linspace(0.0, 1.0, 2001)
    misses = []
    for share in rows:
        got_mean, got_std = predicted(candidates, [share, 1.0 - share])
        second = got_std**2 + (got_mean - 10.0) ** 2
        misses.append(np.hypot((got_mean - 10.0) / 3.0, second / 9.0 - 1.0))
    assert found.shares[0] == pytest.approx(rows[int(np.argmin(misses))], abs=1e-3)


def test_tiny_shares_can_be_ruled_out() -> None:
    candidates = [candidate(10.0, 2.0), candidate(10.1, 2.0), candidate(500.0, 1.0)]
    mean, std = 10.5, 10.0
    assert 0.0 < find_mixture(candidates, mean, std).shares[2] < 0.05
    found = find_mixture(candidates, mean, std, least_share=0.05)
    assert found.shares[2] == 0.0 and not found.reached and sum(found.shares) == pytest.approx(1.0)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.floats(-50, 50), st.floats(0.1, 10), st.floats(5, 200), st.integers(min_value=1, max_value=9)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_a_mixture_gives_can_be_found_again(parts: list[tuple[float, float, float, int]]) -> None:
    candidates = [candidate(mean, std, length) for mean, std, length, _ in parts]
    weights = np.array([weight for *_, weight in parts], dtype=float)
    mean, std = predicted(candidates, weights / weights.sum())
    found = find_mixture(candidates, mean, std)
    assert found.reached and (found.mean, found.std) == pytest.approx((mean, std), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("candidates", "mean", "std", "said"),
    [
        ([], 1.0, 1.0, "0 candidates"),
        ([candidate(1.0, 1.0)] * 9, 1.0, 1.0, "9 candidates"),
        ([Candidate(np.zeros(0), 5.0)], 1.0, 1.0, "candidate 0 has no returns"),
        ([Candidate(np.array([np.nan]), 5.0)], 1.0, 1.0, "not finite"),
        ([candidate(1.0, 1.0, 0.0)], 1.0, 1.0, "mean length 0"),
        ([candidate(1.0, 1.0)], 1.0, 0.0, "make no sense"),
        ([candidate(1.0, 1.0)], np.nan, 1.0, "make no sense"),
    ],
)
def test_nonsense_is_refused(candidates: list[Candidate], mean: float, std: float, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        find_mixture(candidates, mean, std)
