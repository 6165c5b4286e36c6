"""Ctrl-C and SIGTERM for commands that can be continued: the first one asks, the second one stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from harness.progress import Say


@contextmanager
def gentle_interrupts(drain: Callable[[], None], say: Say, told: str) -> Iterator[Callable[[], bool]]:
    """Ctrl-C or SIGTERM once: finish what is under way; twice: stop now. Yields "was there one?".

    Args:
        drain: called at the first one, from the signal handler.
        say: receives `told` at the first one.
        told: what happens now.
    """
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt
        drain()
        with suppress(RuntimeError):  # the signal came while a line was being printed
            say(f"{told}; Ctrl-C again stops at once")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: count > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
