"""Command-line options from dataclasses, through tyro; a wrong option is one line and exit code 2."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from env_adapters.errors import UsageError

Config = TypeVar("Config")

_NOISE = re.compile(r"[─-╿]+|\s+|-{5,}")
"""Box-drawing characters, rules and white space of tyro's error panels."""


def parse(kind: Callable[..., Config], arguments: Sequence[str], command: str) -> Config:
    """Fill a dataclass from command-line arguments.

    Args:
        kind: the dataclass; its field docstrings become the help.
        arguments: what follows the command's name.
        command: name shown in the help, such as `evaluate`.

    Raises:
        UsageError: an unknown option or a value of the wrong type.
        SystemExit: after printing the help.
    """
    import tyro

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed: Any = tyro.cli(kind, args=list(arguments), prog=f"harness {command}")
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        text = _NOISE.sub(" ", complaint.getvalue()).strip()
        text = re.sub(r"^(Parsing error|Unrecognized options|Required options|Invalid input)\s*", "", text)
        raise UsageError(f"{command}: {text[:300].strip()}") from None
    return parsed  # type: ignore[no-any-return]


def say(line: str) -> None:
    """Print a line about progress; standard output stays for results."""
    import sys

    print(line, file=sys.stderr, flush=True)
