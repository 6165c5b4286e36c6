"""Which recorder belongs to which package, and recording one file."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from env_adapters.errors import OutputError

from . import tables
from .catalogue import OMIGA, SMAC, SMACV2, Recording
from .omiga import OmigaRecorder
from .smac_v1 import SmacRecorder
from .smac_v2 import SmacV2Recorder, draw_memory
from .tables import Arrays

_RECORDERS: Final[dict[str, type[SmacRecorder]]] = {
    SMAC: SmacRecorder,
    SMACV2: SmacV2Recorder,
    OMIGA: OmigaRecorder,
}


def recorder_of(recording: Recording, inputs: Arrays) -> SmacRecorder:
    """The recorder of the recording's package over these inputs."""
    return _RECORDERS[recording.package](recording, inputs)


def record(recording: Recording, n_tables: int, seed: int, path: Path) -> None:
    """Draw inputs, run upstream on them and write one golden file.

    Args:
        recording: which file of the catalogue.
        n_tables: T, tables in the file.
        seed: together with the file's name it decides every input.
        path: the file; its folder is created when missing.

    Raises:
        OutputError: the folder or file cannot be written.
        UpstreamMissingError: the upstream package cannot be imported.
        MismatchError: it is another version than the pinned one.
    """
    rng = np.random.default_rng([seed, zlib.crc32(recording.name.encode())])
    inputs = tables.draw(recording, rng, n_tables)
    if recording.package == SMACV2:
        inputs |= draw_memory(recording, rng, inputs)
    recorder = recorder_of(recording, inputs)
    arrays = recorder.run()
    arrays["meta"] = np.array(json.dumps(recorder.meta()))
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}): give --out a folder you may write to"
        ) from error
