"""`harness datasets rm`: delete fetched datasets, and nothing outside the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from env_adapters.errors import UsageError
from harness.commands.parsing import parse, say


@dataclass(frozen=True)
class RmConfig:
    """Delete a fetched dataset, and its archive once no other dataset of it is left."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the catalog; harness datasets ls shows what is fetched."""
    forget: bool = False
    """Also forget the archive's SHA-256, which later downloads are compared with."""


def main(arguments: list[str]) -> int:
    """Run the action; returns 0."""
    from datasets import cache, catalog

    config = parse(RmConfig, arguments, "datasets rm")
    if not catalog.is_name(config.name) and Path(config.name).exists():
        raise UsageError(
            f"harness datasets rm: {config.name} is no name of the catalog; files of yours are not deleted"
        )
    entry = catalog.find(config.name)
    freed = cache.remove(entry, config.forget, say)
    print(f"deleted {entry.name}: {freed / 1e6:.1f} MB freed")
    return 0
