"""How far actions are from those that the dataset took at its nearest observations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from datasets.schema import Dataset
from env_adapters.api import ActionArray, BoolArray, DoubleArray
from harness.support.neighbours import Neighbours

Array = npt.NDArray[Any]


class NearActions(NamedTuple):
    """What the dataset did at the nearest observations of M situations."""

    single: Array
    """int64[M, N, k] or float32[M, N, k, A], each agent's actions at its own nearest views."""
    joint: Array
    """int64[M, k, N] or float32[M, k, N, A], the team's at the nearest joint observations."""

    @staticmethod
    def of(dataset: Dataset, neighbours: Neighbours) -> NearActions:
        """Look the actions up."""
        n_agents = len(neighbours.rows) - 1
        single = [dataset.actions[neighbours.rows[agent], agent] for agent in range(n_agents)]
        found = np.stack(single, axis=1), dataset.actions[neighbours.rows[-1]]
        kind = np.dtype(np.float32) if found[0].dtype.kind == "f" else np.dtype(np.int64)
        return NearActions(*(part.astype(kind) for part in found))


class Scores(NamedTuple):
    """Distances of chosen actions, and how often the dataset chose the same."""

    single: DoubleArray
    """[M, N]. Continuous: root mean square over the components, to the nearest of the k actions. Discrete: 1 where none
    of the k is the same, else 0."""
    joint: DoubleArray
    """[M]. Continuous: root mean square over agents and components, to the nearest of the k joint actions. Discrete:
    share of agents that differ from the nearest."""
    single_frequency: DoubleArray | None
    """[M, N], share of the k neighbours that took the same action; None for continuous actions."""
    joint_exact: DoubleArray | None
    """[M], 1 where one of the k joint actions is the same; None for continuous actions."""


def score(actions: ActionArray, near: NearActions) -> Scores:
    """Compare actions int64[M, N] or float32[M, N, A] with those of the neighbours."""
    if near.single.dtype.kind == "f":
        chosen = actions.astype(np.float64)
        single = ((near.single - chosen[:, :, None]) ** 2).mean(axis=3).min(axis=2)
        joint = ((near.joint - chosen[:, None]) ** 2).mean(axis=(2, 3)).min(axis=1)
        return Scores(np.sqrt(single), np.sqrt(joint), None, None)
    same = near.single == actions[:, :, None]
    differing = (near.joint != actions[:, None]).mean(axis=2).min(axis=1)
    return Scores(1.0 - same.any(axis=2), differing, same.mean(axis=2), (differing == 0.0).astype(np.float64))


def independent_actions(near: NearActions, rng: np.random.Generator) -> ActionArray:
    """For each agent by itself the action of one of its neighbours: every agent in the data, nobody coordinated."""
    n_situations, n_agents, k = near.single.shape[:3]
    drawn = rng.integers(k, size=(n_situations, n_agents))
    chosen: ActionArray = near.single[np.arange(n_situations)[:, None], np.arange(n_agents), drawn]
    return chosen


def random_actions(
    shape: tuple[int, ...], action_size: int, masks: BoolArray | None, rng: np.random.Generator
) -> ActionArray:
    """Uniform ones: among the available (discrete), or in [-1, 1] (continuous).

    Args:
        shape: of the result, [M, N] or [M, N, A].
        action_size: A.
        masks: [M, N, A], or None where everything is available.
        rng: source of the draws.
    """
    if len(shape) == 3:
        return rng.uniform(-1.0, 1.0, shape).astype(np.float32)
    draws = rng.random((*shape, action_size))
    allowed = draws if masks is None else np.where(masks, draws, -1.0)
    return np.asarray(allowed.argmax(axis=-1), dtype=np.int64)
