"""`harness datasets describe FILE`: what is in a dataset, beside what its makers publish, as text, JSON or a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from env_adapters.errors import HarnessError
from harness.commands.parsing import parse, say


@dataclass(frozen=True)
class DescribeConfig:
    """What is in a dataset: returns, lengths, actions, coverage, duplicates and flags; published numbers beside them."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE|NAME")]
    """A native file (.h5), or the name of a fetched dataset."""
    plot: Path | None = None
    """Also draw it: the .png to write (needs the extra 'plot')."""
    json: bool = False
    """Print everything as JSON."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0 whatever is found.

    Raises:
        UnknownNameError: there is no such file.
        InvalidValueError: a dataset of another format.
        HarnessError: as `open_dataset` and `write_plot` raise it.
    """
    from datasets import catalog
    from datasets.cache import locate
    from datasets.describe import describe
    from datasets.describe_plot import check_picture, write_plot
    from datasets.describe_text import description_values, format_description
    from datasets.formats.native import open_dataset
    from datasets.published import compare

    config = parse(DescribeConfig, arguments, "datasets describe")
    if config.plot is not None:
        check_picture(config.plot)
    path = locate(config.file)
    check_native(path)
    found = describe(open_dataset(path))
    entry = catalog.published(found.card.source)
    compared = () if entry is None else compare(found, entry.published)
    if config.plot is not None:
        write_plot(found, compared, config.plot)
        say(f"picture: {config.plot}")
    if config.json:
        print(json.dumps(description_values(found, compared), indent=1))
    else:
        print(format_description(found, compared))
    return 0


def check_native(path: Path) -> None:
    """Raise InvalidValueError for a dataset of another format; it names the command that converts it."""
    from datasets.formats.detect import FORMATS, recognise
    from env_adapters.errors import InvalidValueError

    try:
        kind = recognise(path)
    except HarnessError:
        return  # opening it says what is wrong
    if kind != "native":
        raise InvalidValueError(
            f"{path} is {FORMATS[kind]}; convert it first: "
            f"harness datasets convert {path} --to native --out data/{path.stem}.h5"
        )
