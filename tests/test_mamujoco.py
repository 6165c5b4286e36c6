"""The dataset robots as worlds: limits, actions, snapshots, refusals, quietness."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env_adapters import scenarios
from env_adapters.api import FloatArray
from env_adapters.conformance import check_adapter, check_vector_adapter
from env_adapters.errors import (
    ActionError,
    CorruptFileError,
    InvalidValueError,
    MismatchError,
    MissingExtraError,
    UnknownNameError,
)

mujoco = pytest.importorskip("mujoco")
pytest.importorskip("gymnasium")

from env_adapters.mamujoco.robots import DATASET_TEAMS, FLAVOURS, GYMNASIUM, OMIGA  # noqa: E402

NAMES = tuple(DATASET_TEAMS)
EVERY = [(name, layout) for name in NAMES for layout in FLAVOURS]


def random_actions(env: Any, steps: int, seed: int = 0) -> FloatArray:
    """[T, N, A] in [-1, 1]."""
    shape = (steps, env.spec.n_agents, env.spec.action_size)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(("name", "layout"), EVERY)
def test_every_flavour_keeps_the_contract(name: str, layout: str) -> None:
    check_adapter(lambda: scenarios.make(name, layout=layout))
    check_vector_adapter(
        lambda n_games: scenarios.make_vector(name, n_games, layout=layout),
        lambda: scenarios.make(name, layout=layout),
    )


def test_sizes_layouts_and_engines() -> None:
    sizes = {
        ("6halfcheetah", OMIGA): (6, 23, 17, 1),
        ("3hopper", OMIGA): (3, 14, 11, 1),
        ("2ant", OMIGA): (2, 113, 111, 4),
        ("6halfcheetah", GYMNASIUM): (6, 17, 17, 1),
        ("3hopper", GYMNASIUM): (3, 11, 11, 1),
        ("2ant", GYMNASIUM): (2, 105, 105, 4),
    }
    for (name, layout), expected in sizes.items():
        spec = scenarios.make(name, layout=layout).spec
        assert (spec.n_agents, spec.observation_size, spec.state_size, spec.action_size) == expected
        assert (spec.layout, spec.action_kind, spec.has_win) == (layout, "continuous", False)
        constants = "+2.1-constants" if layout == OMIGA else ""
        assert spec.engine == f"mujoco/{mujoco.__version__}{constants}"
    assert scenarios.make("2ant").spec.layout == OMIGA


@pytest.mark.parametrize("layout", FLAVOURS)
def test_the_limit_truncates_and_falling_terminates(layout: str) -> None:
    with scenarios.make("6halfcheetah", layout=layout) as env:
        env.reset(0)
        steps = [env.step(action) for action in random_actions(env, 1000)]
    assert [step.truncated for step in steps] == [False] * 999 + [True]
    assert not any(step.terminated for step in steps)
    with scenarios.make("3hopper", layout=layout) as env:
        env.reset(0)
        steps = [env.step(action) for action in random_actions(env, 300)]
    ends = [step.terminated for step in steps]
    fall = ends.index(True)
    assert 5 < fall < 200
    assert not any(step.truncated for step in steps)
    assert {step.reward for step in steps[fall + 1 :]} == {0.0}
    assert {step.info["steps"] for step in steps[fall:]} == {fall + 1}


def test_only_the_old_robots_are_paid_for_the_step_they_fall_in() -> None:
    """The bonus is 1, and speed and control cost of a falling step are far from another 1."""
    bonus = {}
    for layout in FLAVOURS:
        with scenarios.make("3hopper", layout=layout) as env:
            env.reset(0)
            x = env.render_state().arrays["qpos"][0]
            for action in random_actions(env, 300):
                step = env.step(action)
                x, before = env.render_state().arrays["qpos"][0], x
                if step.terminated:
                    break
            cost = 1e-3 * float(np.square(action).sum())
            bonus[layout] = step.reward - (x - before) / 0.008 + cost
    assert bonus == {OMIGA: pytest.approx(1.0), GYMNASIUM: pytest.approx(0.0, abs=1e-6)}


def test_ants_contact_forces_are_zero_in_the_old_data_and_real_today() -> None:
    shown = {}
    for layout in FLAVOURS:
        with scenarios.make("2ant", layout=layout) as env:
            env.reset(0)
            forces = []
            for action in random_actions(env, 60):
                env.step(action)
                forces.append(np.abs(env.state()[27:]))
            shown[layout] = np.max(forces, axis=0)
    assert shown[OMIGA].shape == (84,)
    assert not shown[OMIGA].any()
    assert shown[GYMNASIUM].shape == (78,)
    assert shown[GYMNASIUM].max() == 1.0  # clipped


def played(out_of_range: str, action: FloatArray) -> tuple[float, str]:
    with scenarios.make("6halfcheetah", out_of_range=out_of_range) as env:
        env.reset(1)
        return env.step(action).reward, env.state_hash()


def test_actions_outside_the_range() -> None:
    wild = 5 * np.ones((6, 1), dtype=np.float32)
    inside = np.ones((6, 1), dtype=np.float32)
    assert played("clip", wild) == played("clip", inside) == played("error", inside)
    raw, body = played("upstream", wild)
    assert body == played("clip", inside)[1]  # the simulator clamps the torque
    assert played("clip", inside)[0] - raw == pytest.approx(0.1 * (6 * 25 - 6), abs=1e-5)
    with pytest.raises(ActionError, match=r"agent 0 of 6halfcheetah-v1 at step 0 is outside \[-1"):
        played("error", wild)


def test_wrong_actions_say_who_and_when_and_change_nothing() -> None:
    with scenarios.make("2ant") as env:
        good = random_actions(env, 1)[0]
        with pytest.raises(ActionError, match="no episode of 2ant-v1: reset every game"):
            env.step(good)
        env.reset(1)
        env.step(good)
        before = env.state_hash()
        for kind in (np.float32, np.float64):
            endless = good.astype(kind)
            endless[0, 3] = -np.inf
            with pytest.raises(
                ActionError, match="agent 0 of 2ant-v1 at step 1 is not finite: component 3 is -inf"
            ):
                env.step(endless)
        wrong = good.copy()
        wrong[1, 2] = np.nan
        with pytest.raises(
            ActionError, match=r"agent 1 of 2ant-v1 at step 1 is not finite: component 2 is nan"
        ):
            env.step(wrong)
        with pytest.raises(ActionError, match=r"2ant-v1 has shape \(8,\), expected \(2, 4\)"):
            env.step(good.ravel())
        with pytest.raises(ActionError, match="have type int64, expected floating-point"):
            env.step(np.zeros((2, 4), dtype=np.int64))
        assert env.state_hash() == before


def test_actions_may_lie_in_memory_as_they_like() -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (2, 2, 4)).astype(np.float32)
    hashes = set()
    for layout_in_memory in (actions, np.asfortranarray(actions), np.repeat(actions, 2, axis=2)[:, :, ::2]):
        with scenarios.make_vector("2ant", 2) as env:
            env.reset(np.arange(2))
            env.step(layout_in_memory)
            hashes.add((env.state_hash(0), env.state_hash(1)))
    assert len(hashes) == 1


def test_double_precision_actions_are_rounded_to_single() -> None:
    hashes = set()
    action = np.random.default_rng(0).uniform(-1, 1, (6, 1))
    for kind in (np.float64, np.float32):
        with scenarios.make("6halfcheetah") as env:
            env.reset(1)
            env.step(action.astype(kind))
            hashes.add(env.state_hash())
    assert len(hashes) == 1


@pytest.mark.parametrize(("name", "layout"), EVERY)
def test_snapshots_and_pickles_replay_to_the_bit(name: str, layout: str) -> None:
    with scenarios.make(name, layout=layout) as env:
        env.reset(5)
        for action in random_actions(env, 12):
            env.step(action)
        copies = [pickle.loads(pickle.dumps(env)), scenarios.make(name, layout=layout)]
        copies[1].restore(env.snapshot())
        later = random_actions(env, 10, seed=1)
        expected = [env.step(action).reward for action in later]
        for copy in copies:
            assert [copy.step(action).reward for action in later] == expected
            assert copy.state_hash() == env.state_hash()


def test_snapshots_of_another_flavour_or_rule_are_refused() -> None:
    with scenarios.make("3hopper") as env:
        env.reset(0)
        snapshot = env.snapshot()
    with (
        scenarios.make("3hopper", layout=GYMNASIUM) as other,
        pytest.raises(MismatchError, match=r"mamujoco-omiga-v2.*mamujoco-gymnasium-v5"),
    ):
        other.restore(snapshot)
    with (
        scenarios.make("3hopper", out_of_range="error") as other,
        pytest.raises(MismatchError, match="out of range"),
    ):
        other.restore(snapshot)
    with scenarios.make("3hopper") as other, pytest.raises(CorruptFileError):
        other.restore(b"nonsense")


def test_nonsense_is_refused_in_one_line() -> None:
    for options, kind, words in (
        ({"layout": "mamujoco-omega-v2"}, UnknownNameError, "mamujoco-omiga-v2"),
        ({"out_of_range": "wrap"}, InvalidValueError, "clip, error, upstream"),
        ({"n_threads": 0}, InvalidValueError, "at least 1"),
        ({"n_threads": "2"}, InvalidValueError, "'2'; give a whole number"),
        ({"layout": "mamujoco-robotics-v1-obsk1"}, MismatchError, "its layouts: mamujoco-omiga-v2"),
        ({"colour": 1}, UnknownNameError, "unknown option of a robot 'colour'"),
    ):
        with pytest.raises(kind, match=words) as caught:
            scenarios.make("3hopper", **options)
        assert "\n" not in str(caught.value)
    with scenarios.make("3hopper") as env, pytest.raises(InvalidValueError, match="-3 is negative"):
        env.reset(-3)


def test_batches_take_whole_seeds_only_and_name_the_game() -> None:
    with scenarios.make_vector("3hopper", 2) as env:
        for seeds in (np.array([0.5, 0.5]), np.arange(3), np.zeros((2, 1), dtype=int), np.array(["1", "2"])):
            with pytest.raises(InvalidValueError, match="give 2 whole numbers, one per game"):
                env.reset(seeds)
        with pytest.raises(InvalidValueError, match="is not a 64-bit whole number"):
            env.reset(np.array([0, 2**63], dtype=np.uint64))
        env.reset(np.arange(2))
        wrong = np.zeros((2, 3, 1), dtype=np.float32)
        wrong[1, 2] = np.inf
        with pytest.raises(ActionError, match="agent 2 in game 1 of 3hopper-v1 at step 0 is not finite"):
            env.step(wrong)
    for count in (1.5, "2", None, 0):
        with pytest.raises(InvalidValueError, match="a whole number of at least 1"):
            scenarios.make_vector("3hopper", count)  # type: ignore[arg-type]


def test_huge_numbers_are_clipped_before_they_are_rounded() -> None:
    huge = np.full((6, 1), 1e300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert played("clip", huge) == played("clip", np.ones((6, 1)))  # type: ignore[arg-type]
        with pytest.raises(ActionError, match="is outside"):
            played("error", np.full((6, 1), 1 + 1e-9))  # type: ignore[arg-type]


def test_a_snapshot_knows_which_games_have_begun() -> None:
    with scenarios.make_vector("3hopper", 2) as env, scenarios.make_vector("3hopper", 2) as other:
        env.reset(np.array([4]), np.array([0]))
        for copy in (pickle.loads(pickle.dumps(env)), other):
            if copy is other:
                assert other.restore(env.snapshot()).truncated.tolist() == [False, False]
            with pytest.raises(ActionError, match="reset every game"):
                copy.step(np.zeros((2, 3, 1), dtype=np.float32))
            copy.reset(np.array([5]), np.array([1]))
            copy.step(np.zeros((2, 3, 1), dtype=np.float32))
            assert copy.state_hash(0) != copy.state_hash(1)


def test_physics_that_diverges_is_reported_through_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for n_games in (1, 2):
        env = scenarios.make_vector("2ant", n_games)
        pose = np.r_[0, 0, 0.75, 1, np.zeros(11)]
        games = np.arange(n_games)
        env.place(games, np.tile(pose, (n_games, 1)), np.full((n_games, 14), 1e8))  # type: ignore[attr-defined]
        with pytest.warns(RuntimeWarning, match="MuJoCo: .*huge value"):
            env.step(np.zeros((n_games, 2, 4), dtype=np.float32))
    with pytest.raises(InvalidValueError, match="pose of a game is not finite"):
        env.place(np.arange(1), pose[None] * np.nan, np.zeros((1, 14)))  # type: ignore[attr-defined]
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_render_state() -> None:
    with scenarios.make("6halfcheetah") as env:
        env.reset(1)
        env.step(random_actions(env, 1)[0])
        frame = env.render_state()
        assert (frame.kind, frame.scenario, int(frame.arrays["step"])) == ("mujoco", "6halfcheetah-v1", 1)
        np.testing.assert_array_equal(frame.arrays["qpos"][1:].astype(np.float32), env.state()[:8])
        np.testing.assert_array_equal(frame.arrays["qvel"].astype(np.float32), env.state()[8:])


PROGRAM = """
import multiprocessing, sys
import numpy as np
from env_adapters import scenarios

def play(env):
    env.step(np.zeros((2, 2, 4), dtype=np.float32))
    return env.state_hash(1)

if __name__ == "__main__":
    env = scenarios.make_vector("2ant", 2)
    scenarios.make_vector("6halfcheetah", 2)
    env.reset(np.arange(2))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(play, (env,))
    assert there == play(env)
"""


def test_silent_under_spawn_and_leaves_no_file_behind(tmp_path: Path) -> None:
    program = tmp_path / "program" / "play.py"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(work.iterdir()) == []


def test_without_the_packages_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("adapter", "world"):
        monkeypatch.delitem(sys.modules, f"env_adapters.mamujoco.{module}")
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(MissingExtraError, match=r"marl-harness\[mujoco\]"):
        scenarios.make("6halfcheetah")
