"""`harness datasets ls`: the catalog, and what of it is here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import tyro

from env_adapters.errors import unknown_name
from harness.commands.parsing import parse
from harness.tables import render

if TYPE_CHECKING:
    from datasets.catalog import CatalogEntry


@dataclass(frozen=True)
class LsConfig:
    """List public datasets."""

    pattern: Annotated[str | None, tyro.conf.Positional] = None
    """Only names that contain this; with * or ?, names that match it."""
    json: bool = False
    """Print everything as one JSON object."""


class Recipe(NamedTuple):
    """A dataset that this project makes by itself."""

    name: str
    """`recipe/MAP/QUALITY`."""
    mirrors: str | None
    """Name of the public dataset that it imitates."""


def _recipes() -> list[Recipe]:
    """Every recipe that ships."""
    from datasets import recipes

    return [Recipe(f"recipe/{name}", recipes.find(name).mirrors or None) for name in recipes.names()]


def main(arguments: list[str]) -> int:
    """Run the action; returns 0.

    Raises:
        UnknownNameError: no name contains the pattern.
    """
    from datasets import cache, catalog

    config = parse(LsConfig, arguments, "datasets ls")
    chosen = catalog.entries(config.pattern)
    wanted = (config.pattern or "").lower()
    made = [recipe for recipe in _recipes() if wanted in recipe.name.lower()]
    if not chosen and not made:
        names = [entry.name for entry in catalog.entries()]
        raise unknown_name("dataset", str(config.pattern), names, "harness datasets ls")
    if config.json:
        data = {
            "cache": str(cache.root()),
            "datasets": [_data(entry) for entry in chosen],
            "recipes": [recipe._asdict() for recipe in made],
        }
        print(json.dumps(data, indent=1))
        return 0
    print(_table(chosen, made))
    print(
        f"\nsizes are of the archive that all qualities of a scenario share; fetched ones lie in {cache.root()}"
    )
    return 0


def _table(chosen: list[CatalogEntry], made: list[Recipe]) -> str:
    rows: list[tuple[object, ...]] = []
    for entry in chosen:
        told = entry.published
        returns = f"{told.return_mean:.2f} ± {told.return_std:.2f}"
        size = None if entry.size_bytes is None else f"{entry.size_bytes / 1e9:.2f} GB"
        rows.append((entry.name, returns, told.n_transitions, told.n_episodes, size, _state(entry)))
    for recipe in made:
        rows.append(
            (
                recipe.name,
                f"imitates {recipe.mirrors}" if recipe.mirrors else None,
                None,
                None,
                None,
                "recipe",
            )
        )
    return render(["name", "published return", "transitions", "episodes", "archive", "fetched"], rows)


def _state(entry: CatalogEntry) -> str:
    from datasets import cache

    path = cache.native_path(entry)
    if path.is_file():
        return f"yes, {path.stat().st_size / 1e6:.1f} MB"
    if cache.archive_path(entry).is_file():
        return "archive"
    part = cache.partial_bytes(entry)
    return f"{part / 1e6:.1f} MB of the archive" if part else "no"


def _data(entry: CatalogEntry) -> dict[str, Any]:
    from datasets import cache
    from datasets.fetch import archive_url

    path = cache.native_path(entry)
    return {
        **asdict(entry),
        "url": archive_url(entry),
        "file": str(path) if path.is_file() else None,
        "file_bytes": path.stat().st_size if path.is_file() else None,
        "archive_fetched": cache.archive_path(entry).is_file(),
        "archive_partial_bytes": cache.partial_bytes(entry),
    }
