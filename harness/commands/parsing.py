"""Command-line options from dataclasses, through tyro; a wrong option is one line and exit code 2."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from env_adapters.errors import UsageError

Config = TypeVar("Config")

_REWORDINGS = (
    (r"Missing value for argument '(.+?)'.*", r"\1 needs a value"),
    (r"invalid choice '(.*)' for argument '(.+?)'\. Expected one of \((.+?),?\)\.", r"\2 is '\1', expected \3"),
    (r"Error parsing (\S+): Exceeds the limit .*", r"\1 has too many digits"),
    (r"Error parsing (\S+): .*?('.*?'|\".*?\").* Argument helptext: \1 (\[.*?\]+|\S+).*", r"\1 is \2, expected \3"),
    (r"Missing from .*?: (\S+) .*Unrecognized options: (\S+).*", r"\1 is missing, and '\2' is unknown"),
    (r"Missing from .*?: (\S+) .*", r"\1 is missing"),
    (r"Unrecognized options: ([^\s,]+).* Perhaps you meant: ([^\s,]+).*", r"'\1' is unknown; did you mean \2?"),
    (r"Unrecognized options: ([^\s,]+).*", r"'\1' is unknown"),
)  # fmt: skip
"""A complaint of tyro on one line -> what we say."""

_LONGEST = 300
"""Characters of a complaint from which on its middle is left out."""
_TITLE = "Required options|Missing argument|Value error|Invalid choice|Unrecognized options"


def parse(kind: Callable[..., Config], arguments: Sequence[str], command: str) -> Config:
    """Fill a dataclass from command-line arguments.

    Args:
        kind: the dataclass; its field docstrings become the help.
        arguments: what follows the command's name.
        command: name shown in the help, such as `evaluate`.

    Raises:
        UsageError: an option that is unknown, missing or given twice, or a value of the wrong type.
        SystemExit: with code 0, after printing the help.
    """
    import tyro

    program = f"harness {command}"
    _check_given_once(arguments, program)
    _check_not_empty(arguments, program)
    text, complaint = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(complaint):
            parsed: Any = tyro.cli(
                kind,
                args=list(arguments),
                prog=program,
                config=(tyro.conf.DisallowNone,),
                registry=_whole_numbers(),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            print(_tidy(text.getvalue()))
            raise SystemExit(0) from None
        raise UsageError(f"{program}: {reworded(complaint.getvalue())} (help: {program} --help)") from None
    return parsed  # type: ignore[no-any-return]


def _whole_numbers() -> Any:
    """How tyro reads integers here: as it always does, and `1e6` or `2.5e3` where the number is whole."""
    import tyro

    rules = tyro.constructors
    registry = rules.ConstructorRegistry()

    @registry.primitive_rule
    def integers(info: Any) -> Any:
        if info.type is not int:
            return None
        return rules.PrimitiveConstructorSpec(
            nargs=1,
            metavar="INT",
            instance_from_str=lambda words: _integer(words[0]),
            is_instance=lambda value: isinstance(value, int),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _integer(word: str) -> int:
    """A whole number, also written with an exponent; ValueError for anything else."""
    if re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,15})?[eE]\+?\d{1,2}", word):
        value = float(word)
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
    return int(word)


def _check_given_once(arguments: Sequence[str], program: str) -> None:
    """Refuse an option that appears twice: the first would be forgotten in silence."""
    names = [text.partition("=")[0].replace("_", "-") for text in arguments if text.startswith("--")]
    names = [re.sub("^--no-", "--", name) for name in names]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{program}: {name} is given twice; several values follow one {name}")


def _check_not_empty(arguments: Sequence[str], program: str) -> None:
    """Refuse empty words: as a path they would silently mean the current folder."""
    for before, text in zip(["", *arguments], arguments, strict=False):
        if not text or (text.startswith("--") and text.endswith("=")):
            name = text.rstrip("=") or (before if before.startswith("--") else "an argument")
            raise UsageError(
                f"{program}: {name} is empty; leave it out, or give a value (an unset variable?)"
            )


def reworded(panel: str) -> str:
    """The complaint in an error panel of tyro as one short line; one of an unknown form keeps its words."""
    line = " ".join(re.sub(r"[─-╿]+|-{5,}", " ", panel).split())
    line = re.sub(rf"^({_TITLE})(?!:) ?", "", line)
    line = re.sub(r" ?For full helptext, .*$", "", line)
    for pattern, sentence in _REWORDINGS:
        if re.fullmatch(pattern, line):
            line = _without_none(re.sub(pattern, sentence, line))
            break
    return line if len(line) <= _LONGEST else f"{line[:100]}...{line[-100:]}"


def _without_none(line: str) -> str:
    """A list of choices without the None of an option that may be left out; tyro lists those in any order."""
    said, expected, choices = line.partition(", expected ")
    names = choices.split(", ")
    if "'None'" not in names:
        return line
    return said + expected + ", ".join(sorted(name for name in names if name != "'None'"))


def _tidy(text: str) -> str:
    """Help without "(default: None)", which the option's own words say better, and without empty ends of lines."""
    shorter = re.sub(r"\s*\(default:\s*(None)?\)", "", text)
    return "\n".join(line.rstrip() for line in shorter.splitlines())


def say(line: str) -> None:
    """Print a line about progress; standard output stays for results."""
    print(line, file=sys.stderr, flush=True)
