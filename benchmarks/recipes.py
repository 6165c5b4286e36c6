"""`harness bench recipes`: make the dataset of every recipe and compare it with the published one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from datasets.card import DatasetCard
from datasets.describe import describe
from datasets.formats.native import open_dataset
from datasets.recipes import Recipe, find, names
from env_adapters.errors import InvalidValueError
from harness import made, recipes
from harness.commands.bench import Report

_QUICK_TRANSITIONS: Final = 2000
_HEADERS: Final = (
    "recipe",
    "return",
    "published",
    "coverage",
    "published",
    "verdict",
    "s",
    "1/s",
    "recorded",
)


@dataclass(frozen=True)
class Config:
    """Make the dataset of every recipe and compare it with the published one."""

    only: tuple[str, ...] = ()
    """Only these recipes, such as 3m/good (default: all)."""
    record: bool = False
    """Put what came out into the project's record, with which later datasets are compared."""
    json: bool = False
    """Print JSON instead of a table."""
    quick: bool = False
    """2000 transitions of each, to see that everything runs."""
    n_games: int = 64
    """Games played side by side. The datasets do not depend on it."""


@dataclass(frozen=True)
class Finding:
    """One recipe."""

    recipe: str
    mirrors: str
    made: made.Made
    duration_s: float
    """Wall-clock time of collecting, engine compiled before."""
    published_mean: float | None
    published_std: float | None
    published_coverage: float | None
    recorded: str
    """`equal`, `differs`, or `-` where nothing of the kind is recorded."""

    @property
    def verdict(self) -> str:
        """Mean and spread against the published ones: `ok`, or which of them misses by how much."""
        if self.published_mean is None or self.published_std is None:
            return "no reference"
        return made.verdict(
            self.made.return_mean, self.made.return_std, self.published_mean, self.published_std
        )

    def row(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {**asdict(self), "verdict": self.verdict}

    def cells(self) -> tuple[object, ...]:
        """The row of the printed table."""
        return (
            self.recipe,
            _spread(self.made.return_mean, self.made.return_std),
            _spread(self.published_mean, self.published_std),
            f"{self.made.coverage:.2f}",
            "-" if self.published_coverage is None else f"{self.published_coverage:.2f}",
            self.verdict,
            f"{self.duration_s:.1f}",
            f"{self.made.n_transitions / self.duration_s:.0f}",
            self.recorded,
        )


def _spread(mean: float | None, std: float | None) -> str:
    return "-" if mean is None or std is None else f"{mean:.2f} ± {std:.2f}"


def run(config: Config, say: Callable[[str], None]) -> Report:
    """Make them one after the other, in a temporary folder."""
    if config.record and config.quick:
        raise InvalidValueError(
            "--record and --quick: a dataset cut short is not recorded; leave one of them out"
        )
    findings = []
    for recipe in [find(name) for name in config.only or names()]:
        findings.append(_measure(recipe, config, say))
        say(f"{recipe.name}: {findings[-1].made.return_mean:.2f}, {findings[-1].verdict}")
        if config.record:
            made.record(recipe.name, findings[-1].made)
    notes = [
        f"ok: mean return within {made.MEAN_TOLERANCE:.0%} of the published one, standard deviation within {made.STD_TOLERANCE:.0%}",
        "coverage: distinct (state, joint action) pairs / transitions",
    ]
    rows = [finding.row() for finding in findings]
    return Report("recipes", config.quick, _HEADERS, [finding.cells() for finding in findings], rows, notes)


def _measure(recipe: Recipe, config: Config, say: Callable[[str], None]) -> Finding:
    transitions = min(recipe.transitions, _QUICK_TRANSITIONS) if config.quick else recipe.transitions
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.h5"
        began: list[float] = []
        card = recipes.make(
            recipe,
            path,
            transitions,
            recipe.seed,
            config.n_games,
            say,
            lambda *_: began.append(time.monotonic()),
        )
        duration_s = max(1e-9, time.monotonic() - began[0])
        coverage = describe(open_dataset(path, verify=False)).state_coverage
    row = made.published(recipe)
    return Finding(
        recipe=recipe.name,
        mirrors=recipe.mirrors,
        made=made.Made.of(recipe, card, transitions, coverage),
        duration_s=duration_s,
        published_mean=None if row is None else row.return_mean,
        published_std=None if row is None else row.return_std,
        published_coverage=None if row is None else row.joint_saco,
        recorded=_against_record(recipe, transitions, card),
    )


def _against_record(recipe: Recipe, transitions: int, card: DatasetCard) -> str:
    remark = made.comparison(recipe, transitions, recipe.seed, card)
    return "-" if not remark else "equal" if "equals" in remark else "differs"
