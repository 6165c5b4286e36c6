"""The public datasets by name, `SOURCE/ENVIRONMENT/SCENARIO/QUALITY`, with what their dataset cards state.

`catalog.json` beside this module holds one line per archive and one per dataset. Statistics are those of the dataset
cards of OG-MARL's repository; they were computed there, over the vaults, and are what a fetched dataset is compared
with (`datasets.agreement`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

from env_adapters.errors import UnknownNameError, unknown_name

RECIPE = "recipe/"
"""What the names of datasets begin with that were made by a recipe of this project."""
_FILE = Path(__file__).with_name("catalog.json")


@dataclass(frozen=True)
class PublishedStatistics:
    """One row of a dataset card. Returns are undiscounted, per episode."""

    n_agents: int
    observation_size: int
    """Of one agent."""
    state_size: int
    action_kind: Literal["discrete", "continuous"]
    action_size: int
    """Number of actions, or of components of one agent's action."""
    return_mean: float
    return_std: float
    return_min: float
    return_max: float
    n_transitions: int
    n_episodes: int
    mean_episode_length: float
    joint_saco: float
    """Distinct (state, joint action) pairs / transitions."""


@dataclass(frozen=True)
class CatalogEntry:
    """One public dataset; several share an archive."""

    name: str
    source: str
    """Who recorded it, such as `og-marl`."""
    environment: str
    scenario: str
    quality: str
    repository: str
    """Of the host, `OWNER/NAME`."""
    base: str
    """Address that `archive` stands below."""
    archive: str
    """Path of the zip archive, which holds all qualities of the scenario."""
    size_bytes: int | None
    """Rounded size of the archive; None where it is not known."""
    sha256: str | None
    """Of the archive; None where it is not known."""
    licence: str
    published: PublishedStatistics


@cache
def _all() -> dict[str, CatalogEntry]:
    """Every entry by its name, in the order of the file."""
    held = json.loads(_FILE.read_text(encoding="utf-8"))
    found = {}
    for row in held["datasets"]:
        place, quality = row.pop("archive"), row.pop("quality")
        archive = held["archives"][place]
        source, environment, scenario = place.split("/")
        name = f"{place}/{quality}"
        found[name] = CatalogEntry(
            name,
            source,
            environment,
            scenario,
            quality,
            held["repository"],
            held["base"],
            archive["path"],
            archive["size_bytes"],
            archive["sha256"],
            held["licence"],
            PublishedStatistics(**row),
        )
    return found


def _key(name: str) -> str:
    """How names are compared: without case, and with `_` as `-`, since sources spell both."""
    return name.strip("/").lower().replace("_", "-")


@cache
def _by_key() -> dict[str, CatalogEntry]:
    return {_key(name): entry for name, entry in _all().items()}


def find(name: str) -> CatalogEntry:
    """The entry of this name; case, and `_` for `-`, do not matter.

    Raises:
        UnknownNameError: there is none; the message lists the nearest names, or says how a recipe's is made.
    """
    if name.startswith(RECIPE):
        from datasets import recipes

        recipe = recipes.find(name.removeprefix(RECIPE))
        raise UnknownNameError(
            f"dataset {name} is made here, not fetched: harness collect --map {recipe.map} --quality {recipe.quality}; "
            "afterwards give its file"
        )
    entry = _by_key().get(_key(name))
    if entry is None:
        raise unknown_name("dataset", name, _all(), "harness datasets ls")
    return entry


def entries(pattern: str | None = None) -> list[CatalogEntry]:
    """Entries whose name contains `pattern`, or matches it where it holds `*` or `?`; all of them without one."""
    if pattern is None:
        return list(_all().values())
    wanted = _key(pattern)
    if not set(wanted) & set("*?["):
        wanted = f"*{wanted}*"
    return [entry for key, entry in _by_key().items() if fnmatchcase(key, wanted)]


def is_name(reference: str) -> bool:
    """Whether a text can only be meant as a name: it begins with one of the sources, or `recipe`, and a slash."""
    sources = {_key(entry.source) for entry in _all().values()} | {"recipe"}
    return "/" in reference and _key(reference.split("/")[0]) in sources


def published(source: str) -> CatalogEntry | None:
    """The entry that a card's `source` names, or that its recipe imitates (`mirrors`); None where there is none."""
    if source.startswith(RECIPE):
        from datasets import recipes

        name = source.removeprefix(RECIPE)
        mirrors = recipes.find(name).mirrors if name in recipes.names() else ""
        return published(mirrors) if mirrors else None
    return _by_key().get(_key(source))
