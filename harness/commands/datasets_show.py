"""`harness datasets show`: what a name or a file stands for, without reading the arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from env_adapters.errors import HarnessError
from harness.commands.parsing import parse

if TYPE_CHECKING:
    from datasets.card import DatasetCard
    from datasets.catalog import CatalogEntry


@dataclass(frozen=True)
class ShowConfig:
    """The catalog's row of a name, the card of a file; of another format, what it is."""

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE")]
    """A name of the catalog (harness datasets ls), or a file or folder."""


def main(arguments: list[str]) -> int:
    """Run the action; returns 0."""
    from datasets import catalog

    config = parse(ShowConfig, arguments, "datasets show")
    if catalog.is_name(config.file) and not Path(config.file).exists():
        print(_entry(catalog.find(config.file)))
    else:
        path = Path(config.file)
        print(foreign(path) or _native(path))
    return 0


def foreign(path: Path) -> str | None:
    """Of a dataset of another format what it is and how to convert it; None of a native one, or of none."""
    from datasets.formats.detect import FORMATS, recognise

    try:
        kind = recognise(path)
    except HarnessError:
        return None  # opening it as a native one says what is wrong
    if kind == "native":
        return None
    return f"{path} is {FORMATS[kind]}\n\nnext: harness datasets convert {path} --to native --out data/{path.stem}.h5"


def _native(path: Path) -> str:
    from datasets.catalog import published
    from datasets.formats.native import open_dataset

    card = open_dataset(path, verify=False).card
    entry = published(card.source)
    told = [] if entry is None else ["", f"published as {entry.name}: {_figures(entry)}"]
    return "\n".join([*card_lines(card), *told, "", f"next: harness datasets verify {path}"])


def card_lines(card: DatasetCard) -> list[str]:
    """A card in words."""
    wins = "" if card.win_rate is None else f", {card.win_rate:.1%} won"
    returns = card.returns
    return [
        f"{card.scenario}  layout {card.layout}  engine {card.engine}",
        f"{card.n_transitions} transitions in {card.n_episodes} episodes of {card.mean_episode_length:.1f} steps, "
        f"seed {card.seed}",
        f"return {returns.mean:.3f} ± {returns.std:.3f} ({returns.min:.3f} to {returns.max:.3f}){wins}",
        f"{card.n_agents} agents, observation {card.observation_size}, state {card.state_size}, "
        f"{card.action_kind} actions {card.action_size}{'' if card.has_available_actions else ', no masks'}",
        *(
            f"behaviour {behaviour.name}: {share:.1%} of episodes, {behaviour.act_mode}, weights {behaviour.weights_hash}"
            for behaviour, share in zip(card.behaviours, card.shares, strict=True)
        ),
        *([f"source {card.source}"] if card.source else []),
        *(f"note: {note}" for note in card.notes),
        f"sha256 {card.sha256}, written by version {card.created_with}",
    ]


def _figures(entry: CatalogEntry) -> str:
    told = entry.published
    return (
        f"return {told.return_mean:.3f} ± {told.return_std:.3f} ({told.return_min:.3f} to {told.return_max:.3f}), "
        f"{told.n_transitions} transitions in {told.n_episodes} episodes, joint SACo {told.joint_saco:.4g}"
    )


def _entry(entry: CatalogEntry) -> str:
    from datasets import cache
    from datasets.fetch import archive_url
    from datasets.formats.native import open_dataset

    told, path = entry.published, cache.native_path(entry)
    size = "size not known" if entry.size_bytes is None else f"about {entry.size_bytes / 1e9:.3g} GB"
    lines = [
        f"{entry.name}  licence {entry.licence}",
        f"{told.n_agents} agents, observation {told.observation_size}, state {told.state_size}, "
        f"{told.action_kind} actions {told.action_size}",
        f"published: {_figures(entry)}",
        f"archive {archive_url(entry)} ({size}, all qualities of the scenario)",
        "",
    ]
    if path.is_file():
        fetched = card_lines(open_dataset(path, verify=False).card)
        return "\n".join(
            [*lines, f"fetched: {path}", *fetched, "", f"next: harness datasets verify {entry.name}"]
        )
    part = cache.partial_bytes(entry)
    here = f"{part} bytes of the archive are here" if part else "not fetched"
    return "\n".join([*lines, here, "", f"next: harness datasets fetch {entry.name}"])
