"""`harness datasets fetch`: download, check and convert a public dataset."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from env_adapters.bounds import check_between
from env_adapters.errors import UsageError
from harness.commands.datasets_convert import stored_progress
from harness.commands.datasets_verify import check, table
from harness.commands.parsing import parse, say
from harness.progress import every

if TYPE_CHECKING:
    from datasets.catalog import CatalogEntry
    from datasets.fetch import Fetched

_REPORT_INTERVAL_S = 2.0
_MIRROR = "HARNESS_DATASETS_MIRROR"


@dataclass(frozen=True)
class FetchConfig:
    """Download a public dataset, check it, and convert it into a native file in the cache."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Name of the catalog; all: harness datasets ls."""
    mirror: str | None = None
    """Web address that stands for the source's; the archive's path is appended (default: HARNESS_DATASETS_MIRROR)."""
    via: Literal["https", "hub"] = "https"
    """Our own downloader, or the package huggingface_hub, which sends your token."""
    from_: Annotated[Path | None, tyro.conf.arg(name="from", metavar="FILE.zip")] = None
    """A zip archive that you have, instead of a download."""
    keep_illegal: bool = False
    """Keep actions that the stored masks forbid, instead of refusing the source."""
    attempts: int = 6
    """Attempts in a row that may fail."""
    timeout: float = 30.0
    """Seconds without a byte after which a connection is given up."""


def main(arguments: list[str]) -> int:
    """Run the action; returns 0.

    Raises:
        CheckFailedError: fetched and kept, but its figures are not the published ones.
        HarnessError: as `datasets.fetch.fetch` raises it.
    """
    from datasets import catalog
    from datasets.download import Patience
    from datasets.fetch import Observer, Wish, fetch
    from datasets.web import check_url

    config = parse(FetchConfig, arguments, "datasets fetch")
    entry = catalog.find(config.name)
    mirror = _mirror(config)
    check_between("--attempts", config.attempts, 1, 1000)
    check_between("--timeout", config.timeout, 0.01, 86400)
    if mirror is not None:
        check_url(mirror)
    wish = Wish(
        mirror,
        config.via,
        config.from_,
        config.keep_illegal,
        Patience(config.timeout, config.attempts, min(1.0, config.timeout)),
    )
    fetched = fetch(entry, wish, Observer(say, _download_progress(), stored_progress()))
    print(_report(entry, fetched))
    check(entry, fetched.rows)
    print(f"\nnext: harness train --agent vgm2p --dataset {entry.name}")
    return 0


def _mirror(config: FetchConfig) -> str | None:
    """The mirror that counts; options that contradict each other are refused."""
    if config.from_ is not None and (config.mirror is not None or config.via == "hub"):
        raise UsageError(
            "harness datasets fetch: --from FILE needs no download; leave --mirror and --via out"
        )
    if config.via == "hub" and config.mirror is not None:
        raise UsageError("harness datasets fetch: --via hub knows no --mirror; give one of them")
    return config.mirror or os.environ.get(_MIRROR) or None


def _download_progress() -> Callable[[int, int | None], None]:
    started, due, first = time.monotonic(), every(_REPORT_INTERVAL_S), -1

    def report(here: int, total: int | None) -> None:
        nonlocal first
        first = here if first < 0 else first
        if not due():
            return
        rate = (here - first) / (time.monotonic() - started)
        left = f", {(total - here) / rate / 60:.0f} min left" if total is not None and rate > 0 else ""
        of = "" if total is None else f" of {total / 1e6:.1f}"
        say(f"{here / 1e6:.1f}{of} MB, {rate / 1e6:.2f} MB per second{left}")

    return report


def _report(entry: CatalogEntry, fetched: Fetched) -> str:
    card = fetched.card
    lines = [
        f"{entry.name}: {'fetched before' if fetched.was_there else 'fetched'}, {fetched.path}",
        f"scenario {card.scenario}, layout {card.layout}",
        *(f"note: {note}" for note in fetched.notes),
        f"sha256 {card.sha256}",
        "",
        table(fetched.rows),
    ]
    return "\n".join(lines)
