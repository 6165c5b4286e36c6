"""The check itself, in one process: play recorded histories again and compare every bit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Final

import numpy as np

from agents.policies import PolicyTeam
from env_adapters import scenarios
from env_adapters.api import BoolArray, FloatArray, VectorEnv
from env_adapters.errors import InvalidValueError
from env_adapters.rollout import Episode
from harness.leak.histories import History, Pool, Trace, joined, keep_sets, recorded, trace
from harness.leak.ledger import Ledger
from harness.leak.perturb import PAST, PERTURBATIONS, perturbed
from harness.leak.report import OPEN, LeakReport
from harness.team import Team

_STREAM: Final = 5
_UNSTEADY: Final = 0.1
"""Share of moments at which an agent may fail to repeat itself and still be told apart from one that spies."""


def check_leak(
    team: Team,
    episodes: Sequence[Episode],
    world: VectorEnv | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
) -> LeakReport:
    """Try to show that agents act on more than their own views.

    Args:
        team: the team that played the episodes; its policies are made afresh.
        episodes: recorded with `Recording(transitions=True)`; one is enough, more give more to replace rows with.
        world: one that may be reset and stepped at will, best the one that the episodes were played in: a team
            with a handle on it then meets another state. Default: a new one.
        steps: look at so many steps of each episode only (default: all); a leak that comes later is not seen.
        seed: of the perturbations.

    Raises:
        InvalidValueError: no episodes, or without transitions.
    """
    if not episodes or not all(episode.actions for episode in episodes):
        raise InvalidValueError(
            "a leak check needs recorded episodes: play them with Recording(transitions=True)"
        )
    episodes = [_beginning(episode, steps) for episode in episodes]
    spec = team.spec
    own = None if world is not None else scenarios.make_vector(spec.scenario, 1, layout=spec.layout)
    ledger = Ledger(spec.n_agents)
    with nullcontext(world) if own is None else closing(own) as somewhere:
        assert somewhere is not None
        for number, episode in enumerate(episodes):
            rng = np.random.default_rng([seed, _STREAM, number])
            ledger.begin(episode)
            _EpisodeCheck(team, episode, Pool.of(episodes), somewhere, rng, ledger).run()
    return ledger.report()


def _beginning(episode: Episode, steps: int | None) -> Episode:
    if steps is None or steps >= episode.length:
        return episode
    return replace(
        episode,
        rewards=episode.rewards[:steps],
        observations=episode.observations[: steps + 1],
        available_actions=episode.available_actions[: steps + 1],
        actions=episode.actions[:steps],
    )


class _Elsewhere:
    """A world in the middle of another episode, one random step further at every call."""

    def __init__(self, world: VectorEnv, seed: int, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        self._now = world.reset(np.full(world.n_games, seed, dtype=np.int64))
        self(0)

    def __call__(
        self, t: int, observations: FloatArray | None = None, masks: BoolArray | None = None
    ) -> None:
        spec = self._world.spec
        draws = self._rng.random((self._world.n_games, spec.n_agents, spec.action_size), dtype=np.float32)
        if spec.action_kind == "continuous":
            self._now = self._world.step(2.0 * draws - 1.0)
            return
        available = self._now.available_actions
        allowed = draws if available is None else np.where(available, draws, -1.0)
        self._now = self._world.step(allowed.argmax(axis=-1).astype(np.int64))


class _Along:
    """A world that goes through the recorded episode together with the team."""

    def __init__(self, world: VectorEnv, episode: Episode) -> None:
        self._world, self._episode = world, episode
        world.reset(np.full(world.n_games, episode.seed, dtype=np.int64))

    def __call__(self, t: int, observations: FloatArray, masks: BoolArray | None) -> None:
        actions = [self._episode.actions[t]] * self._world.n_games
        self._world.step(np.stack(actions))  # type: ignore[arg-type]


def _scribble(t: int, observations: FloatArray, masks: BoolArray | None) -> None:
    """Spoil the arrays that were handed over; whoever kept them sees it."""
    observations[:] = np.float32(t + 1)
    if masks is not None:
        masks[:] = True


class _EpisodeCheck:
    """The check of one episode."""

    def __init__(
        self,
        team: Team,
        episode: Episode,
        pool: Pool,
        world: VectorEnv,
        rng: np.random.Generator,
        ledger: Ledger,
    ) -> None:
        self._team, self._episode, self._world = team, episode, world
        self._pool, self._rng, self._ledger = pool, rng, ledger
        self._history, self._truth = History.of(episode), recorded(episode)
        self._all = np.ones((1, team.spec.n_agents), dtype=np.bool_)
        self._single = team.vector(1)

    def run(self) -> None:
        """Every part of the check, into the ledger."""
        again = self._elsewhere()
        self._outside_the_views()
        self._teammates(self._history, Trace(self._truth.actions, again.inside), "")
        if self._history.masks is None:
            return
        opened, suffix = self._history.open(), f" and {OPEN}"
        wide = trace(self._team.vector(1), opened)
        if self._ledger.tried(OPEN, wide):
            self._teammates(opened, wide, suffix)

    def _elsewhere(self) -> Trace:
        """A fresh team on the recorded views, while the world is in another state; what it does not repeat is set aside."""
        words, other_seed = "the world was in another state", self._episode.seed ^ 1
        apart = trace(self._team.vector(1), self._history, _Elsewhere(self._world, other_seed, self._rng))
        self._ledger.tried(words, apart)
        unsteady = self._truth.differs(apart)[0]
        if unsteady.any():
            along = trace(self._team.vector(1), self._history, _Along(self._world, self._episode))
            follows = ~self._truth.differs(along)[0].any(axis=(0, 1))
            self._ledger.compare("world", words, self._truth, apart, self._all & follows)
            self._ledger.compare("repeat", "nothing was different", self._truth, along, self._all)
        else:
            self._ledger.compare("world", words, self._truth, apart, self._all)
        kept = trace(self._team.vector(1), self._history, _scribble)
        self._ledger.tried("the arrays of the team were spoilt after use", kept)
        actions, insides = self._aside(unsteady), self._aside(apart.differs(kept)[1])
        self._ledger.ignore(actions, insides | actions)
        words = "the arrays of the team were spoilt after use"
        self._ledger.compare("arrays", words, self._truth, kept, self._all)
        return apart

    def _aside(self, unsteady: BoolArray) -> BoolArray:
        """Moments [T, N] to ignore: the unsteady ones [T', 1, N], and all of an agent that is unsteady often."""
        moments = np.zeros((self._history.length, unsteady.shape[2]), dtype=np.bool_)
        moments[: len(unsteady)] = unsteady[:, 0]
        often: BoolArray = moments.mean(axis=0) > _UNSTEADY
        return moments | often

    def _outside_the_views(self) -> None:
        """The same views after other episodes, and with the agents asked in another order."""
        policy = self._team.vector(1)
        strange = self._pool.others(self._history, self._rng)
        other = History(self._history.seeds ^ 1, strange.observations, strange.masks)
        words = "it had played another episode before"
        before = trace(policy, other)
        if self._ledger.tried(words, before):
            after = trace(policy, self._history)
            self._ledger.tried(words, after)
            self._ledger.compare("episodes", words, self._truth, after, self._all)
        words = "other games of its batch were different"
        batch = History(
            np.concatenate([other.seeds, self._history.seeds, other.seeds]),
            np.concatenate([other.observations, self._history.observations, other.observations], axis=1),
            None
            if other.masks is None or self._history.masks is None
            else np.concatenate([other.masks, self._history.masks, other.masks], axis=1),
        )
        middle = np.array([[False], [True], [False]]) & self._all
        among = trace(self._team.vector(3), batch)
        if self._ledger.tried(words, among):
            self._ledger.compare("games", words, self._truth, among, middle)
        policy = self._team.vector(1)
        if isinstance(policy, PolicyTeam):
            policy.order.reverse()
            words = "agents were asked in reverse order"
            reverse = trace(policy, self._history)
            self._ledger.tried(words, reverse)
            self._ledger.compare("order", words, self._truth, reverse, self._all)

    def _teammates(self, base: History, reference: Trace, suffix: str) -> None:
        """Replace what teammates see in every way, one run per set of agents that keep their views."""
        keep = keep_sets(self._all.shape[1])
        for words, perturb in PERTURBATIONS.items():
            history, changed = perturbed(perturb, base.repeated(len(keep)), keep, self._pool, self._rng)
            if not changed.any():
                continue
            done = self._games(history)
            if not self._ledger.tried(words + suffix, done):
                continue
            self._ledger.cover(changed[: len(done.actions)], keep)
            for game in np.flatnonzero(self._ledger.suspects(reference, done, keep)).tolist():
                alone = trace(self._team.vector(1), history.game(game))
                if not self._blame(words + suffix, reference, alone, keep[game : game + 1]):
                    only = keep & (np.arange(len(keep)) == game)[:, None]
                    others = "other games of its batch were different"
                    self._ledger.compare("games", others, reference, done, only)

    def _games(self, history: History) -> Trace:
        """All games of a history: in one batch where that is faster, else one after the other, which separates them."""
        n_games = len(history.seeds)
        if not isinstance(self._single, PolicyTeam):
            return trace(self._team.vector(n_games), history)
        return joined([trace(self._single, history.game(game)) for game in range(n_games)])

    def _blame(self, words: str, reference: Trace, alone: Trace, keep: BoolArray) -> bool:
        """Put a difference down to teammates if it is there with fresh policies and no other games; whether it is."""
        half = self._history.length // 2 if words.startswith(PAST) else self._history.length
        compare = self._ledger.compare
        seen = compare("teammates", words, reference, alone, keep, slice(half))
        return compare("memory", words, reference, alone, keep, slice(half, None)) or seen
