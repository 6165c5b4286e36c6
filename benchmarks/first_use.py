"""What needs a fresh process to measure: first compilation, time to the first step, memory of many games.

The parent's functions run this module as a script; each child prints one number or the word that it is ready.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from env_adapters.errors import HarnessError

_PROJECT = Path(__file__).resolve().parents[1]
_READY = "ready"
_MAP = "3m"


def _child(role: str, *arguments: object, cache: str | None = None) -> tuple[str, float]:
    """What a child prints first, and the seconds from its start until then.

    Raises:
        HarnessError: the child failed.
    """
    paths = [str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    if cache is not None:
        environment["XDG_CACHE_HOME"] = cache
    command = [sys.executable, "-m", "benchmarks.first_use", role, *map(str, arguments)]
    start = perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = child.stdout.readline().strip()
        elapsed = perf_counter() - start
    if child.returncode != 0:
        raise HarnessError(
            f"the benchmark's child process '{role}' failed with exit code {child.returncode}; see above"
        )
    return line, elapsed


def compile_seconds(through: str) -> float:
    """Seconds from the start of a process with an empty cache to the end of its first step.

    Args:
        through: `command`, as the first `harness evaluate` compiles, in two processes; or `python`, as the first
            `scenarios.make` of a script does, in one.
    """
    with tempfile.TemporaryDirectory() as cache:
        return _child(f"compile-{through}", cache=cache)[1]


def start_seconds() -> float:
    """Seconds from the start of a process to the end of its first step, with everything compiled before."""
    return _child("start")[1]


def growth_bytes(map_name: str, n_games: int) -> int | None:
    """By how much building, resetting and stepping so many games raises the memory of a process at its peak.

    None where the system does not tell (it is read from /proc).
    """
    if not Path("/proc/self/status").exists():
        return None
    return int(_child("memory", map_name, n_games)[0])


def bytes_per_game(map_name: str) -> tuple[int, int]:
    """Bytes of all arrays of one game without its observations, and of its observations.

    Read off the sizes of snapshots, which hold every array of every game.
    """
    from env_adapters import scenarios

    few, many = 16, 80
    sizes = []
    for n_games in (few, many):
        with scenarios.make_vector(map_name, n_games) as env:
            observations = env.reset(np.arange(n_games, dtype=np.int64)).observations
            sizes.append(len(env.snapshot()))
    seen = observations.nbytes // many
    return round((sizes[1] - sizes[0]) / (many - few)) - seen, seen


def _first_step(map_name: str = _MAP, n_games: int = 1) -> None:
    from env_adapters import scenarios

    with scenarios.make_vector(map_name, n_games) as env:
        step = env.reset(np.arange(n_games, dtype=np.int64))
        assert step.available_actions is not None
        env.step(step.available_actions.argmax(axis=-1))
        env.state()


def _start() -> None:
    _first_step()
    print(_READY, flush=True)


def _compile_as_command() -> None:
    from env_adapters.starcraft.warm import compile_kernels

    compile_kernels("smac-v1", lambda: None)
    _start()


def _resident_bytes() -> tuple[int, int]:
    """Memory of this process now, and at its peak; Linux counts both afresh in a new process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) * 1024, int(status["VmHWM"].split()[0]) * 1024


def _memory() -> None:
    map_name, n_games = sys.argv[2], int(sys.argv[3])
    _first_step(map_name)
    before, _ = _resident_bytes()
    _first_step(map_name, n_games)
    print(_resident_bytes()[1] - before, flush=True)


_ROLES: dict[str, Callable[[], None]] = {
    "start": _start,
    "compile-python": _start,
    "compile-command": _compile_as_command,
    "memory": _memory,
}

if __name__ == "__main__":
    _ROLES[sys.argv[1]]()
