"""The inside of a worker process: it asks for episode seeds, plays them and sends back what came of them.

Messages to the parent are tuples: ("next",) asks for a seed and is answered with a whole number or None;
("done", EpisodeRecord); ("rejected", seed, text) for an episode with impossible numbers; ("failed", text, side, type) says why the worker gives up, and whose fault it is; ("bye", report)
is the last word of a worker that was given no more seeds.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, MutableSequence
from multiprocessing.connection import Connection

from env_adapters.errors import HarnessError, InvalidValueError
from harness.jobs import Job, play_job
from harness.schema import EpisodeRecord
from harness.watching import Watch

_LONGEST_TEXT = 500


def describe_error(error: BaseException) -> str:
    """One line about an exception, whose length does not grow with its text."""
    text = " ".join(str(error).split())
    named = text if isinstance(error, HarnessError) else f"{type(error).__name__}: {text}".rstrip(": ")
    return named if len(named) <= _LONGEST_TEXT else f"{named[:_LONGEST_TEXT]}..."


def _seeds(connection: Connection) -> Iterator[int]:
    """Ask for seeds until there are none."""
    while True:
        connection.send(("next",))
        seed = connection.recv()
        if seed is None:
            return
        yield seed


def worker_main(job: Job, n_games: int, connection: Connection, cells: MutableSequence[int]) -> None:
    """Body of a worker process; ends when the parent has no more seeds, or at the first error."""
    watch = Watch(cells)
    try:
        for episode in play_job(job, _seeds(connection), n_games, watch):
            try:
                record = EpisodeRecord.of(episode)
            except InvalidValueError as error:
                connection.send(("rejected", episode.seed, describe_error(error)))
            else:
                connection.send(("done", record))
    except (EOFError, BrokenPipeError, ConnectionError):  # the parent is gone
        return
    except BaseException as error:  # SystemExit of user code included
        connection.send(("failed", describe_error(error), watch.blame(error), type(error).__name__))
    else:
        with contextlib.suppress(OSError):  # the log is full
            sys.stdout.flush()
        connection.send(("bye", watch.report))
