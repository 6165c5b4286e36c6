"""Situations in which actions are judged: moments of the dataset, and moments that the team itself gets into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from datasets.schema import Dataset
from env_adapters.api import ActionArray, BoolArray, FloatArray, IntArray, TeamPolicy
from env_adapters.rollout import Episode

_GAMES = 64
"""Situations in which a team acts together."""


@dataclass(frozen=True)
class Situations:
    """M moments at which a team of N acts."""

    observations: FloatArray
    """[M, N, D]"""
    masks: BoolArray | None
    """[M, N, A]"""
    actions: ActionArray
    """int64[M, N] or float32[M, N, A], what was done there: by the dataset's behaviour, or by the team that played."""
    episodes: IntArray
    """[M], which episode each is of."""
    steps: IntArray
    """[M], steps before it in its episode."""

    @property
    def choices(self) -> BoolArray:
        """[M, N], where an agent has more than one action; a forced one says nothing about a policy."""
        if self.masks is None:
            return np.ones(self.observations.shape[:2], dtype=np.bool_)
        return np.asarray(self.masks.sum(axis=2) > 1)

    @property
    def deciding(self) -> BoolArray:
        """[M], where some agent has a choice."""
        return np.asarray(self.choices.any(axis=1))


def of_dataset(dataset: Dataset, transitions: IntArray) -> Situations:
    """The moments at which these transitions [M] begin."""
    batch = dataset.transitions(transitions)
    episodes = np.searchsorted(dataset.episode_offsets, transitions, side="right") - 1
    steps = transitions - dataset.episode_offsets[episodes]
    return Situations(batch.observations, batch.available_actions, batch.actions, episodes, steps)


def of_play(episodes: Sequence[Episode], n_situations: int, rng: np.random.Generator) -> Situations:
    """Random moments, all different, of episodes that were recorded with their transitions; all where there are fewer."""
    lengths = np.array([episode.length for episode in episodes])
    borders = np.concatenate([[0], np.cumsum(lengths)])
    chosen = np.sort(rng.permutation(borders[-1])[:n_situations])
    observations, masks, actions = [], [], []
    for episode, (low, high) in zip(episodes, pairwise(borders), strict=True):
        steps = chosen[(chosen >= low) & (chosen < high)] - low
        observations += [episode.observations[step] for step in steps]
        masks += [episode.available_actions[step] for step in steps] if episode.available_actions else []
        actions += [episode.actions[step] for step in steps]
    index = np.searchsorted(borders, chosen, side="right") - 1
    return Situations(
        np.stack(observations), np.stack(masks) if masks else None, np.stack(actions), index, chosen - borders[index]
    )  # fmt: skip


def choose_actions(
    make: Callable[[int], TeamPolicy], remembers: bool, dataset: Dataset, places: Situations, seeds: IntArray
) -> ActionArray:
    """What a team does in situations of a dataset.

    Each situation is an episode of its own, with the noise that its seed gives. A team that remembers first sees what
    the recorded agents saw from the beginning of the episode on; its own actions there are not played.

    Args:
        make: number of games in, team out.
        remembers: whether the team's actions depend on what it saw before.
        dataset: where the situations are from.
        places: made by `of_dataset`.
        seeds: [M], one per situation.

    Returns:
        int64[M, N] or float32[M, N, A].
    """
    n_games = min(_GAMES, len(seeds))
    team, games = make(n_games), np.arange(n_games, dtype=np.int64)
    chosen = np.zeros_like(places.actions)
    order = np.argsort(places.steps, kind="stable")  # a batch takes as long as its longest history
    for low in range(0, len(order), n_games):
        part = order[low : low + n_games]
        batch = part[games % len(part)]  # the last batch repeats its first ones
        team.begin(seeds[batch], games)
        last = places.steps[batch]
        moments = dataset.episode_offsets[places.episodes[batch]] + places.episodes[batch]
        for step in range(0 if remembers else int(last.max()), int(last.max()) + 1):
            rows = moments + np.minimum(step, last)
            masks = None if dataset.available_actions is None else dataset.available_actions[rows]
            actions = team.act(dataset.observations[rows], masks)
            now = np.flatnonzero(last == step) if remembers else games
            chosen[batch[now]] = actions[now]
    return chosen
