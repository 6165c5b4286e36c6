"""`harness datasets show FILE`: what a dataset holds and whether it is sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from harness.commands.parsing import parse


@dataclass(frozen=True)
class DatasetsConfig:
    """Look at a dataset file."""

    action: Annotated[Literal["show"], tyro.conf.Positional]
    """show: card, return histogram, action legality, terminal lint, coverage."""
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The dataset (.h5)."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    from datasets.describe import describe, format_description
    from datasets.formats.native import open_dataset

    config = parse(DatasetsConfig, arguments, "datasets")
    print(format_description(describe(open_dataset(config.file))))
    return 0
