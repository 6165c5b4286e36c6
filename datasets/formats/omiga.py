"""Reads OMIGA's HDF5 files of robots: one stream of rows `s, o, a, r, d`.

A row with `d` set holds the observation after the last step of its episode and no transition, so that 1000 steps have
1001 rows. The time limit is flagged like an end; episodes of 1000 steps are read as truncated, as the simulator has it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from datasets.formats import layout, source
from datasets.formats.findings import Findings
from datasets.formats.hdf5 import Arrays
from datasets.formats.source import Part, Reading, Source
from datasets.formats.streams import Stream, cut_after_last_transitions, cut_at_terminal_rows
from datasets.schema import Array
from env_adapters.mamujoco.robots import DATASET_TEAMS

_KEYS = {"observations": "o", "states": "s", "actions": "a", "rewards": "r"}
_BLOCK = 1_000_000
_LIMIT = 1000
"""Steps of every robot of OMIGA, where the name is none of ours."""


def open_omiga(path: Path, reading: Reading) -> Source:
    """Open a file such as `Hopper-v2-3x1-expert.hdf5`; its name says robot and quality.

    Raises:
        CorruptFileError: damaged, keys are missing, shapes do not fit together, or no row is flagged as an end.
    """
    arrays = Arrays(path, ["s", "o", "a", "r", "d"])
    shape, actions = arrays.shape("o"), arrays.shape("a")
    if len(shape) != 3:
        raise source.corrupt(path, "o", f"has shape {shape}, expected (rows, agents, size)")
    if len(actions) != 3 or actions[1] != shape[1]:
        raise source.corrupt(path, "a", f"has shape {actions} for {shape[1]} agents")
    state = arrays.shape("s")
    if len(state) not in (2, 3):
        raise source.corrupt(path, "s", f"has shape {state}, expected (rows, agents, size)")
    sizes = layout.Sizes(shape[1], shape[2], state[-1], "continuous", actions[2])
    named, quality = _name(path)
    scenario = reading.map or named
    standardised = source.is_standardised(arrays.read("o", 0, min(64, arrays.n_rows)))
    spec = layout.foreign_spec("omiga", "mamujoco", scenario, sizes, reading.layout, standardised)
    findings = Findings(path, "d", scenario, reading.terminals, _LIMIT)
    ended = _ended(arrays)
    if reading.terminals == "transition":
        cuts = cut_after_last_transitions(ended, np.zeros_like(ended))
    else:
        cuts = cut_at_terminal_rows(ended, findings.limit or _LIMIT)
    if not cuts.episodes:
        raise source.corrupt(path, "d", "flags no end of an episode")
    findings.stream(cuts)

    def read(name: str, start: int, stop: int) -> Array:
        rows = arrays.read(_KEYS[name], start, stop)
        return rows[:, 0] if name == "states" and rows.ndim == 3 else rows

    stream = Stream(path, _KEYS, read, None, findings=findings)
    parts = (Part(quality, lambda: stream.episodes(cuts.episodes)),)
    name = layout.catalog_name("omiga", "mamujoco", scenario, quality) if quality != named else ""
    return Source("omiga", spec, parts, name=name, finish=findings.notes)


def _name(path: Path) -> tuple[str, str]:
    """Scenario and quality that the file's name tells, or what stands for them."""
    found = re.fullmatch(r"(\w+)-v\d+-(\d+x\d+)-(.+)", path.stem)
    if found is None:
        return path.stem, path.stem
    task, partition, quality = found.groups()
    for name, team in DATASET_TEAMS.items():
        if (team.task, team.partition) == (task, partition):
            return name, quality
    return f"{task}-{partition}", quality


def _ended(arrays: Arrays) -> Array:
    """`d`, which is the same for all agents, bool[T]."""
    blocks = []
    for start in range(0, arrays.n_rows, _BLOCK):
        rows = arrays.read("d", start, min(start + _BLOCK, arrays.n_rows))
        blocks.append(source.flags(arrays.path, "d", start, rows.reshape(len(rows), -1)))
    return np.concatenate(blocks)
