"""The learning curve of one seed: a CSV file with one row per step that is reported."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from env_adapters.errors import CorruptFileError
from env_adapters.files import write_atomic, writing


def read_curve(path: Path) -> dict[int, dict[str, str]]:
    """Step -> the columns that its row has.

    Raises:
        CorruptFileError: the file is no learning curve.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = {int(row.pop("step")): row for row in csv.DictReader(file)}
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptFileError(f"{path} is no learning curve; delete it to begin a new one") from error
    # A cell that a row does not have is empty.
    return {step: {name: value for name, value in row.items() if value} for step, row in rows.items()}


class Curve:
    """Rows by step; a resumed training drops those after the step it goes on from.

    Args:
        path: the file.
        step: where the training stands.

    Raises:
        CorruptFileError: the file is no learning curve.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        self._rows: dict[int, dict[str, str]] = {}
        if not step or not path.exists():
            return
        self._rows = {number: row for number, row in read_curve(path).items() if number <= step}

    def put(self, step: int, values: Mapping[str, float | str]) -> None:
        """Add columns to the row of a step and write the file; OutputError where that is impossible."""
        row = self._rows.setdefault(step, {})
        row |= {name: value if isinstance(value, str) else repr(value) for name, value in values.items()}
        names = sorted({name for row in self._rows.values() for name in row})
        lines = [",".join(["step", *names])]
        for number, cells in sorted(self._rows.items()):
            lines.append(",".join([str(number), *(cells.get(name, "") for name in names)]))
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, ("\n".join(lines) + "\n").encode())
