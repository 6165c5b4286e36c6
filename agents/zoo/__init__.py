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
"""The one that plays when none is asked for, where the map has it; else the first of the map by name."""


class ZooEntry(NamedTuple):
    """One shipped checkpoint."""

    map: str
    name: str
    path: Path


def entries(map_name: str | None = None) -> list[ZooEntry]:
    """Every shipped checkpoint, or those of one map, sorted by map and name."""
    found = []
    for path in sorted(FOLDER.glob("*--*.safetensors")):
        of_map, name = path.stem.split("--", 1)
        if map_name in (None, of_map):
            found.append(ZooEntry(of_map, name, path))
    return found


def find(map_name: str, name: str | None = None) -> Path:
    """Path of a shipped checkpoint, by default of `DEFAULT`; UnknownNameError lists those of the map."""
    of_map = {entry.name: entry.path for entry in entries(map_name)}
    if not of_map:
        raise UnknownNameError(
            f"no checkpoint ships for map '{map_name}'; give one with --checkpoint, or --agent random"
        )
    if name is None:
        return of_map.get(DEFAULT) or next(iter(of_map.values()))
    if name not in of_map:
        raise unknown_name(f"shipped checkpoint of {map_name}", name, of_map, "harness ls agents")
    return of_map[name]
