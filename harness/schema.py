"""What a run directory holds, as dataclasses. `harness.records` reads and writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from env_adapters.errors import InvalidValueError

if TYPE_CHECKING:  # keeps readers of records free of numpy
    from env_adapters.rollout import Episode


@dataclass(frozen=True)
class EpisodeRecord:
    """What is kept of one finished episode; decided by the episode's identity alone, never by the clock.

    Raises:
        InvalidValueError: a reward is not finite, or length or return does not follow from the rewards.
    """

    episode_seed: int
    episode_return: float
    """Undiscounted sum of `rewards`."""
    length: int
    """T, environment steps."""
    won: bool | None
    """None where the scenario has no winner."""
    terminated: bool
    truncated: bool
    rewards: list[float]
    """T team rewards."""
    final_hash: str
    """`state_hash` of the world after the last step."""
    error: str | None = None
    """Why the episode broke off, where it did."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.episode_return):
            raise InvalidValueError(
                f"the return of episode {self.episode_seed} is not finite; check the simulator"
            )
        same = math.isclose(self.episode_return, math.fsum(self.rewards), rel_tol=1e-9, abs_tol=1e-6)
        if self.length != len(self.rewards) or not same:
            what = f"length {self.length} and return {self.episode_return:g} of episode {self.episode_seed}"
            raise InvalidValueError(f"{what} do not follow from its rewards")

    @classmethod
    def of(cls, episode: Episode) -> Self:
        """The record of an episode that `env_adapters.rollout.play` has finished."""
        return cls(
            episode_seed=episode.seed,
            episode_return=episode.episode_return,
            length=episode.length,
            won=episode.won,
            terminated=episode.terminated,
            truncated=episode.truncated,
            rewards=list(episode.rewards),
            final_hash=episode.final_hash,
        )


@dataclass(frozen=True)
class Summary:
    """The result of a finished run; one row of the leaderboard."""

    scenario: str
    """Versioned id."""
    agent: str
    agent_hash: str
    """Hex digest of the weights."""
    dataset: str | None
    """What the agent was trained on."""
    training_seed: int | None
    engine: str
    layout: str
    act_mode: str
    episodes: int
    return_mean: float
    return_std: float | None
    """Sample standard deviation over episodes (ddof = 1); None for a single episode."""
    wins: int | None
    """None, like the three rates below, where the scenario has no winner."""
    win_rate: float | None
    win_rate_lower: float | None
    win_rate_upper: float | None
    mean_length: float
    """Environment steps per episode."""
    latency_scenario: str | None
    """What the latencies time (`batched`, `decentralized`); None, like them, when nothing was timed."""
    action_p50_us: float | None
    action_p90_us: float | None
    latency_n: int
    """Timed calls."""
    videos: list[str] = field(default_factory=list)
    """Paths relative to the run directory."""
    decentralized: str | None = None
    """How decentralised acting was checked, in words."""


@dataclass(frozen=True)
class Run:
    """A run directory as read from disk."""

    path: Path
    manifest: dict[str, Any]
    """`schema_version`, `config`, `passport`."""
    episodes: list[EpisodeRecord]
    """Finished episodes, in the order in which they were requested."""
    summary: Summary | None
    """None while episodes are missing."""
