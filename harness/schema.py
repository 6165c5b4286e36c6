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
    """Why the episode broke off, where it did; it then has no steps, return 0 and no win."""

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
    def broken(cls, episode_seed: int, error: str) -> Self:
        """The record of an episode that did not come to its end."""
        return cls(episode_seed, 0.0, 0, None, False, False, [], "", error)

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
class Incident:
    """Something that went wrong while episodes were played (`incidents.jsonl`); decided by chance, not by seeds."""

    episode_seeds: list[int]
    """Under way when it happened."""
    attempt: int
    """Which try of the episode it was; 0 where several were under way and none is to blame yet."""
    side: str
    """Whose turn it was: `agent` or `simulator`; `machine` where the environment changed between two sessions."""
    error: str
    then: str
    """What was done about it, in words."""


@dataclass(frozen=True)
class Summary:
    """The result of a finished run; decided by its episodes alone, never by the clock."""

    scenario: str
    """Versioned id."""
    layout: str
    engine: str
    agent: str
    """What tables call the team: a shipped name, preset or algorithm of a checkpoint file, or `FILE.py:make`."""
    algorithm: str
    agent_hash: str
    """Hex digest of everything that decides how the team acts."""
    dataset: str | None
    """What the agent was trained on."""
    training_seed: int | None
    config_hash: str | None
    """Short hash of algorithm, hyperparameters, layout and data, without the seed: equal for the seeds of one method."""
    act_mode: str
    conditions: dict[str, Any]
    """What was made harder (`harness.conditions.Conditions`), only what differs from the default; usually empty."""
    on_crash: str
    """How episodes that broke off count: `loss` or `exclude`."""
    stop_rule: str | None
    """Why the run has as many episodes as it has, in words; None where the number was fixed in advance."""
    episodes: int
    crashed: int
    """Episodes that broke off, after every retry."""
    return_mean: float
    return_std: float | None
    """Sample standard deviation over episodes (ddof = 1); None for a single episode."""
    return_lower: float | None
    """95 % interval of the mean; None for a single episode."""
    return_upper: float | None
    return_iqm: float
    """Mean of the middle half of the returns."""
    wins: int | None
    """None, like the three rates below, where the scenario has no winner."""
    win_rate: float | None
    win_rate_lower: float | None
    """95 % Wilson interval, or what the stop rule allows."""
    win_rate_upper: float | None
    mean_length: float
    """Environment steps per episode."""
    normalised_score: float | None
    """100 (return - random) / (reference - random); None without references for this scenario."""
    normalised_by: str | None
    """The two references, in words with their numbers."""
    decentralized: str | None
    """Whether each agent was shown to act on its own view alone, in words."""
    videos: list[str] = field(default_factory=list)
    """Paths relative to the run directory."""


@dataclass(frozen=True)
class AgentLatency:
    """What one agent's actions took, in microseconds; a percentile is None where n is too small to promise it."""

    agent_index: int
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    max_us: float


@dataclass(frozen=True)
class LatencyReport:
    """What an action takes, from the observation being there to the action being there (`latency.json`).

    Kept apart from the summary because it is decided by the clock: the same run measured again differs.
    """

    scenario: str
    """`batched` (one call for the team), `decentralized` (one process per agent; the slowest agent of each
    step counts) or `deadline`. Never compare across scenarios."""
    n: int
    """Timed joint actions."""
    p50_us: float | None
    """Upper 99 % confidence bound of the percentile; None where n is too small to promise one."""
    p90_us: float | None
    p99_us: float | None
    max_us: float
    n_warmup: int
    """Joint actions before the timed ones."""
    compile_us: float
    """The very first joint action of the process."""
    first_action_us: float
    """The first joint action of an episode, after warm-up, start of the episode included."""
    agents: list[AgentLatency] = field(default_factory=list)
    """One row per agent where they run one by one."""
    transport_p50_us: float | None = None
    """What sending an observation and receiving an action takes, which is not part of the times above."""
    late_share: float | None = None
    """Share of actions that came after the deadline; None without one."""
    load_average: float | None = None
    """Runnable processes over the minute before; above the number of cores the scheduler is timed too."""
    frequency_governor: str | None = None
    calibration_drift: float = 0.0
    """Relative change of a fixed calculation's time between before and after; above 0.1 the machine was busy."""
    flagged: str | None = None
    """Why the numbers should not be quoted, in words; None if nothing speaks against them."""
    histogram: list[tuple[float, int]] = field(default_factory=list)
    """Upper edges in microseconds, in steps of a tenth of a decade, and counts; empty bins left out."""


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

    @property
    def planned(self) -> int:
        """Episodes that the run has when it is finished; with a stop rule, before that, the most that are played."""
        if self.summary is not None:
            return self.summary.episodes
        return len(self.manifest["config"]["episode_seeds"])
