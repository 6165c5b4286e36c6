"""What the support check says about one team; every number with its 95 % interval over episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from harness.statistics.clustered import Resampled

Where = Literal["data", "play"]
"""Moments of the dataset, or moments that the team itself gets into when it plays."""


class Estimate(NamedTuple):
    """A mean, and its interval where the sample says something about its spread."""

    mean: float
    lower: float | None
    upper: float | None

    @staticmethod
    def of(value: Resampled | None) -> Estimate | None:
        """None for a ratio to zero."""
        if value is None:
            return None
        interval = value.interval()
        return Estimate(value.mean, *(interval or (None, None)))


@dataclass(frozen=True)
class Level:
    """How far actions are from the dataset's. See `harness.support.distances.Scores`."""

    single: Estimate
    """Each agent's action to the nearest of the k neighbours' (discrete: share of actions that no neighbour took)."""
    joint: Estimate
    """The joint action to the nearest of the k joint neighbours' (discrete: share of agents that differ)."""
    single_frequency: Estimate | None
    """Share of the k neighbours that took the chosen action; None for continuous actions."""
    joint_exact: Estimate | None
    """Share of joint actions that one of the k joint neighbours took; None for continuous actions."""


@dataclass(frozen=True)
class Ratios:
    """A level divided by another one; None where that is zero."""

    single: Estimate | None
    joint: Estimate | None


@dataclass(frozen=True)
class PlaceReport:
    """One team in one kind of situations."""

    n_situations: int
    n_episodes: int
    """Episodes that the situations are from; the intervals are over these."""
    team: Level
    independent: Level
    """Each agent takes the action of one of its own k neighbours, drawn by itself: inside the data agent by agent,
    without coordination."""
    random: Level
    """Uniform over the available actions, or over [-1, 1]."""
    to_data: Ratios
    """Team over the dataset's own level: 1 is as far as the data is from itself."""
    to_independent: Ratios
    to_random: Ratios
    """Team over random: 1 is as far as random actions are."""
    observation: Ratios
    """Distance of the situations themselves to their nearest neighbour, root mean square in standard deviations."""
    observation_to_data: Ratios
    """The same over that of the dataset's situations: above 1 the team gets to where there is little data."""


@dataclass(frozen=True)
class SupportReport:
    """Everything about one team; `to_json` for files."""

    team: str
    """The checkpoint as it was named."""
    agent: str
    agent_hash: str
    act_mode: str
    training_seed: int | None
    trained_on_this: bool | None
    """Whether it was trained on this very dataset; None where its checkpoint does not say."""
    scenario: str
    layout: str
    dataset: str
    """sha256 of the dataset."""
    neighbours: int
    """k"""
    n_searched: int
    """Transitions among which neighbours were looked for."""
    seed: int
    data: Level
    """The dataset's own actions in situations of the dataset, without the episodes that these are from."""
    places: Mapping[Where, PlaceReport]
    return_mean: Estimate | None
    """Of the episodes played; None where nothing was played."""
    win_rate: Estimate | None
    """None where nothing was played or nobody wins."""
    n_played: int

    def to_json(self) -> dict[str, Any]:
        """Plain values; an estimate is `{mean, lower, upper}`."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value._asdict()
    return {key: _plain(inside) for key, inside in value.items()} if isinstance(value, dict) else value
