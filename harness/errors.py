"""How a command ends: one line on standard error and an exit code that never changes its meaning.

The exceptions themselves live in `env_adapters.errors`, where every room can raise them.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from env_adapters.errors import HarnessError, InvalidValueError, OutputError
from harness.tables import printable

EXIT_CODES: dict[int, str] = {
    0: "success",
    1: "unexpected error: a defect of the project or of an agent's or adapter's code",
    2: "wrong use of the command line",
    3: "no scenario, agent, dataset, option or run of this name",
    4: "two things that do not belong together, such as a checkpoint and another observation layout",
    5: "a file is damaged or not of the expected format",
    6: "the value of an option makes no sense",
    7: "a folder or file cannot be written",
    8: "an optional package is missing",
    9: "an action is malformed or not available",
    10: "training diverged",
    11: "the run directory belongs to another configuration or to a running process",
    12: "a claim about a run does not hold (harness assert)",
    13: "the code of an agent or of a user's world failed",
    14: "a check failed: a run, a team or an adapter is not what it claims to be",
    15: "a simulator failed, or no episode of an evaluation came to its end",
    16: "a download failed, or working offline forbids it",
    129: "the terminal was closed (SIGHUP)",
    130: "interrupted by the user",
    141: "the reader of standard output went away",
    143: "ended by the system (SIGTERM)",
}
"""Exit code -> meaning; public, a code is never reused."""

_DEBUG = "HARNESS_DEBUG"


class EndedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised where the program is, so that it cleans up as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def raise_on_ending_signals() -> None:
    """Have SIGTERM and SIGHUP raise EndedError, unless the caller ignores or handles them (`nohup` does)."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    for repeated in _ENDING:  # some senders do it twice, which must not disturb the cleaning up
        if signal.getsignal(repeated) is _end:
            signal.signal(repeated, signal.SIG_IGN)
    raise EndedError(number)


_LONGEST_WORD, _LONGEST_LINE = 200, 2000
"""Characters of a word, and of a line, from which on its middle is left out."""


def _say(text: str) -> None:
    """Print one line; of a word or text that somebody wrote to fill the screen, only both ends."""
    words = [_shortened(word, _LONGEST_WORD) for word in printable(text).split(" ")]
    with suppress(OSError):  # where standard error cannot be written, the exit code still tells
        print(f"harness: {_shortened(' '.join(words), _LONGEST_LINE)}", file=sys.stderr, flush=True)


def _shortened(text: str, longest: int) -> str:
    left = longest // 4
    return text if len(text) <= longest else f"{text[:left]}...{text[-left:]}"


def _unexpected(error: Exception) -> int:
    name = f"unexpected {type(error).__name__}: {error}".rstrip(": ")
    if os.environ.get(_DEBUG):
        traceback.print_exception(error)
        _say(f"error: {name}")
    else:
        _say(f"error: {name} (set {_DEBUG}=1 for the traceback)")
    return 1


def _reader_is_gone() -> bool:
    """Whether standard output leads nowhere; if so it is silenced, for Python flushes it again at exit."""
    try:
        print(flush=True)
    except BrokenPipeError:
        _silence()
        return True
    return False


def _silence() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _system_error(error: OSError) -> int:
    """What a path or a disk can do to any command; everything else is unexpected."""
    if error.errno == errno.ENAMETOOLONG:
        _say(f"error: {error.filename or 'a path'} is too long for this system; give a shorter path")
        return InvalidValueError.exit_code
    if error.errno == errno.ENOSPC:
        _say(f"error: no space left for {error.filename or 'standard output'}; free the place")
        if error.filename is None:
            _silence()
        return OutputError.exit_code
    return _unexpected(error)


def run_command(main: Callable[[], int]) -> int:
    """Run a command and turn whatever it raises into an exit code and at most one line on standard error.

    Args:
        main: the command; returns its own exit code.

    Returns:
        A key of `EXIT_CODES`. SystemExit passes through.
    """
    try:
        code = main()
        sys.stdout.flush()
    except HarnessError as error:
        _say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt as stop:  # its text, where there is one, says what is left behind
        how = "ended by a signal" if isinstance(stop, EndedError) else "interrupted"
        _say(f"{how}; {str(stop) or 'what was finished is kept, the same command continues'}")
        return getattr(stop, "exit_code", 130)
    except BrokenPipeError as error:  # of standard output, or of a worker that died
        return 141 if _reader_is_gone() else _unexpected(error)
    except OSError as error:
        return _system_error(error)
    except Exception as error:
        return _unexpected(error)
    return code
