"""Small trained checkpoints that ship with the project, named MAP--NAME.safetensors.

NAME is an agent, with a suffix where there are several: `vgm2p`, `ppo-good`, `ppo-medium`. The card of each
file stands in its metadata and in README.md beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from env_adapters.errors import UnknownNameError, unknown_name

FOLDER = Path(__file__).parent
"""Where the checkpoints lie."""
DEFAULT = "vgm2p"
"""The one that plays when none is asked for."""


class ZooEntry(NamedTuple):
    """One shipped checkpoint."""

    map: str
    name: str
    path: Path


def entries() -> list[ZooEntry]:
    """Every shipped checkpoint."""
    found = []
    for path in sorted(FOLDER.glob("*--*.safetensors")):
        map_name, name = path.stem.split("--")
        found.append(ZooEntry(map_name, name, path))
    return found


def find(map_name: str, name: str = DEFAULT) -> Path:
    """Path of a shipped checkpoint; UnknownNameError lists those of the map."""
    of_map = {entry.name: entry.path for entry in entries() if entry.map == map_name}
    if name in of_map:
        return of_map[name]
    if not of_map:
        raise UnknownNameError(
            f"no checkpoint ships for map '{map_name}'; give one with --checkpoint, or --agent random"
        )
    raise unknown_name(f"shipped checkpoint of {map_name}", name, of_map, "harness ls agents")
