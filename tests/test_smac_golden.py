"""The SMAC v1 layer against tables recorded from the unmodified upstream environment (see golden/README.md)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from env_adapters.starcraft import maps, smac_layer, smac_reward
from env_adapters.starcraft.table import COOLDOWN, ENERGY, HEALTH, N_FIELDS, OWNER, SHIELD, TYPE, X, Y
from env_adapters.starcraft.units import UNITS

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("smac_*.npz"))
ROW_OF_ID = {unit.id: row for row, unit in enumerate(UNITS)}


class Recording:
    """One golden file and the layer of its map."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self.arrays = {name: archive[name] for name in archive.files}
        self.meta = json.loads(str(self.arrays["meta"]))
        self.info = maps.load(self.meta["map_name"])
        signed = self.meta["constructor_options"].get("reward_only_positive") is False
        self.layer = smac_layer.make_layer(self.info, signed_reward=signed)
        names = {value: name for name, value in self.meta["ally_type_ids"].items()}
        names |= {value: name for name, value in self.meta["enemy_type_ids"].items()}
        rows = {unit.name: row for row, unit in enumerate(UNITS)}
        self.rows = np.vectorize(lambda type_id: rows[names[type_id]])(self.arrays["unit_type"])

    def table(self, t: int, when: str) -> np.ndarray:
        table = np.zeros((N_FIELDS, self.rows.shape[1]))
        table[TYPE], table[OWNER] = self.rows[t], self.arrays["owner"][t]
        for field, key in ((X, "x"), (Y, "y"), (HEALTH, "health"), (SHIELD, "shield"), (ENERGY, "energy")):
            table[field] = self.arrays[f"{when}_{key}"][t]
        table[COOLDOWN] = self.arrays[f"{when}_weapon_cooldown"][t]
        return table

    def masks(self, t: int, when: str) -> np.ndarray:
        grid = self.arrays["pathing_grid"][self.arrays["grid_index"][t]]
        out = np.zeros_like(self.arrays["avail"][t], dtype=np.bool_)
        smac_layer.available_actions(self.table(t, when), self.layer, grid, out)
        return out


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording(request.param)


def tables(recording: Recording) -> range:
    return range(len(recording.rows))


def test_sizes(recording: Recording) -> None:
    observation, state, actions = smac_layer.sizes(recording.layer)
    assert observation == recording.meta["obs_size_reported"]
    assert state == recording.meta["state_size_reported"]
    assert actions == recording.meta["n_actions"]
    assert recording.info.max_reward == recording.arrays["max_reward"]
    assert recording.info.episode_limit == recording.arrays["episode_limit"]


def test_available_actions(recording: Recording) -> None:
    for t in tables(recording):
        np.testing.assert_array_equal(
            recording.masks(t, "cur"), recording.arrays["avail"][t], err_msg=f"table {t}"
        )
        np.testing.assert_array_equal(
            recording.masks(t, "prev"), recording.arrays["prev_avail"][t], err_msg=f"table {t}"
        )


def test_observations_are_bit_equal(recording: Recording) -> None:
    expected = recording.arrays["obs"]
    for t in tables(recording):
        out = np.full(expected.shape[1:], np.nan, dtype=np.float32)
        smac_layer.observe(recording.table(t, "cur"), recording.layer, recording.masks(t, "cur"), out)
        np.testing.assert_array_equal(out, expected[t], err_msg=f"table {t}")


def test_states_are_bit_equal(recording: Recording) -> None:
    expected = recording.arrays["state"]
    for t in tables(recording):
        one_hot = recording.arrays["last_action"][t]
        last = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1).astype(np.int64)
        out = np.full(expected.shape[1:], np.nan, dtype=np.float32)
        smac_layer.global_state(recording.table(t, "cur"), recording.layer, last, out)
        np.testing.assert_array_equal(out, expected[t], err_msg=f"table {t}")


def test_reward_and_outcome(recording: Recording) -> None:
    arrays = recording.arrays
    scale = float(arrays["max_reward"]) / smac_reward.REWARD_SCALE
    for t in tables(recording):
        before, after = recording.table(t, "prev"), recording.table(t, "cur")
        counted = (
            np.concatenate([arrays["prev_death_tracker_ally"][t], arrays["prev_death_tracker_enemy"][t]]) > 0
        )
        reward = smac_reward.battle_reward(after, recording.layer, before[HEALTH] + before[SHIELD], counted)
        assert reward == arrays["reward_battle"][t], f"table {t}"
        trackers = np.concatenate([arrays["death_tracker_ally"][t], arrays["death_tracker_enemy"][t]]) > 0
        np.testing.assert_array_equal(counted, trackers, err_msg=f"table {t}")
        code = smac_reward.outcome(after, recording.layer)
        assert code == arrays["end_code"][t], f"table {t}"
        total = reward + (smac_reward.WIN_REWARD if code == smac_reward.WON else 0.0)
        assert total / scale == arrays["reward"][t], f"table {t}"
