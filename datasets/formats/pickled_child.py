"""The process that takes OMIGA's SMAC episodes out of pickles: `python -m datasets.formats.pickled_child`.

Reads paths, one JSON string a line, and answers each with either `E`, a length and a message, or `A` and the six arrays
of `KEYS`, each as its length and the bytes of an `.npy` file. Lengths are 8 bytes, little-endian. Memory, processor time
and open files are limited by the system, and no file can be written.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import sys
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from datasets.formats.pickled import MAX_FILE_BYTES, load
from datasets.formats.pickled_values import MAX_ITEMS, Holder, RefusedError

KEYS = ("states", "observations", "actions", "rewards", "dones", "available_actions")
"""Entries of a step, in this order; arrays [L, N, ...]."""
ENTRIES = {key: f"entry {place} ({key})" for place, key in enumerate(KEYS)}
"""What messages call them: the files have no names, only places in a list."""
MAX_AGENTS, MAX_STEPS = 64, 10_000
_MEMORY_BYTES = 3 << 30
"""Beyond what the process has when it starts."""
_CPU_S = 60
"""Processor time for one file."""


def episode(content: bytes) -> list[np.ndarray[Any, Any]]:
    """The arrays of `KEYS` out of a pickled episode: a list per agent of a list per step of six entries.

    Raises:
        RefusedError: not that, or not data.
    """
    agents = load(content)
    if not isinstance(agents, list) or not 0 < len(agents) <= MAX_AGENTS:
        raise RefusedError("does not hold a list of agents")
    if not all(isinstance(steps, list) for steps in agents):
        raise RefusedError("does not hold a list of steps for each agent")
    length = len(agents[0])
    if not 0 < length <= MAX_STEPS or any(len(steps) != length for steps in agents):
        raise RefusedError(f"holds {sorted({len(steps) for steps in agents})[:5]} steps of its agents")
    arrays = []
    for place, key in enumerate(KEYS):
        rows = []
        for step in range(length):
            for agent, steps in enumerate(agents):
                if not isinstance(steps[step], list | tuple) or len(steps[step]) != len(KEYS):
                    raise RefusedError(f"row {step} of agent {agent} does not hold {len(KEYS)} entries")
                rows.append(_flat(steps[step][place], key, step))
                if rows[-1].shape != rows[0].shape:
                    raise RefusedError(
                        f"'{ENTRIES[key]}' row {step} has {rows[-1].shape}, expected {rows[0].shape}"
                    )
                if len(rows) * math.prod(rows[0].shape) > MAX_ITEMS:
                    raise RefusedError(f"'{ENTRIES[key]}' has more than {MAX_ITEMS} numbers")
        arrays.append(np.stack(rows).reshape(length, len(agents), -1))
    return arrays


def _flat(value: Any, key: str, step: int) -> np.ndarray[Any, Any]:
    """Numbers of one entry, [D]: an array, a number, or a list of numbers; lists may be nested once around one entry."""
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], list | tuple):
        value = value[0]
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, Holder):
        value = value.value
    if isinstance(value, list | tuple):
        value = [item.value.item() if _is_number(item) else item for item in value]
    items = value if isinstance(value, list) else [value]
    if not isinstance(value, np.ndarray) and not set(map(type, items)) <= {bool, int, float}:
        raise RefusedError(f"'{ENTRIES[key]}' row {step} is not made of numbers")
    flat = np.asarray(value).reshape(-1)
    if flat.dtype.kind not in "biuf" or not len(flat):
        raise RefusedError(f"'{ENTRIES[key]}' row {step} is not made of numbers")
    return flat.astype(np.float64 if flat.dtype.kind == "f" else np.int64)


def _is_number(item: Any) -> bool:
    """Whether an entry of a list is an array with one number."""
    return isinstance(item, Holder) and isinstance(item.value, np.ndarray) and item.value.size == 1


def _limit() -> None:
    """Have the system limit this process, where it can."""
    with suppress(ImportError):
        import resource

        with suppress(OSError, ValueError):
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115, PTH123
            resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY_BYTES,) * 2)
        for limit, value in (("FSIZE", 0), ("CORE", 0), ("NOFILE", 32), ("NPROC", 0)):
            with suppress(OSError, ValueError, AttributeError):
                resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))


def _allow_time() -> None:
    """Processor time for one file more."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = math.ceil(used.ru_utime + used.ru_stime)
        resource.setrlimit(resource.RLIMIT_CPU, (spent + _CPU_S, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _read(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise RefusedError("is no plain file")
        if about.st_size > MAX_FILE_BYTES:
            raise RefusedError(f"has {about.st_size} bytes, more than any episode")
        return file.read(MAX_FILE_BYTES)


def _answer(path: str, out: BinaryIO) -> None:
    try:
        parts = []
        for array in episode(_read(path)):
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            parts.append(part.getvalue())
        kind = b"A"
    except RefusedError as error:
        kind, parts = b"E", [str(error).encode()]
    except (OSError, MemoryError) as error:
        what = "needs too much memory" if isinstance(error, MemoryError) else f"cannot be read: {error}"
        kind, parts = b"E", [what.encode()]
    out.write(kind)
    for content in parts:
        out.write(len(content).to_bytes(8, "little"))
        out.write(content)
    out.flush()


def main() -> None:
    """Answer until there are no more questions."""
    _limit()
    for line in sys.stdin.buffer:
        _allow_time()
        _answer(json.loads(line), sys.stdout.buffer)


if __name__ == "__main__":
    main()
