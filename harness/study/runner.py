"""Making what a study lacks: datasets, trainings, and distances to the data."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from env_adapters.errors import HarnessError
from harness.progress import Say
from harness.study import cells, nearness
from harness.study.jobs import Job, run_all
from harness.study.spec import Study

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
            yield Job(f"dataset {dataset}", run_words, (words, None), path.with_suffix(".log"))


def _trainings(study: Study, out: Path, device: str) -> Iterator[Job]:
    for cell in study.cells():
        words = cells.train_command(cell, out, device, cells.agent_options)
        if not cells.is_done(cell, out, words):
            what = f"{cell.variant.name} on {cell.dataset}"
            arguments = (words, cells.outcome_path(cell, out))
            yield Job(what, run_words, arguments, cell.folder(out) / "train.log")


def _measurements(study: Study, out: Path) -> Iterator[Job]:
    for cell in study.cells():
        if cell.variant.name in study.support and nearness.is_missing(cell, out):
            what = f"distances to the data of {cell.variant.name} on {cell.dataset}"
            yield Job(what, nearness.measure_cell, (cell, out), cell.folder(out) / "support.log")


def run_words(words: cells.Command, outcome: Path | None) -> int:
    """Body of a process: run a command line, and note in `outcome` what came of a training."""
    from harness import cli

    try:
        code = cli.run(words)
    except HarnessError as error:
        if outcome is not None and error.exit_code == cells.DIVERGED:
            _note(outcome, words, cells.DIVERGED)
        raise
    if outcome is not None:
        _note(outcome, words, code)
    return code


def _note(outcome: Path, words: cells.Command, code: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cells.write_outcome(outcome, words, code, usage.ru_utime + usage.ru_stime)
