"""The SMACv2 layer against tables recorded from the unmodified upstream environment (see golden/README.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from env_adapters.starcraft import (
    smacv2_actions,
    smacv2_layer,
    smacv2_observation,
    smacv2_state,
    smacv2_visibility,
)
from env_adapters.starcraft.smacv2_options import SmacV2Options
from env_adapters.starcraft.table import COOLDOWN, ENERGY, HEALTH, N_FIELDS, OWNER, SHIELD, TYPE, X, Y
from env_adapters.starcraft.units import ROW

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("smacv2_*.npz"))
FULL = sorted(Path(os.environ["GOLDEN_DIR"]).glob("smacv2_*.npz")) if "GOLDEN_DIR" in os.environ else []
FIELDS = {X: "x", Y: "y", HEALTH: "health", SHIELD: "shield", ENERGY: "energy", COOLDOWN: "weapon_cooldown"}
LEAST_MARGIN = 1e-9
"""Tables with a unit nearer to the edge of a cone, in radians, hang on the last bit of an arctan."""


def options_of(meta: dict) -> SmacV2Options:
    """Constructor options and capabilities of a recording; values of capabilities come from the tables."""
    capabilities = meta.get("capability_config", {})
    given = dict(meta["constructor_options"])
    if "attack" in capabilities:
        given |= {"attack_probability": (0.0, 1.0), "observe_attack_probs": capabilities["attack"]["observe"]}
    if "health" in capabilities:
        given |= {"health_level": (0.0, 0.9), "observe_teammate_health": capabilities["health"]["observe"]}
    if "enemy_mask" in capabilities:
        given["mask_probability"] = capabilities["enemy_mask"]["mask_probability"]
    if "team_gen" in capabilities:
        given["observe_teammate_types"] = capabilities["team_gen"]["observe"]
    return SmacV2Options.parse(**given)


class Recording:
    """One golden file and a layer for each of its grids."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self.arrays = {name: archive[name] for name in archive.files}
        self.meta = json.loads(str(self.arrays["meta"]))
        self.options = options_of(self.meta)
        names = {number: name for name, number in self.meta["ally_type_ids"].items()}
        names |= {number: name for name, number in self.meta["enemy_type_ids"].items()}
        self.rows = np.vectorize(lambda number: ROW[names[number]])(self.arrays["unit_type"])
        size = self.meta["n_agents"], self.meta["n_enemies"]
        grids = zip(self.arrays["pathing_grid"], self.arrays["terrain_height"], strict=True)
        self.layers = [
            smacv2_layer.make_layer(self.meta["ally_race"], *size, self.options, pathable, height)
            for pathable, height in grids
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def table(self, t: int, when: str) -> np.ndarray:
        table = np.zeros((N_FIELDS, self.rows.shape[1]))
        table[TYPE], table[OWNER] = self.rows[t], self.arrays["owner"][t]
        for field, key in FIELDS.items():
            table[field] = self.arrays[f"{when}_{key}"][t]
        return table

    def layer(self, t: int) -> smacv2_layer.Layer:
        return self.layers[self.arrays["grid_index"][t]]

    def memory(self, t: int) -> smacv2_layer.Memory:
        """Memory of one game before the step."""
        memory = smacv2_layer.new_memory(self.layer(t), 1)
        keys = ("prev_obs_enemies", "prev_enemy_tags", "prev_fov_index")
        stored = (*keys, "attack_probability", "health_level", "enemy_mask")
        for array, key in zip(memory, stored, strict=True):
            if key in self.arrays:
                array[0] = self.arrays[key][t]
        return memory

    def last_actions(self, t: int) -> np.ndarray:
        one_hot = self.arrays["last_action"][t]
        return np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1).astype(np.int64)

    def elapsed(self, t: int) -> float:
        return int(self.arrays["episode_steps"][t]) / int(self.arrays["episode_limit"])

    def excused(self, t: int) -> bool:
        return "cone_margin" in self.arrays and bool(self.arrays["cone_margin"][t] < LEAST_MARGIN)


def masks(
    recording: Recording, t: int, when: str, memory: smacv2_layer.Memory
) -> tuple[np.ndarray, np.ndarray]:
    """Masks by range and cone, and what the agents are offered."""
    table, layer = recording.table(t, when), recording.layer(t)
    true = np.ones(recording.arrays["avail"].shape[1:], dtype=np.bool_)
    smacv2_actions.available_actions(table, memory, 0, layer, true)
    offered = true.copy()
    smacv2_actions.offer_all_targets(table, layer, offered)
    return true, offered


def played(recording: Recording, t: int) -> smacv2_layer.Memory:
    """Memory after the step's actions and deaths, before anybody looks."""
    memory, layer = recording.memory(t), recording.layer(t)
    smacv2_actions.turn_views(memory, 0, layer, recording.arrays["actions"][t].astype(np.int64))
    smacv2_visibility.forget_dead(recording.table(t, "cur"), memory, 0, layer)
    return memory


def look(recording: Recording, t: int, memory: smacv2_layer.Memory, which: str) -> tuple[np.ndarray, int]:
    """Observations of the first ("") or second ("2") look at table t, and how many draws upstream takes."""
    arrays, layer = recording.arrays, recording.layer(t)
    out = np.full(arrays["obs"].shape[1:], np.nan, dtype=np.float32)
    order, draws = arrays[f"obs_order{which}"][t].astype(np.int64), arrays[f"obs_draws{which}"][t]
    available, _ = masks(recording, t, "cur", memory)
    elapsed, last = recording.elapsed(t), recording.last_actions(t)
    table = recording.table(t, "cur")
    found = smacv2_observation.observe(table, memory, 0, layer, available, last, elapsed, order, draws, out)
    return out, found * (layer.n_allies - 1)


def same(actual: np.ndarray, expected: np.ndarray) -> bool:
    """Equal in every bit, the sign of zero included."""
    assert actual.dtype == expected.dtype
    return actual.tobytes() == expected.tobytes()


def differences(recording: Recording) -> tuple[list[str], int]:
    """What differs from upstream, as "table: what", and how many differing tables a cone's edge excuses."""
    arrays = recording.arrays
    found: list[str] = []
    excused = 0
    for t in range(len(recording)):
        memory = recording.memory(t)
        _, offered = masks(recording, t, "prev", memory)
        checks = {"prev_avail": same(offered.astype(np.uint8), arrays["prev_avail"][t])}
        memory = played(recording, t)
        if "fov_index" in arrays:
            checks["fov_index"] = same(memory.fov[0], arrays["fov_index"][t])
        checks["obs_enemies_before"] = same(memory.obs_enemies[0], arrays["obs_enemies_before_obs"][t])
        checks["enemy_tags_before"] = same(memory.enemy_tags[0], arrays["enemy_tags_before_obs"][t])
        _, offered = masks(recording, t, "cur", memory)
        checks["avail"] = same(offered.astype(np.uint8), arrays["avail"][t])
        for which in ("", "2"):
            observations, n_draws = look(recording, t, memory, which)
            checks[f"obs{which}"] = same(observations, arrays[f"obs{which}"][t])
            checks[f"draws{which}"] = n_draws == arrays[f"obs_n_draws{which}"][t]
            after = f"after_obs{which}"
            checks[f"obs_enemies_{after}"] = same(memory.obs_enemies[0], arrays[f"obs_enemies_{after}"][t])
            checks[f"enemy_tags_{after}"] = same(memory.enemy_tags[0], arrays[f"enemy_tags_{after}"][t])
        state = np.full(arrays["state"].shape[1:], np.nan, dtype=np.float32)
        table, last, elapsed = recording.table(t, "cur"), recording.last_actions(t), recording.elapsed(t)
        smacv2_state.global_state(table, memory, 0, recording.layer(t), last, elapsed, state)
        checks["state"] = same(state, arrays["state"][t])
        wrong = [f"table {t}: {what}" for what, right in checks.items() if not right]
        excused += bool(wrong) and recording.excused(t)
        found += [] if recording.excused(t) else wrong
    return found, excused


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording(request.param)


def test_everything_is_bit_equal(recording: Recording) -> None:
    found, excused = differences(recording)
    assert not found, found[:10]
    assert excused <= len(recording) // 10


def test_sizes(recording: Recording) -> None:
    observation, state, actions = smacv2_layer.sizes(recording.layers[0])
    assert observation == recording.arrays["obs"].shape[2] == recording.meta["obs_size_reported"]
    assert state == recording.arrays["state"].shape[1] == recording.meta["state_size_reported"]
    assert actions == recording.meta["n_actions"]
    assert recording.arrays["episode_limit"] == smacv2_layer.EPISODE_LIMIT


def check_orders(recording: Recording) -> int:
    """Compare which attacks and heals reach the game; returns how many do.

    Stochastic attacks are left out: upstream draws for them from a generator that nobody can repeat.
    """
    sent = 0
    for t in range(len(recording) if recording.options.attack_probability is None else 0):
        memory, layer, table = recording.memory(t), recording.layer(t), recording.table(t, "prev")
        for a, action in enumerate(recording.arrays["actions"][t]):
            target = smacv2_actions.target_of(table, layer, a, int(action))
            through = target >= 0 and smacv2_actions.order_goes_through(
                table, memory, 0, layer, a, target, 0.0
            )
            row = recording.arrays["command_target_row"][t, a]
            assert recording.excused(t) or row == (target if through else -1), f"table {t}, agent {a}"
            sent += through
    return sent


def check_deaths_by_level(recording: Recording) -> int:
    """Compare who dies for lack of health; returns how many do."""
    killed = np.zeros((len(recording), recording.meta["n_agents"]), dtype=np.bool_)
    for t in range(len(recording)):
        layer = recording.layer(t)
        smacv2_actions.mark_doomed(recording.table(t, "prev"), recording.memory(t), 0, layer, killed[t])
    counted = recording.arrays["prev_death_tracker_ally"] > 0
    alive = recording.arrays["prev_health"][:, : recording.meta["n_agents"]] > 0
    np.testing.assert_array_equal((killed & ~counted)[alive], recording.arrays["killed_by_level"][alive])
    return int(killed.sum())


def test_orders_reach_the_game_as_upstream_sends_them() -> None:
    assert sum(check_orders(Recording(path)) for path in FILES) > 50


def test_who_dies_below_the_health_level() -> None:
    assert sum(check_deaths_by_level(Recording(path)) for path in FILES if "__health" in path.stem) > 10


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="set GOLDEN_DIR to the folder of the full recordings")
@pytest.mark.parametrize("path", FULL, ids=lambda path: path.stem)
def test_full_recordings(path: Path) -> None:
    full = Recording(path)
    found, excused = differences(full)
    assert not found, found[:10]
    assert excused <= len(full) // 10
    check_orders(full)
    if "killed_by_level" in full.arrays:
        check_deaths_by_level(full)


def _for_all(**fields: object) -> Callable[[Recording], None]:
    def change(recording: Recording) -> None:
        for layer in recording.layers:
            for name, value in fields.items():
                layer[name] = value(layer[name]) if callable(value) else value

    return change


def _reverse(key: str) -> Callable[[Recording], None]:
    def change(recording: Recording) -> None:
        recording.arrays[key] = recording.arrays[key][:, ::-1]

    return change


PLANTS = {
    "a target at exactly the shooting range is out of reach": (
        "zerg_5_vs_5", "avail", _for_all(shoot=lambda shoot: np.nextafter(shoot, 0)),
    ),
    "everybody sees nine cells far": ("terran_10_vs_11", "obs", _for_all(sight=9.0)),
    "types in alphabetical order": ("terran_5_vs_5", "state", _for_all(type_bit=lambda bit: (bit + 1) % 3)),
    "enemy rows do not vanish": ("protoss_5_vs_5", "obs", _for_all(exact=False)),
    "Medivacs attack": ("terran_5_vs_5", "avail", _for_all(heals=False)),
    "everybody is told of an enemy": (
        "terran_10_vs_11__prob_obs_enemy_half", "obs_enemies_after_obs", _for_all(prob_obs_enemy=1.0),
    ),
    "masks hide distant targets": ("protoss_5_vs_5__epo", "avail", _for_all(action_mask=True)),
    "one divisor of cooldowns": ("protoss_5_vs_5", "state", _for_all(cooldown_max=15.0)),
    "a wide cone": ("zerg_5_vs_5_conic", "avail", _for_all(half_angle=0.4)),
    "cones do not reach behind": (
        "zerg_5_vs_5_conic", "avail", _for_all(look_angle=lambda angle: np.sort(angle, axis=1)),
    ),
    "agents visited the other way round": ("terran_10_vs_11", "obs", _reverse("obs_order")),
    "draws in another order": (
        "terran_10_vs_11__prob_obs_enemy_half", "obs_enemies_after_obs", _reverse("obs_draws"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", PLANTS)
def test_planted_bugs_are_caught(bug: str) -> None:
    file, where, plant = PLANTS[bug]
    planted = Recording(GOLDEN / f"smacv2_{file}.npz")
    plant(planted)
    found, _ = differences(planted)
    assert any(difference.endswith(f": {where}") for difference in found)


def test_forgotten_cleaning_up_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smacv2_visibility, "forget_dead", lambda *_: None)
    found, _ = differences(Recording(GOLDEN / "smacv2_terran_5_vs_5.npz"))
    assert any("enemy_tags_before" in difference for difference in found)
