"""`harness datasets convert`: public formats become native files, native files become vaults."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from env_adapters.errors import UsageError
from harness.commands.parsing import parse, say
from harness.progress import every

if TYPE_CHECKING:
    from datasets.convert import Conversion

_REPORT_INTERVAL_S = 2.0


@dataclass(frozen=True)
class ConvertConfig:
    """Write a dataset in another format (docs/datasets.md)."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The dataset: a file or a folder."""
    to: Literal["native", "vault"] = "native"
    """What to write: a native file (.h5) or an OG-MARL vault (folder)."""
    out: Path | None = None
    """The file or folder to write."""
    map: str | None = None
    """The scenario, where the path does not name it."""
    layout: str | None = None
    """What the observations are, where you know better than the reader."""
    terminals: Literal["auto", "transition", "row", "path"] = "auto"
    """Ends are flagged at the last transition, at a row after it that holds the final observation, or nowhere: path takes
    the ends of paths, of `filled` or of files for ends."""
    keep_illegal: bool = False
    """Keep actions that the stored masks forbid, instead of refusing the source."""


def main(arguments: list[str]) -> int:
    """Run the action; returns 0."""
    from datasets.cache import locate
    from datasets.convert import convert
    from datasets.formats.source import Reading

    config = parse(ConvertConfig, arguments, "datasets convert")
    if config.out is None:
        raise UsageError("harness datasets convert: --out is missing; name the file or folder to write")
    reading = Reading(config.map, config.layout, config.terminals, config.keep_illegal)
    try:
        conversion = convert(locate(config.file), config.out, config.to, reading, stored_progress())
    except KeyboardInterrupt as stop:
        stop.args = ("nothing was written, start the command again",)
        raise
    print(_report(config.out, conversion))
    return 0


def stored_progress() -> Callable[[int], None]:
    """Says now and then how many transitions are stored."""
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
