"""Every partition of gymnasium-robotics against gymnasium-robotics' own environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env_adapters import scenarios
from env_adapters.api import FloatArray, Step
from env_adapters.conformance import check_adapter, check_vector_adapter
from env_adapters.mamujoco import robots

mujoco = pytest.importorskip("mujoco")
pytest.importorskip("gymnasium_robotics")

import gymnasium  # noqa: E402

from env_adapters.mamujoco.partitions import mamujoco_v1, many_segment_swimmer, obsk  # noqa: E402
from env_adapters.mamujoco.quiet import python_warnings  # noqa: E402
from env_adapters.mamujoco.robotics_world import RoboticsEnv  # noqa: E402

NAMES = sorted(robots.ROBOTICS_TEAMS)

ACTUATORS = {
    "ant_2x4": ((2, 3, 4, 5), (6, 7, 0, 1)),
    "ant_2x4d": ((2, 3, 0, 1), (4, 5, 6, 7)),
    "ant_4x2": ((2, 3), (4, 5), (6, 7), (0, 1)),
    "halfcheetah_2x3": ((0, 1, 2), (3, 4, 5)),
    "halfcheetah_6x1": ((0,), (1,), (2,), (3,), (4,), (5,)),
    "hopper_3x1": ((0,), (1,), (2,)),
    "humanoid_9-8": ((2, 0, 1, 11, 12, 13, 14, 15, 16), (3, 5, 4, 6, 7, 9, 8, 10)),
    "humanoidstandup_9-8": ((2, 0, 1, 11, 12, 13, 14, 15, 16), (3, 5, 4, 6, 7, 9, 8, 10)),
    "manysegmentswimmer_10x2": tuple((2 * i, 2 * i + 1) for i in range(10)),
    "pusher_3p": ((0, 1, 2), (3,), (4, 5, 6)),
    "reacher_2x1": ((0,), (1,)),
    "swimmer_2x1": ((0,), (1,)),
    "walker2d_2x3": ((2, 1, 0), (5, 4, 3)),
    "walker2d_6x1": ((0,), (1,), (2,), (3,), (4,), (5,)),
}
SIZES = {
    "ant_2x4": (63, 63),
    "ant_2x4d": (63, 63),
    "ant_4x2": (42,) * 4,
    "halfcheetah_2x3": (12, 12),
    "halfcheetah_6x1": (9, 9, 8, 9, 9, 8),
    "hopper_3x1": (8, 9, 8),
    "humanoid_9-8": (242, 170),
    "humanoidstandup_9-8": (242, 170),
    "manysegmentswimmer_10x2": (5, *(6,) * 8, 5),
    "pusher_3p": (16, 13, 16),
    "reacher_2x1": (7, 10),
    "swimmer_2x1": (6, 6),
    "walker2d_2x3": (12, 12),
    "walker2d_6x1": (9, 9, 8, 9, 9, 8),
}
"""Features of each agent at agent_obsk 1."""
RANGES = {"Humanoid": 0.4, "HumanoidStandup": 0.4, "Pusher": 2.0}


def make(name: str, **options: Any) -> RoboticsEnv:
    env = scenarios.make(name, **options)
    assert isinstance(env, RoboticsEnv)
    return env


def make_upstream(name: str, depth: int, folder: Path) -> Any:
    """The same world by upstream's own means."""
    team = robots.ROBOTICS_TEAMS[name]
    options: dict[str, Any] = {}
    if name == "walker2d_6x1":
        parts, edges, nodes = obsk.get_parts_and_edges("Walker2d", "2x3")
        feet, legs, thighs = zip(*parts, strict=True)
        right, left = zip(thighs, legs, feet, strict=True)
        options["agent_factorization"] = {
            "partition": [(joint,) for joint in (*right, *left)],
            "edges": edges,
            "globals": nodes,
        }
    if team.task == "ManySegmentSwimmer":
        path = str(folder / "swimmer.xml")
        many_segment_swimmer.gen_asset(20, path)
        options["gym_env"] = gymnasium.make("Swimmer-v5", xml_file=path)
    with python_warnings():
        world = mamujoco_v1.parallel_env(team.task, team.partition, agent_obsk=depth, **options)
    if team.task == "Pusher":  # Upstream leaves the order of two joints of equal name to chance.
        for joints in (joints for seen in world.k_dicts for joints in seen.values()):
            joints.sort(key=lambda joint: (joint.label, joint.act_ids))
    return world


def check_equal(env: RoboticsEnv, step: Step, expected: dict[str, Any], world: Any) -> None:
    rows = np.zeros((env.spec.n_agents, env.spec.observation_size), dtype=np.float32)
    for row, observation in zip(rows, expected.values(), strict=True):
        row[: len(observation)] = observation
    np.testing.assert_array_equal(np.stack([view.observation for view in step.views]), rows)
    np.testing.assert_array_equal(env.state(), world.state().astype(np.float32))


def play_both(env: RoboticsEnv, world: Any, seed: int, steps: int, reach: float = 1.0) -> int:
    """Step both until the end of the episode or `steps`; returns how many steps were equal."""
    spec, team = env.spec, robots.ROBOTICS_TEAMS[env.spec.scenario.removesuffix("-v1")]
    rng = np.random.default_rng(seed)
    step = env.reset(seed)
    expected, _ = world.reset(seed=seed)
    check_equal(env, step, expected, world)
    for time in range(1, steps + 1):
        action = rng.uniform(-reach, reach, (spec.n_agents, spec.action_size)).astype(np.float32)
        given = {
            agent: row[: world.action_space(agent).shape[0]] * np.float64(RANGES.get(team.task, 1.0))
            for agent, row in zip(world.possible_agents, action.astype(np.float64), strict=True)
        }
        step = env.step(action)
        expected, rewards, terminated, truncated, _ = world.step(given)
        check_equal(env, step, expected, world)
        assert {step.reward} == set(rewards.values())
        assert {step.terminated} == set(terminated.values())
        assert {step.truncated} == set(truncated.values())
        assert step.info == {"steps": time}
        if step.terminated or step.truncated:
            break
    return time


@pytest.mark.parametrize("name", NAMES)
def test_every_step_equals_upstream_bit_for_bit(name: str, tmp_path: Path) -> None:
    world = make_upstream(name, 1, tmp_path)
    with make(name) as env:
        assert world.single_agent_env.spec.max_episode_steps == env.spec.episode_limit
        assert play_both(env, world, 7, 1000) >= 10
        for seed in (0, 123456789):
            play_both(env, world, seed, 25)


@pytest.mark.parametrize("depth", [0, 2, 3, 6])
@pytest.mark.parametrize("name", NAMES)
def test_other_depths_equal_upstream(name: str, depth: int, tmp_path: Path) -> None:
    world = make_upstream(name, depth, tmp_path)
    with make(name, layout=f"mamujoco-robotics-v1-obsk{depth}") as env:
        assert env.spec.layout == f"mamujoco-robotics-v1-obsk{depth}"
        play_both(env, world, depth, 3)


@pytest.mark.parametrize("name", ["halfcheetah_6x1", "humanoid_9-8", "pusher_3p"])
def test_upstreams_way_with_actions_out_of_range(name: str, tmp_path: Path) -> None:
    with make(name, out_of_range="upstream") as env:
        play_both(env, make_upstream(name, 1, tmp_path), 3, 20, reach=5.0)


def test_a_fall_equals_upstreams(tmp_path: Path) -> None:
    with make("hopper_3x1") as env:
        length = play_both(env, make_upstream("hopper_3x1", 1, tmp_path), 2, 1000)
        last = env.step(np.ones((3, 1), dtype=np.float32))
    assert length < 200
    assert (last.reward, last.terminated, last.truncated, last.info) == (0.0, True, False, {"steps": length})


def test_a_fall_at_the_time_limit_is_a_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = np.zeros((3, 1), dtype=np.float32)

    def play() -> Step:
        with make("hopper_3x1") as env:
            step = env.reset(2)
            while not (step.terminated or step.truncated):
                step = env.step(zeros)
            return step

    fall = play()
    hopper = dataclasses.replace(robots.ROBOTS["Hopper"], episode_limit=fall.info["steps"])
    monkeypatch.setitem(robots.ROBOTS, "Hopper", hopper)
    assert (fall.terminated, fall.truncated) == (play().terminated, play().truncated) == (True, False)


def test_the_table_is_complete() -> None:
    assert set(ACTUATORS) == set(SIZES) == set(NAMES)
    assert all(len(ACTUATORS[name]) == robots.ROBOTICS_TEAMS[name].n_agents for name in NAMES)
    for split in ACTUATORS.values():
        flat = sorted(actuator for part in split for actuator in part)
        assert flat == list(range(len(flat)))


@pytest.mark.parametrize("name", NAMES)
def test_each_component_drives_its_joint_and_padding_drives_none(name: str) -> None:
    with make(name) as env:
        spec, model, data = env.spec, env._robot.model, env._robot.data
        assert env.actuators == ACTUATORS[name]
        sizes = tuple(env._env.observation_space(agent).shape[0] for agent in env._agents)
        assert sizes == SIZES[name] and max(sizes) == spec.observation_size
        assert spec.action_size == max(map(len, env.actuators))
        np.testing.assert_array_equal(model.actuator_ctrlrange[:, 0], -model.actuator_ctrlrange[:, 1])
        env.reset(1)
        start = env.snapshot()
        env.step(np.zeros((spec.n_agents, spec.action_size), dtype=np.float32))
        still = env.state_hash()
        for agent, component in np.ndindex(spec.n_agents, spec.action_size):
            action = np.zeros((spec.n_agents, spec.action_size), dtype=np.float32)
            action[agent, component] = 0.5
            env.restore(start)
            env.step(action)
            driven = np.flatnonzero(data.qfrc_actuator).tolist()
            if component < len(env.actuators[agent]):
                joint = model.joint(env.joints[agent][component])
                assert driven == joint.dofadr.tolist()
                force = 0.5 * RANGES.get(robots.ROBOTICS_TEAMS[name].task, 1.0)
                assert data.ctrl[env.actuators[agent][component]] == pytest.approx(force, abs=0)
            else:
                assert driven == [] and env.state_hash() == still


def test_joints_of_equal_name_have_a_fixed_order() -> None:
    """Pusher's first agent: upper arm roll, then shoulder pan and lift, which upstream gives one name."""
    with make("pusher_3p") as env:
        env.reset(4)
        step = env.step(np.full((3, 3), 0.3, dtype=np.float32))
        frame = env.render_state().arrays
        own = np.stack([frame["qpos"], frame["qvel"]], axis=1)[[2, 0, 1]].ravel()
        np.testing.assert_array_equal(step.views[0].observation[:6], own.astype(np.float32))


@pytest.fixture
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A team whose episodes end after 40 steps, long enough to touch the ground."""
    name: str = request.param
    task = robots.ROBOTICS_TEAMS[name].task
    monkeypatch.setitem(robots.ROBOTS, task, dataclasses.replace(robots.ROBOTS[task], episode_limit=40))
    yield name


@pytest.mark.parametrize("short", NAMES, indirect=True)
def test_conformance(short: str) -> None:
    with make("reacher_2x1" if short != "reacher_2x1" else "swimmer_2x1") as other:
        other.reset(1)
        foreign = other.snapshot()
    check_adapter(lambda: make(short), steps=6, foreign=foreign)
    check_vector_adapter(lambda n: scenarios.make_vector(short, n), lambda: make(short), steps=6)


def derived(env: RoboticsEnv) -> dict[str, FloatArray]:
    """What upstream could read of the simulator beside its state."""
    names = ("xpos", "xipos", "cinert", "cvel", "cfrc_ext", "qfrc_actuator")
    return {name: getattr(env._robot.data, name).copy() for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_a_snapshot_brings_back_what_is_derived_of_the_last_substep(name: str) -> None:
    with make(name) as env, make(name) as other:
        rng = np.random.default_rng(1)
        shape = (22, env.spec.n_agents, env.spec.action_size)
        actions = rng.uniform(-1, 1, shape).astype(np.float32)
        env.reset(5)
        other.reset(9)
        for action in actions[:12]:
            now = env.step(action)
        expected = derived(env)
        again = other.restore(env.snapshot())
        assert other.state_hash() == env.state_hash()
        for key, array in derived(other).items():
            np.testing.assert_array_equal(array, expected[key])
        assert (again.reward, again.terminated, again.info) == (now.reward, now.terminated, now.info)
        for view, same in zip(now.views, again.views, strict=True):
            np.testing.assert_array_equal(view.observation, same.observation)
        for action in actions[12:]:
            assert env.step(action).reward == other.step(action).reward
            assert env.state_hash() == other.state_hash()


def test_the_state_hash_sees_the_warm_start_and_the_forces_of_the_last_substep() -> None:
    with make("ant_4x2") as env:
        env.reset(5)
        for _ in range(40):
            env.step(np.zeros((4, 2), dtype=np.float32))
        data = env._robot.data
        for name in ("qacc_warmstart", "cfrc_ext"):
            array = getattr(data, name)
            assert np.abs(array).max() > 0
            before, kept = env.state_hash(), array.copy()
            array[:] = 0
            assert env.state_hash() != before
            array[:] = kept
            assert env.state_hash() == before


def test_the_reward_is_speed_minus_control_cost() -> None:
    with make("halfcheetah_6x1") as env:
        env.reset(1)
        before = env.render_state().arrays["qpos"][0]
        action = np.random.default_rng(0).uniform(-1, 1, (6, 1)).astype(np.float32)
        step = env.step(action)
        speed = (env.render_state().arrays["qpos"][0] - before) / 0.05  # 5 substeps of 0.01 s
    assert step.reward == pytest.approx(speed - 0.1 * np.square(action.astype(np.float64)).sum(), abs=1e-12)
