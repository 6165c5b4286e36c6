"""Multi-Agent MuJoCo against gymnasium-robotics' own environment."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env_adapters import scenarios
from env_adapters.api import FloatArray
from env_adapters.errors import ActionError, CorruptFileError, MissingExtraError, UnknownNameError

mujoco = pytest.importorskip("mujoco")
pytest.importorskip("gymnasium_robotics")

from env_adapters.mamujoco import robotics  # noqa: E402

SIZES = (9, 9, 8, 9, 9, 8)
LIMIT = 1000


@pytest.fixture
def env() -> Iterator[robotics.RoboticsEnv]:
    with robotics.RoboticsEnv("6halfcheetah-v1", robotics.ROBOTS["6halfcheetah"]) as world:
        yield world


@pytest.fixture
def upstream() -> Iterator[Any]:
    mujoco.set_mju_user_warning(lambda message: None)
    world = robotics.mamujoco_v1.parallel_env("HalfCheetah", "6x1", agent_obsk=1)
    mujoco.set_mju_user_warning(None)
    yield world
    world.close()


def random_actions(steps: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, 6, 1)).astype(np.float32)


def padded(observations: dict[str, Any]) -> FloatArray:
    rows = np.zeros((6, 9), dtype=np.float32)
    for row, (size, observation) in zip(rows, zip(SIZES, observations.values(), strict=True), strict=True):
        assert observation.shape == (size,)
        row[:size] = observation
    return rows


def test_a_whole_episode_equals_upstream_bit_for_bit(env: robotics.RoboticsEnv, upstream: Any) -> None:
    step = env.reset(7)
    expected, _ = upstream.reset(seed=7)
    for time, action in enumerate(random_actions(LIMIT), start=1):
        np.testing.assert_array_equal(np.stack([view.observation for view in step.views]), padded(expected))
        np.testing.assert_array_equal(env.state(), upstream.state().astype(np.float32))
        step = env.step(action)
        expected, rewards, terminated, truncated, _ = upstream.step(
            dict(zip(upstream.possible_agents, action, strict=True))
        )
        assert {step.reward} == set(rewards.values())
        assert {step.terminated} == set(terminated.values()) == {False}
        assert {step.truncated} == set(truncated.values()) == {time == LIMIT}
        assert step.info == {"steps": time}


def test_the_reward_is_speed_minus_control_cost(env: robotics.RoboticsEnv) -> None:
    env.reset(1)
    before = env.render_state().arrays["qpos"][0]
    action = random_actions(1)[0]
    step = env.step(action)
    speed = (env.render_state().arrays["qpos"][0] - before) / 0.05  # 5 substeps of 0.01 s
    assert step.reward == pytest.approx(speed - 0.1 * np.square(action.astype(np.float64)).sum(), abs=1e-12)


def test_actions_outside_the_range_are_clipped(env: robotics.RoboticsEnv) -> None:
    env.reset(1)
    start = env.snapshot()
    wild = random_actions(1)[0] * 5
    far = env.step(wild)
    far_hash = env.state_hash()
    env.restore(start)
    near = env.step(np.clip(wild, -1, 1))
    assert (far.reward, far_hash) == (near.reward, env.state_hash())


def test_double_precision_actions_are_rounded_to_single(env: robotics.RoboticsEnv) -> None:
    env.reset(1)
    start = env.snapshot()
    action = np.random.default_rng(0).uniform(-1, 1, (6, 1))
    env.step(action)  # type: ignore[arg-type]
    double = env.state_hash()
    env.restore(start)
    env.step(action.astype(np.float32))
    assert env.state_hash() == double


def test_spec_and_layout(env: robotics.RoboticsEnv) -> None:
    spec = env.spec
    assert (spec.observation_size, spec.state_size, spec.action_size) == (9, 17, 1)
    assert (spec.action_kind, spec.has_win) == ("continuous", False)
    assert (spec.layout, spec.engine) == ("mamujoco-robotics-obsk1", f"mujoco/{mujoco.__version__}")


def test_feet_are_padded_at_the_end(env: robotics.RoboticsEnv) -> None:
    step = env.reset(3)
    last = [view.observation[-1] for view in step.views]
    assert [value == 0 for value in last] == [False, False, True, False, False, True]


def test_a_snapshot_carries_the_warm_start_and_the_clock(env: robotics.RoboticsEnv) -> None:
    """Positions and velocities alone do not replay: the solver starts from its last solution."""
    env.reset(5)
    for action in random_actions(40):
        env.step(action)
    snapshot = env.snapshot()
    later = [env.step(action) for action in random_actions(40, seed=1)]
    with robotics.RoboticsEnv("6halfcheetah-v1", robotics.ROBOTS["6halfcheetah"]) as other:
        now = other.restore(snapshot)
        assert now.info == {"steps": 40}
        replayed = [other.step(action) for action in random_actions(40, seed=1)]
        assert other.state_hash() == env.state_hash()
    assert [step.reward for step in replayed] == [step.reward for step in later]
    data = env._env.single_agent_env.unwrapped.data
    assert np.abs(data.qacc_warmstart).max() > 0
    with_warm_start = env.state_hash()
    data.qacc_warmstart[:] = 0
    assert env.state_hash() != with_warm_start


def test_render_state(env: robotics.RoboticsEnv) -> None:
    env.reset(1)
    env.step(random_actions(1)[0])
    frame = env.render_state()
    assert (frame.kind, frame.scenario, int(frame.arrays["step"])) == ("mujoco", "6halfcheetah-v1", 1)
    for name in ("qpos", "qvel"):
        assert (frame.arrays[name].shape, frame.arrays[name].dtype) == ((9,), np.float64)
    np.testing.assert_array_equal(frame.arrays["qpos"][1:].astype(np.float32), env.state()[:8])


def test_wrong_actions_say_who_and_when(env: robotics.RoboticsEnv) -> None:
    action = random_actions(1)[0]
    with pytest.raises(ActionError, match="6halfcheetah-v1 at step 0: reset the world"):
        env.step(action)
    env.reset(1)
    env.step(action)
    wrong = action.copy()
    wrong[4, 0] = np.nan
    with pytest.raises(ActionError, match=r"agent 4 of 6halfcheetah-v1 at step 1 is not finite: \[nan\]"):
        env.step(wrong)
    with pytest.raises(ActionError, match=r"at step 1 has shape \(6,\), expected \(6, 1\)"):
        env.step(action[:, 0])
    with pytest.raises(ActionError, match="at step 1 has type int64, expected floating-point"):
        env.step(np.zeros((6, 1), dtype=np.int64))


def test_bad_snapshots_and_names(env: robotics.RoboticsEnv) -> None:
    env.reset(1)
    with pytest.raises(CorruptFileError):
        env.restore(b"")
    with pytest.raises(UnknownNameError, match="did you mean 6halfcheetah"):
        robotics.make_single("x-v1", "5halfcheetah")


PROGRAM = """
import numpy as np
from env_adapters import scenarios
with scenarios.make_vector("6halfcheetah", 2) as env:
    env.reset(np.arange(2))
    env.step(np.zeros((2, 6, 1), dtype=np.float32))
    env.state_hash(1)
"""


def test_silent_and_leaves_no_file_behind(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{PROGRAM}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_other_model_warnings_still_reach_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    handler = mujoco.get_mju_user_warning()
    xml = "<mujoco><compiler settotalmass='3'/><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with robotics._without_settotalmass_warning():
            mujoco.MjModel.from_xml_string(xml)
    with (
        pytest.warns(RuntimeWarning, match="MuJoCo: something real"),
        robotics._without_settotalmass_warning(),
    ):
        mujoco.get_mju_user_warning()("something real")
    assert mujoco.get_mju_user_warning() is handler
    assert list(tmp_path.iterdir()) == []


def test_without_the_packages_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "env_adapters.mamujoco.robotics")
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(MissingExtraError, match=r"marl-harness\[mujoco\]"):
        scenarios.make("6halfcheetah")
