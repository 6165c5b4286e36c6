"""What a study is made of: datasets, variants of agents, a scale; read from `catalog.toml` or a file like it.

A cell is one variant on one dataset with all its seeds. Studies of one folder share cells.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from agents import registry
from env_adapters import scenarios
from env_adapters.errors import CorruptFileError, InvalidValueError, UnknownNameError, unknown_name

CATALOG: Final = Path(__file__).parent / "catalog.toml"
"""Where the shipped studies are described."""
_SINGULAR: Final = {"studies": "study", "variants": "variant", "scales": "scale"}
_FIGURES: Final = ("curves", "times")


@dataclass(frozen=True)
class Scale:
    """What every cell gets."""

    name: str
    steps: Mapping[str, int]
    """Gradient steps by kind of simulator."""
    seeds: int
    """Training seeds 0, 1, ..."""
    evaluations: int
    """Points of a learning curve, the last one at the last step."""
    episodes: Mapping[str, int]
    """Episodes of every evaluation, by kind of simulator."""
    options: Mapping[str, Any]
    """Of `harness train`, for every variant that has them; a table gives one value for each kind of simulator."""
    transitions: int | None = None
    """Of datasets that are collected for the study (default: the recipe's)."""


@dataclass(frozen=True)
class Variant:
    """An agent or preset with some options."""

    name: str
    label: str
    """As tables show it."""
    agent: str
    group: str = ""
    """Variants of one group share a panel."""
    options: Mapping[str, Any] | None = None
    by_scale: Mapping[str, Mapping[str, Any]] | None = None
    """Options instead of a scale's own."""


@dataclass(frozen=True)
class Cell:
    """One variant on one dataset."""

    dataset: str
    """MAP/QUALITY."""
    variant: Variant
    scale: Scale

    @property
    def kind(self) -> str:
        """Of simulator: starcraft or mujoco."""
        return _kind(self.dataset)

    @property
    def map(self) -> str:
        """Name of the scenario."""
        return self.dataset.partition("/")[0]


@dataclass(frozen=True)
class Study:
    """Variants on datasets."""

    name: str
    title: str
    datasets: tuple[str, ...]
    variants: tuple[Variant, ...]
    scale: Scale
    figure: str = "curves"
    """What its picture shows: learning curves, or times of training."""
    claims: tuple[Mapping[str, Any], ...] = ()
    """See `harness.study.claims.test`."""
    support: tuple[str, ...] = ()
    """Variants whose actions are compared with those of the data."""

    def cells(self) -> list[Cell]:
        """Every variant on every dataset whose actions it can take; variants in order, then datasets."""
        return [
            Cell(dataset, variant, self.scale)
            for variant in self.variants
            for dataset in self.datasets
            if registry.find(variant.agent).actions in ("both", _action_kind(dataset))
        ]

    def only(self, datasets: tuple[str, ...], variants: tuple[str, ...]) -> Study:
        """The part with these names; all where none is given."""
        for kind, chosen, known in (
            ("dataset", datasets, self.datasets),
            ("variant", variants, [variant.name for variant in self.variants]),
        ):
            for name in chosen:
                if name not in known:
                    raise unknown_name(f"{kind} of this study", name, list(known), "harness study --help")
        return replace(
            self,
            datasets=tuple(name for name in self.datasets if not datasets or name in datasets),
            variants=tuple(v for v in self.variants if not variants or v.name in variants),
        )


def _kind(dataset: str) -> str:
    return "mujoco" if scenarios.find(dataset.partition("/")[0]).family == "mamujoco" else "starcraft"


def _action_kind(dataset: str) -> str:
    return "continuous" if _kind(dataset) == "mujoco" else "discrete"


def names(path: Path = CATALOG) -> list[str]:
    """Names of the studies of a file."""
    return list(_read(path).get("studies", {}))


def load(name: str, scale: str, path: Path = CATALOG) -> Study:
    """Read one study at one scale.

    Raises:
        UnknownNameError: no such file, study, scale, variant or scenario.
        CorruptFileError: the file is not TOML.
        InvalidValueError: a key is missing or unknown.
    """
    content = _read(path)
    table = _entry(content, "studies", name, path)
    variants = tuple(_variant(content, each, path) for each in _required(table, "variants", path))
    _check_keys(
        table, ("title", "datasets", "variants", "figure", "claims", "support"), f"study {name}", path
    )
    if table.get("figure") not in (None, *_FIGURES):
        raise InvalidValueError(f"{path}: figure of study {name} must be one of {', '.join(_FIGURES)}")
    study = Study(
        name,
        _required(table, "title", path),
        tuple(_required(table, "datasets", path)),
        variants,
        _scale(content, scale, path),
        table.get("figure", "curves"),
        tuple(table.get("claims", ())),
        tuple(table.get("support", ())),
    )
    for dataset in study.datasets:
        scenarios.find(dataset.partition("/")[0])
    return study


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UnknownNameError(f"there is no file of studies {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise CorruptFileError(f"{path} is not readable TOML: {error}") from error


def _entry(content: Mapping[str, Any], kind: str, name: str, path: Path) -> dict[str, Any]:
    known = content.get(kind, {})
    if name not in known:
        raise unknown_name(_SINGULAR[kind], name, list(known), f"the file {path}")
    return dict(known[name])


def _required(table: Mapping[str, Any], key: str, path: Path) -> Any:
    if key not in table:
        raise InvalidValueError(f"{path}: key '{key}' is missing in {sorted(table)}")
    return table[key]


def _variant(content: Mapping[str, Any], name: str, path: Path) -> Variant:
    table = _entry(content, "variants", name, path)
    scales = {scale: table.pop(scale) for scale in content.get("scales", {}) if scale in table}
    _check_keys(table, ("label", "agent", "group", "options"), f"variant {name}", path)
    label, agent = _required(table, "label", path), table.get("agent", name)
    return Variant(name, label, agent, table.get("group", ""), table.get("options"), scales)


def _scale(content: Mapping[str, Any], name: str, path: Path) -> Scale:
    table = _entry(content, "scales", name, path)
    _check_keys(table, [field.name for field in fields(Scale)], f"scale {name}", path)
    by_kind = {
        key: {kind: number for kind in ("starcraft", "mujoco")} if isinstance(number, int) else dict(number)
        for key in ("steps", "episodes")
        for number in [_required(table, key, path)]
    }
    return Scale(
        name,
        by_kind["steps"],
        _required(table, "seeds", path),
        _required(table, "evaluations", path),
        by_kind["episodes"],
        table.get("options", {}),
        table.get("transitions"),
    )


def _check_keys(table: Mapping[str, Any], known: Any, what: str, path: Path) -> None:
    for key in table:
        if key not in known:
            raise InvalidValueError(f"{path}: {what} has the unknown key '{key}'; known: {', '.join(known)}")
