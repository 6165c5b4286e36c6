"""Contract of every agent: shapes, masks, decentralisation, batch layout, pure losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents import registry
from agents.acting import BatchedTeam, DecentralizedPolicy
from agents.api import Agent, Batch, OfflineAgent, Params, WindowBatch, with_identity
from agents.generators import episode_generator
from agents.trajectories import TrajectoryConfig
from env_adapters.api import AgentView, TeamSpec
from env_adapters.errors import MismatchError, UnknownNameError

torch.set_num_threads(1)
DISCRETE = TeamSpec("5m_vs_6m-v1", "smac-v1", "test/1", 5, 55, 98, "discrete", 12, 70, True)
CONTINUOUS = TeamSpec("toy-v1", "toy", "test/1", 3, 4, 6, "continuous", 2, 50, False)


def small(name: str) -> Any:
    """Configuration of an agent or preset, with tiny networks."""
    config = registry.default_config(name)
    if isinstance(config, TrajectoryConfig):
        tiny = replace(config, channels=(16, 32), embedding=8, inverse_hidden=(16,), history=2, horizon=2)
        steps = min(2, config.sampling_steps)
        return replace(tiny, sampling_steps=steps, diffusion_steps=4, rows_per_call=4, normaliser_knots=5)
    return replace(config, hidden=(32, 32)) if hasattr(config, "hidden") else config


def build(name: str, spec: TeamSpec, seed: int = 1) -> tuple[Agent, Params]:
    agent = registry.load_class(name)(small(name), spec)
    return agent, agent.init(torch.Generator().manual_seed(seed))


def cases(kind: str | None = None, presets: bool = False) -> list[Any]:
    """Every agent (of a kind, with presets) in every world whose actions it can choose."""
    return [
        pytest.param(entry.name, spec, id=f"{entry.name}-{spec.action_kind}")
        for entry in [*registry.AGENTS.values(), *(registry.PRESETS.values() if presets else ())]
        for spec in (DISCRETE, CONTINUOUS)
        if kind in (None, entry.kind) and entry.actions in ("both", spec.action_kind)
    ]


def observe(spec: TeamSpec, n_games: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    rng = np.random.default_rng(seed)
    observations = rng.standard_normal((n_games, spec.n_agents, spec.observation_size), dtype=np.float32)
    if spec.action_kind == "continuous":
        return observations, None
    masks = rng.random((n_games, spec.n_agents, spec.action_size)) < 0.4
    masks[..., 1] |= ~masks.any(axis=-1)
    return observations, masks


@pytest.mark.parametrize(("name", "spec"), cases(presets=True))
def test_actions_fit_the_spec_and_the_mask(name: str, spec: TeamSpec) -> None:
    agent, params = build(name, spec)
    for mode in agent.act_modes:
        team = BatchedTeam(agent, params, 50, mode)
        team.begin(np.arange(50), np.arange(50))
        observations, masks = observe(spec, 50)
        actions = team.act(observations, masks)
        if masks is None:
            assert actions.shape == (50, spec.n_agents, spec.action_size)
            assert np.abs(actions).max() <= 1.0
        else:
            assert actions.shape == (50, spec.n_agents)
            assert np.take_along_axis(masks, actions[..., None], axis=-1).all()


@pytest.mark.parametrize(("name", "spec"), cases())
def test_a_batch_equals_single_decentralised_agents(name: str, spec: TeamSpec) -> None:
    agent, params = build(name, spec)
    for mode in agent.act_modes:
        team = BatchedTeam(agent, params, 7, mode)
        team.begin(np.arange(100, 107), np.arange(7))
        single = DecentralizedPolicy(agent, params, mode)
        generators = {i: episode_generator(103, i) for i in range(spec.n_agents)}
        memories: dict[int, Any] = dict.fromkeys(range(spec.n_agents))
        for t in range(4):
            observations, masks = observe(spec, 7, seed=t)
            together = team.act(observations, masks)[3]
            for i in range(spec.n_agents):
                view = AgentView(observations[3, i], None if masks is None else masks[3, i], i, t)
                action, memories[i] = single.act(view, memories[i], generators[i])
                np.testing.assert_array_equal(action, together[i], err_msg=f"{mode}, step {t}, agent {i}")


@pytest.mark.parametrize(("name", "spec"), cases())
def test_batch_size_does_not_change_a_bit(name: str, spec: TeamSpec) -> None:
    agent, params = build(name, spec)
    observations, masks = observe(spec, 33)
    results = []
    for games in ([5], [5, 1], list(range(33)), list(range(32, -1, -1))):
        team = BatchedTeam(agent, params, len(games))
        team.begin(np.array(games), np.arange(len(games)))
        actions = team.act(observations[games], None if masks is None else masks[games])
        results.append(actions[games.index(5)])
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize(("name", "spec"), cases())
def test_other_agents_observations_do_not_matter(name: str, spec: TeamSpec) -> None:
    agent, params = build(name, spec)
    observations, masks = observe(spec, 6)
    changed, changed_masks = observe(spec, 6, seed=9)
    for i in range(spec.n_agents):
        mixed = changed.copy()
        mixed[:, i] = observations[:, i]
        mixed_masks = None
        if masks is not None and changed_masks is not None:
            mixed_masks = changed_masks.copy()
            mixed_masks[:, i] = masks[:, i]
        outputs = []
        for o, m in ((observations, masks), (mixed, mixed_masks)):
            team = BatchedTeam(agent, params, 6)
            team.begin(np.arange(6), np.arange(6))
            outputs.append(team.act(o, m)[:, i])
        np.testing.assert_array_equal(*outputs)


def random_batch(spec: TeamSpec, size: int, seed: int = 0) -> Batch:
    observations, masks = observe(spec, 2 * size, seed)
    rng = np.random.default_rng(seed + 1)
    if masks is None:
        actions = torch.from_numpy(
            rng.uniform(-1, 1, (size, spec.n_agents, spec.action_size)).astype(np.float32)
        )
    else:
        actions = torch.from_numpy(masks[:size].argmax(axis=-1))
    inputs = with_identity(torch.from_numpy(observations))
    available = None if masks is None else torch.from_numpy(masks)
    return Batch(
        inputs=inputs[:size],
        actions=actions,
        rewards=torch.from_numpy(rng.standard_normal(size).astype(np.float32)),
        next_inputs=inputs[size:],
        terminated=torch.from_numpy((rng.random(size) < 0.3).astype(np.float32)),
        available=None if available is None else available[:size],
        next_available=None if available is None else available[size:],
    )


def random_windows(agent: OfflineAgent, size: int, seed: int = 0) -> WindowBatch:
    """Windows of the agent's length, some of which begin or end with repetitions."""
    spec, length = agent.spec, agent.history + agent.horizon
    rng = np.random.default_rng(seed + 1)
    observations, masks = observe(spec, size * length, seed)
    if masks is None:
        shape = (size, length, spec.n_agents, spec.action_size)
        actions = torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32))
    else:
        actions = torch.from_numpy(masks.argmax(axis=-1)).unflatten(0, (size, length))
    steps = np.arange(length) - agent.history
    before, after = (
        rng.integers(0, agent.history + 1, (size, 1)),
        rng.integers(1, agent.horizon + 1, (size, 1)),
    )
    acted = torch.from_numpy((steps >= -before) & (steps < after))
    rewards = torch.from_numpy(rng.standard_normal((size, length)).astype(np.float32)) * acted
    return WindowBatch(
        observations=torch.from_numpy(observations).unflatten(0, (size, length)),
        actions=actions,
        rewards=rewards,
        available=None if masks is None else torch.from_numpy(masks).unflatten(0, (size, length)),
        seen=torch.from_numpy((steps >= -before) & (steps < after + 1)),
        acted=acted,
        returns_to_go=rewards[:, agent.history :].sum(dim=1),
    )


def batch_for(agent: OfflineAgent, size: int, seed: int = 0) -> Any:
    """A random batch of what the agent learns from: transitions or windows."""
    return random_windows(agent, size, seed) if agent.horizon else random_batch(agent.spec, size, seed)


def with_value(batch: Any, names: tuple[str, ...], place: tuple[Any, ...], value: float) -> Any:
    """The batch with one value changed in the tensors of these names that it has."""
    changed = {name: getattr(batch, name).clone() for name in names if hasattr(batch, name)}
    for tensor in changed.values():
        tensor[place] = value
    return replace(batch, **changed)


@pytest.mark.parametrize(("name", "spec"), cases("offline", presets=True))
def test_losses_are_pure_and_reach_every_parameter(name: str, spec: TeamSpec) -> None:
    agent, params = build(name, spec)
    assert isinstance(agent, OfflineAgent)
    batch = batch_for(agent, 8)
    noise = agent.draw_training_noise(torch.Generator().manual_seed(0), 8)
    for tensor in params.values():
        tensor.requires_grad_()
    targets = {name: params[name].detach().clone() for name in agent.target_names(params)}
    before = {name: tensor.detach().clone() for name, tensor in params.items()}
    loss, metrics = agent.losses(params, targets, batch, noise)
    again, _ = agent.losses(params, targets, batch, noise)
    assert loss.item() == again.item()
    loss.backward()
    for parameter, tensor in params.items():
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all(), parameter
        assert torch.equal(tensor.detach(), before[parameter]), parameter
    assert all(not value.requires_grad for value in metrics.values())


def value_of(agent: OfflineAgent, params: Params, batch: Any) -> torch.Tensor:
    targets = {key: params[key] for key in agent.target_names(params)}
    noise = agent.draw_training_noise(torch.Generator().manual_seed(0), len(batch.rewards))
    return agent.losses(params, targets, batch, noise)[0]


@pytest.mark.parametrize(("name", "spec"), cases("offline", presets=True))
def test_losses_do_not_hide_what_is_not_a_number(name: str, spec: TeamSpec) -> None:
    """One NaN in any tensor of parameters, or in observations, makes the loss NaN: the trainer must notice."""
    agent, params = build(name, spec)
    assert isinstance(agent, OfflineAgent)
    batch = batch_for(agent, 8)
    assert torch.isfinite(value_of(agent, params, batch))
    for key, tensor in params.items():
        broken = tensor.clone()
        broken.view(-1)[0] = torch.nan
        assert torch.isnan(value_of(agent, params | {key: broken}, batch)), key
    place = (3, agent.history, 1, -1) if agent.horizon else (3, 1, -1)
    hidden = with_value(batch, ("inputs", "observations"), place, torch.nan)
    assert torch.isnan(value_of(agent, params, hidden))
    if agent.target_names(params):
        unknown = with_value(batch, ("rewards", "returns_to_go"), (...,), torch.nan)
        assert torch.isnan(value_of(agent, params, unknown))


@pytest.mark.parametrize(("name", "spec"), cases("offline"))
def test_modes_without_noise_repeat_themselves(name: str, spec: TeamSpec) -> None:
    """Zero and greedy do not depend on the episode; fixed draws once per episode; the others draw every step.

    Whoever remembers sees something else at the second step, so it is not compared there.
    """
    agent, params = build(name, spec)
    observations, masks = observe(spec, 40)
    for mode in agent.act_modes:
        played = []
        for seed in (0, 1000):
            team = BatchedTeam(agent, params, 40, mode)
            team.begin(np.arange(seed, seed + 40), np.arange(40))
            played.append([team.act(observations, masks) for _ in range(2)])
        same_step = np.array_equal(played[0][0], played[0][1])
        same_episode = np.array_equal(played[0][0], played[1][0])
        expected = {"zero": (True, True), "greedy": (True, True), "fixed": (True, False)}
        repeats_step, repeats_episode = expected.get(mode, (False, False))
        assert same_episode == repeats_episode, mode
        assert same_step == repeats_step or agent.memory_size, mode


def test_unknown_names_and_modes() -> None:
    with pytest.raises(UnknownNameError, match="vgm2p"):
        registry.find("vgmp")
    agent, params = build("vgm2p", DISCRETE)
    with pytest.raises(UnknownNameError, match="fresh, zero, fixed"):
        BatchedTeam(agent, params, 1, "greedy")
    with pytest.raises(MismatchError, match="smac-v1"):
        build("nearest", CONTINUOUS)


def test_nearest_shoots_the_nearest_enemy_in_range_and_walks_else() -> None:
    agent, params = build("nearest", DISCRETE)
    observations = np.zeros((1, 5, 55), dtype=np.float32)
    masks = np.ones((1, 5, 12), dtype=np.bool_)
    masks[..., 0] = False
    observations[0, 0, 4 : 4 + 15] = [1, 0.6, 0.6, 0, 1, 1, 0.5, 0, 0.5, 1, 0, 0.4, 0.4, 0, 1]
    masks[0, 0, 8] = False  # the third enemy is nearest, but out of range
    masks[0, 1, 6:] = False
    observations[0, 1, 4:9] = [0, 0.8, -0.7, 0.1, 1]
    team = BatchedTeam(agent, params, 1)
    team.begin(np.array([0]), np.array([0]))
    actions = team.act(observations, masks)[0]
    assert actions[0] == 7
    assert actions[1] == 5  # west
    assert actions[2] == 4  # sees nobody: east, where the enemy comes from
    dead = np.zeros((1, 5, 12), dtype=np.bool_)
    dead[..., 0] = True
    assert (team.act(observations, dead) == 0).all()


def test_specs_with_other_sizes_make_other_networks() -> None:
    _, params = build("vgm2p", DISCRETE)
    _, other = build("vgm2p", replace(DISCRETE, observation_size=60))
    assert params["velocity.0.weight"].shape[1] + 5 == other["velocity.0.weight"].shape[1]
