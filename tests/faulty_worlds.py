"""Worlds that go wrong on purpose, as user code: `--map tests/faulty_worlds.py:NAME`.

What goes wrong is decided by the episode seed, and for some by how often it has gone wrong before: a file counts
attempts, because a process that died remembers nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from toys import ToyTeamEnv

from env_adapters.api import ActionArray, Step

COUNTERS = "HARNESS_TEST_COUNTERS"
"""Environment variable: folder of the files that count attempts."""


def calm() -> ToyTeamEnv:
    """Nothing goes wrong."""
    return ToyTeamEnv()


class Faulty(ToyTeamEnv):
    """Goes wrong at the third step of every `every`-th episode seed, as long as `fails` says so."""

    every = 4
    times = 10**9
    """How often an episode goes wrong before it runs through."""

    def step(self, joint_action: ActionArray) -> Step:
        """Fail or walk."""
        if self.steps == 2 and self.seed % self.every == 0 and self._attempt() <= self.times:
            self.fail()
        return super().step(joint_action)

    def _attempt(self) -> int:
        folder = os.environ.get(COUNTERS)
        if folder is None:
            return 1
        with (Path(folder) / str(self.seed)).open("ab") as file:
            file.write(b".")
            return file.tell()

    def fail(self) -> None:
        """What goes wrong."""
        raise RuntimeError("the simulator lost its connection")


class Dying(Faulty):
    """The process dies without a word."""

    def fail(self) -> None:
        """Like a bug in C."""
        os.kill(os.getpid(), 9)


class DyingTwice(Dying):
    """Dies once in the batch and once alone; the third time it works."""

    times = 2


class Segfault(Faulty):
    """Reads from nowhere."""

    every = 8

    def fail(self) -> None:
        """A null pointer."""
        ctypes.string_at(0)


class Hanging(Faulty):
    """Never comes back."""

    every = 8

    def fail(self) -> None:
        """Wait for a game that will not answer."""
        while True:
            time.sleep(1.0)


class Slow(ToyTeamEnv):
    """Takes its time, so that there is time to interrupt it."""

    def step(self, joint_action: ActionArray) -> Step:
        """Walk slowly."""
        time.sleep(0.01)
        return super().step(joint_action)


class NoReward(Faulty):
    """Reports a reward that is no number."""

    def step(self, joint_action: ActionArray) -> Step:
        """Walk, and sometimes forget to count."""
        step = super(Faulty, self).step(joint_action)
        return step._replace(reward=float("nan")) if self.seed % self.every == 0 else step


def unstartable() -> ToyTeamEnv:
    """Starts in the process that plans, and nowhere else."""
    import multiprocessing

    if multiprocessing.parent_process() is not None:
        os._exit(3)
    return ToyTeamEnv()
