"""Agents that remember: one row per agent, empty when an episode begins, nobody else's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_agents import CONTINUOUS, DISCRETE, build, cases, observe
from torch import Tensor

from agents.acting import BatchedTeam, DecentralizedPolicy
from agents.api import Agent, Params
from agents.checkpoints import initial, save_checkpoint
from agents.controls import NoConfig, Random
from agents.generators import episode_generator
from env_adapters import scenarios
from env_adapters.api import AgentView, TeamSpec
from env_adapters.rollout import Recording, play
from harness.decentralized import DecentralizedTeam
from harness.team import TeamSource, load_team

torch.set_num_threads(1)
REMEMBERING = [case for case in cases() if build(*case.values)[0].memory_size]


class Counter(Agent):
    """Remembers the sum of what it saw and counts its steps; its actions are both, and the noise."""

    name = "counter"
    Config = NoConfig
    act_modes = ("fresh", "fixed", "zero")

    @property
    def memory_size(self) -> int:
        return 2

    @property
    def block_rows(self) -> int:
        return 4

    def init(self, generator: torch.Generator) -> Params:
        return {}

    def remember(self, params: Mapping[str, Tensor], memory: Tensor, inputs: Tensor) -> Tensor:
        assert len(inputs) == len(memory) == 4
        return memory + torch.stack([inputs[:, -1] / 100, torch.full((4,), 0.01).to(inputs)], dim=-1)

    def act_batch(
        self, params: Mapping[str, Tensor], inputs: Tensor, available: Tensor | None, noise: Tensor, mode: str
    ) -> Tensor:
        return inputs + 1e-4 * noise


def constant(spec: TeamSpec, n_games: int, value: float) -> np.ndarray:
    return np.full((n_games, spec.n_agents, spec.observation_size), value, dtype=np.float32)


def test_memory_counts_from_the_beginning_of_each_game() -> None:
    team = BatchedTeam(Counter(NoConfig(), CONTINUOUS), {}, 3, "zero")
    team.begin(np.arange(3), np.arange(3))
    for _ in range(2):
        team.act(constant(CONTINUOUS, 3, 1.0), None)
    team.begin(np.array([9]), np.array([1]))
    actions = team.act(constant(CONTINUOUS, 3, 5.0), None)
    np.testing.assert_allclose(actions[:, 0, 1], [0.03, 0.01, 0.03], rtol=1e-5)
    np.testing.assert_allclose(actions[:, 2, 0], [0.07, 0.05, 0.07], rtol=1e-5)


@pytest.mark.parametrize("mode", ["fresh", "fixed", "zero"])
def test_memory_and_episode_noise_travel_together(mode: str) -> None:
    """One agent alone keeps both in what it returns, and gets what it would get in a team."""
    agent = Counter(NoConfig(), CONTINUOUS)
    team, single = BatchedTeam(agent, {}, 2, mode), DecentralizedPolicy(agent, {}, mode)
    team.begin(np.array([5, 6]), np.arange(2))
    memory, rng = None, episode_generator(6, 1)
    for t in range(3):
        observations = constant(CONTINUOUS, 2, t + 1.0)
        together = team.act(observations, None)
        given = None if memory is None else memory.copy()
        action, after = single.act(AgentView(observations[1, 1], None, 1, t), memory, rng)
        np.testing.assert_array_equal(action, together[1, 1])
        if memory is not None and given is not None:
            np.testing.assert_array_equal(memory, given, err_msg="what was handed in is not written to")
        memory = after
    assert memory is not None and len(memory) == (2 + 2 if mode == "fixed" else 2)


@pytest.mark.parametrize(("name", "spec"), REMEMBERING)
def test_an_episode_does_not_remember_the_one_before(name: str, spec: TeamSpec) -> None:
    agent, params = build(name, spec)
    team = BatchedTeam(agent, params, 2)
    histories = []
    for before in (0, 3):
        team.begin(np.array([1, 2]), np.arange(2))
        for t in range(before):
            team.act(*observe(spec, 2, seed=50 + t))
        team.begin(np.array([7, 8]), np.arange(2))
        histories.append([team.act(*observe(spec, 2, seed=t)) for t in range(3)])
    np.testing.assert_array_equal(*histories)


@pytest.mark.parametrize(("name", "spec"), REMEMBERING)
def test_the_own_past_matters_and_that_of_others_does_not(name: str, spec: TeamSpec) -> None:
    agent, params = build(name, spec)
    mode = agent.act_modes[0]

    def rows(changed: int | None) -> np.ndarray:
        """What everybody remembers after a past in which one agent saw something else."""
        team = BatchedTeam(agent, params, 2, mode)
        team.begin(np.array([1, 2]), np.arange(2))
        for t in range(2):
            observations, masks = observe(spec, 2, seed=t)
            if changed is not None and t == 0:
                observations[0, changed] += 1.0
            team.act(observations, masks)
        memory: Any = team._rows.memory
        return np.array(memory[: 2 * spec.n_agents].reshape(2, spec.n_agents, -1))

    same = rows(None)
    for i in range(spec.n_agents):
        differs = (rows(i) != same).any(axis=-1)
        assert differs[0, i] and differs.sum() == 1


def test_agents_without_memory_have_none() -> None:
    agent = Random(NoConfig(), DISCRETE)
    assert agent.memory_size == 0
    with pytest.raises(NotImplementedError, match="random"):
        agent.remember({}, torch.zeros(1, 0), torch.zeros(1, 4))
    team = BatchedTeam(agent, {}, 1)
    assert team._rows.memory is None


def test_the_first_observation_fills_the_history() -> None:
    agent, params = build("madiff", CONTINUOUS)
    first, second = torch.arange(7.0)[None], torch.arange(10.0, 17.0)[None]
    memory = agent.remember(params, torch.zeros(1, agent.memory_size), first)
    size = CONTINUOUS.observation_size
    assert memory[0, 4:].view(-1, size).tolist() == [[3, 4, 5, 6]] * 3
    assert memory[0, 1:4].tolist() == [0, 1, 2], "who it is"
    memory = agent.remember(params, memory, second)
    assert memory[0, 4:].view(-1, size).tolist() == [[3, 4, 5, 6]] * 2 + [[13, 14, 15, 16]]
    nothing = torch.cat([first[:, :3], torch.zeros(1, size)], dim=-1)
    memory = agent.remember(params, agent.remember(params, torch.zeros_like(memory), nothing), second)
    assert memory[0, 4:].view(-1, size).tolist() == [[0] * 4] * 2 + [[13, 14, 15, 16]], "zeros are seen, too"


def test_agents_in_processes_remember_the_same(tmp_path: Path) -> None:
    """Two whole episodes of a team in one call, and of three agents in three processes, bit for bit."""
    path = tmp_path / "agent.safetensors"
    with scenarios.make_vector("3m", 1) as world:
        made = initial("bc-recurrent", None, world.spec, seed=1)
        save_checkpoint(path, made.agent, made.params, {"seed": 1, "steps": 0})
        source = TeamSource(checkpoint=str(path))
        team = load_team("3m", world.spec, source)
        recording = Recording(transitions=True)
        together = list(play(world, team.vector(1), [11, 12], recording))
        with DecentralizedTeam("3m", source, world.spec) as apart:
            alone = list(play(world, apart, [11, 12], recording))
    for one, other in zip(together, alone, strict=True):
        assert one.length == other.length > 5
        np.testing.assert_array_equal(np.stack(one.actions), np.stack(other.actions))
