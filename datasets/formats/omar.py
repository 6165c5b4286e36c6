"""Reads OMAR's folders: `seed_K_data/{obs,acs,rews,next_obs,dones}_AGENT.npy`.

Next observations are stored, so that episodes can be cut even where `dones` are all zero, as in the particle worlds:
an episode has ended where the next row does not continue with the next observation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from datasets.formats import layout, source
from datasets.formats.findings import Findings
from datasets.formats.folders import load
from datasets.formats.source import Part, Reading, Source
from datasets.formats.streams import Cut, Stream, cut_after_last_transitions
from datasets.schema import Array
from env_adapters.rollout import Episode

_KEYS = {"observations": "obs", "actions": "acs", "rewards": "rews", "next_observations": "next_obs"}
_BLOCK = 50_000


def open_omar(path: Path, reading: Reading) -> Source:
    """Open one seed's folder, or the folder of a quality with `seed_K_data` inside, each of which becomes a part.

    Raises:
        CorruptFileError: files are missing or damaged, shapes do not fit together, or rows are in no order.
    """
    seeds = sorted(folder for folder in path.glob("seed_*_data") if folder.is_dir()) or [path]
    opened = [_Seed(folder) for folder in seeds]
    sizes = opened[0].sizes
    for seed in opened:
        if seed.sizes != sizes:
            raise source.corrupt(seed.folder, "obs_0.npy", f"makes {seed.sizes}, the first seed has {sizes}")
    above = path.resolve() if seeds != [path] else path.resolve().parent
    scenario = reading.map or above.parent.name
    spec = layout.foreign_spec("omar", "folder", scenario, sizes, reading.layout)
    parts, notes = [], []
    for seed in opened:
        findings = Findings(seed.folder, "dones", scenario, reading.terminals)
        cuts = seed.cuts(findings)
        parts.append(Part(f"{above.name}/{seed.folder.name}", partial(seed.episodes, cuts, findings)))
        notes.append(findings.notes)
    environment = "mpe" if scenario.startswith("simple_") else "mamujoco"
    name = layout.catalog_name("omar", environment, scenario, above.name)
    return Source("omar", spec, tuple(parts), name=name, finish=lambda: [n for note in notes for n in note()])


class _Seed:
    """The arrays of one folder, all agents beside each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = [re.fullmatch(r"obs_(\d+)\.npy", file.name) for file in folder.glob("obs_*.npy")]
        self.n_agents = len([match for match in found if match])
        if not self.n_agents:
            raise source.corrupt(folder, "obs_0.npy", "is missing")
        self._arrays = {
            key: [load(folder, f"{key}_{agent}") for agent in range(self.n_agents)]
            for key in (*_KEYS.values(), "dones", *self._states())
        }
        for key in ("obs", "next_obs", "acs"):
            shape = self._arrays[key][0].shape
            if len(shape) != 2:
                raise source.corrupt(folder, f"{key}_0.npy", f"has shape {shape}, expected (rows, size)")
        self.n_rows = len(self._arrays["obs"][0])
        for key, arrays in self._arrays.items():
            for agent, array in enumerate(arrays):
                if array.shape[1:] != arrays[0].shape[1:] or len(array) != self.n_rows:
                    raise source.corrupt(
                        folder,
                        f"{key}_{agent}.npy",
                        f"has shape {array.shape}, others have {self.n_rows} rows of {arrays[0].shape[1:]}",
                    )
        observation, action = self._arrays["obs"][0].shape, self._arrays["acs"][0].shape
        state = (
            self._arrays["states"][0].shape[1] if "states" in self._arrays else self.n_agents * observation[1]
        )
        self.sizes = layout.Sizes(self.n_agents, observation[1], state, "continuous", action[1])

    def _states(self) -> tuple[str, ...]:
        both = ("states", "next_states")
        return both if all((self.folder / f"{key}_0.npy").is_file() for key in both) else ()

    def cuts(self, findings: Findings) -> list[Cut]:
        """Episodes end where `dones` says so (terminated) or where the rows do not go on (truncated)."""
        done = np.zeros(self.n_rows, dtype=np.bool_)
        breaks = np.zeros(self.n_rows, dtype=np.bool_)
        for start in range(0, self.n_rows, _BLOCK):
            stop = min(start + _BLOCK, self.n_rows)
            columns = self._read("dones", start, stop).reshape(stop - start, -1)
            done[start:stop] = source.flags(self.folder, "dones", start, columns)
            following = self._read("obs", start + 1, stop + 1)
            expected = self._read("next_obs", start, start + len(following))
            breaks[start : start + len(following)] = (following != expected).any(axis=(1, 2))
        breaks[-1] = True
        cuts = cut_after_last_transitions(done, breaks & ~done, truncated_keep_all=True)
        if self.n_rows >= 10 and len(cuts.episodes) > self.n_rows // 2:
            raise source.corrupt(
                self.folder, "next_obs", "does not lead to the next row; episodes cannot be cut"
            )
        findings.stream(cuts)
        return cuts.episodes

    def episodes(self, cuts: list[Cut], findings: Findings) -> Iterator[Episode]:
        """Read them in blocks."""
        keys = {name: f"{key}_*.npy" for name, key in _KEYS.items()}
        state = "states" if "states" in self._arrays else "obs"
        keys |= {"states": f"{state}_*.npy", "next_states": f"next_{state}_*.npy"}

        def read(name: str, start: int, stop: int) -> Array:
            if name in ("states", "next_states"):
                rows = self._read(name.replace("states", state), start, stop)
                return rows[:, 0] if state == "states" else rows.reshape(len(rows), -1)
            return self._read(_KEYS[name], start, stop)

        return Stream(self.folder, keys, read, None, findings=findings).episodes(cuts)

    def _read(self, key: str, start: int, stop: int) -> Array:
        """Rows [B, N, ...]."""
        return np.stack([array[start:stop] for array in self._arrays[key]], axis=1)
