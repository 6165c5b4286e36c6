"""Compiles the kernels on two cores at once, before the first game on a machine.

The step kernel takes about twice as long as the others together, so a child process compiles it and this one the
rest; both leave their results in the cache that `jit` keeps.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np

from env_adapters.starcraft import maps
from env_adapters.starcraft.jit import mark_cached
from env_adapters.starcraft.smac import SmacVectorEnv

_MAP = "3m"


def compile_kernels(meanwhile: Callable[[], object]) -> None:
    """Compile every kernel; returns when the cache holds them all.

    Args:
        meanwhile: other slow work, done in this process while the child still compiles.
    """
    command = [sys.executable, "-m", "env_adapters.starcraft.warm"]
    # A session of its own keeps the terminal's Ctrl-C from the child; it is ended here instead.
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as child:
        try:
            env = SmacVectorEnv("warm", maps.load(_MAP), 1)
            env.reset(np.zeros(1, dtype=np.int64))
            env.state()
            meanwhile()
            child.wait()
        except BaseException:
            child.kill()
            raise
    if child.returncode == 0:
        mark_cached()


if __name__ == "__main__":
    SmacVectorEnv("warm", maps.load(_MAP), 1).compile_step()
