"""Which processes this test session has started, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def _parent(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return -1


def descendants(root: int) -> dict[int, str]:
    """Command lines of every living descendant of a process, zombies left out."""
    parents = {int(pid.name): _parent(pid.name) for pid in Path("/proc").glob("[0-9]*")}
    found: dict[int, str] = {}
    frontier = {root}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier and pid not in found}
        for pid in frontier:
            try:
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return {pid: command for pid, command in found.items() if command}


def workers() -> dict[int, str]:
    """Children of the server process that starts workers."""
    ours = descendants(os.getpid())
    servers = {
        pid for pid, command in ours.items() if "forkserver" in command and _parent(str(pid)) == os.getpid()
    }
    return {pid: command for pid, command in ours.items() if _parent(str(pid)) in servers}


def marked(mark: str) -> dict[int, str]:
    """Living processes whose first environment holds a text, wherever they hang in the tree now."""
    found: dict[int, str] = {}
    for pid in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (pid / "environ").read_bytes():
                found[int(pid.name)] = (pid / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended, or is a zombie
            continue
    return found
