"""What finished cells scored: per seed the return and win rate of the last evaluation, also normalised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.card import DatasetCard
from datasets.formats.native import open_dataset
from env_adapters import scenarios
from env_adapters.api import DoubleArray
from env_adapters.errors import InvalidValueError
from harness.references import References, describe, find_references, normalised
from harness.study import cells
from harness.study.spec import Cell, Study


@dataclass(frozen=True)
class Scored:
    """One finished cell."""

    cell: Cell
    outcomes: tuple[cells.Outcome, ...]
    references: References | None

    cpu_s: float
    """Processor time of all its seeds, playing included."""

    @property
    def n_diverged(self) -> int:
        """Seeds without an agent."""
        return sum(outcome.stopped is not None for outcome in self.outcomes)

    def column(self, name: str) -> DoubleArray:
        """A column of the learning curve at the last evaluation, of the seeds that have it."""
        return np.array([o.last[name] for o in self.outcomes if name in o.last])

    def scores(self) -> DoubleArray:
        """Per seed the normalised score, [K]; a seed that diverged counts as a random team, 0.

        Raises:
            InvalidValueError: the map has no references.
        """
        found = self.references
        if found is None:
            raise InvalidValueError(f"{self.cell.map} has no references, so that nothing can be normalised")
        return np.array([0.0 if o.stopped else normalised(o.last["return"], found) for o in self.outcomes])


@dataclass(frozen=True)
class Scores:
    """All finished cells of a study."""

    study: Study
    rows: tuple[Scored, ...]
    references: dict[str, References | None]
    """By dataset."""
    has_win: dict[str, bool]
    """By dataset."""
    data: dict[str, DatasetCard]
    """By dataset that is there."""

    def find(self, dataset: str, variant: str) -> Scored | None:
        """The cell of these names, if it is finished."""
        for row in self.rows:
            if (row.cell.dataset, row.cell.variant.name) == (dataset, variant):
                return row
        return None

    def scales(self) -> list[str]:
        """What counts as 0 and 100, a line per map."""
        maps = {name.partition("/")[0]: found for name, found in self.references.items()}
        return [f"{name}: {describe(found)}" for name, found in maps.items() if found is not None]


def score(study: Study, out: Path) -> Scores:
    """Read every finished cell of a study.

    Raises:
        CorruptFileError: a learning curve is damaged.
    """
    references, has_win, data = {}, {}, {}
    for dataset in study.datasets:
        with scenarios.make_vector(dataset.partition("/")[0], 1) as env:
            spec = env.spec
        references[dataset] = find_references(spec.scenario, spec.layout, spec.engine)
        has_win[dataset] = spec.has_win
        path = cells.dataset_path(out, study.scale, dataset)
        if path.exists():
            data[dataset] = open_dataset(path, verify=False).card
    rows = [
        Scored(cell, tuple(found), references[cell.dataset], cells.cpu_s(cell, out))
        for cell in study.cells()
        if (found := cells.read(cell, out))
    ]
    return Scores(study, tuple(rows), references, has_win, data)
