"""`harness study NAME`: train and play a family of agents side by side, and say what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from env_adapters.bounds import check_between
from env_adapters.errors import UsageError
from harness.commands.parsing import parse, say
from harness.study import plots, report, spec
from harness.study.runner import make_missing
from harness.study.scores import score
from harness.tables import render


@dataclass(frozen=True)
class StudyConfig:
    """Which study, and how large."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """fig1, fig2, fig3, fig4 or generative."""
    scale: str = "cpu"
    """How large: quick (shows that it runs), cpu (some hours on two cores) or paper (for a GPU)."""
    file: Path = spec.CATALOG
    """The file that describes studies, variants and scales."""
    out: Path = Path("runs") / "studies"
    """Folder of everything that is made; studies share datasets and trainings. The same command continues."""
    workers: int = 1
    """Trainings at the same time, each with one thread."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    datasets: tuple[str, ...] = ()
    """Only these of its datasets."""
    variants: tuple[str, ...] = ()
    """Only these of its variants."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    if not arguments:
        raise UsageError(f"harness study: name one: {', '.join(spec.names())}")
    config = parse(StudyConfig, arguments, "study")
    check_between("--workers", config.workers, 1, 1024)
    study = spec.load(config.name, config.scale, config.file).only(config.datasets, config.variants)
    plots.figure(1, 1)  # what it needs is missed before hours of training, not after them
    try:
        make_missing(study, config.out, config.workers, config.device, say)
    finally:
        print(_reported(study, config.out))
    return 0


def _reported(study: spec.Study, out: Path) -> str:
    """Write the report of what is finished, whether or not everything is; returns the last lines."""
    scores = score(study, out)
    if not scores.rows:
        return "nothing is finished, no report"
    page = report.write(scores, out, out / "reports" / f"{study.name}-{study.scale.name}")
    names, *rows = report.table(scores, report.returns, study.datasets)
    return f"{render(names, rows)}\n\nreport  {page}"
