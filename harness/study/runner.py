"""Making what a study lacks: datasets, trainings, and distances to the data."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from env_adapters.errors import DivergenceError
from harness.progress import Say
from harness.study import cells, nearness
from harness.study.jobs import Job, run_all
from harness.study.spec import Cell, Study

_SETTLED: Final = (0, cells.DIVERGED)
"""Exit codes after which there is nothing to do again."""


def make_missing(study: Study, out: Path, workers: int, device: str, say: Say) -> None:
    """Collect, train and measure what is not there; what diverged counts as made.

    Args:
        study: what is wanted.
        out: folder of the studies.
        workers: how many processes at once.
        device: of `harness train`.
        say: told about every beginning and end.

    Raises:
        SimulatorError: a command failed otherwise; its log is named. The others were run first.
        KeyboardInterrupt: trainings under way have saved where they stood.
    """
    for jobs in (_collections(study, out), _trainings(study, out, device), _measurements(study, out)):
        run_all(list(jobs), workers, _SETTLED, say)


def _collections(study: Study, out: Path) -> Iterator[Job]:
    for dataset in dict.fromkeys(cell.dataset for cell in study.cells()):
        path = cells.dataset_path(out, study.scale, dataset)
        if not path.exists():
            words = cells.collect_command(out, study.scale, dataset)
            yield Job(f"dataset {dataset}", run_words, (words,), path.with_suffix(".log"))


def _trainings(study: Study, out: Path, device: str) -> Iterator[Job]:
    for cell in study.cells():
        if not cells.is_done(cell, out):
            what = f"{cell.variant.name} on {cell.dataset}"
            yield Job(what, train, (cell, out, device), cells.folder(cell, out) / "train.log")


def _measurements(study: Study, out: Path) -> Iterator[Job]:
    for cell in study.cells():
        if cell.variant.name in study.support and nearness.is_missing(cell, out):
            what = f"distances to the data of {cell.variant.name} on {cell.dataset}"
            yield Job(what, nearness.measure_cell, (cell, out), cells.folder(cell, out) / "support.log")


def run_words(words: cells.Command) -> int:
    """Body of a process: run a command line."""
    from harness import cli

    return cli.run(words)


def train(cell: Cell, out: Path, device: str) -> int:
    """Body of a process: train a cell, and note that it came to its end and how long it took."""
    outcome = cells.outcome_path(cell, out)
    try:
        code = run_words(cells.train_command(cell, out, device))
    except DivergenceError:
        cells.write_outcome(outcome, cells.DIVERGED)
        raise
    else:
        cells.write_outcome(outcome, code)
    finally:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cells.add_time(cells.time_path(cell, out), usage.ru_utime + usage.ru_stime)
    return code
