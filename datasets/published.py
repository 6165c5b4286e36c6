"""What the makers of a dataset publish about it, beside what is found in it."""

from __future__ import annotations

from typing import NamedTuple

from datasets.catalog import RECIPE, PublishedStatistics
from datasets.describe import Description


class Compared(NamedTuple):
    """One number, as found here and as published."""

    name: str
    here: float
    published: float
    digits: int
    """Digits behind the point that are worth showing."""

    @property
    def difference(self) -> float:
        """Here minus published."""
        return self.here - self.published


def compare(found: Description, published: PublishedStatistics) -> tuple[Compared, ...]:
    """Every number that makers publish, beside ours; of a recipe's dataset not its size, which is no aim."""
    card, returns = found.card, found.returns
    sizes = (
        Compared("transitions", card.n_transitions, published.n_transitions, 0),
        Compared("episodes", card.n_episodes, published.n_episodes, 0),
    )
    return (
        Compared("return mean", returns.mean, published.return_mean, 3),
        Compared("return std", returns.std, published.return_std, 3),
        Compared("return min", returns.min, published.return_min, 3),
        Compared("return max", returns.max, published.return_max, 3),
        *(() if card.source.startswith(RECIPE) else sizes),
        Compared(
            "mean length (steps)", float(found.episode_lengths.mean()), published.mean_episode_length, 2
        ),
        Compared("state-action coverage", found.state_coverage, published.joint_saco, 3),
    )
