"""The options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import InvalidValueError
from harness.conditions import Conditions

MOST_EPISODES = 1_000_000
MOST_GAMES = 16_384
_LEAST_HALF_WIDTH = 1e-6
_MOST_WORKERS = 1_024


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, on what, how often."""

    map: str
    """Scenario: a StarCraft II map (`5m_vs_6m`), a robot (`6halfcheetah`; all: harness ls maps), or code: `FILE.py:make`."""
    agent: str | None = None
    """A shipped checkpoint of this map (default: vgm2p or else ppo-expert), a control such as `random` (all: harness ls agents), or code: `FILE.py:make`."""
    checkpoint: Path | None = None
    """A checkpoint file instead of --agent."""
    layout: str | None = None
    """What agents are shown, and by which rules (default: the map's first; all: harness ls maps)."""
    episodes: int | None = None
    """Episodes to play (default: 32 on StarCraft II maps, 10 on robots); with --until-... the most that are played (default: 10000)."""
    seed: int = 0
    """Root of the episode seeds. Teams evaluated with the same seed meet the same episodes."""
    act_mode: str | None = None
    """How the policy turns into actions (default: the agent's own; vgm2p: fresh, zero, fixed; ppo: greedy, sample)."""
    video: int = 1
    """Episodes to film: a won one first, then a lost one, then others."""
    out: Path | None = None
    """Run directory (default: below runs/). The same command continues what is there."""
    fresh: bool = False
    """Start over instead of continuing."""
    repair: bool = False
    """Play episodes again whose records were damaged on disk, or that broke off."""
    until_ci: float | None = None
    """Stop as soon as win rate (or mean return) is known to plus or minus this, whenever that is looked at (95 %)."""
    until_better_than: Path | None = None
    """Stop as soon as the team is shown to do better than the team of this run on the same episodes."""
    alpha: float = 0.05
    """Probability of a false claim by --until-better-than."""
    drop_observation: float = 0.0
    """Probability that an agent's observation does not arrive; it then sees its last one that did."""
    delay_observation: int = 0
    """Steps by which every observation is late."""
    swap_agent: tuple[str, ...] = ()
    """Agents that somebody else plays: `0=random 3=noop`."""
    execution: Literal["batched", "decentralized"] = "batched"
    """All agents in one call, or one process per agent that is sent its own observation."""
    deadline_ms: float | None = None
    """Time an agent has for one action (plays decentralized); later is too late."""
    late_action: Literal["noop", "repeat"] = "noop"
    """What happens instead of a late action."""
    latency: Literal["batched", "decentralized", "none"] | None = None
    """How to time actions afterwards (default: as --execution)."""
    workers: int | None = None
    """Processes that play (default: one per 64 episodes, at most one per core); 0 plays in this process, unsupervised."""
    n_games: int | None = None
    """Games side by side in each worker (default: as many as episodes, at most 64). Results depend on neither."""
    retries: int = 2
    """How often an episode is tried again after the simulator broke it off."""
    timeout_s: float = 120.0
    """Without a step for so long, a worker is taken to hang."""
    on_crash: Literal["loss", "exclude"] = "loss"
    """How an episode counts that broke off in spite of all: lost with return 0, or not at all."""

    @property
    def conditions(self) -> Conditions:
        """What is made harder."""
        decentralized = self.deadline_ms is not None or self.execution == "decentralized"
        return Conditions(
            drop_observation=self.drop_observation,
            delay_observation=self.delay_observation,
            swap_agent=self.swap_agent,
            execution="decentralized" if decentralized else "batched",
            deadline_ms=self.deadline_ms,
            late_action=self.late_action,
        )

    def check(self) -> None:
        """Raise InvalidValueError at the first value that makes no sense by itself."""
        if self.episodes is not None:
            check_between("--episodes", self.episodes, 1, MOST_EPISODES)
        if self.n_games is not None:
            check_between("--n-games", self.n_games, 1, MOST_GAMES)
        if self.workers is not None:
            check_between("--workers", self.workers, 0, _MOST_WORKERS)
        check_at_least("--video", self.video, 0)
        check_at_least("--seed", self.seed, 0)
        check_at_least("--retries", self.retries, 0)
        if not 0.0 < self.timeout_s < float("inf"):
            raise InvalidValueError(f"--timeout-s is {self.timeout_s:g}; give seconds above 0")
        if not 0.0 < self.alpha < 1.0:
            raise InvalidValueError(f"--alpha is {self.alpha:g}; give a probability between 0 and 1")
        if self.until_ci is not None and not _LEAST_HALF_WIDTH <= self.until_ci < float("inf"):
            raise InvalidValueError(
                f"--until-ci is {self.until_ci:g}; give a half-width of at least {_LEAST_HALF_WIDTH:g}, such as 0.03"
            )
        if self.until_ci is not None and self.until_better_than is not None:
            raise InvalidValueError("give either --until-ci or --until-better-than: one reason to stop")
        if self.on_crash == "exclude" and (self.until_ci or self.until_better_than):
            raise InvalidValueError(
                "--on-crash exclude and --until-... do not go together: count crashes as lost"
            )
        if self.deadline_ms is None and self.late_action != "noop":
            raise InvalidValueError(
                "--late-action says what happens after a deadline; give --deadline-ms, too"
            )
        if self.deadline_ms is not None and not 0.0 < self.deadline_ms < float("inf"):
            raise InvalidValueError(f"--deadline-ms is {self.deadline_ms:g}; give milliseconds above 0")
