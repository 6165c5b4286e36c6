"""The SMAC layers against tables recorded from the unmodified upstream environments (see golden/README.md).

Names of files tell what is in them: `smac_*` SMAC v1, `omiga_*` its OMIGA variant; `smacv2_*` SMACv2, of which
only rewards are compared here.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from golden_tables import Recording, assert_same_bits, files, full_files

from env_adapters.starcraft import maps, omiga_layer, smac_layer, smac_look, smac_reward
from env_adapters.starcraft.smac_options import RewardOptions, SmacOptions
from env_adapters.starcraft.table import HEALTH, SHIELD

CODE = SimpleNamespace(layer=smac_layer, look=smac_look, reward=smac_reward, omiga=omiga_layer)
"""The modules under test; planted bugs replace them by altered copies."""


class Layout:
    """The layer that a recording was made with."""

    def __init__(self, recording: Recording, code: Any) -> None:
        self.code = code
        self.recording = recording
        self.omiga = recording.meta["package"] == "og-marl omiga"
        self.info = maps.load(recording.meta["map_name"])
        if self.omiga:
            self.layer = code.omiga.make_omiga_layer(self.info)
            self.sizes = code.omiga.omiga_sizes(self.layer)
        else:
            options = SmacOptions.parse(**recording.meta["constructor_options"])
            self.layer = code.layer.make_layer(self.info, options)
            self.sizes = code.layer.sizes(self.layer)

    def look(self, t: int, when: str) -> tuple[np.ndarray, np.ndarray]:
        """Masks [N, A] and observations [N, D], over memory that holds something else."""
        recording, n = self.recording, self.recording.n_agents
        masks = np.ones((n, self.sizes.actions), dtype=np.bool_)
        observations = np.full((n, self.sizes.observation), np.nan, dtype=np.float32)
        self.code.look.look(
            recording.table(t, when),
            self.layer,
            recording.pathable(t),
            recording.heights(t),
            recording.last_actions(t),
            recording.step(t),
            masks,
            observations,
        )
        return masks, observations

    def state(self, t: int, masks: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """[S]"""
        table, last = self.recording.table(t), self.recording.last_actions(t)
        out = np.full(self.sizes.state, np.nan, dtype=np.float32)
        if self.omiga:
            self.code.omiga.omiga_state(table, self.layer, masks, last, out)
        else:
            self.code.layer.global_state(table, self.layer, observations, last, self.recording.step(t), out)
        return out


def compare_sizes(recording: Recording, code: Any = CODE) -> None:
    layout = Layout(recording, code)
    sizes, meta, arrays = layout.sizes, recording.meta, recording.arrays
    assert sizes.observation == arrays["obs"].shape[-1]
    assert sizes.reported_observation == meta["obs_size_reported"]
    assert sizes.actions == meta["n_actions"]
    assert sizes.state == np.prod(arrays["state"].shape[1:])
    if not layout.omiga:
        assert sizes.reported_state == meta["state_size_reported"]
    assert layout.info.episode_limit == arrays["episode_limit"]


def compare_views(recording: Recording, code: Any = CODE) -> None:
    """Masks before and after the step, observations and states, element by element."""
    layout, arrays = Layout(recording, code), recording.arrays
    for t in range(len(recording)):
        place = f"table {t} of {recording.name}"
        before, _ = layout.look(t, "prev")
        np.testing.assert_array_equal(before, recording.masks(t, "prev"), err_msg=f"masks before {place}")
        masks, observations = layout.look(t, "cur")
        np.testing.assert_array_equal(masks, recording.masks(t, "cur"), err_msg=f"masks of {place}")
        assert_same_bits(observations, arrays["obs"][t], f"observations of {place}")
        state = layout.state(t, masks, observations)
        assert_same_bits(state, arrays["state"][t].reshape(-1), f"state of {place}")


def rules_of(recording: Recording, code: Any) -> Any:
    """Rules of a recording; SMACv2's largest reward depends on the first team and is taken from the file."""
    meta, arrays, reward = recording.meta, recording.arrays, code.reward
    given = {name: value for name, value in meta["constructor_options"].items() if name.startswith("reward_")}
    options = RewardOptions.parse(**given)
    if meta["package"] != "smacv2":
        info = maps.load(meta["map_name"])
        assert reward.max_reward(info, options) == arrays["max_reward"]
        return reward.smac_rules(info, options)
    healing = meta["map_type"] in ("MMM", "terran_gen")
    return reward.make_rules(
        n_allies=recording.n_agents,
        n_enemies=recording.n_enemies,
        medivac_rule=reward.MEDIVAC_RULE_V2 if healing else reward.NO_MEDIVAC_RULE,
        positive_rule=reward.CLIPPED,
        options=options,
        max_reward=float(arrays["max_reward"]),
    )


def compare_rewards(recording: Recording, code: Any = CODE) -> None:
    """Raw and final rewards, counted deaths and outcomes, to the last bit."""
    rules, arrays, reward = rules_of(recording, code), recording.arrays, code.reward
    for t in range(len(recording)):
        place = f"table {t} of {recording.name}"
        before, after = recording.table(t, "prev"), recording.table(t, "cur")
        counted = recording.counted(t, "prev")
        battle = reward.battle_reward(after, rules, before[HEALTH] + before[SHIELD], counted)
        result = reward.outcome(after, rules)
        assert battle == arrays["reward_battle"][t], place
        assert result == arrays["end_code"][t], place
        assert (result == reward.WON) == arrays["battle_won"][t], place
        assert reward.step_reward(battle, result, rules) == arrays["reward"][t], place
        np.testing.assert_array_equal(counted, recording.counted(t, "cur"), err_msg=place)


def by_name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", files("smac_*.npz", "omiga_*.npz"), ids=by_name)
def test_views_are_bit_equal(path: Path) -> None:
    recording = Recording(path)
    compare_sizes(recording)
    compare_views(recording)


@pytest.mark.parametrize("path", files("smac_*.npz", "omiga_*.npz", "smacv2_*.npz"), ids=by_name)
def test_rewards_are_equal(path: Path) -> None:
    compare_rewards(Recording(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", full_files("smac_*.npz", "omiga_*.npz", "smacv2_*.npz"))
def test_full_recordings(path: Path) -> None:
    recording = Recording(path)
    compare_rewards(recording)
    if recording.meta["package"] != "smacv2":
        if "move_amount" in recording.meta["constructor_options"]:
            pytest.skip("rewards compared; the layer has no option move_amount")
        compare_sizes(recording)
        compare_views(recording)


def test_every_map_and_option_is_recorded() -> None:
    names = {path.stem for path in files("smac_*.npz")}
    assert {f"smac_{name}" for name in maps.names()} <= names
    options = ("obs_last_action", "timestep", "pathing_terrain", "reward_signed", "reward_sparse")
    for name in ("5m_vs_6m", "2s3z", "MMM2"):
        assert {f"smac_{name}__{option}" for option in (*options, "obs_instead_of_state")} <= names


def altered(replacements: dict[str, tuple[str, str]], patch: pytest.MonkeyPatch) -> Any:
    """Copies of the modules, interpreted instead of compiled, with one text replaced in those named."""
    copies: dict[str, ModuleType] = {}
    for key in ("layer", "look", "omiga", "reward"):
        original = getattr(CODE, key)
        source = Path(original.__file__).read_text(encoding="utf-8")
        if key in replacements:
            old, new = replacements[key]
            assert old in source, f"{original.__name__} no longer says: {old}"
            source = source.replace(old, new)
        source = source.replace(
            "from env_adapters.jit import inner, kernel\n", "inner = kernel = lambda f: f\n"
        )
        source = source.replace("from env_adapters.jit import kernel\n", "kernel = lambda f: f\n")
        for other, copy in copies.items():
            source = source.replace(
                f"from {getattr(CODE, other).__name__} import", f"from {copy.__name__} import"
            )
        spec = importlib.util.spec_from_loader(f"altered_{key}", loader=None)
        assert spec is not None
        copies[key] = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, f"altered_{key}", copies[key])
        exec(compile(source, f"altered_{key}", "exec"), copies[key].__dict__)
    return SimpleNamespace(**copies)


@pytest.fixture(autouse=True)
def quiet_division() -> Iterator[None]:
    """Interpreted kernels divide 0 by 0 for the unused shields of units without shields; compiled, in silence."""
    with np.errstate(invalid="ignore"):
        yield


def test_unaltered_copies_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    code = altered({}, monkeypatch)
    assert not hasattr(code.look.look, "py_func"), "the copies are compiled"
    for name in ("smac_2s3z__timestep", "smac_MMM2__pathing_terrain"):
        recording = Recording(files(f"{name}.npz")[0])
        compare_sizes(recording, code)
        compare_views(recording, code)
        compare_rewards(recording, code)


PLANTS = {
    "sight_inclusive": ("look", "if distance >= SIGHT", "if distance > SIGHT", "smac_5m_vs_6m"),
    "shots_exclusive": ("look", "distance <= SHOOT_RANGE", "distance < SHOOT_RANGE", "smac_5m_vs_6m"),
    "cells_floored": ("look", "int(x), int(y)", "int(x // 1), int(y // 1)", "smac_3m"),
    "minus_zero": ("look", "0.0 - right", "-right", "smac_3m"),
    "medivac_attacks": ("look", "if not (layer.heals and", "if not (False and", "smac_MMM"),
    "marines_heal": ("look", "u_heals and not a_heals", "not a_heals", "smac_MMM"),
    "off_map_is_low": ("look", "if inside else 1.0", "if inside else 0.0", "smac_2s3z__pathing_terrain"),
    "off_map_is_wall": ("look", "not inside or", "inside and", "smac_2s3z__pathing_terrain"),
    "last_action_of_self": ("look", "last_actions[u] >= 0:", "False:", "smac_2s3z__obs_last_action"),
    "one_hot_swapped": ("layer", "(ENEMY_BIT, _ENEMY_BITS)", "(ENEMY_BIT, _ALLY_BITS)", "smac_2s3z"),
    "no_unused_zero": ("layer", "timestep = 2 if", "timestep = 1 if", "smac_5m_vs_6m__timestep"),
    "timestep_of_next": ("layer", "= step / layer", "= (step + 1) / layer", "smac_5m_vs_6m__timestep"),
    "no_energy": ("layer", "if layer.heals and kind == MEDIVAC", "if False", "smac_MMM"),
    "dead_in_state": ("layer", "if game[HEALTH, u] <= 0.0", "if False", "smac_3m"),
    "no_abs": ("reward", "return abs(damage + deaths)", "return damage + deaths", "smac_3m"),
    "clipped": ("reward", "positive_rule=ABSOLUTE", "positive_rule=CLIPPED", "smac_3m"),
    "sparse_unscaled": ("reward", "total = 1.0 if", "return 1.0 if", "smac_5m_vs_6m__reward_sparse"),
    "sparse_counts": ("reward", "if rules.sparse:\n        return 0.0", "", "smac_5m_vs_6m__reward_sparse"),
    "own_deaths_free": ("reward", "deaths -= rules", "deaths -= 0.0 * rules", "smac_5m_vs_6m__reward_signed"),
    "no_medivac_rule": ("reward", "enemies == 1 and enemy_medivacs == 1", "False", "smac_MMM"),
    "seen_anywhere": ("omiga", "return distance < SIGHT", "return True", "omiga_1c3s5z"),
    "dead_unnamed": ("omiga", "out[a * size + size - n + a] = 1.0", "", "omiga_1c3s5z"),
    "own_place_first": ("omiga", "own=own + 4", "own=own", "omiga_1c3s5z"),
    "draw_is_lost": ("reward", "if enemies > 0 else BOTH_DEAD", "", "smac_3m"),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_bugs_are_caught(plant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, old, new, name = PLANTS[plant]
    code = altered({module: (old, new)}, monkeypatch)
    recording = Recording(files(f"{name}.npz")[0])
    with pytest.raises(AssertionError):
        compare_sizes(recording, code)
        compare_views(recording, code)
        compare_rewards(recording, code)
