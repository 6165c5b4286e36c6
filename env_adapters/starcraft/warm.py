"""Compiles the kernels on two cores at once, before the first game on a machine.

A child process compiles the larger half of the engine and this one everything else; then a child compiles the step
kernel, which takes in both halves from the cache that `jit` keeps.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np

from env_adapters.jit import mark_cached
from env_adapters.scenarios import make_vector
from env_adapters.starcraft.battle import BattleVectorEnv

FAMILIES = {"smac-v1": "3m", "smacv2": "terran_5_vs_5"}
"""Families whose kernels differ, and a small scenario of each."""


def _make(family: str) -> BattleVectorEnv:
    env = make_vector(FAMILIES[family], 1)
    assert isinstance(env, BattleVectorEnv)
    return env


def compile_kernels(family: str, meanwhile: Callable[[], object]) -> None:
    """Compile every kernel of a family; returns when the cache holds them all.

    Args:
        family: a key of `FAMILIES`.
        meanwhile: other slow work, done in this process while a child compiles.
    """
    env = _make(family)
    with _child(family, "acting") as child:
        _or_kill(child, lambda: _compile_the_rest(env))
    with _child(family, "step") as child:
        _or_kill(child, meanwhile)
    if child.returncode == 0:
        mark_cached(family)


def _compile_the_rest(env: BattleVectorEnv) -> None:
    env.compile_fighting_and_moving()
    env.reset(np.zeros(1, dtype=np.int64))
    env.state()


def _child(family: str, part: str) -> subprocess.Popen[bytes]:
    # A session of its own keeps the terminal's Ctrl-C from the child; it is ended here instead.
    command = [sys.executable, "-m", "env_adapters.starcraft.warm", family, part]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def _or_kill(child: subprocess.Popen[bytes], work: Callable[[], object]) -> None:
    """Do `work` while the child runs and wait for both; end the child if this process is interrupted."""
    try:
        work()
        child.wait()
    except BaseException:
        child.kill()
        raise


if __name__ == "__main__":
    world = _make(sys.argv[1])
    if sys.argv[2] == "acting":
        world.compile_acting()
    else:
        world.compile_step()
