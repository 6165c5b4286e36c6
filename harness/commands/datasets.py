"""`harness datasets ACTION`: public datasets by name, and what is in the files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, cast

from env_adapters.errors import UsageError, unknown_name


class _Action(NamedTuple):
    module: str
    summary: str


_ACTIONS = {
    "ls": _Action("datasets_ls", "public datasets, and which of them are fetched"),
    "show": _Action("datasets_show", "what a name or a file stands for, at a glance"),
    "fetch": _Action("datasets_fetch", "download, check and convert a public dataset"),
    "verify": _Action("datasets_verify", "every byte against its seal, figures against the published ones"),
    "describe": _Action(
        "datasets_describe", "returns, lengths, actions, masks, ends, duplicates and coverage of a file"
    ),
    "convert": _Action(
        "datasets_convert", "write a dataset of another format as a native file, or as a vault"
    ),
    "rm": _Action("datasets_rm", "delete fetched datasets"),
}
"""Every action by name; each has its own options."""


def main(arguments: list[str]) -> int:
    """Run one action and return its exit code.

    Raises:
        UsageError: no action is named, or an unknown one.
        HarnessError: as the action raises it.
    """
    if not arguments:
        raise UsageError(
            f"harness datasets: name an action: {', '.join(_ACTIONS)} (help: harness datasets --help)"
        )
    name, rest = arguments[0], arguments[1:]
    if name in ("-h", "--help"):
        lines = [f"  {action:9} {summary}" for action, (_, summary) in _ACTIONS.items()]
        print(
            "\n".join(["usage: harness datasets ACTION ...      harness datasets ACTION --help", "", *lines])
        )
        return 0
    if name not in _ACTIONS:
        raise UsageError(str(unknown_name("action", name, _ACTIONS, "harness datasets --help")))
    module = import_module(f"harness.commands.{_ACTIONS[name].module}")
    return cast(Callable[[list[str]], int], module.main)(rest)
