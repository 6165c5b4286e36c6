"""The measurement: one dataset prepared once, any number of teams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from datasets.schema import Dataset
from env_adapters import scenarios
from env_adapters.api import ActionArray, BoolArray, DoubleArray, TeamPolicy, VectorEnv
from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import InvalidValueError
from env_adapters.layouts import observation_layout
from env_adapters.rollout import Episode, Recording, play
from harness.plan import episode_seeds
from harness.progress import Say
from harness.statistics import mean_interval, wilson_interval
from harness.statistics.clustered import ClusterBootstrap, Resampled
from harness.support.distances import NearActions, Scores, independent_actions, random_actions, score
from harness.support.neighbours import Neighbours, Scale, find_neighbours
from harness.support.report import Estimate, Level, PlaceReport, Ratios, SupportReport, Where
from harness.support.situations import Situations, choose_actions, of_dataset, of_play
from harness.team import Team, TeamSource, load_team

_STREAM: Final = 7
"""Keeps these draws apart from those of other commands with the same seed."""
_ORDER, _SITUATIONS, _DATA, _PLAY = range(4)
_GAMES = 32


@dataclass(frozen=True)
class SupportOptions:
    """How to measure."""

    observations: int = 2000
    """Situations of each kind, at most."""
    neighbours: int = 10
    """k."""
    rows: int | None = None
    """Search this many random transitions only; None for all."""
    episodes: int = 32
    """Episodes that the team plays, for situations of its own."""
    seed: int = 0
    """Root of every draw; episodes are those of `harness evaluate --seed`."""

    def check(self) -> None:
        """Raise InvalidValueError for a value that makes no sense."""
        check_between("--observations", self.observations, 2, 1_000_000)
        check_between("--neighbours", self.neighbours, 1, 10_000)
        check_between("--episodes", self.episodes, 2, 100_000)
        check_at_least("--seed", self.seed, 0)
        if self.rows is not None:
            check_at_least("--rows", self.rows, 1)


class _Levels(NamedTuple):
    """The numbers of a `Level`, still resampled together."""

    single: Resampled
    joint: Resampled
    single_frequency: Resampled | None
    joint_exact: Resampled | None

    def report(self) -> Level:
        return Level(*(Estimate.of(value) for value in self))  # type: ignore[arg-type]

    def over(self, other: _Levels) -> Ratios:
        return Ratios(
            Estimate.of(self.single.ratio(other.single)), Estimate.of(self.joint.ratio(other.joint))
        )


class _Place:
    """Situations with their neighbours, and the levels that do not depend on a team."""

    def __init__(
        self, dataset: Dataset, scale: Scale, where: Situations, neighbours: Neighbours, rng: np.random.Generator
    ) -> None:  # fmt: skip
        self.where = where
        self.near = NearActions.of(dataset, neighbours)
        self.bootstrap = ClusterBootstrap(where.episodes, rng)
        self.choices = where.choices
        self.deciding = where.deciding
        nearest = neighbours.squared[:, :, 0]
        single = np.sqrt(np.maximum(nearest[:-1].T, 0.0) / scale.n_features)
        joint = np.sqrt(np.maximum(nearest[-1], 0.0) / scale.n_features.sum())
        self.away = self._levels(Scores(single, joint, None, None))
        self.independent = self.levels(independent_actions(self.near, rng))
        self.random = self.levels(
            random_actions(where.actions.shape, dataset.card.action_size, where.masks, rng)
        )

    def levels(self, actions: ActionArray) -> _Levels:
        """Of actions taken in these situations."""
        return self._levels(score(actions, self.near))

    def _levels(self, scores: Scores) -> _Levels:
        def mean(values: DoubleArray | None, counted: BoolArray) -> Resampled | None:
            return None if values is None else self.bootstrap.mean(values, counted)

        single, joint = self.choices, self.deciding
        return _Levels(
            self.bootstrap.mean(scores.single, single), self.bootstrap.mean(scores.joint, joint),
            mean(scores.single_frequency, single), mean(scores.joint_exact, joint),
        )  # fmt: skip

    def report(self, actions: ActionArray, data: _Levels, data_away: _Levels) -> PlaceReport:
        team = self.levels(actions)
        return PlaceReport(
            n_situations=len(self.where.steps),
            n_episodes=self.bootstrap.n_clusters,
            team=team.report(),
            independent=self.independent.report(),
            random=self.random.report(),
            to_data=team.over(data),
            to_independent=team.over(self.independent),
            to_random=team.over(self.random),
            observation=Ratios(Estimate.of(self.away.single), Estimate.of(self.away.joint)),
            observation_to_data=self.away.over(data_away),
        )


class Support:
    """A dataset ready for measuring teams: situations, their neighbours and the levels of reference.

    Args:
        dataset: what the teams were trained on.
        options: how to measure.

    Raises:
        InvalidValueError: an option makes no sense, the dataset is too small, or nobody ever has a choice in it.
    """

    def __init__(self, dataset: Dataset, options: SupportOptions | None = None) -> None:
        self.dataset, self.options = dataset, options or SupportOptions()
        self.options.check()
        total = dataset.n_transitions
        self.order = self._rng(_ORDER).permutation(total)[: self.options.rows]
        self.scale = Scale.of(dataset)
        chosen = np.sort(self._rng(_SITUATIONS).permutation(total)[: self.options.observations])
        self.data = self._place(of_dataset(dataset, chosen), _DATA)
        self.level = self.data.levels(self.data.where.actions)

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.options.seed, _STREAM, *stream])))  # fmt: skip

    def _place(self, where: Situations, stream: int) -> _Place:
        own = where.episodes if stream == _DATA else None
        choices = where.choices
        if not choices.any():
            raise InvalidValueError(
                "no agent has a choice of actions in any of the situations; take more --observations"
            )
        wanted = np.concatenate([choices.T, where.deciding[None]])
        k, scale = self.options.neighbours, self.scale
        found = find_neighbours(self.dataset, scale, where.observations, own, wanted, k, self.order)
        return _Place(self.dataset, scale, where, found, self._rng(stream))

    def in_data(self, make: Callable[[int], TeamPolicy], remembers: bool) -> PlaceReport:
        """What a team does in situations of the dataset.

        Args:
            make: number of games in, team out.
            remembers: whether the team's actions depend on what it saw before.
        """
        seeds = np.array(episode_seeds(self.options.seed, len(self.data.where.steps)))
        actions = choose_actions(make, remembers, self.dataset, self.data.where, seeds)
        return self.data.report(actions, self.level, self.data.away)

    def in_play(self, episodes: Sequence[Episode]) -> PlaceReport:
        """What a team did in episodes that it played, recorded with their transitions."""
        where = of_play(episodes, self.options.observations, self._rng(_PLAY, 0))
        return self._place(where, _PLAY).report(where.actions, self.level, self.data.away)

    def team(self, team: Team, env: VectorEnv, where: Sequence[Where], name: str) -> SupportReport:
        """Everything about one team.

        Args:
            team: loaded for this world.
            env: the world that the dataset was recorded in.
            where: which situations.
            name: what the report calls it.
        """
        places: dict[Where, PlaceReport] = {}
        played: list[Episode] = []
        if "data" in where:
            places["data"] = self.in_data(team.vector, _remembers(team))
        if "play" in where:
            seeds = episode_seeds(self.options.seed, self.options.episodes)
            recorded = play(env, team.vector(env.n_games), seeds, Recording(transitions=True))
            played = sorted(recorded, key=lambda episode: seeds.index(episode.seed))
            places["play"] = self.in_play(played)
        made, card = team.provenance, self.dataset.card
        return SupportReport(
            team=name,
            agent=made.get("preset") or team.name,
            agent_hash=team.weights_hash,
            act_mode=team.act_mode,
            training_seed=made.get("seed"),
            trained_on_this=made["dataset"] == card.sha256 if "dataset" in made else None,
            scenario=card.scenario,
            layout=card.layout,
            dataset=card.sha256,
            neighbours=self.options.neighbours,
            n_searched=len(self.order),
            seed=self.options.seed,
            data=self.level.report(),
            places=places,
            **_outcome(played),
        )


def _remembers(team: Team) -> bool:
    """Whether a team may act on what it saw before; code of unknown kind is taken to."""
    agent = getattr(team.vector(1), "agent", None)
    return agent is None or agent.memory_size > 0


def _outcome(played: Sequence[Episode]) -> Mapping[str, Any]:
    """Return and win rate of the episodes."""
    if not played:
        return {"return_mean": None, "win_rate": None, "n_played": 0}
    returns = [episode.episode_return for episode in played]
    rate = None
    if played[0].won is not None:
        wins = sum(bool(episode.won) for episode in played)
        rate = Estimate(wins / len(played), *wilson_interval(wins, len(played)))
    mean = Estimate(float(np.mean(returns)), *(mean_interval(returns) or (None, None)))
    return {"return_mean": mean, "win_rate": rate, "n_played": len(played)}


def measure(
    checkpoints: Sequence[Path],
    dataset: Dataset,
    options: SupportOptions | None = None,
    where: Sequence[Where] = ("data", "play"),
    say: Say | None = None,
) -> list[SupportReport]:
    """Measure trained teams against one dataset; what depends on the dataset alone is computed once.

    Args:
        checkpoints: files.
        dataset: opened.
        options: how to measure.
        where: which situations.
        say: receives a line about each stage.

    Returns:
        One report per checkpoint, in the same order.

    Raises:
        UnknownNameError: there is no such checkpoint, or no world of the dataset's scenario and layout.
        CorruptFileError: a checkpoint is damaged.
        MismatchError: a checkpoint is of another scenario or layout than the dataset.
        InvalidValueError: an option makes no sense, or the dataset is too small.
    """
    options = options or SupportOptions()
    options.check()
    scenario = scenarios.find(dataset.card.scenario)
    n_games = min(_GAMES, options.episodes)
    layout = observation_layout(dataset.card.layout)
    with scenarios.make_vector(scenario.name, n_games, layout=layout) as env:
        teams = [load_team(scenario.name, env.spec, TeamSource(checkpoint=str(path))) for path in checkpoints]
        _say(
            say, f"looking for the {options.neighbours} nearest of {dataset.n_transitions:,} transitions ..."
        )
        support, reports = Support(dataset, options), []
        for path, team in zip(checkpoints, teams, strict=True):
            _say(say, f"{path}: {' and '.join(where)} ...")
            reports.append(support.team(team, env, where, str(path)))
    return reports


def _say(say: Say | None, line: str) -> None:
    if say is not None:
        say(line)
