"""`harness datasets show|convert`: what a dataset holds and whether it is sound; public formats become native files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from env_adapters.errors import HarnessError, UsageError
from harness.commands.parsing import parse, say
from harness.progress import every

if TYPE_CHECKING:
    from datasets.convert import Conversion

_REPORT_INTERVAL_S = 2.0


@dataclass(frozen=True)
class DatasetsConfig:
    """Look at a dataset, or convert one of a public format (docs/datasets.md)."""

    action: Annotated[Literal["show", "convert"], tyro.conf.Positional]
    """show: card, return histogram, action legality, terminal lint, coverage. convert: write it in another format."""
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The dataset: a file (.h5), or what convert reads: also folders."""
    to: Literal["native", "vault"] = "native"
    """convert: what to write, a native file (.h5) or an OG-MARL vault (folder)."""
    out: Path | None = None
    """convert: the file or folder to write."""
    map: str | None = None
    """convert: the scenario, where the path does not name it."""
    layout: str | None = None
    """convert: what the observations are, where you know better than the reader."""
    terminals: Literal["auto", "transition", "row"] = "auto"
    """convert: ends are flagged at the last transition, or at a row after it that holds the final observation."""
    keep_illegal: bool = False
    """convert: keep actions that the stored masks forbid, instead of refusing the source."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    config = parse(DatasetsConfig, arguments, "datasets")
    print(_show(config) if config.action == "show" else _convert(config))
    return 0


def _show(config: DatasetsConfig) -> str:
    from datasets.describe import describe, format_description
    from datasets.formats.detect import FORMATS, recognise
    from datasets.formats.native import open_dataset

    if config != DatasetsConfig("show", config.file):
        raise UsageError("harness datasets: show takes no options; those are for convert")
    try:
        kind = recognise(config.file)
    except HarnessError:
        kind = "native"  # opening it says what is wrong
    if kind == "native":
        return format_description(describe(open_dataset(config.file)))
    return (
        f"{config.file} is {FORMATS[kind]}\n\n"
        f"next: harness datasets convert {config.file} --to native --out data/{config.file.stem}.h5"
    )


def _convert(config: DatasetsConfig) -> str:
    from datasets.convert import convert
    from datasets.formats.source import Reading

    if config.out is None:
        raise UsageError("harness datasets: --out is missing; name the file or folder to write")
    reading = Reading(config.map, config.layout, config.terminals, config.keep_illegal)
    return _report(config.out, convert(config.file, config.out, config.to, reading, _progress()))


def _progress() -> Callable[[int], None]:
    started, due = time.monotonic(), every(_REPORT_INTERVAL_S)

    def report(stored: int) -> None:
        if due():
            say(f"{stored} transitions, {stored / (time.monotonic() - started):.0f} per second")

    return report


def _report(out: Path, conversion: Conversion) -> str:
    card = conversion.card
    lines = [
        f"{out}: {card.n_transitions} transitions in {card.n_episodes} episodes, "
        f"return {card.returns.mean:.2f} ± {card.returns.std:.2f}",
        f"scenario {card.scenario}, layout {card.layout}",
        *(f"note: {note}" for note in conversion.notes),
        f"sha256 {card.sha256}",
    ]
    return "\n".join(lines)
