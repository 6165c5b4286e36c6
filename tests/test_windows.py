"""Windows never leave their episode, repeat its borders, and mark what they repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.windows import WindowData, episode_index, returns_to_go, windows

torch.set_num_threads(1)
DISCOUNT = 0.9


def data_of(lengths: list[int], discrete: bool = True) -> WindowData:
    """Episodes whose every number says where it comes from: 1000 x episode + step."""
    moments = torch.cat([1000.0 * e + torch.arange(n + 1.0) for e, n in enumerate(lengths)])
    steps = torch.cat([1000.0 * e + torch.arange(float(n)) for e, n in enumerate(lengths)])
    offsets = torch.tensor([0, *np.cumsum(lengths)])
    actions = steps[:, None].repeat(1, 2)
    return WindowData(
        observations=moments[:, None, None].repeat(1, 2, 3),
        actions=actions.to(torch.int16) if discrete else actions[..., None],
        rewards=steps + 1.0,
        available=(moments[:, None, None] % 2 == 0).repeat(1, 2, 4),
        returns_to_go=returns_to_go(steps + 1.0, offsets, DISCOUNT),
        episode=episode_index(offsets),
        offsets=offsets,
    )


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    history=st.integers(0, 7),
    horizon=st.integers(1, 7),
    discrete=st.booleans(),
)
def test_every_window_of_a_dataset(lengths: list[int], history: int, horizon: int, discrete: bool) -> None:
    data = data_of(lengths, discrete)
    batch = windows(data, torch.arange(sum(lengths)), history, horizon)
    assert batch.actions.dtype == (torch.int64 if discrete else torch.float32)
    row = 0
    for e, length in enumerate(lengths):
        for now in range(length):
            for slot in range(history + horizon):
                step = now + slot - history
                moment, act = min(max(step, 0), length), min(max(step, 0), length - 1)
                assert (batch.observations[row, slot] == 1000 * e + moment).all()
                assert batch.available is not None
                assert (batch.available[row, slot] == ((1000 * e + moment) % 2 == 0)).all()
                assert (batch.actions[row, slot] == 1000 * e + act).all()
                assert bool(batch.seen[row, slot]) == (0 <= step <= length)
                real = 0 <= step < length
                assert bool(batch.acted[row, slot]) == real
                assert batch.rewards[row, slot] == (1000 * e + step + 1 if real else 0.0)
            expected = sum(DISCOUNT ** (t - now) * (1000 * e + t + 1) for t in range(now, length))
            assert float(batch.returns_to_go[row]) == pytest.approx(expected, rel=1e-6)
            row += 1


def test_indices_may_repeat_and_come_in_any_order() -> None:
    data, indices = data_of([3, 2]), torch.tensor([4, 0, 4])
    batch = windows(data, indices, 1, 2)
    assert batch.observations[:, :, 0, 0].tolist() == [[1000, 1001, 1002], [0, 0, 1], [1000, 1001, 1002]]
    assert batch.acted.tolist() == [[True, True, False], [False, True, True], [True, True, False]]
