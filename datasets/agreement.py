"""Whether a dataset is what its dataset card says: the same sizes, counts and returns.

What is allowed to differ, and why:

- Cards round to three decimals, and returns are sums of single-precision rewards.
- Conversion leaves out rows after the last end, one transition of a truncated episode whose last next observation is
  not stored, and rows that hold final observations only (`docs/datasets.md`): at most one transition per episode and
  one unfinished episode. Some cards count that unfinished episode.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from datasets.catalog import PublishedStatistics
from datasets.schema import Dataset

_ROUNDING = 6e-4
"""Half of the last published digit, and a little."""
_PRECISION = 1e-4
"""Relative error of a sum of single-precision rewards, which is far smaller for episodes of a thousand steps."""


class Row(NamedTuple):
    """One figure of the card beside what is in the dataset."""

    what: str
    published: float
    found: float
    lowest: float
    highest: float
    """The found figure agrees if it lies between these two."""

    @property
    def agrees(self) -> bool:
        """Whether the figures agree."""
        return self.lowest <= self.found <= self.highest


def compare(dataset: Dataset, published: PublishedStatistics) -> tuple[Row, ...]:
    """Set a dataset against its published row. Returns are summed anew from the rewards, not taken from the card."""
    card, lengths = dataset.card, np.diff(dataset.episode_offsets)
    rewards = np.asarray(dataset.rewards, dtype=np.float64)
    returns = np.add.reduceat(rewards, dataset.episode_offsets[:-1])
    exact = [
        ("agents", published.n_agents, card.n_agents),
        ("observation size", published.observation_size, card.observation_size),
        ("actions", published.action_size, card.action_size),
    ]
    rows = [Row(what, told, found, told, told) for what, told, found in exact]
    rows.append(_state(published, card.state_size))
    unfinished = max(published.n_episodes - card.n_episodes, 0)
    rows.append(
        Row("episodes", published.n_episodes, card.n_episodes, published.n_episodes - 1, published.n_episodes)
    )
    lost = published.n_episodes + int(lengths.max())
    rows.append(
        Row(
            "transitions",
            published.n_transitions,
            card.n_transitions,
            published.n_transitions - lost,
            published.n_transitions,
        )
    )
    return (*rows, *_returns(published, returns, min(unfinished, 1)))


def _state(published: PublishedStatistics, found: int) -> Row:
    """States per agent are joined by conversion, so that they may be as many times as large."""
    told = published.state_size
    highest = told * published.n_agents if found == told * published.n_agents else told
    return Row("state size", told, found, told, highest)


def _returns(
    published: PublishedStatistics, returns: np.ndarray[tuple[int], np.dtype[np.float64]], extra: int
) -> list[Row]:
    """Mean, standard deviation, minimum and maximum; `extra` episodes more are in the published figures."""
    low, high = published.return_min, published.return_max
    near = _ROUNDING + _PRECISION * max(abs(low), abs(high))
    share = extra * (high - low) / published.n_episodes
    spread = math.sqrt(published.return_std**2 + share * (high - low)) - published.return_std
    mean, std = published.return_mean, published.return_std
    inside = extra * (high - low)
    return [
        Row("return mean", mean, float(returns.mean()), mean - near - share, mean + near + share),
        Row("return std", std, float(returns.std()), std - near - spread, std + near + spread),
        Row("return min", low, float(returns.min()), low - near, low + near + inside),
        Row("return max", high, float(returns.max()), high - near - inside, high + near),
    ]
