"""Turns a dataset of any known format into a native file or a vault."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from datasets.card import BehaviourRecord, DatasetCard
from datasets.formats.detect import open_source, recognise
from datasets.formats.native import NativeWriter, open_dataset
from datasets.formats.parts import part_folder
from datasets.formats.source import UNKNOWN, UNKNOWN_SEED, Reading, Source
from datasets.formats.vault_writer import write_vault
from env_adapters.errors import CorruptFileError, InvalidValueError, MismatchError, OutputError
from env_adapters.files import writing

Target = Literal["native", "vault"]
Progress = Callable[[int], None]
"""Called with the transitions stored so far, after every episode."""


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What came out."""

    card: DatasetCard
    format: str
    """Of the source."""
    notes: tuple[str, ...]
    """What was corrected, left out or not known."""


def convert(
    path: Path,
    out: Path,
    to: Target = "native",
    reading: Reading | None = None,
    progress: Progress | None = None,
    name: str = "",
) -> Conversion:
    """Read a dataset in blocks and write it in another format.

    Args:
        path: file or folder.
        out: what to write; an existing file is replaced, an existing folder is refused.
        to: the format to write.
        reading: what the files do not say.
        progress: see `Progress`.
        name: the dataset's name in the catalog, for its card; empty where not known.

    Raises:
        UnknownNameError: there is no dataset.
        CorruptFileError: the source is damaged or makes no sense; the message names file, key and row.
        MismatchError: the layout that is named for the data is one of a simulator and does not fit them.
        InvalidValueError: source and target are the same, or `reading.terminals` makes no sense for this format.
        OutputError: the target cannot be written. In every case nothing half-written is left.
        MissingExtraError: a vault is read or written without tensorstore.
    """
    if out.exists() and path.exists() and out.samefile(path):
        raise InvalidValueError(f"--out {out} is the source itself; name another file")
    if recognise(path) == "native":
        dataset = open_dataset(path)
        if to == "native":
            raise InvalidValueError(f"{path} is native already; copy it, or convert it --to vault")
        write_vault(dataset, out)
        return Conversion(dataset.card, "native", ())
    source = open_source(path, reading or Reading())
    if name:
        source = dataclasses.replace(source, name=name)
    if to == "native":
        return _to_native(source, path, out, progress)
    if out.exists():
        raise OutputError(f"cannot write {out}: it exists; choose another folder")
    with ExitStack() as stack:
        with writing(out):
            folder = stack.enter_context(part_folder(out))
        conversion = _to_native(source, path, folder / "dataset.h5", progress)
        write_vault(open_dataset(folder / "dataset.h5", verify=False), out)
    return conversion


def _to_native(source: Source, path: Path, out: Path, progress: Progress | None) -> Conversion:
    records = []
    with NativeWriter(out, source.spec, UNKNOWN_SEED) as writer:
        for part in source.parts:
            played = 0
            for episode in part.episodes():
                try:
                    writer.append(episode)
                except (InvalidValueError, MismatchError) as error:
                    raise CorruptFileError(f"{path}: {part.name}, episode {played}: {error}") from error
                played += 1
                if progress is not None:
                    progress(writer.n_transitions)
            records.append(BehaviourRecord(part.name, UNKNOWN, UNKNOWN, played))
        notes = (*source.notes, *source.finish())
        return Conversion(writer.finish(records, source.name, notes), source.format, notes)
