"""Worlds of the fault campaigns, as user code: `--map tests/campaign_worlds.py:NAME`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from faulty_worlds import COUNTERS, Dying, Faulty
from toys import ToyTeamEnv

from env_adapters.api import ActionArray, Step


def is_worker() -> bool:
    """Whether this process plays for the books: its output goes to the log of a worker."""
    return Path("/proc/self/fd/1").readlink().name.startswith("worker-")


class Counted(ToyTeamEnv):
    """Takes a little time, and writes down who plays which episode: a line per first step in a file per seed."""

    def step(self, joint_action: ActionArray) -> Step:
        if self.steps == 0 and is_worker():
            with (Path(os.environ[COUNTERS]) / str(self.seed)).open("a") as file:
                file.write(f"{os.getpid()}\n")
        time.sleep(0.004)
        return super().step(joint_action)


class DyingOnce(Dying):
    """Every tenth episode seed, roughly, kills its process on the first attempt."""

    every = 10
    times = 1


class LosingItsGameOnce(Faulty):
    """Every fourth episode seed, roughly, raises on its first two attempts: in a batch, and alone."""

    times = 2


class DyingHundredth(DyingOnce):
    """The same for every hundredth."""

    every = 100


class Calm(ToyTeamEnv):
    """Nothing goes wrong."""
