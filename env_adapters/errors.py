"""Exceptions that a user can act on. Every room raises these; the command line turns them into exit codes.

Each message is one line: what was wrong, where, and what to do. `exit_code` is part of the public
interface and never reused for another meaning.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """Base of every error the project raises on purpose."""

    exit_code = 1


class UsageError(HarnessError):
    """The command line itself is wrong: an unknown command or option."""

    exit_code = 2


class UnknownNameError(HarnessError):
    """A scenario, agent, option or run that does not exist; the message lists the nearest names."""

    exit_code = 3


class MismatchError(HarnessError):
    """Two things that do not belong together: a checkpoint or dataset of another scenario or layout."""

    exit_code = 4


class CorruptFileError(HarnessError):
    """A file that is truncated, altered or not of the expected format."""

    exit_code = 5


class InvalidValueError(HarnessError):
    """An option whose value makes no sense, such as zero episodes."""

    exit_code = 6


class OutputError(HarnessError):
    """A folder or file that cannot be written."""

    exit_code = 7


class MissingExtraError(HarnessError):
    """An optional package that is needed here and not installed."""

    exit_code = 8

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs an optional package; install it with: pip install 'marl-harness[{extra}]'"
        )


class ActionError(HarnessError):
    """An action of the wrong shape or type, not finite, or not available."""

    exit_code = 9


class DivergenceError(HarnessError):
    """Training produced numbers that are not finite or grew without bound."""

    exit_code = 10


class RunConflictError(HarnessError):
    """A run directory that was started with another configuration."""

    exit_code = 11


class AssertionFailedError(HarnessError):
    """A claim about a run that does not hold."""

    exit_code = 12


class AgentError(HarnessError):
    """An agent's own code failed: it raised, or returned something that is no action."""

    exit_code = 13


class SimulatorError(HarnessError):
    """A simulator failed outside any single episode: it cannot be started, or every episode broke off."""

    exit_code = 15


class CheckFailedError(HarnessError):
    """A check that failed: a run is not what it claims to be, agents are not decentralised, an adapter breaks the contract."""

    exit_code = 14


class DownloadError(HarnessError):
    """Something that cannot be downloaded: the host is not reached or refuses, or HARNESS_OFFLINE forbids to ask."""

    exit_code = 16


def unknown_name(kind: str, name: str, known: Iterable[str], command: str) -> UnknownNameError:
    """Build the error for a name that is not in a table.

    Args:
        kind: what the name should be, in words ("map", "agent").
        name: what the user wrote.
        known: every valid name.
        command: the command that lists the valid names.
    """
    names = sorted(known)
    spelled = {known_name.lower(): known_name for known_name in names}
    near = [spelled[low] for low in difflib.get_close_matches(str(name).lower(), spelled, n=3, cutoff=0.4)]
    advice = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names[:6])}"
    return UnknownNameError(f"unknown {kind} '{name}': {advice} (all: {command})")
