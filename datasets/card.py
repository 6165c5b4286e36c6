"""The card of a dataset: where its episodes come from and what they add up to, as one line of JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from env_adapters.api import DoubleArray
from env_adapters.errors import CorruptFileError, InvalidValueError

_Record = TypeVar("_Record")

FORMAT_VERSION = 2
"""Raised whenever a reader of the previous version would misread the file. Version 1 had no `source` and no `notes`."""


@dataclass(frozen=True)
class BehaviourRecord:
    """One behavior policy of a dataset. Its episodes are stored together, in the order of the card."""

    name: str
    weights_hash: str
    """Identity of the weights; any text for policies without weights."""
    act_mode: str
    """How actions were drawn, for example `greedy` or `sample`."""
    n_episodes: int


@dataclass(frozen=True)
class ReturnStatistics:
    """Undiscounted episode returns, summed up."""

    mean: float
    std: float
    """Population standard deviation (divided by the number of episodes)."""
    min: float
    lower_quartile: float
    median: float
    upper_quartile: float
    max: float

    @classmethod
    def of(cls, returns: DoubleArray) -> Self:
        """Statistics of the returns [E]; quartiles interpolate linearly."""
        quartiles = (float(value) for value in np.quantile(returns, [0.0, 0.25, 0.5, 0.75, 1.0]))
        return cls(float(np.mean(returns)), float(np.std(returns)), *quartiles)


@dataclass(frozen=True)
class DatasetCard:
    """Everything about a dataset but its arrays.

    Raises:
        InvalidValueError: a field is out of range or contradicts another.
    """

    scenario: str
    """Versioned scenario id."""
    layout: str
    """Observation layout id."""
    engine: str
    """Simulator and build that produced the episodes."""
    n_agents: int
    observation_size: int
    state_size: int
    action_kind: Literal["discrete", "continuous"]
    action_size: int
    has_available_actions: bool
    """Whether masks are stored; without them every action is always available."""
    behaviours: tuple[BehaviourRecord, ...]
    seed: int
    """Root of all episode seeds."""
    n_episodes: int
    n_transitions: int
    returns: ReturnStatistics
    win_rate: float | None
    """Share of episodes won; None where the scenario has no winner."""
    mean_episode_length: float
    """Steps."""
    sha256: str
    """Digest of all arrays: names, types, shapes and bytes. Equal digests mean equal data."""
    created_with: str
    """Project version that wrote the file."""
    source: str = ""
    """Catalog name of what it was converted from, or `recipe/NAME` of what it was made by; empty where not known."""
    notes: tuple[str, ...] = ()
    """What was corrected or left out, or where a recipe misses what it aims at; one sentence each."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        for key in (
            "n_agents",
            "observation_size",
            "state_size",
            "action_size",
            "n_episodes",
            "n_transitions",
        ):
            if getattr(self, key) < 1:
                raise InvalidValueError(f"dataset card: {key} is {getattr(self, key)}, expected at least 1")
        if self.n_transitions < self.n_episodes:
            raise InvalidValueError(
                f"dataset card: {self.n_transitions} transitions cannot fill {self.n_episodes} episodes"
            )
        played = sum(behaviour.n_episodes for behaviour in self.behaviours)
        if played != self.n_episodes:
            raise InvalidValueError(
                f"dataset card: behaviours played {played} episodes, the dataset has {self.n_episodes}"
            )
        if self.win_rate is not None and not 0.0 <= self.win_rate <= 1.0:
            raise InvalidValueError(f"dataset card: win_rate is {self.win_rate}, expected 0 to 1")
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise InvalidValueError("dataset card: sha256 is not 64 hexadecimal digits")
        numbers = (*dataclasses.astuple(self.returns), self.mean_episode_length)
        if not all(math.isfinite(number) for number in numbers):
            raise InvalidValueError("dataset card: returns or mean_episode_length are not finite")

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the episodes that each behavior policy played."""
        return tuple(behaviour.n_episodes / self.n_episodes for behaviour in self.behaviours)

    def to_json(self) -> str:
        """One line of JSON that `from_json` turns back into an equal card."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> DatasetCard:
        """Read what `to_json` wrote.

        Raises:
            CorruptFileError: not JSON, a field is missing, unknown, of another type or out of range, or the
                format version is not the one this program reads.
        """
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise CorruptFileError(f"dataset card is not JSON: {error}") from error
        version = fields.get("format_version") if isinstance(fields, dict) else None
        if version == 1:
            fields = {"source": "", "notes": [], **fields, "format_version": FORMAT_VERSION}
        elif version != FORMAT_VERSION:
            raise CorruptFileError(
                f"dataset card has format version {version}, this program reads {FORMAT_VERSION}; "
                "use the release that wrote the file"
            )
        try:
            return _decode_record(cls, fields, "card")
        except InvalidValueError as error:
            raise CorruptFileError(str(error)) from error


def _decode_record(kind: type[_Record], value: object, key: str) -> _Record:
    """Build a dataclass from a JSON object that has exactly its fields."""
    hints = get_type_hints(kind)
    if not isinstance(value, dict) or set(value) != set(hints):
        raise CorruptFileError(f"dataset card: '{key}' must be an object with the keys {', '.join(hints)}")
    return kind(**{name: _decode(hint, value[name], f"{key}.{name}") for name, hint in hints.items()})


def _decode(hint: Any, value: object, key: str) -> object:
    """Check one JSON value against a type hint and return it as that type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _decode_record(hint, value, key)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_decode(arguments[0], item, f"{key}[{i}]") for i, item in enumerate(value))
    if origin is UnionType:  # only `X | None` occurs
        return None if value is None else _decode(arguments[0], value, key)
    if (origin is Literal and value in arguments) or type(value) is hint:
        return value
    raise CorruptFileError(f"dataset card: '{key}' is {value!r}, expected {getattr(hint, '__name__', hint)}")
