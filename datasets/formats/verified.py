"""Remembers which files were verified, so that a large dataset is hashed once and not at every opening.

A record holds what the system says about the file (device, inode, size, times of the last change of contents and of
inode) and the digest of its seal. Every way of writing to a file changes its times, so any copy, edit or replacement is
verified again. What it cannot notice is a disk that loses bits by itself; `open_dataset(verify="again")` does.
Without a place to keep records everything is verified every time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from datasets.formats.seal import Seal
from env_adapters.errors import OutputError
from env_adapters.files import write_atomic

SMALLEST_BYTES = 1 << 26
"""Smaller files are verified in a fraction of a second and leave no record."""
_SETTLED_NS = 2_000_000_000
"""A file changed less than this ago could change once more without its times showing it, so it is not recorded."""


def _record(path: Path) -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
    return root / "marl-harness" / "verified" / f"{name}.json"


def state(path: Path, seal: Seal) -> str:
    """What must be unchanged since a file was verified, as text; OSError where it cannot be read."""
    found = path.stat()
    numbers = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return json.dumps([*numbers, hashlib.sha256(seal.to_block()).hexdigest()])


def was_verified(path: Path, now: str, seal: Seal) -> bool:
    """Whether a record says that this very file was found sound; `now` as from `state`."""
    if seal.size_bytes < SMALLEST_BYTES:
        return False
    try:
        return _record(path).read_text(encoding="utf-8") == now
    except (OSError, ValueError, RuntimeError):
        return False


def remember(path: Path, before: str, seal: Seal) -> None:
    """Record that a file was found sound; `before` is its state when verifying began."""
    if seal.size_bytes < SMALLEST_BYTES:
        return
    with suppress(OSError, OutputError, RuntimeError):  # it is verified again next time
        found = path.stat()
        settled = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > _SETTLED_NS
        if settled and state(path, seal) == before:
            record = _record(path)
            record.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(record, before.encode())
