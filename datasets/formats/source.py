"""What every reader of a foreign format hands over, and the checks that all of them make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.schema import Array
from env_adapters.api import TeamSpec
from env_adapters.errors import CorruptFileError
from env_adapters.rollout import Episode

UNKNOWN_SEED = -1
"""Seed of episodes, and of datasets, whose source does not say it."""
UNKNOWN = "unknown"
"""What a card says about weights and ways of acting that the source does not tell."""
MAX_ROWS = 1_000_000_000
"""Rows of one array; no public dataset has a hundredth of them."""
MAX_ROW_BYTES = 1 << 24
"""Bytes of one row of an array."""
MAX_NUMBER = 1e6
"""Largest magnitude of a reward or of a component of an action. Rewards of the public datasets stay below 100 a step."""


@dataclass(frozen=True)
class Reading:
    """What a user may say about a source that its files do not."""

    map: str | None = None
    """Scenario, where the path does not name it."""
    layout: str | None = None
    """What the observations are; only if the user knows better than the reader."""
    terminals: str = "auto"
    """Where the end of an episode is flagged: `transition` (at its last transition), `row` (at a row of its own after
    that, which holds the final observation), nowhere (`path`: where the rows of an episode end, it terminated, unless it
    has the length of the scenario's limit), or `auto`."""
    keep_illegal: bool = False
    """Keep stored actions that the stored masks forbid, instead of refusing the source."""


@dataclass(frozen=True)
class Part:
    """Episodes of one origin, such as one of five seeds; becomes one behaviour on the card."""

    name: str
    episodes: Callable[[], Iterator[Episode]]
    """Reads them in blocks; raises CorruptFileError that names file, key and row."""


@dataclass(frozen=True)
class Source:
    """A dataset of a foreign format, opened: sizes are known, episodes are read on demand."""

    format: str
    """As in `datasets.formats.detect.FORMATS`."""
    spec: TeamSpec
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    """How the source was understood, one sentence each."""
    name: str = ""
    """Catalog name, where the path tells it."""
    finish: Callable[[], Iterable[str]] = tuple
    """Called when all episodes were read; returns notes on what was left out or corrected, and raises CorruptFileError
    where the episodes make no sense together."""


def corrupt(path: Path, key: str, problem: str, row: int | str | None = None) -> CorruptFileError:
    """The error for contents that make no sense, as one line; `row` is a number or a place in words."""
    at = f"row {row}" if isinstance(row, int) else row
    place = f"{path}: '{key}'" + ("" if at is None else f" {at}")
    return CorruptFileError(f"{place} {problem}; fetch the dataset anew or repair it")


def check_size(path: Path, key: str, shape: tuple[int, ...], itemsize: int) -> None:
    """Refuse arrays larger than any dataset has; CorruptFileError."""
    row_bytes = int(np.prod([int(size) for size in shape[1:]], dtype=object)) * itemsize
    if not shape or not 0 < shape[0] <= MAX_ROWS or not 0 < row_bytes <= MAX_ROW_BYTES:
        raise corrupt(path, key, f"has the impossible shape {tuple(shape)}")


def check_numeric(path: Path, key: str, dtype: np.dtype[np.generic] | None) -> None:
    """Refuse anything but booleans, integers and floats: objects are pickles; CorruptFileError."""
    if dtype is None or dtype.kind not in "biuf" or dtype.hasobject:
        raise corrupt(path, key, f"has type {dtype}, expected numbers")


Places = Callable[[int], int | str]
"""Index within a block -> the row's number, or its place in words."""


def check_rows(path: Path, key: str, places: int | Places, wrong: Array, problem: str) -> None:
    """Raise CorruptFileError that names the first row in which `wrong` [B, ...] is true; `places` may be the first row."""
    if wrong.any():
        index = int(np.argwhere(wrong)[0][0])
        raise corrupt(path, key, problem, places + index if isinstance(places, int) else places(index))


def finite(path: Path, key: str, places: int | Places, values: Array) -> Array:
    """The values as float32; CorruptFileError where one is not finite in it."""
    with np.errstate(over="ignore"):
        stored = np.asarray(values, dtype=np.float32)
    check_rows(path, key, places, ~np.isfinite(stored), "is not finite in single precision")
    return stored


def check_size_of(path: Path, key: str, places: int | Places, values: Array) -> None:
    """Rewards, and actions that are numbers, beyond ±MAX_NUMBER are no such thing; CorruptFileError."""
    wrong = np.abs(values) > MAX_NUMBER
    check_rows(path, key, places, wrong, f"is beyond ±{MAX_NUMBER:.0f}, which no world gives")


def masks(path: Path, key: str, places: int | Places, values: Array) -> Array:
    """Availability masks bool[...] from any numeric type; CorruptFileError for values other than 0 and 1."""
    check_rows(path, key, places, (values != 0) & (values != 1), "is neither 0 nor 1")
    return np.asarray(values.astype(np.bool_))


def team(path: Path, key: str, first_row: int, values: Array) -> Array:
    """What all agents share, from [B], [B, N] or [B, N, 1] to [B]; CorruptFileError where agents differ."""
    flat = values.reshape(len(values), -1)
    if flat.dtype.kind == "f":
        differs = ~np.isclose(flat, flat[:, :1], rtol=1e-5, atol=1e-6, equal_nan=True)
    else:
        differs = flat != flat[:, :1]
    check_rows(path, key, first_row, differs, "differs between agents; one value for the team is read")
    return np.asarray(flat[:, 0])


def flags(path: Path, key: str, first_row: int, values: Array) -> Array:
    """Team flags bool[B] from any numeric type; CorruptFileError for values other than 0 and 1."""
    check_rows(path, key, first_row, (values != 0) & (values != 1), "is neither 0 nor 1")
    return team(path, key, first_row, values.astype(np.bool_))


def check_actions(path: Path, key: str, places: Places, actions: Array, size: int) -> None:
    """Discrete actions [B, N] must be whole numbers from 0 to size - 1."""
    wrong = ((actions < 0) | (actions >= size) | (actions % 1 != 0)).any(axis=1)
    if wrong.any():
        index = int(np.argmax(wrong))
        raise corrupt(
            path, key, f"is {actions[index].tolist()}, expected actions from 0 to {size - 1}", places(index)
        )


def check_available(path: Path, key: str, places: Places, actions: Array, available: Array) -> None:
    """Discrete actions int[B, N] must be allowed by the masks bool[B, N, A] of the same rows."""
    legal = np.take_along_axis(available, actions[..., None].astype(np.int64), axis=2)[..., 0]
    if not legal.all():
        index, agent = (int(place) for place in np.argwhere(~legal)[0])
        raise corrupt(
            path,
            key,
            f"of agent {agent} is action {int(actions[index, agent])}, which was not available "
            "(--keep-illegal reads it all the same)",
            places(index),
        )


def is_standardised(observations: Array) -> bool:
    """Whether every vector [..., D] has mean 0 and standard deviation 1, as those of OMIGA's robots have."""
    values = observations.astype(np.float64)
    return bool(
        np.all(np.abs(values.mean(axis=-1)) < 1e-3) and np.all(np.abs(values.std(axis=-1) - 1) < 1e-2)
    )
