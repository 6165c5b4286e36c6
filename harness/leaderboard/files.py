"""Tables as files: CSV and JSON with every digit and column, Markdown and LaTeX as people read them.

Every text may come from a stranger (names of agents, datasets, folders); in none of the formats can it do anything.
All files are written whole or not at all.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from env_adapters.files import write_atomic
from env_adapters.version import DISTRIBUTION, project_version
from harness.leaderboard.reading import Block, Cell, blocks, legend
from harness.leaderboard.rows import plain_rows
from harness.tables import printable

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
"""Of the JSON file; raised when a reader of the old version would misread it."""

_FORMULA = "-=+@\uff1d\uff0b\uff0d\uff20"
"""What makes a spreadsheet calculate, in half and full width."""
_MARKS = ("scenario", "agent", "episodes", "return_mean", "run")
"""Columns by which a table of runs is recognised, also one of an earlier version."""


def _inert(value: object) -> object:
    """Text as one line, with an apostrophe where a spreadsheet, splitting at whatever sign, would see a formula."""
    if not isinstance(value, str):
        return value
    line = re.sub(rf"([;,|]\s*[\"']?)(?=[{_FORMULA}])", r"\1'", printable(value))
    risky = value.startswith(("\t", "\r")) or line.lstrip(" \"'").startswith(tuple(_FORMULA))
    return ("'" if risky else "") + line


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV (UTF-8, one header line), safe to open in a spreadsheet.

    Raises:
        OutputError: the file cannot be written; an older one stays as it is.
    """
    text = frame.astype(object).map(_inert).rename(columns=_inert).to_csv(index=False, lineterminator="\n")
    write_atomic(path, text.encode())


def is_leaderboard(path: Path) -> bool:
    """Whether `path` is free or holds a table of runs that `write_csv` wrote, so that it may be replaced."""
    if not path.is_file():
        return not path.exists()
    with path.open("rb") as file:
        header = file.readline(1 << 16).decode(errors="replace").rstrip("\n")
    return set(_MARKS) <= set(header.split(","))


def write_json(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as one JSON object: how it was made, and `rows` with types, null for whatever is missing.

    Raises:
        OutputError: the file cannot be written; an older one stays as it is.
    """
    table = {
        "format": f"{DISTRIBUTION} leaderboard",
        "schema_version": SCHEMA_VERSION,
        "made_by": f"{DISTRIBUTION} {project_version()}",
        "average": frame.attrs.get("average"),
        "mixed": frame.attrs.get("mixed", False),
        "merged": frame.attrs.get("merged", []),
        "unfinished": frame.attrs.get("unfinished", []),
        "damaged": frame.attrs.get("damaged", {}),
        "columns": [str(column) for column in frame.columns],
        "rows": plain_rows(frame),
    }
    write_atomic(path, (json.dumps(table, indent=1, allow_nan=False, default=_plain) + "\n").encode())


def _plain(value: object) -> object:
    """A NumPy number as a Python one."""
    item = getattr(value, "item", None)
    return str(value) if item is None else item()


def write_markdown(frame: pd.DataFrame, path: Path) -> None:
    """Write the table as people read it, one GitHub table per world.

    Raises:
        OutputError: the file cannot be written; an older one stays as it is.
    """
    parts = [_markdown_block(block) for block in blocks(frame)]
    notes = "\n".join(f"- {_markdown(line)}" for line in legend(frame))
    write_atomic(path, ("\n\n".join([*parts, notes]).strip() + "\n").encode())


def _markdown_block(block: Block) -> str:
    lines = [block.headers, tuple("---" for _ in block.headers), *block.rows]
    cells = [[cell if cell == "---" else _markdown(cell) for cell in line] for line in lines]
    table = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    return f"**{_markdown(block.title)}**\n\n{table}"


def _markdown(cell: Cell) -> str:
    """One line in which nothing is markup, HTML, a link or the end of a cell."""
    if cell is None:
        return "-"
    text = (
        printable(cell).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    )
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text).replace("://", ":\\//")


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "`": r"\char96{}",
    "\N{MINUS SIGN}": r"\ensuremath{-}",
    "±": r"\ensuremath{\pm}",
    "µ": r"\ensuremath{\mu}",
    "·": r"\ensuremath{\cdot}",
}
"""Character -> the same character as LaTeX prints it."""


def write_latex(frame: pd.DataFrame, path: Path) -> None:
    r"""Write the table as a `tabular` for `\usepackage{booktabs}`, to be put into a document with `\input`.

    Nothing is bold: which of two methods is better is a question for `harness compare`, not for two intervals.

    Raises:
        OutputError: the file cannot be written; an older one stays as it is.
    """
    found = blocks(frame, alike=True)
    headers = found[0].headers if found else ("no finished runs",)
    lines = [f"% {_comment(line)}" for line in legend(frame)]
    lines += [
        rf"\begin{{tabular}}{{@{{}}{_alignment(found, len(headers))}@{{}}}}",
        r"\toprule",
        _latex_row(headers),
    ]
    for block in found:
        lines += [r"\midrule", rf"\multicolumn{{{len(headers)}}}{{@{{}}l@{{}}}}{{{_latex(block.title)}}} \\"]
        lines += [_latex_row(row) for row in block.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    write_atomic(path, ("\n".join(lines) + "\n").encode())


def _comment(line: str) -> str:
    return printable(line).replace("\\", "/").replace("^^", "^ ^")


def _alignment(found: list[Block], n_columns: int) -> str:
    """`r` for columns of plain numbers, else `l`."""

    def numeric(column: int) -> bool:
        cells = [row[column] for block in found for row in block.rows]
        known = [cell for cell in cells if cell is not None]
        return bool(known) and all(re.fullmatch(r"-?[\d.]+", cell) for cell in known)

    return "".join("r" if numeric(column) else "l" for column in range(n_columns))


def _latex_row(cells: tuple[Cell, ...]) -> str:
    """One line; the `{}` keeps a bracket or star from being read as an option of the row before."""
    row = " & ".join("--" if cell is None else _latex(cell) for cell in cells)
    return ("{}" if row.startswith(("[", "*")) else "") + row + r" \\"


def _latex(text: str) -> str:
    signed = re.sub(r"(?<![\w.)\]}-])-(?=\d)", "\N{MINUS SIGN}", printable(text))
    escaped = "".join(_LATEX.get(character, character) for character in signed)
    return re.sub("-(?=-)", "-{}", escaped)
