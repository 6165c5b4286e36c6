"""Options of gymnasium-robotics' robots, and what happens to wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from env_adapters import scenarios
from env_adapters.api import FloatArray
from env_adapters.errors import (
    ActionError,
    CorruptFileError,
    HarnessError,
    InvalidValueError,
    MismatchError,
    UnknownNameError,
)
from env_adapters.mamujoco import robots
from env_adapters.snapshots import pack, unpack

mujoco = pytest.importorskip("mujoco")
pytest.importorskip("gymnasium_robotics")

from env_adapters.mamujoco.robotics_world import RoboticsEnv  # noqa: E402


def make(name: str, **options: Any) -> RoboticsEnv:
    env = scenarios.make(name, **options)
    assert isinstance(env, RoboticsEnv)
    return env


def random_actions(env: RoboticsEnv, steps: int, seed: int = 0, reach: float = 1.0) -> FloatArray:
    shape = (steps, env.spec.n_agents, env.spec.action_size)
    return np.random.default_rng(seed).uniform(-reach, reach, shape).astype(np.float32)


def test_spec() -> None:
    with make("halfcheetah_6x1") as env:
        spec = env.spec
    assert (spec.observation_size, spec.state_size, spec.action_size) == (9, 17, 1)
    assert (spec.action_kind, spec.has_win, spec.scenario) == ("continuous", False, "halfcheetah_6x1-v1")
    assert (spec.layout, spec.engine) == ("mamujoco-robotics-v1-obsk1", f"mujoco/{mujoco.__version__}")


@pytest.mark.parametrize("depth", [0, 1, 2, 7, 99])
def test_a_depth_can_be_given_as_layout_or_as_option(depth: int) -> None:
    layout = f"mamujoco-robotics-v1-obsk{depth}"
    for options in ({"layout": layout}, {"agent_obsk": depth}, {"layout": layout, "agent_obsk": depth}):
        with make("ant_4x2", **options) as env:
            assert env.spec.layout == layout
    vector = scenarios.make_vector("ant_4x2", 2, agent_obsk=depth)
    assert vector.spec.layout == layout


def test_the_first_layout_of_the_table_is_the_default() -> None:
    for name in robots.ROBOTICS_TEAMS:
        row = scenarios.find(name)
        with make(name) as env:
            assert (row.layouts[0], row.n_agents, row.episode_limit) == (
                env.spec.layout,
                env.spec.n_agents,
                env.spec.episode_limit,
            )


CAN = r"it can in mamujoco-robotics-v1-obsk1, mamujoco-robotics-v1-obsk0 and so on to obsk99$"
MISTAKES: list[tuple[dict[str, Any], type[HarnessError], str]] = [
    ({"layout": "mamujoco-omiga-v2"}, MismatchError, "'ant_4x2' cannot be .* 'mamujoco-omiga-v2'; " + CAN),
    ({"layout": "mamujoco-gymnasium-v5"}, MismatchError, CAN),
    ({"layout": "smac-v1"}, UnknownNameError, CAN),
    ({"layout": "mamujoco-robotics-v1-obsk"}, UnknownNameError, CAN),
    ({"layout": "mamujoco-robotics-v1-obsk-1"}, UnknownNameError, CAN),
    ({"layout": "mamujoco-robotics-v1-obsk01"}, UnknownNameError, CAN),
    ({"layout": "mamujoco-robotics-v1-obsk100"}, UnknownNameError, CAN),
    ({"layout": "mamujoco-robotics-v1-obsk1", "agent_obsk": 0}, MismatchError, "contradict"),
    ({"agent_obsk": None}, InvalidValueError, "one agent .* play 6halfcheetah.* mamujoco-gymnasium-v5"),
    ({"agent_obsk": -1}, InvalidValueError, "agent_obsk is -1; give a whole number from 0 to 99"),
    ({"agent_obsk": 1.0}, InvalidValueError, r"agent_obsk is 1\.0"),
    ({"agent_obsk": True}, InvalidValueError, "agent_obsk is True"),
    ({"agent_obsk": "1"}, InvalidValueError, "agent_obsk is '1'"),
    (
        {"out_of_range": "wrap"},
        InvalidValueError,
        "out_of_range is 'wrap'; give one of: clip, error, upstream",
    ),
    ({"agent_obks": 1}, UnknownNameError, "unknown option 'agent_obks': did you mean agent_obsk"),
]


@pytest.mark.parametrize(("options", "kind", "message"), MISTAKES)
def test_wrong_options(options: dict[str, Any], kind: type[HarnessError], message: str) -> None:
    for build in (
        lambda: scenarios.make("ant_4x2", **options),
        lambda: scenarios.make_vector("ant_4x2", 2, **options),
    ):
        with pytest.raises(HarnessError, match=message) as caught:
            build()
        assert type(caught.value) is kind and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ant_3x3", r"^robot 'ant' has no partition '3x3'; known: 2x4, 2x4d, 4x2 \(all: harness ls maps\)$"),
        ("humanoid_9|8", "robot 'humanoid' has no partition '9|8'; known: 9-8"),
        ("Walker2d_1x6", "robot 'walker2d' has no partition '1x6'; known: 2x3, 6x1"),
        ("Ant_4X2", "unknown map 'Ant_4X2': did you mean ant_4x2"),
        ("ant", "unknown map 'ant': did you mean .*ant_"),
        ("terran_5_vs_6", "unknown map 'terran_5_vs_6': did you mean terran_5_vs_5"),
    ],
)
def test_unknown_partitions(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        scenarios.find(name)


def test_actions_outside_the_range_are_clipped() -> None:
    with make("humanoid_9-8") as env:
        env.reset(1)
        start = env.snapshot()
        wild = random_actions(env, 1, reach=5.0)[0]
        far, far_hash = env.step(wild), env.state_hash()
        env.restore(start)
        near = env.step(np.clip(wild, -1, 1))
        assert (far.reward, far_hash) == (near.reward, env.state_hash())


def test_actions_outside_the_range_can_be_an_error() -> None:
    with make("pusher_3p", out_of_range="error") as env:
        env.reset(1)
        action = np.ones((3, 3), dtype=np.float32)
        action[1, 1:] = 7.0  # The elbow has one joint: padding.
        env.step(action)
        before = env.state_hash()
        action[2, 1] = -1.25
        with pytest.raises(ActionError, match=r"agent 2 of pusher_3p-v1 at step 1 has the number -1\.25"):
            env.step(action)
        assert env.state_hash() == before


def test_a_number_beyond_single_precision_can_be_handed_on() -> None:
    with make("halfcheetah_6x1", out_of_range="upstream") as env:
        env.reset(1)
        step = env.step(np.full((6, 1), 1e300))  # type: ignore[arg-type]
    assert step.reward == pytest.approx(-0.1 * 6 * float(np.finfo(np.float32).max) ** 2)


def test_double_precision_actions_are_rounded_to_single() -> None:
    with make("halfcheetah_6x1") as env:
        env.reset(1)
        start = env.snapshot()
        action = np.random.default_rng(0).uniform(-1, 1, (6, 1))
        env.step(action)  # type: ignore[arg-type]
        double = env.state_hash()
        env.restore(start)
        env.step(action.astype(np.float32))
        assert env.state_hash() == double


def test_wrong_actions_say_who_and_when() -> None:
    with make("halfcheetah_6x1") as env:
        action = random_actions(env, 1)[0]
        with pytest.raises(ActionError, match="halfcheetah_6x1-v1 at step 0: reset the world"):
            env.step(action)
        env.reset(1)
        env.step(action)
        wrong = action.copy()
        wrong[4, 0] = np.nan
        with pytest.raises(
            ActionError, match=r"agent 4 of halfcheetah_6x1-v1 at step 1 is not finite: \[nan\]"
        ):
            env.step(wrong)
        with pytest.raises(ActionError, match=r"at step 1 has shape \(6,\), expected \(6, 1\)"):
            env.step(action[:, 0])
        with pytest.raises(ActionError, match="at step 1 has type int64, expected floating-point"):
            env.step(np.zeros((6, 1), dtype=np.int64))


@pytest.mark.parametrize("seed", [-1, 1.5, None, "1"])
def test_wrong_seeds(seed: Any) -> None:
    with make("reacher_2x1") as env, pytest.raises(InvalidValueError, match=f"episode seed {seed} is not"):
        env.reset(seed)


def test_snapshots_of_other_worlds_are_refused() -> None:
    with make("ant_4x2") as env, make("ant_4x2", agent_obsk=0) as near, make("ant_2x4") as other:
        with make("ant_4x2", out_of_range="error") as strict:
            env.reset(1)
            strict.reset(1)
            assert strict.state_hash() != env.state_hash()
            with pytest.raises(MismatchError, match=r"out_of_range error.* out_of_range clip"):
                env.restore(strict.snapshot())
        for world, what in ((near, "layout"), (other, "scenario")):
            world.reset(1)
            with pytest.raises(MismatchError, match=what):
                env.restore(world.snapshot())
        before, snapshot = env.state_hash(), env.snapshot()
        arrays = unpack(env._kind, env.spec, snapshot)
        for name in arrays:
            rest = {key: array for key, array in arrays.items() if key != name}
            for damaged in (rest, rest | {name: np.zeros(1, dtype=np.int8)}):
                with pytest.raises(CorruptFileError, match=name):
                    env.restore(pack(env._kind, env.spec, damaged))
        with pytest.raises(CorruptFileError):
            env.restore(b"")
        assert env.state_hash() == before
