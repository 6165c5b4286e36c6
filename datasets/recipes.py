"""Recipes: what a dataset is made of, as a TOML file. A dataset is a function of its recipe and the engine build.

A recipe is called MAP/QUALITY and lies in MAP--QUALITY.toml. It names behaviours by their checkpoints; who loads
those is above this room.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from datasets import catalog
from env_adapters import scenarios
from env_adapters.errors import CorruptFileError, InvalidValueError, UnknownNameError, unknown_name

FOLDER: Final = Path(__file__).parent / "recipes"
"""Where the shipped recipes lie."""
QUALITIES: Final = (
    "good",
    "expert",
    "medium",
    "poor",
    "replay",
    "medium-expert",
    "medium-replay",
)
"""What the second half of a recipe's name can be."""
_ACT_MODES: Final = ("greedy", "sample")
_SHARE_TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class RecipeBehaviour:
    """One behavior policy of a recipe."""

    checkpoint: str
    """Shipped behaviour (`5m_vs_6m--s1-0120k`), or a control (`random`)."""
    weights: str | None
    """sha256 hex digest that the loaded checkpoint must have; None for controls, which have no weights."""
    share: float
    """Of the transitions, in (0, 1]."""
    act_mode: str
    """`greedy` or `sample`."""
    epsilon: float = 0.0
    """Probability of a uniformly random available action instead, per agent and step (discrete actions)."""
    sigma: float = 0.0
    """Standard deviation of Gaussian noise on every action component (continuous actions)."""

    @property
    def acting(self) -> str:
        """How actions are drawn, as the card says it: `greedy, epsilon 0.05`."""
        noise = {"epsilon": self.epsilon, "sigma": self.sigma}
        return ", ".join([self.act_mode, *(f"{name} {value:g}" for name, value in noise.items() if value)])


@dataclass(frozen=True)
class Recipe:
    """One dataset before it is made."""

    name: str
    """MAP/QUALITY."""
    path: Path
    scenario: str
    """Versioned id."""
    layout: str
    transitions: int
    """How many are recorded at least, by default."""
    seed: int
    """Root of the episode seeds, by default."""
    behaviours: tuple[RecipeBehaviour, ...]
    """In the order in which their episodes are stored."""
    mirrors: str = ""
    """Catalog name of the public dataset whose statistics it aims at; empty for none."""
    paper_transitions: int | None = None
    """Transitions of that dataset; None without one."""
    notes: tuple[str, ...] = ()
    """Sentences for the card: what cannot be reached, and why."""

    @property
    def map(self) -> str:
        """Name of the scenario without version."""
        return self.name.partition("/")[0]

    @property
    def quality(self) -> str:
        """One of `QUALITIES`."""
        return self.name.partition("/")[2]

    @property
    def source(self) -> str:
        """What the card of a dataset made from it names as its source."""
        return f"recipe/{self.name}" if self.path.parent == FOLDER else f"recipe-file/{self.name}"

    @property
    def content_hash(self) -> str:
        """sha256 of what decides the data, besides size and seed: scenario, layout and behaviours."""
        content = [self.scenario, self.layout, *(asdict(behaviour) for behaviour in self.behaviours)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def names(map_name: str | None = None, layout: str | None = None) -> list[str]:
    """Names of the shipped recipes, sorted by map and then as in `QUALITIES`; of one map or layout if given."""
    found = sorted(
        (path.stem.replace("--", "/", 1) for path in FOLDER.glob("*--*.toml")),
        key=lambda name: (name.partition("/")[0], _rank(name.partition("/")[2])),
    )
    of_map = [name for name in found if map_name in (None, name.partition("/")[0])]
    return [name for name in of_map if layout is None or find(name).layout == layout]


def _rank(quality: str) -> int:
    return QUALITIES.index(quality) if quality in QUALITIES else len(QUALITIES)


def find(name: str) -> Recipe:
    """Load a shipped recipe by its name MAP/QUALITY; UnknownNameError with the nearest names."""
    if name not in names():
        raise unknown_name("recipe", name, names(), "harness ls recipes")
    return load(FOLDER / f"{name.replace('/', '--', 1)}.toml")


def load(path: Path) -> Recipe:
    """Read a recipe file, strictly.

    Raises:
        UnknownNameError: no such file, or it names a scenario or layout that does not exist.
        CorruptFileError: it is not TOML.
        InvalidValueError: a key is unknown or missing, or a value is of the wrong type or makes no sense; the
            message names file and key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UnknownNameError(
            f"there is no recipe file {path}; `harness ls recipes` lists the shipped ones"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise CorruptFileError(f"recipe {path} is not readable TOML: {error}") from error
    return _Reader(path).recipe(content)


_REQUIRED: Final = {
    "scenario": str,
    "layout": str,
    "transitions": int,
    "seed": int,
    "behaviours": list,
}
_OPTIONAL: Final = {"mirrors": str, "paper_transitions": int, "notes": list}
_OF_BEHAVIOUR: Final = {"checkpoint": str, "share": float, "act_mode": str}
_OPTIONAL_OF_BEHAVIOUR: Final = {"weights": str, "epsilon": float, "sigma": float}
_WORDS: Final = {
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
}


class _Reader:
    """Checks one file; every error names it and the key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _wrong(self, key: str, problem: str) -> InvalidValueError:
        return InvalidValueError(f"recipe {self._path}: '{key}' {problem}")

    @contextlib.contextmanager
    def _known(self, key: str) -> Iterator[None]:
        """Put file and key in front of an UnknownNameError."""
        try:
            yield
        except UnknownNameError as error:
            raise UnknownNameError(f"recipe {self._path}: '{key}': {error}") from error

    def _fields(
        self, table: object, required: Mapping[str, type], optional: Mapping[str, type], at: str
    ) -> dict[str, Any]:
        """The table, if it has the required keys, no unknown one, and values of the right types."""
        if not isinstance(table, dict):
            raise self._wrong(at.removesuffix("."), "is not a table of keys and values")
        kinds = {**required, **optional}
        for key in table:
            if key not in kinds:
                raise self._wrong(f"{at}{key}", f"is unknown; known: {', '.join(kinds)}")
        for key in required:
            if key not in table:
                raise self._wrong(f"{at}{key}", "is missing")
        return {key: self._typed(f"{at}{key}", value, kinds[key]) for key, value in table.items()}

    def _typed(self, key: str, value: object, kind: type) -> object:
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
            raise self._wrong(key, f"is {value!r}; give {_WORDS[kind]}")
        return value

    def recipe(self, content: object) -> Recipe:
        """The recipe that the parsed file describes."""
        fields = self._fields(content, _REQUIRED, _OPTIONAL, "")
        with self._known("scenario"):
            scenario = scenarios.find(fields["scenario"])
        if fields["scenario"] != scenario.id or scenario.family == "code":
            raise self._wrong(
                "scenario", f"is '{fields['scenario']}'; give the versioned id, '{scenario.id}'"
            )
        with self._known("layout"):
            scenario.check_layout(fields["layout"])
        with self._known("mirrors"):
            if "mirrors" in fields:
                catalog.find(fields["mirrors"])
        self._check_numbers(fields)
        self._check_name(scenario.name)
        notes = fields.pop("notes", [])
        if not all(isinstance(note, str) and note for note in notes):
            raise self._wrong("notes", "is not a list of sentences")
        behaviours = self._behaviours(fields.pop("behaviours"), scenario.family == "mamujoco")
        name = self._path.stem.replace("--", "/", 1)
        return Recipe(name, self._path, **fields, notes=tuple(notes), behaviours=behaviours)

    def _check_numbers(self, fields: Mapping[str, Any]) -> None:
        for key, least in (("transitions", 1), ("paper_transitions", 1), ("seed", 0)):
            if fields.get(key, least) < least:
                raise self._wrong(key, f"is {fields[key]}; give at least {least}")
        if ("mirrors" in fields) != ("paper_transitions" in fields):
            missing = "mirrors" if "mirrors" not in fields else "paper_transitions"
            raise self._wrong(missing, "is missing; 'mirrors' and 'paper_transitions' go together")

    def _check_name(self, map_name: str) -> None:
        qualities = [f"{map_name}--{quality}.toml" for quality in QUALITIES]
        if self._path.name not in qualities:
            raise self._wrong("scenario", f"is of {map_name}; name the file one of: {', '.join(qualities)}")

    def _behaviours(self, tables: list[object], continuous: bool) -> tuple[RecipeBehaviour, ...]:
        if not tables:
            raise self._wrong("behaviours", "is empty; give at least one [[behaviours]]")
        found = tuple(
            self._behaviour(table, f"behaviours[{i}].", continuous) for i, table in enumerate(tables)
        )
        total = math.fsum(behaviour.share for behaviour in found)
        if abs(total - 1.0) > _SHARE_TOLERANCE:
            raise self._wrong("behaviours.share", f"adds up to {total:.6g}; make the shares sum to 1")
        return found

    def _behaviour(self, table: object, at: str, continuous: bool) -> RecipeBehaviour:
        fields = self._fields(table, _OF_BEHAVIOUR, _OPTIONAL_OF_BEHAVIOUR, at)
        self._check_weights(fields, at)
        if not 0.0 < fields["share"] <= 1.0:
            raise self._wrong(f"{at}share", f"is {fields['share']:g}; give a number above 0, at most 1")
        if fields["act_mode"] not in _ACT_MODES:
            raise self._wrong(f"{at}act_mode", f"is '{fields['act_mode']}'; give {' or '.join(_ACT_MODES)}")
        if "epsilon" in fields and continuous:
            raise self._wrong(f"{at}epsilon", "is for discrete actions; give sigma")
        if "sigma" in fields and not continuous:
            raise self._wrong(f"{at}sigma", "is for continuous actions; give epsilon")
        if not 0.0 <= fields.get("epsilon", 0.0) <= 1.0:
            raise self._wrong(f"{at}epsilon", f"is {fields['epsilon']:g}; give a probability from 0 to 1")
        if fields.get("sigma", 0.0) < 0.0:
            raise self._wrong(
                f"{at}sigma", f"is {fields['sigma']:g}; give a standard deviation of at least 0"
            )
        return RecipeBehaviour(**{"weights": None, **fields})

    def _check_weights(self, fields: Mapping[str, Any], at: str) -> None:
        """Checkpoints, named MAP--NAME, have weights; controls have none."""
        weights, is_control = fields.get("weights"), "--" not in fields["checkpoint"]
        if is_control and weights is not None:
            raise self._wrong(f"{at}weights", f"is given for control '{fields['checkpoint']}'; leave it out")
        if not is_control and not re.fullmatch("[0-9a-f]{64}", weights or ""):
            problem = "is missing" if weights is None else "is no sha256 of 64 hexadecimal digits"
            raise self._wrong(f"{at}weights", f"{problem}; give the hash of '{fields['checkpoint']}'")
