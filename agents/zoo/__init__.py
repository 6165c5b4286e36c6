"""Small trained checkpoints that ship with the project, named MAP--NAME.safetensors.

NAME is an agent, with a suffix where there are several: `vgm2p`, `ppo-good`, `ppo-medium`. The card of each
file stands in its metadata and in README.md beside it. The policies that recipes of datasets play lie in
`behaviours/`, named alike; they are not among the agents of `harness ls agents`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from env_adapters.errors import UnknownNameError, unknown_name

FOLDER = Path(__file__).parent
"""Where the checkpoints lie."""
BEHAVIOURS = FOLDER / "behaviours"
"""Where the behaviour policies of recipes lie."""
DEFAULT = "vgm2p"
"""The one that plays when none is asked for, where the map has it; else the first of the map by name."""


class ZooEntry(NamedTuple):
    """One shipped checkpoint."""

    map: str
    name: str
    path: Path

    @property
    def layout(self) -> str:
        """Layout that its agent was made for, from the file's header; CorruptFileError for a damaged file."""
        from agents.headers import layout_of

        return layout_of(self.path)


def entries(map_name: str | None = None, layout: str | None = None) -> list[ZooEntry]:
    """Every shipped checkpoint, or those of one map or one layout, sorted by map and name."""
    return _entries(FOLDER, map_name, layout)


def behaviours(map_name: str | None = None, layout: str | None = None) -> list[ZooEntry]:
    """Every behaviour policy of recipes, or those of one map or one layout, sorted by map and name."""
    return _entries(BEHAVIOURS, map_name, layout)


def behaviour(name: str) -> Path:
    """Path of the behaviour policy called MAP--NAME: one of `behaviours`, else one of `entries`.

    Raises:
        UnknownNameError: none of this name ships; with the nearest names.
    """
    known = {entry.path.stem: entry.path for entry in (*entries(), *behaviours())}
    if name not in known:
        raise unknown_name("behaviour policy", name, known, "harness ls behaviours")
    return known[name]


def _entries(folder: Path, map_name: str | None, layout: str | None) -> list[ZooEntry]:
    found = []
    for path in sorted(folder.glob("*--*.safetensors")):
        of_map, name = path.stem.split("--", 1)
        entry = ZooEntry(of_map, name, path)
        if map_name in (None, of_map) and (layout is None or layout == entry.layout):
            found.append(entry)
    return found


def find(map_name: str, name: str | None = None, layout: str | None = None) -> Path:
    """Path of a shipped checkpoint.

    Args:
        map_name: name of the scenario without version.
        name: which one; default: `DEFAULT`, else the first by name, of those that fit the layout.
        layout: layout that a default must fit (default: any). A name is found whatever its layout.

    Raises:
        UnknownNameError: none of this map, name or layout ships; the message says which do.
        CorruptFileError: a file had to be looked into and is damaged.
    """
    of_map = {entry.name: entry for entry in entries(map_name)}
    if not of_map:
        raise UnknownNameError(
            f"no checkpoint ships for map '{map_name}'; give one with --checkpoint, or --agent random"
        )
    if name is not None and name not in of_map:
        raise unknown_name(f"shipped checkpoint of {map_name}", name, of_map, "harness ls agents")
    if name is not None:
        return of_map[name].path
    for entry in sorted(of_map.values(), key=lambda entry: entry.name != DEFAULT):
        if layout is None or layout == entry.layout:
            return entry.path
    others = ", ".join(f"{entry.name} of {entry.layout}" for entry in of_map.values())
    raise UnknownNameError(
        f"no checkpoint of layout '{layout}' ships for map '{map_name}' (shipped: {others}); "
        "choose its --layout, give a file with --checkpoint, or --agent random"
    )
