"""Mixed teams: does an agent play well with others, or only with copies of itself?

Convention. Entry (A, B) is played with A on the even seats and B on the odd ones in every other episode, and with
the seats exchanged in the rest. Entry (B, A) is the same with the two exchanged, so both entries together seat
each agent everywhere on every episode. All entries meet the same episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from env_adapters.api import DoubleArray, TeamPolicy, VectorEnv
from env_adapters.errors import InvalidValueError
from env_adapters.rollout import play
from harness.mixing import MixedTeam
from harness.statistics import Interval, bootstrap_mean_interval, wilson_interval
from harness.team import Team

_BOOTSTRAP_STREAM: Final = 6


@dataclass(frozen=True)
class Gap:
    """How much an agent's score depends on its partners; differences of scores, paired by episode."""

    agent: str
    alone: float
    """Mean score in a team of its own kind."""
    mixed: float
    """Mean score with the others, over both ways to seat them."""
    gap: float
    """alone - mixed: part of it is that the others are better or worse."""
    gap_interval: Interval[float]
    """95 %, over episodes."""
    lock: float
    """How much mixed teams fall short of the mean of the two pure ones: what is lost by not sharing conventions."""
    lock_interval: Interval[float]
    """95 %, over episodes."""


@dataclass(frozen=True)
class CrossPlay:
    """The matrix of all pairs. K agents, E episodes."""

    agents: tuple[str, ...]
    is_win: bool
    """Whether a score is a won battle (0 or 1) or an episode return."""
    scores: DoubleArray
    """[K, K, E]: A, B, episode."""
    seed: int
    """Of the bootstrap."""

    def mean(self, a: int, b: int) -> float:
        """Win rate in [0, 1] or mean return of one entry."""
        return float(self.scores[a, b].mean())

    def interval(self, a: int, b: int) -> Interval[float]:
        """95 % of one entry: Wilson for a win rate, bootstrap for a return."""
        scores = self.scores[a, b]
        if self.is_win:
            return wilson_interval(int(scores.sum()), len(scores))
        return self._bootstrap(scores)

    def gaps(self) -> list[Gap]:
        """One per agent.

        The gap is that of self-play and cross-play of zero-shot coordination (H. Hu et al., "Other-Play for
        Zero-Shot Coordination", ICML 2020, section 5). Since it also rewards weak partners, the lock subtracts what is due
        to them: with scores s, the mean over B of (s(A, A) + s(B, B) - s(A, B) - s(B, A)) / 2, which is zero where
        scores are a sum of what each agent brings.
        """
        return [self._gap(a) for a in range(len(self.agents))]

    def _gap(self, a: int) -> Gap:
        n_agents = len(self.agents)
        others = [b for b in range(n_agents) if b != a]
        gap, lock = np.zeros((2, n_agents, n_agents))
        share = 1.0 / len(others)
        gap[a, a], lock[a, a] = 1.0, 0.5
        for b in others:
            lock[b, b] = 0.5 * share
            for entry in ((a, b), (b, a)):
                gap[entry] = lock[entry] = -0.5 * share
        alone = self.mean(a, a)
        gap_mean, lock_mean = (float((weights * self.scores.mean(axis=2)).sum()) for weights in (gap, lock))
        return Gap(
            self.agents[a],
            alone,
            alone - gap_mean,
            gap_mean,
            self._combined(gap),
            lock_mean,
            self._combined(lock),
        )

    def _combined(self, weights: DoubleArray) -> Interval[float]:
        """95 % of a weighted sum of entries [K, K]: bootstrap over episodes, which keeps entries paired.

        Where entries are won or lost without exception nothing varies, so for win rates the interval also holds the one
        that the entries' Wilson intervals give (G. Y. Zou and A. Donner, "Construction of confidence limits about
        effect measures", Statistics in Medicine 27, 2008, equation 3).
        """
        paired = self._bootstrap(np.einsum("ab,abe->e", weights, self.scores))
        if not self.is_win:
            return paired
        wins = self.scores.sum(axis=2).astype(np.int64)
        ends = weights * np.stack(wilson_interval(wins, self.scores.shape[2]))
        parts = weights * self.scores.mean(axis=2)
        low = parts.sum() - np.sqrt(((parts - ends.min(axis=0)) ** 2).sum())
        high = parts.sum() + np.sqrt(((ends.max(axis=0) - parts) ** 2).sum())
        return Interval(min(paired.lower, float(low)), max(paired.upper, float(high)))

    def _bootstrap(self, values: DoubleArray) -> Interval[float]:
        centre = float(values.mean())
        found = bootstrap_mean_interval(values, np.random.default_rng([self.seed, _BOOTSTRAP_STREAM]))
        return Interval(centre, centre) if found is None else found  # None where nothing varies


def seats(n_agents: int, episode_index: int) -> list[int]:
    """Which of two teams plays each seat in one episode: 0, 1, 0, … and 1, 0, 1, … by turns."""
    return [(i + episode_index) % 2 for i in range(n_agents)]


def cross_play(
    teams: Sequence[Team],
    labels: Sequence[str],
    env: VectorEnv,
    episode_seeds: Sequence[int],
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> CrossPlay:
    """Play every ordered pair of teams on the same episodes.

    Args:
        teams: two or more that fit the world.
        labels: what tables call them, all different.
        env: the world; any number of games.
        episode_seeds: two or more.
        seed: of the bootstrap intervals.
        report: is told how many of how many entries have been played.

    Raises:
        InvalidValueError: fewer than two teams or episodes, one agent only, or two equal labels.
    """
    if len(teams) < 2 or len(episode_seeds) < 2 or env.spec.n_agents < 2:
        raise InvalidValueError(
            "cross-play mixes teams: it needs two agents or more, two episodes or more, and a map for at least two"
        )
    if len(set(labels)) < len(labels):
        raise InvalidValueError(f"cross-play of {', '.join(labels)}: one is named twice")
    policies = [team.vector(env.n_games) for team in teams]
    scores = np.zeros((len(teams), len(teams), len(episode_seeds)))
    for a in range(len(teams)):
        for b in range(len(teams)):
            scores[a, b] = _entry(policies[a], policies[b], env, episode_seeds)
            report(a * len(teams) + b + 1, len(teams) ** 2)
    return CrossPlay(tuple(labels), env.spec.has_win, scores, seed)


def _entry(a: TeamPolicy, b: TeamPolicy, env: VectorEnv, episode_seeds: Sequence[int]) -> DoubleArray:
    """Scores [E] of one entry."""
    if a is b:
        return _scores(a, env, episode_seeds)
    scores = np.zeros(len(episode_seeds))
    for turn in (0, 1):
        mixed = MixedTeam([a, b], seats(env.spec.n_agents, turn))
        scores[turn::2] = _scores(mixed, env, episode_seeds[turn::2])
    return scores


def _scores(policy: TeamPolicy, env: VectorEnv, episode_seeds: Sequence[int]) -> DoubleArray:
    """Won or return, in the order of the seeds."""
    episodes = {episode.seed: episode for episode in play(env, policy, episode_seeds)}
    ordered = [episodes[seed] for seed in episode_seeds]
    won = env.spec.has_win
    return np.array([float(bool(episode.won)) if won else episode.episode_return for episode in ordered])
