"""What a long command says while it runs, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable

Say = Callable[[str], None]
"""Receives one line about progress."""


def every(interval_s: float) -> Callable[[], bool]:
    """A question "is a report due?" whose answer is yes at most once per interval, and not at the start."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last < interval_s:
            return False
        last = now
        return True

    return due
