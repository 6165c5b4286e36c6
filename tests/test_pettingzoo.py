"""The PettingZoo interface against PettingZoo's own tests and against the world it wraps."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from toys import LongToy, ToyTeamEnv

from env_adapters import scenarios
from env_adapters.errors import ActionError, InvalidValueError, MissingExtraError, UnknownNameError

pytest.importorskip("pettingzoo")

from pettingzoo.test import parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.utils import parallel_to_aec

from env_adapters.pettingzoo import ParallelTeamEnv, parallel_env


def halfcheetah() -> ParallelTeamEnv:
    try:
        return parallel_env("6halfcheetah")
    except MissingExtraError as error:
        pytest.skip(str(error))


def toy() -> ParallelTeamEnv:
    return ParallelTeamEnv(ToyTeamEnv())


MAKERS = [toy, lambda: parallel_env("3m"), halfcheetah]
IDS = ["toy", "3m", "6halfcheetah"]


@pytest.mark.parametrize("make", MAKERS, ids=IDS)
def test_pettingzoo_accepts_it(make: Callable[[], ParallelTeamEnv]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(make(), num_cycles=200)


@pytest.mark.parametrize("make", MAKERS, ids=IDS)
def test_pettingzoo_finds_it_deterministic(make: Callable[[], ParallelTeamEnv]) -> None:
    seed_test(lambda: parallel_to_aec(make()), num_cycles=30)


def test_pettingzoo_finds_the_unmasked_world_deterministic_in_parallel() -> None:
    """The masked ones cannot take part: this test of PettingZoo's samples without looking at masks."""
    parallel_seed_test(halfcheetah, num_cycles=30)


def masked_sample(env: ParallelTeamEnv, observations: dict[str, Any]) -> dict[str, Any]:
    return {agent: env.action_space(agent).sample(observations[agent]["action_mask"]) for agent in env.agents}


def test_an_episode_is_that_of_the_wrapped_world() -> None:
    env, world = toy(), ToyTeamEnv()
    observations, infos = env.reset(seed=4)
    step = world.reset(4)
    while env.agents:
        for i, view in enumerate(step.views):
            seen = observations[f"agent_{i}"]
            assert env.observation_space(f"agent_{i}").contains(seen)
            np.testing.assert_array_equal(seen["observation"], view.observation)
            np.testing.assert_array_equal(seen["action_mask"], view.available_actions)
            assert infos[f"agent_{i}"] == step.info
        np.testing.assert_array_equal(env.state(), world.state())
        assert env.state_space.contains(env.state())
        actions = masked_sample(env, observations)
        observations, rewards, terminated, truncated, infos = env.step(actions)
        step = world.step(np.array(list(actions.values())))
        assert set(rewards.values()) == {step.reward}
        assert (set(terminated.values()), set(truncated.values())) == ({step.terminated}, {step.truncated})
    assert step.terminated or step.truncated
    assert env.step({}) == ({}, {}, {}, {}, {})


def test_options_and_seeds_are_those_of_the_world() -> None:
    with pytest.raises(UnknownNameError, match="cannot be played in layout"):
        parallel_env("3m", layout="smac-v9")
    env = parallel_env("3m", layout="smac-v1-omiga")
    assert env.env.spec.layout == "smac-v1-omiga"
    for seed in (-1, 1.5):
        with pytest.raises(InvalidValueError, match="is not a whole number of 0 or more"):
            env.reset(seed=seed)  # type: ignore[arg-type]
    env.close()


def test_continuous_spaces() -> None:
    env = halfcheetah()
    observations, _ = env.reset(seed=1)
    assert observations["agent_5"].shape == (23,)
    space = env.action_space("agent_5")
    assert (space.shape, space.low.item(), space.high.item()) == ((1,), -1.0, 1.0)
    assert env.metadata["name"] == "6halfcheetah-v1"
    env.close()
    env.close()


def episodes(env: ParallelTeamEnv, seed: int | None) -> list[str]:
    """Hashes of four starting worlds."""
    hashes = []
    for options in ({"seed": seed}, {}, {}, {}):
        env.reset(**options)
        hashes.append(env.env.state_hash())
    return hashes


def test_resets_without_a_seed_go_on_from_the_last_seed() -> None:
    env = ParallelTeamEnv(LongToy())
    first = episodes(env, 5)
    assert len(set(first)) == 4
    assert episodes(env, 5) == first
    assert episodes(env, 6) != first
    assert episodes(ParallelTeamEnv(LongToy()), None) == episodes(ParallelTeamEnv(LongToy()), None)


def test_wrong_actions_are_refused() -> None:
    env = toy()
    observations, _ = env.reset(seed=1)
    good = masked_sample(env, observations)
    before = env.env.state_hash()
    with pytest.raises(ActionError, match="no action of agent_1 in toy-v1"):
        env.step({"agent_0": good["agent_0"]})
    with pytest.raises(ActionError, match="differ in shape"):
        env.step({**good, "agent_1": np.zeros(2, dtype=np.int64)})
    with pytest.raises(ActionError, match="action 7 of agent 1"):
        env.step({**good, "agent_1": 7})
    assert env.env.state_hash() == before


def test_unknown_names_and_missing_packages_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        parallel_env(f"{next(iter(scenarios.SCENARIOS))}x")
    monkeypatch.delitem(sys.modules, "env_adapters.pettingzoo")
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    with pytest.raises(MissingExtraError, match=r"marl-harness\[pettingzoo\]"):
        __import__("env_adapters.pettingzoo")
