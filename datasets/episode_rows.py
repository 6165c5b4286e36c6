"""From a played episode to the rows it adds to a dataset, checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from datasets.schema import Array, Column, row_counts
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, MismatchError
from env_adapters.rollout import Episode


def episode_rows(episode: Episode, table: Mapping[str, Column], spec: TeamSpec) -> dict[str, Array]:
    """The rows of every array but `episode_offsets`, in their stored types.

    Args:
        episode: a finished episode of L steps, recorded with `Recording(transitions=True)`.
        table: the arrays of the dataset, from `datasets.schema.columns`.
        spec: the world the episode was played in.

    Returns:
        Arrays [L + 1, ...], [L, ...] or [1], as the table says.

    Raises:
        MismatchError: an array is missing or its shape does not fit the world.
        InvalidValueError: the episode is empty, a number is not finite, or an action does not exist.
    """
    length = episode.length
    if not length:
        raise InvalidValueError(
            f"episode of seed {episode.seed} has no step; a dataset stores played episodes only"
        )
    last = np.arange(length) == length - 1
    recorded: dict[str, Any] = {
        "observations": episode.observations,
        "available_actions": episode.available_actions,
        "states": episode.states,
        "actions": episode.actions,
        "rewards": episode.rewards,
        "terminated": last & episode.terminated,
        "truncated": last & episode.truncated,
        "episode_seeds": [episode.seed],
        "won": [-1 if episode.won is None else int(episode.won)],
    }
    if "available_actions" not in table and recorded.pop("available_actions"):
        raise MismatchError(f"episode of seed {episode.seed} has masks, the episodes before it have none")
    counts = row_counts(1, length)
    arrays = {}
    for key, values in recorded.items():
        array = np.asarray(values)
        column = table[key]
        expected = (counts[column.rows], *column.shape)
        if array.shape != expected:
            raise MismatchError(
                f"{key} of the episode of seed {episode.seed} have shape {array.shape}, {spec.scenario} needs "
                f"{expected}; record with Recording(transitions=True)"
            )
        arrays[key] = _stored(key, array, column, episode.seed, spec)
    return arrays


def _stored(key: str, array: Array, column: Column, seed: int, spec: TeamSpec) -> Array:
    """Cast to the type on disk; InvalidValueError where the value would not survive or makes no sense."""
    if key == "actions" and spec.action_kind == "discrete":
        wrong = (array < 0) | (array >= spec.action_size) | (array % 1 != 0)
        reason = f"is not an action from 0 to {spec.action_size - 1}"
    else:
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(array.astype(column.dtype))
        reason = "is not finite in single precision"
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise InvalidValueError(
            f"{key} of the episode of seed {seed}, row {row}: a value {reason}; "
            "fix the world or policy that produced it"
        )
    return array.astype(column.dtype)
