"""The conditions of a measurement: warm-up, a quiet collector, and a watch on the machine."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import Final

import numpy as np

from harness.passport import frequency_governor, load_average

N_WARMUP: Final = 200
"""Joint actions before the first timed one, at least."""
WARMUP_LIMIT: Final = 2000
"""Joint actions after which a warm-up that has not settled is given up, and the result flagged."""
_WINDOW: Final = 100
_AGREEMENT: Final = 0.05
_DRIFT_LIMIT: Final = 0.10


@contextmanager
def quiet_collector() -> Iterator[None]:
    """No garbage collection inside; what exists already is set aside so that it costs nothing afterwards."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch inside, where torch is loaded: threads that wait for each other measure the scheduler."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)


def warm_up(call: Callable[[], float], limit: int = WARMUP_LIMIT) -> tuple[int, bool]:
    """Call until it has settled, at least 200 times.

    Settled means that the medians of the last two windows of 100 calls agree within 5 %.

    Args:
        call: does one joint action and returns how long it took.
        limit: calls after which to give up.

    Returns:
        The number of calls, and whether they settled.
    """
    durations: list[float] = []
    while len(durations) < limit:
        durations += [call() for _ in range(_WINDOW)]
        if len(durations) >= N_WARMUP:
            last, before = median(durations[-_WINDOW:]), median(durations[-2 * _WINDOW : -_WINDOW])
            if abs(last - before) <= _AGREEMENT * before:
                return len(durations), True
    return len(durations), False


def calibrate() -> float:
    """Nanoseconds that a fixed calculation takes, some 1 ms of small matrix products; the median of 21 times."""
    left = np.full((48, 48), 1.0 / 48)
    right = left.copy()
    durations = []
    for _ in range(21):
        start = perf_counter_ns()
        for _ in range(50):
            right = left @ right
        durations.append(perf_counter_ns() - start)
    return float(median(durations))


@dataclass(frozen=True)
class Surroundings:
    """What else was going on while a measurement ran."""

    load_average: float | None
    frequency_governor: str | None
    calibration_drift: float
    remarks: list[str]
    """Why the measurement should not be quoted; empty if nothing speaks against it."""


class MachineWatch:
    """Looks at the machine when it is made, and again when asked."""

    def __init__(self) -> None:
        self._load = load_average()
        self._before = calibrate()

    def look(self) -> Surroundings:
        """The surroundings since this watch was made."""
        drift = calibrate() / self._before - 1.0
        remarks = []
        cores = len(os.sched_getaffinity(0))
        if self._load is not None and self._load > cores:
            remarks.append(f"load average {self._load:.1f} on {cores} cores")
        if abs(drift) > _DRIFT_LIMIT:
            remarks.append(f"a fixed calculation took {drift:+.0%} time after the measurement")
        return Surroundings(self._load, frequency_governor(), drift, remarks)
