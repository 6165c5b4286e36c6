"""gymnasium-robotics' robots in other processes, behind PettingZoo, and how quiet they are."""

from __future__ import annotations

import copy
import multiprocessing
import operator
import os
import pickle
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env_adapters import scenarios
from env_adapters.api import FloatArray
from env_adapters.errors import ActionError

mujoco = pytest.importorskip("mujoco")
pytest.importorskip("gymnasium_robotics")

from env_adapters.mamujoco.quiet import python_warnings  # noqa: E402
from env_adapters.mamujoco.robotics_world import RoboticsEnv  # noqa: E402

ROOT = Path(__file__).parents[1]


def make(name: str, **options: Any) -> RoboticsEnv:
    env = scenarios.make(name, **options)
    assert isinstance(env, RoboticsEnv)
    return env


def random_actions(env: RoboticsEnv, steps: int, seed: int = 0, reach: float = 1.0) -> FloatArray:
    shape = (steps, env.spec.n_agents, env.spec.action_size)
    return np.random.default_rng(seed).uniform(-reach, reach, shape).astype(np.float32)


@pytest.mark.parametrize("copied", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy])
@pytest.mark.parametrize("name", ["ant_4x2", "humanoid_9-8", "manysegmentswimmer_10x2", "reacher_2x1"])
def test_a_pickled_world_is_in_the_same_situation(name: str, copied: Any) -> None:
    with make(name, agent_obsk=2, out_of_range="upstream") as env:
        fresh = copied(env)
        with pytest.raises(ActionError, match="reset the world"):
            fresh.step(random_actions(env, 1)[0])
        env.reset(3)
        actions = random_actions(env, 14, reach=1.5)
        for action in actions[:7]:
            env.step(action)
        with copied(env) as other:
            assert (other.spec, other.state_hash()) == (env.spec, env.state_hash())
            for action in actions[7:]:
                assert other.step(action).reward == env.step(action).reward
            assert other.state_hash() == env.state_hash()


def test_a_batch_can_be_pickled() -> None:
    with scenarios.make_vector("reacher_2x1", 2) as batch:
        batch.reset(np.arange(2))
        actions = np.full((2, 2, 1), 0.5, dtype=np.float32)
        batch.step(actions)
        with pickle.loads(pickle.dumps(batch)) as other:
            np.testing.assert_array_equal(other.step(actions).rewards, batch.step(actions).rewards)


def test_a_spawned_process_plays_on() -> None:
    with make("ant_2x4d") as env:
        env.reset(3)
        first, second = random_actions(env, 2)
        env.step(first)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            there = pool.apply(operator.methodcaller("step", second), (env,))
            remote_hash = pool.apply(operator.methodcaller("state_hash"), (env,))
        assert remote_hash == env.state_hash()
        here = env.step(second)
    assert there.reward == here.reward
    for view, same in zip(there.views, here.views, strict=True):
        np.testing.assert_array_equal(view.observation, same.observation)


def test_render_state() -> None:
    with make("halfcheetah_6x1") as env:
        env.reset(1)
        env.step(random_actions(env, 1)[0])
        frame = env.render_state()
        assert (frame.kind, frame.scenario, int(frame.arrays["step"])) == ("mujoco", "halfcheetah_6x1-v1", 1)
        for name in ("qpos", "qvel"):
            assert (frame.arrays[name].shape, frame.arrays[name].dtype) == ((9,), np.float64)
        np.testing.assert_array_equal(frame.arrays["qpos"][1:].astype(np.float32), env.state()[:8])


@pytest.mark.parametrize("name", ["ant_4x2", "humanoid_9-8", "reacher_2x1"])
def test_pettingzoo_accepts_it(name: str) -> None:
    pytest.importorskip("pettingzoo")
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    from env_adapters.pettingzoo import parallel_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(parallel_env(name), num_cycles=60)
    parallel_seed_test(lambda: parallel_env(name), num_cycles=10)


SILENT = """
import numpy as np
from env_adapters import scenarios
from env_adapters.mamujoco import robots
for name in robots.ROBOTICS_TEAMS:
    with scenarios.make_vector(name, 2) as env:
        env.reset(np.arange(2))
        env.step(np.zeros((2, env.spec.n_agents, env.spec.action_size), dtype=np.float32))
        env.restore(env.snapshot())
"""


def test_silent_and_leaves_no_file_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SILENT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_warnings_of_a_running_world_reach_the_user_through_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with make("halfcheetah_6x1") as env:
        env.reset(1)
        env._robot.data.qvel[:] = 1e12
        with pytest.warns(RuntimeWarning, match=r"MuJoCo: .*QVEL.*unstable"):
            env.step(np.zeros((6, 1), dtype=np.float32))
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr().err == ""


def test_other_model_warnings_still_reach_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    handler = mujoco.get_mju_user_warning()
    xml = "<mujoco><compiler settotalmass='3'/><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with python_warnings():
            mujoco.MjModel.from_xml_string(xml)
    with pytest.warns(RuntimeWarning, match="MuJoCo: something real"), python_warnings():
        mujoco.get_mju_user_warning()("something real")
    assert mujoco.get_mju_user_warning() is handler
    assert list(tmp_path.iterdir()) == []


def test_threads_that_overlap_leave_the_handler_as_it_was() -> None:
    handler = mujoco.get_mju_user_warning()
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with python_warnings():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other, daemon=True)
    with python_warnings():
        thread.start()
        assert entered.wait(timeout=60)
    inside = mujoco.get_mju_user_warning()
    leave.set()
    thread.join()
    assert inside is not handler
    assert mujoco.get_mju_user_warning() is handler
