"""Recognises the format of a dataset from its files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from datasets.formats.omiga_smac import episode_files
from datasets.formats.seal import is_sealed
from datasets.formats.source import Reading, Source, corrupt
from env_adapters.errors import CorruptFileError, InvalidValueError, UnknownNameError

FORMATS = {
    "native": "a dataset of this project",
    "vault": "an OG-MARL vault",
    "omiga": "OMIGA's HDF5 of a robot",
    "pymarl": "episodes of PyMARL as HDF5 (CFCQL, ICQ)",
    "madiff": "a folder of NumPy arrays with path lengths (MADiff, DoF)",
    "omar": "a folder of NumPy arrays per agent (OMAR)",
    "omiga-smac": "a folder of OMIGA's StarCraft episodes, one pickle each",
    "og-marl-tfrecord": "a folder of OG-MARL's old TFRecord files",
}
"""Format -> what it is, in words."""
_READERS = {
    "vault": "datasets.formats.vault:open_vault",
    "omiga": "datasets.formats.omiga:open_omiga",
    "pymarl": "datasets.formats.pymarl:open_pymarl",
    "madiff": "datasets.formats.folders:open_madiff",
    "omar": "datasets.formats.omar:open_omar",
    "omiga-smac": "datasets.formats.omiga_smac:open_omiga_smac",
    "og-marl-tfrecord": "datasets.formats.tfrecord:open_tfrecord",
}
_HDF5_KEYS = {
    "omiga": {"s", "o", "a", "r", "d"},
    "pymarl": {"state", "obs", "actions", "avail_actions", "reward", "terminated"},
}
"""What a file of each format holds at least."""
_FOLDER_FILES = {
    "vault": ("metadata.json", {"manifest.ocdbt"}),
    "madiff": ("path_lengths.npy", {"obs.npy", "actions.npy", "rewards.npy", "discounts.npy"}),
    "omar": ("obs_0.npy", {"acs_0.npy", "rews_0.npy", "next_obs_0.npy", "dones_0.npy"}),
}
"""The file that a folder is recognised by, and others that show what it was meant to be."""
_TERMINALS = {"path": ("pymarl", "madiff", "omiga-smac", "og-marl-tfrecord")} | dict.fromkeys(
    ("transition", "row"), ("vault", "omiga")
)
"""Ways of reading ends -> formats for which they make a difference."""


def recognise(path: Path) -> str:
    """The format of a file or folder, a key of FORMATS.

    Raises:
        UnknownNameError: nothing is there, or a folder that is of no known format.
        CorruptFileError: a file of no known format, or one that lacks what its format needs.
    """
    if path.is_dir():
        return _recognise_folder(path)
    if not path.is_file():
        raise UnknownNameError(f"there is no dataset {path}; check the path")
    if is_sealed(path):
        return "native"
    from datasets.formats.hdf5 import names

    keys = set(names(path))
    for kind, needed in _HDF5_KEYS.items():
        if needed <= keys:
            return kind
    shown = ", ".join(sorted(keys)[:8]) or "no arrays"
    for kind, needed in _HDF5_KEYS.items():
        if 2 * len(needed & keys) >= len(needed):
            missing = ", ".join(sorted(needed - keys))
            raise corrupt(path, missing, f"is missing; the file resembles {FORMATS[kind]}, it holds {shown}")
    raise CorruptFileError(f"{path} is an HDF5 file of no known format: it holds {shown}")


def _recognise_folder(path: Path) -> str:
    if any(path.glob("metadata.json")) or any(path.glob("*/metadata.json")):
        return "vault"
    if (path / "path_lengths.npy").is_file():
        return "madiff"
    if (path / "obs_0.npy").is_file() or any(path.glob("seed_*_data/obs_0.npy")):
        return "omar"
    if any(path.glob("*.tfrecord")):
        return "og-marl-tfrecord"
    if episode_files(path):
        return "omiga-smac"
    for kind, (missing, others) in _FOLDER_FILES.items():
        for place in (path, *sorted(path.glob("seed_*_data"))):
            if any((place / name).is_file() for name in others):
                raise corrupt(place, missing, f"is missing; the folder resembles {FORMATS[kind]}")
    raise UnknownNameError(f"{path} is no dataset folder of a known format ({', '.join(FORMATS)})")


def open_source(path: Path, reading: Reading) -> Source:
    """Open a dataset of a foreign format.

    Raises:
        InvalidValueError: `reading.terminals` makes no sense for its format.
        HarnessError: as `recognise` and the format's reader raise them.
    """
    kind = recognise(path)
    if reading.terminals != "auto" and kind not in _TERMINALS[reading.terminals]:
        others = [name for name, kinds in _TERMINALS.items() if kind in kinds]
        raise InvalidValueError(
            f"--terminals {reading.terminals} means nothing for {FORMATS[kind]}; "
            f"use {' or '.join(['auto', *others])}"
        )
    module, name = _READERS[kind].split(":")
    reader: Callable[[Path, Reading], Source] = getattr(import_module(module), name)
    return reader(path, reading)
