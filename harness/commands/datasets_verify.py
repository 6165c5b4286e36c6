"""`harness datasets verify`: is every byte as it was written, and is it what was published?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from env_adapters.errors import CheckFailedError, CorruptFileError, InvalidValueError
from harness.commands.parsing import parse
from harness.tables import render

if TYPE_CHECKING:
    from datasets.agreement import Row
    from datasets.card import DatasetCard
    from datasets.catalog import CatalogEntry


@dataclass(frozen=True)
class VerifyConfig:
    """Check every byte of a dataset against its seal, and its figures against the published ones."""

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE")]
    """Name of a fetched dataset, or a native file (.h5)."""


def main(arguments: list[str]) -> int:
    """Run the action; returns 0.

    Raises:
        CorruptFileError: the file, or the archive beside it, is not as it was written.
        CheckFailedError: sound, but not what was published.
    """
    from datasets import cache, catalog
    from datasets.agreement import compare
    from datasets.catalog import RECIPE
    from datasets.formats.native import open_dataset
    from harness.commands.datasets_show import foreign

    config = parse(VerifyConfig, arguments, "datasets verify")
    path = cache.locate(config.file)
    said = foreign(path)
    if said is not None:
        raise InvalidValueError(
            f"{said.splitlines()[0]} and has no seal; convert it first (harness datasets convert)"
        )
    dataset = open_dataset(path)
    card = dataset.card
    print(f"{path}: every byte is as it was written, sha256 {card.sha256}")
    entry = catalog.published(card.source)
    if entry is None:
        print("no published figures: the card names no source in the catalog")
        return 0
    if path == cache.native_path(entry):
        _check_archive(entry)
    if card.source.startswith(RECIPE):
        print(_aim(card, entry))
        return 0
    rows = compare(dataset, entry.published)
    print(f"\n{table(rows)}\n")
    check(entry, rows)
    print(f"agrees with what was published as {entry.name}")
    return 0


def _aim(card: DatasetCard, entry: CatalogEntry) -> str:
    """How near a dataset of a recipe comes to the one that it is made after."""
    from harness.made import MEAN_TOLERANCE, STD_TOLERANCE, verdict

    here, told = card.returns, entry.published
    met = verdict(here.mean, here.std, told.return_mean, told.return_std)
    return (
        f"{card.source} is made after {entry.name}: return {here.mean:.2f} ± {here.std:.2f}, published "
        f"{told.return_mean:.2f} ± {told.return_std:.2f}: {met} "
        f"(aim: mean within {MEAN_TOLERANCE:.0%}, standard deviation within {STD_TOLERANCE:.0%})"
    )


def _check_archive(entry: CatalogEntry) -> None:
    from datasets import cache
    from datasets.fetch import sha256_of

    archive, expected = cache.archive_path(entry), cache.read_record(entry).get("sha256")
    if archive.is_file() and expected is not None:
        found = sha256_of(archive)
        if found != expected:
            raise CorruptFileError(
                f"{archive} has sha256 {found}, recorded was {expected}; delete it and fetch anew"
            )
        print(f"{archive}: sha256 {found}, as recorded at the first fetch")


def table(rows: Sequence[Row]) -> str:
    """The figures side by side."""
    shown = [
        (row.what, _number(row.published), _number(row.found), "yes" if row.agrees else "NO") for row in rows
    ]
    return render(["figure", "published", "here", "agrees"], shown)


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.3f}"


def check(entry: CatalogEntry, rows: Sequence[Row]) -> None:
    """Raise CheckFailedError where a figure is not the published one."""
    wrong = [row for row in rows if not row.agrees]
    if wrong:
        said = ", ".join(
            f"{row.what} {_number(row.found)} instead of {_number(row.published)}" for row in wrong
        )
        raise CheckFailedError(f"not what was published as {entry.name}: {said}")
