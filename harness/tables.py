"""Small text tables for the terminal."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Sequence

_PIPE_WIDTH = 10_000
"""Columns when the output is not a terminal: nothing is wrapped, so that one row stays one line."""


def printable(text: str) -> str:
    """Text with control, format and surrogate characters replaced by spaces: safe to print, one line."""
    return "".join(character if character.isprintable() else " " for character in text)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))


def _is_number(value: object) -> bool:
    """Numbers, and text that reads as one: "12", "31 %"."""
    try:
        float(str(value).rstrip(" %"))
    except ValueError:
        return False
    return True


def _is_numeric_column(values: Sequence[object]) -> bool:
    known = [value for value in values if value not in (None, "-", "")]
    return bool(known) and all(_is_number(value) for value in known)


def render(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out rows in aligned columns, headers in bold when standard output is a terminal.

    Columns of numbers are right-aligned. On a terminal long cells are wrapped to its width; elsewhere every
    row is one line without escape sequences. None shows as `-`, floats with four significant digits.

    Args:
        headers: one per column.
        rows: as many cells each as there are headers.

    Returns:
        Lines joined by line ends, none at the end.

    Raises:
        ValueError: a row has another number of cells.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if any(len(row) != len(headers) for row in rows):
        raise ValueError(f"every row of a table needs {len(headers)} cells")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, header in enumerate(headers):
        numeric = _is_numeric_column([row[column] for row in rows])
        table.add_column(Text(header), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    on_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if on_terminal else _PIPE_WIDTH
    console = Console(file=io.StringIO(), force_terminal=on_terminal, width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
