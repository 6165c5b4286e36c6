"""Tables recorded from unmodified upstream environments, as the kernels want them (see golden/README.md)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from _pytest.mark import ParameterSet

from env_adapters.api import BoolArray, DoubleArray, IntArray
from env_adapters.starcraft.table import COOLDOWN, ENERGY, HEALTH, N_FIELDS, OWNER, SHIELD, TYPE, X, Y
from env_adapters.starcraft.units import ROW

GOLDEN = Path(__file__).parent / "golden"
FULL_VARIABLE = "GOLDEN_DIR"
"""Environment variable with the folder of the full recordings."""
_FIELDS = {
    X: "x",
    Y: "y",
    HEALTH: "health",
    SHIELD: "shield",
    ENERGY: "energy",
    COOLDOWN: "weapon_cooldown",
}


class Recording:
    """One file: `arrays` under the recorder's names, `meta`, and the tables as the kernels want them.

    `when` is "prev" for before the step and "cur" for after it.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self.arrays: dict[str, npt.NDArray[Any]] = {name: archive[name] for name in archive.files}
        self.name = path.stem
        self.meta: dict[str, Any] = json.loads(str(self.arrays["meta"]))
        self.n_agents: int = self.meta["n_agents"]
        self.n_enemies: int = self.meta["n_enemies"]
        names = {number: name for name, number in self.meta["ally_type_ids"].items()}
        names |= {number: name for name, number in self.meta["enemy_type_ids"].items()}
        rows = np.vectorize(lambda number: ROW[names[number]], otypes=[np.int64])
        self._types = rows(self.arrays["unit_type"])

    def __len__(self) -> int:
        return len(self._types)

    def table(self, t: int, when: str = "cur") -> DoubleArray:
        """Unit table [N_FIELDS, U]."""
        table = np.zeros((N_FIELDS, self._types.shape[1]))
        table[TYPE], table[OWNER] = self._types[t], self.arrays["owner"][t]
        for field, key in _FIELDS.items():
            table[field] = self.arrays[f"{when}_{key}"][t]
        return table

    def pathable(self, t: int) -> BoolArray:
        """[32, 32], indexed [x, y]."""
        grid: BoolArray = self.arrays["pathing_grid"][self.arrays["grid_index"][t]]
        return grid

    def heights(self, t: int) -> DoubleArray:
        """[32, 32], indexed [x, y], 0 to 1."""
        grid: DoubleArray = self.arrays["terrain_height"][self.arrays["grid_index"][t]]
        return grid

    def masks(self, t: int, when: str = "cur") -> BoolArray:
        """What upstream made available, [N, A]."""
        key = "avail" if when == "cur" else "prev_avail"
        return np.asarray(self.arrays[key][t], dtype=np.bool_)

    def last_actions(self, t: int) -> IntArray:
        """[N], -1 for none, as they were when observations and state were read."""
        one_hot = self.arrays["last_action"][t]
        return np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1).astype(np.int64)

    def step(self, t: int) -> int:
        """Steps played when observations and state were read."""
        return int(self.arrays["episode_steps"][t])

    def counted(self, t: int, when: str) -> BoolArray:
        """Deaths already rewarded, [U]: "prev" before the step, "cur" after it."""
        start = "prev_" if when == "prev" else ""
        sides = [self.arrays[f"{start}death_tracker_{side}"][t] for side in ("ally", "enemy")]
        return np.concatenate(sides) > 0


def files(*patterns: str) -> list[Path]:
    """The recordings kept with the tests."""
    return sorted(path for pattern in patterns for path in GOLDEN.glob(pattern))


def full_files(*patterns: str) -> list[ParameterSet]:
    """Test parameters: the recordings in the folder that GOLDEN_DIR names, or one that is skipped, saying why."""
    folder = os.environ.get(FULL_VARIABLE)
    if folder is None:
        return [_skipped(f"set {FULL_VARIABLE} to the folder of the full recordings")]
    found = sorted(path for pattern in patterns for path in Path(folder).glob(pattern))
    if not found:
        return [_skipped(f"no {' or '.join(patterns)} in {folder}")]
    return [pytest.param(path, id=path.stem) for path in found]


def _skipped(reason: str) -> ParameterSet:
    return pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")


def assert_same_bits(actual: npt.NDArray[Any], expected: npt.NDArray[Any], place: str) -> None:
    """Fail unless two float32 arrays agree in every bit, the sign of zero included."""
    assert actual.dtype == expected.dtype == np.float32, place
    assert actual.shape == expected.shape, f"{place}: shape {actual.shape}, expected {expected.shape}"
    differ = np.argwhere(actual.view(np.uint32) != expected.view(np.uint32))
    if len(differ):
        at = tuple(int(i) for i in differ[0])
        raise AssertionError(
            f"{place}: {len(differ)} elements differ, first {at}: {actual[at]!r}, upstream {expected[at]!r}"
        )
