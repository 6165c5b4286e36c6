"""The command line. Only the command that runs is imported, so that `harness --help` is instant.

harness evaluate --map 5m_vs_6m
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast


class Command(NamedTuple):
    """One row of the help."""

    module: str
    summary: str
    interrupted: str = "nothing was changed"
    """What Ctrl-C leaves behind, and how to go on."""


_CONTINUES = "the same command continues"

COMMANDS = {
    "evaluate": Command(
        "evaluate",
        "play a team in a simulator; table, films, leaderboard",
        f"finished episodes are kept, {_CONTINUES} after them",
    ),
    "leaderboard": Command("leaderboard", "table of all runs; CSV export"),
    "show": Command("show", "everything about one run: harness show run RUN"),
    "diff": Command("diff", "what changed between two runs, and which episodes flipped"),
    "verify": Command("verify", "check a run's books and play some of its episodes again"),
    "rm": Command("rm", "delete runs", "some files may be gone, the same command continues"),
    "check": Command(
        "check",
        "are agents decentralised, does an adapter keep the contract, does a policy act as its data",
        "nothing is kept",
    ),
    "curve": Command(
        "curve",
        "win rate against deadline, lost or late observations",
        f"finished points are kept, {_CONTINUES}",
    ),
    "crossplay": Command(
        "crossplay", "mixed teams as a matrix: who plays well with whom", "nothing is kept, start it again"
    ),
    "compare": Command("compare", "is run A better than run B, and how sure is that"),
    "assert": Command("assert_run", "check a claim about a run, with an exit code for CI"),
    "collect": Command(
        "collect",
        "record a dataset with behaviour policies",
        "no dataset was written, start the command again",
    ),
    "train": Command(
        "train",
        "train an agent from a dataset, or PPO in the simulator",
        f"offline agents: {_CONTINUES} from the last saved state; ppo: its folder holds the checkpoints so far",
    ),
    "study": Command(
        "study",
        "train and play many agents side by side: the paper's figures, one command each",
        f"finished trainings are kept, {_CONTINUES}",
    ),
    "datasets": Command(
        "datasets",
        "public datasets by name (ls, fetch, verify, rm), and what is in a file (show, describe, convert)",
        "what has arrived is kept, the same command continues",
    ),
    "ls": Command("ls", "list maps, agents, datasets or runs"),
    "bench": Command(
        "bench", "measure the engine: speed, or fidelity to the real game", "nothing is kept, start it again"
    ),
    "doctor": Command("doctor", "what is installed, what is missing, how to get it"),
}
"""Every command by name."""


def _help() -> str:
    from harness import __version__

    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"harness {__version__}: evaluate offline multi-agent RL with a simulator in the loop",
            "",
            "usage: harness COMMAND [options]      harness COMMAND --help      harness --version",
            "",
            *lines,
            "",
            "first steps:",
            "  harness evaluate --map 5m_vs_6m",
            "  harness ls maps",
        ]
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Raises:
        HarnessError: as the command raises it; UsageError for an unknown command.
        KeyboardInterrupt: with a line on what is left behind.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from harness import __version__

        print(__version__)
        return 0
    name, rest = arguments[0], list(arguments[1:])
    if name not in COMMANDS:
        from env_adapters.errors import UsageError, unknown_name

        raise UsageError(str(unknown_name("command", name, COMMANDS, "harness --help")))
    try:
        module = importlib.import_module(f"harness.commands.{COMMANDS[name].module}")
        return cast(Callable[[list[str]], int], module.main)(rest)
    except KeyboardInterrupt as stop:
        stop.args = (str(stop) or COMMANDS[name].interrupted,)
        raise
    except SystemExit as stop:  # the help of a command was printed
        return cast(int, stop.code)


def main() -> None:
    """Entry point of the console script."""
    from harness.errors import raise_on_ending_signals, run_command

    raise_on_ending_signals()
    warnings.formatwarning = lambda message, *_, **__: f"harness: warning: {message}\n"
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without ± or γ shows ? instead of an error
            stream.reconfigure(errors="replace")
    sys.exit(run_command(lambda: run(sys.argv[1:])))
