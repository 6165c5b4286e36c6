"""The dataset robots against recordings of the old stack and against Gymnasium's own environments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env_adapters import scenarios
from env_adapters.api import DoubleArray, FloatArray

mujoco = pytest.importorskip("mujoco")
gymnasium = pytest.importorskip("gymnasium")

from env_adapters.mamujoco.legacy import load_model  # noqa: E402
from env_adapters.mamujoco.robots import DATASET_TEAMS, FLAVOURS, GYMNASIUM, ROBOTS  # noqa: E402
from env_adapters.mamujoco.world import MujocoVectorEnv  # noqa: E402

GOLDEN = Path(__file__).parent / "golden_mujoco"
NAMES = tuple(DATASET_TEAMS)
VERSION = tuple(map(int, mujoco.__version__.split(".")[:2]))
RK4_FOR_FREE_JOINTS = VERSION >= (4, 0)
"""MuJoCo 4.0 integrates Ant's free joint more exactly, which cannot be switched off."""


def world(name: str, n_games: int = 1, **options: Any) -> MujocoVectorEnv:
    env = scenarios.make_vector(name, n_games, **options)
    assert isinstance(env, MujocoVectorEnv)
    return env


def exact(env: MujocoVectorEnv) -> DoubleArray:
    out = np.zeros((env.n_games, env.spec.n_agents, env.spec.observation_size))
    env.look(out)
    return out


def actions_of(env: MujocoVectorEnv, steps: int, seed: int = 0) -> FloatArray:
    """[T, B, N, A] in [-1, 1]."""
    shape = (steps, env.n_games, env.spec.n_agents, env.spec.action_size)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("task", ["HalfCheetah", "Hopper", "Ant"])
def test_legacy_constants_equal_those_of_mujoco_2_1(task: str) -> None:
    recorded = json.loads((GOLDEN / "legacy-constants.json").read_text())[task]
    legacy, today = (load_model(ROBOTS[task], flag) for flag in (True, False))
    for field in ("body_mass", "body_inertia", "body_ipos", "body_iquat"):
        np.testing.assert_allclose(getattr(legacy, field), recorded[field], rtol=0, atol=1e-15)
    assert np.abs(today.body_mass - recorded["body_mass"]).max() > 1e-3  # the patch does something
    # Two geoms touch at the sum of their margins today, at the larger one then.
    assert 2 * legacy.geom_margin.max() == recorded["geom_margin_max"]
    assert legacy.body_subtreemass[0] == pytest.approx(sum(recorded["body_mass"]), abs=1e-12)


def recorded_episode(task: str, episode: int) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(GOLDEN / "omiga.npz", allow_pickle=False) as archive:
        prefix = f"{task}/{episode}/"
        return {key.removeprefix(prefix): archive[key] for key in archive.files if key.startswith(prefix)}


@pytest.mark.parametrize("n_games", [1, 2], ids=["alone", "in a batch"])
@pytest.mark.parametrize("episode", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_recorded_episodes_of_omiga_are_replayed(name: str, episode: int, n_games: int) -> None:
    task = DATASET_TEAMS[name].task
    golden = recorded_episode(task, episode)
    if RK4_FOR_FREE_JOINTS and task == "Ant":
        pytest.skip("MuJoCo 4.0 moves Ant by 5e-7 per step")
    env = world(name, n_games, out_of_range="upstream")
    beginnings = (np.tile(golden[name], (n_games, 1)) for name in ("initial_qpos", "initial_qvel"))
    env.place(np.arange(n_games), *beginnings)
    np.testing.assert_allclose(exact(env)[-1], golden["observations"][0], rtol=0, atol=2e-15)
    compared = 0
    for t, action in enumerate(golden["actions"], start=1):
        step = env.step(np.stack([action] * n_games))
        error = np.abs(exact(env)[-1] - golden["observations"][t]).max()
        if t <= 20:
            assert error <= (1e-11 if t == 20 and VERSION < (4, 0) else 1e-10)
        if error > 1e-9:  # chaos has taken over
            break
        assert step.rewards[-1] == pytest.approx(golden["rewards"][t - 1], rel=0, abs=1e-8)
        assert bool(step.terminated[-1]) == bool(golden["dones"][t - 1])
        compared = t
    assert compared >= min(20, len(golden["actions"]))


def test_the_recordings_hold_the_one_hot_index_twice_over() -> None:
    """States equal observations per agent there; ours is the robot's own observation, before the index."""
    golden = recorded_episode("Hopper", 0)
    np.testing.assert_array_equal(golden["states"], golden["observations"])
    env = world("3hopper")
    env.place(np.arange(1), golden["initial_qpos"][None], golden["initial_qvel"][None])
    features = np.concatenate([golden["initial_qpos"][1:], golden["initial_qvel"]])
    np.testing.assert_array_equal(env.state()[0], features.astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_the_gymnasium_flavour_equals_gymnasium(name: str) -> None:
    task, split = DATASET_TEAMS[name].task, np.concatenate(DATASET_TEAMS[name].split)
    env = world(name, layout=GYMNASIUM)
    mujoco.set_mju_user_warning(lambda message: None)
    theirs = gymnasium.make(f"{task}-v5", disable_env_checker=True)
    mujoco.set_mju_user_warning(None)
    for seed in (0, 7):
        step, (expected, _) = env.reset(np.array([seed])), theirs.reset(seed=seed)
        for action in actions_of(env, 100, seed)[:, 0]:
            for agent in range(env.spec.n_agents):
                np.testing.assert_array_equal(exact(env)[0, agent], expected)
            np.testing.assert_array_equal(step.observations[0, 0], expected.astype(np.float32))
            whole = np.zeros(len(split), dtype=np.float32)
            whole[split] = action.ravel()
            step = env.step(action[None])
            expected, reward, terminated, _, _ = theirs.step(whole)
            assert step.rewards[0] == reward
            assert step.terminated[0] == terminated
            if terminated:
                break
        assert terminated or task != "Hopper"  # so that an end is compared too
    theirs.close()


@pytest.mark.parametrize("layout", FLAVOURS)
@pytest.mark.parametrize("name", NAMES)
def test_each_component_drives_its_own_actuator(name: str, layout: str) -> None:
    """Read off the simulator: the joint that bears a torque after one component was set."""
    env = world(name, layout=layout)
    (data,) = env._simulation._data  # type: ignore[attr-defined]
    model = load_model(ROBOTS[DATASET_TEAMS[name].task], legacy=False)
    joints = [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, int(j)) for j in model.dof_jntid]
    expected = {
        "6halfcheetah": [["bthigh"], ["bshin"], ["bfoot"], ["fthigh"], ["fshin"], ["ffoot"]],
        "3hopper": [["thigh_joint"], ["leg_joint"], ["foot_joint"]],
        "2ant": [["hip_4", "ankle_4", "hip_1", "ankle_1"], ["hip_2", "ankle_2", "hip_3", "ankle_3"]],
    }[name]
    driven: list[list[str]] = []
    for agent in range(env.spec.n_agents):
        driven.append([])
        for component in range(env.spec.action_size):
            env.reset(np.array([1]))
            action = np.zeros((1, env.spec.n_agents, env.spec.action_size), dtype=np.float32)
            action[0, agent, component] = 1.0
            env.step(action)
            (dof,) = np.flatnonzero(data.qfrc_actuator)
            driven[-1].append(joints[dof])
    assert driven == expected


@pytest.mark.parametrize("layout", FLAVOURS)
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_a_loop_bit_for_bit(name: str, layout: str) -> None:
    """Through `mujoco.batch` with two threads, against one `MjData` per world; falls and resets included."""
    steps, n_games = 120, 5
    batch = world(name, n_games, layout=layout, n_threads=2)
    actions = actions_of(batch, steps)
    first = batch.reset(np.arange(n_games))
    rows = [batch.step(action) for action in actions]
    for game in range(n_games):
        with scenarios.make(name, layout=layout) as alone:
            step = alone.reset(game)
            for t, row in enumerate([first, *rows]):
                seen = np.stack([view.observation for view in step.views])
                np.testing.assert_array_equal(seen, row.observations[game])
                assert (step.reward, step.terminated) == (row.rewards[game], row.terminated[game])
                if t < steps:
                    step = alone.step(actions[t, game])
            assert alone.state_hash() == batch.state_hash(game)
