"""What came of the recipes: the recorded datasets, and the published ones they are made after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from env_adapters.errors import CorruptFileError
from env_adapters.files import write_atomic

if TYPE_CHECKING:
    from datasets.card import DatasetCard
    from datasets.catalog import PublishedStatistics
    from datasets.recipes import Recipe

_FILE: Final = "made.json"
MEAN_TOLERANCE: Final = 0.1
"""A mean return counts as met within this share of the published one."""
STD_TOLERANCE: Final = 0.3
"""The same of the standard deviation of the returns."""


@dataclass(frozen=True)
class Made:
    """One dataset made by a recipe at its default size and seed."""

    recipe_hash: str
    """`Recipe.content_hash` when it was made."""
    engine: str
    transitions: int
    """Asked for."""
    seed: int
    n_transitions: int
    """Stored."""
    n_episodes: int
    sha256: str
    return_mean: float
    return_std: float
    coverage: float
    """Distinct (state, joint action) pairs / transitions."""

    @classmethod
    def of(cls, recipe: Recipe, card: DatasetCard, transitions: int, coverage: float) -> Made:
        """The record of a dataset."""
        returns = card.returns
        return cls(
            recipe_hash=recipe.content_hash,
            engine=card.engine,
            transitions=transitions,
            seed=card.seed,
            n_transitions=card.n_transitions,
            n_episodes=card.n_episodes,
            sha256=card.sha256,
            return_mean=returns.mean,
            return_std=returns.std,
            coverage=coverage,
        )


def published(recipe: Recipe) -> PublishedStatistics | None:
    """Statistics of the dataset that a recipe is made after; None where it names none."""
    if not recipe.mirrors:
        return None
    from datasets.catalog import find

    return find(recipe.mirrors).published


def aim(recipe: Recipe) -> str:
    """Return of the published dataset as `mean ± std`, or `-`."""
    row = published(recipe)
    return "-" if row is None else f"{row.return_mean:.2f} ± {row.return_std:.2f}"


def verdict(mean: float, std: float, wanted_mean: float, wanted_std: float) -> str:
    """`ok` where the mean return and its standard deviation lie within the tolerances, else what is off."""
    pairs = (("mean", mean, wanted_mean, MEAN_TOLERANCE), ("std", std, wanted_std, STD_TOLERANCE))
    off = [
        f"{name} {(value - wanted) / abs(wanted):+.0%}" if wanted else f"{name} {value:.2f} instead of 0"
        for name, value, wanted, tolerance in pairs
        if not abs(value - wanted) <= tolerance * abs(wanted)
    ]
    return ", ".join(off) or "ok"


def recorded(folder: Path | None = None) -> dict[str, Made]:
    """What has been recorded of the shipped recipes, by name; CorruptFileError for a damaged file."""
    path = _path(folder)
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {name: Made(**fields) for name, fields in rows.items()}
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise CorruptFileError(f"{path} is damaged: {error}; install the project again") from error


def record(name: str, made: Made, folder: Path | None = None) -> Path:
    """Put one dataset into the record, in place of what was there of it; returns the file.

    Raises:
        CorruptFileError: the record is damaged.
        OutputError: it cannot be written.
    """
    rows = recorded(folder) | {name: made}
    content = {key: asdict(rows[key]) for key in sorted(rows)}
    path = _path(folder)
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def _path(folder: Path | None) -> Path:
    from datasets.recipes import FOLDER

    return (folder or FOLDER) / _FILE


def comparison(recipe: Recipe, transitions: int, seed: int, card: DatasetCard) -> str:
    """Whether a dataset equals the recorded one: a remark behind its sha256; empty where none of its kind is recorded."""
    found = recorded().get(recipe.name) if recipe.source == f"recipe/{recipe.name}" else None
    if found is None or (found.transitions, found.seed) != (transitions, seed):
        return ""
    if found.sha256 == card.sha256:
        return " equals the recorded one"
    if found.recipe_hash != recipe.content_hash:
        return " (the recipe has changed since its dataset was recorded)"
    if found.engine != card.engine:
        return f" differs from the recorded one, which is of engine {found.engine}, this one of {card.engine}"
    return " differs from the recorded one: another CPU, torch build or package version"
