"""Compare the recorder with existing golden files: recompute their outputs from their inputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from env_adapters.errors import CorruptFileError

from .catalogue import Recording
from .recorders import recorder_of
from .smac_v1 import Row
from .tables import Arrays

_ROUNDED: Final = {"cone_margin": 1e-12}
"""Derived keys that may differ in the last bits, with the tolerance."""
_UNSEEDED: Final = ("command_ability", "command_target_row", "command_xy")
"""Upstream refuses attacks by unseeded draws when agents have attack probabilities."""


@dataclass(frozen=True)
class Comparison:
    """What verifying one file found."""

    n_tables: int
    n_elements: int
    differences: tuple[str, ...]
    """One line per key that is not equal."""


def load(path: Path) -> tuple[Recording, Arrays, Row]:
    """Read a golden file: which recording it is, its arrays and its meta.

    Raises:
        CorruptFileError: it cannot be read or has no meta.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: Arrays = {key: archive[key] for key in archive.files}
        meta = json.loads(str(arrays.pop("meta")))
        capability = meta.get(
            "capability_config", {"n_units": meta["n_agents"], "n_enemies": meta["n_enemies"]}
        )
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise CorruptFileError(f"{path} is not a golden file ({error!r}): record it again") from error
    if meta["package"] == "smacv2" and "team_gen" not in capability:
        capability["team_gen"] = {"observe": True, **capability}
    if meta["package"] != "smacv2":
        capability = {}
    recording = Recording(
        meta["name"], meta["package"], meta["map_name"], meta["constructor_options"], capability
    )
    return recording, arrays, meta


def _difference(key: str, stored: npt.NDArray[Any], computed: npt.NDArray[Any]) -> str:
    """Why two arrays are not the same, or "" when they are."""
    if stored.shape != computed.shape or stored.dtype != computed.dtype:
        return f"{key}: {computed.dtype}{computed.shape} instead of {stored.dtype}{stored.shape}"
    if key in _ROUNDED:
        same = np.isclose(stored, computed, rtol=0, atol=_ROUNDED[key])
    else:
        same = (stored == computed) | ((stored != stored) & (computed != computed))
    return "" if same.all() else f"{key}: {int((~same).sum())} of {same.size} elements differ"


def verify(path: Path) -> Comparison:
    """Recompute one golden file and compare every key, element by element."""
    recording, stored, meta = load(path)
    recorder = recorder_of(recording, stored)
    computed = recorder.run()
    skipped = _UNSEEDED if "attack" in recording.capability else ()
    differences = [f"missing: {key}" for key in stored.keys() - computed.keys()]
    differences += [f"new: {key}" for key in computed.keys() - stored.keys()]
    both = [key for key in stored if key in computed and key not in skipped]
    differences += [line for key in both if (line := _difference(key, stored[key], computed[key]))]
    ours = recorder.meta()
    facts = [key for key in meta if key not in ("python", "numpy")]
    differences += [
        f"meta {key}: {ours.get(key)} instead of {meta[key]}" for key in facts if ours.get(key) != meta[key]
    ]
    return Comparison(meta["n_tables"], sum(stored[key].size for key in both), tuple(differences))
