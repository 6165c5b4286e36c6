"""`harness datasets describe`: everything that is in a dataset, in one pass over its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from harness.commands.parsing import parse


@dataclass(frozen=True)
class DescribeConfig:
    """Card, return histogram, action legality, terminal lint, duplicates and coverage."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """A native file (.h5), or the name of a fetched dataset."""


def main(arguments: list[str]) -> int:
    """Run the action; returns 0."""
    from datasets.cache import locate
    from datasets.describe import describe, format_description
    from datasets.formats.native import open_dataset
    from harness.commands.datasets_show import foreign

    config = parse(DescribeConfig, arguments, "datasets describe")
    path = locate(config.file)
    print(foreign(path) or format_description(describe(open_dataset(path))))
    return 0
