"""MADiff and DoF: networks, losses and sampling against plain NumPy, and what each method lets cross."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy_trajectories import TrajectoryReference, UnetReference
from test_agents import CONTINUOUS, DISCRETE, build, random_windows, small

from agents import cdf, registry
from agents.acting import BatchedTeam
from agents.actions import mask_unavailable
from agents.api import OfflineAgent, Params
from agents.diffusion import Draws
from agents.trajectories import TrajectoryAgent, TrajectoryConfig
from agents.unet import unet, unet_init
from agents.windows import WindowData, episode_index, returns_to_go, windows
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError

torch.set_num_threads(1)
BOTH = pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])


def tiny_spec(kind: str) -> TeamSpec:
    base = DISCRETE if kind == "discrete" else CONTINUOUS
    return replace(base, n_agents=3, observation_size=4, action_size=3)


def stirred(params: Params, seed: int = 1) -> Params:
    """The parameters in float64, those that begin as zeros or ones (attention's weight) moved; tables as they are."""
    rng = np.random.default_rng(seed)
    return {
        name: tensor.double()
        if name in cdf.NAMES
        else tensor.double() + 0.1 * torch.from_numpy(rng.standard_normal(tuple(tensor.shape)))
        for name, tensor in params.items()
    }


def made(name: str, kind: str, **options: Any) -> tuple[TrajectoryAgent, Params]:
    """An agent with a fitted normaliser and no parameter at its beginning."""
    spec = tiny_spec(kind)
    agent = registry.load_class(name)(replace(small(name), **options), spec)
    assert isinstance(agent, TrajectoryAgent)
    data = torch.randn(300, 3, 4, generator=torch.Generator().manual_seed(2))
    return agent, stirred(agent.fit(agent.init(torch.Generator().manual_seed(0)), data))


def double(batch: Any) -> Any:
    values = {name: getattr(batch, name) for name in batch.__dataclass_fields__}
    return replace(
        batch,
        **{k: v.double() for k, v in values.items() if isinstance(v, torch.Tensor) and v.is_floating_point()},
    )


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("channels", [(16,), (16, 32), (16, 32, 48)])
def test_the_network_equals_plain_loops(channels: tuple[int, ...], attention: bool) -> None:
    params = stirred(unet_init("unet", 5, channels, 6, attention, torch.Generator().manual_seed(0)))
    x = torch.randn(2, 3, 8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    keep = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    time, aim = torch.tensor([3, 150]), torch.tensor([0.7, -0.2], dtype=torch.float64)
    got = unet(params, "unet", x, time[:, None], aim[:, None], keep)
    reference = UnetReference({name: tensor.numpy() for name, tensor in params.items()})
    for b in range(2):
        expected = reference(x[b].numpy(), float(time[b]), float(aim[b]), keep[b].numpy())
        np.testing.assert_allclose(got[b].numpy(), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("name", ["madiff", "dof"])
def test_losses_equal_plain_loops(name: str, kind: str) -> None:
    agent, params = made(name, kind)
    batch = double(random_windows(agent, 6, seed=3))
    noise = agent.draw_training_noise(torch.Generator().manual_seed(4), 6)
    noise = {k: v.double() if v.is_floating_point() else v for k, v in noise.items()}
    loss, metrics = agent.losses(params, {}, batch, noise)
    expected = TrajectoryReference(agent, params).losses(batch, noise)
    got = {key: float(value) for key, value in metrics.items()} | {"loss": float(loss)}
    assert got == pytest.approx(expected, rel=1e-5)
    assert batch.acted.any() and not batch.acted.all()


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_an_action_equals_plain_loops(kind: str) -> None:
    agent, params = made("madiff", kind, diffusion_steps=20, sampling_steps=3)
    rng, n, h = np.random.default_rng(0), 3, agent.history
    past = rng.standard_normal((2, h + 1, 4))
    memory = np.concatenate([np.ones((2, 1)), np.eye(n)[[0, 2]], past.reshape(2, -1)], axis=-1)
    seeds = torch.tensor([[5.0, 1.0], [9.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[True, False, True], [False, True, True]]) if kind == "discrete" else None
    got = agent.act_batch(params, torch.from_numpy(memory), mask, seeds, "fresh")
    start = Draws(seeds, "fresh").normal(n, h + agent.horizon, agent.input_size).numpy()
    reference = TrajectoryReference(agent, params)
    for row, me in enumerate((0, 2)):
        scores = reference.act(past[row], me, start[row])
        if mask is None:
            np.testing.assert_allclose(got[row].numpy(), scores.clip(-1, 1), rtol=1e-6, atol=1e-8)
        else:
            assert int(got[row]) == int(mask_unavailable(torch.from_numpy(scores), mask[row]).argmax())


def test_the_present_of_others_is_unknown_to_the_viewer_and_their_history_too() -> None:
    agent, params = made("madiff", "discrete")
    batch = double(random_windows(agent, 4))
    noise = agent.draw_training_noise(torch.Generator().manual_seed(0), 4) | {"viewer": torch.full((4,), 1)}
    past = batch.observations.clone()
    past[:, : agent.history, [0, 2]] += 1.0
    changed = replace(batch, observations=past)
    assert agent.losses(params, {}, batch, noise)[0] == agent.losses(params, {}, changed, noise)[0]
    past[:, : agent.history, 1] += 1.0
    assert agent.losses(params, {}, batch, noise)[0] != agent.losses(params, {}, changed, noise)[0]


def test_repeated_steps_teach_no_action() -> None:
    agent, params = made("madiff", "discrete")
    batch = double(random_windows(agent, 8))
    noise = agent.draw_training_noise(torch.Generator().manual_seed(0), 8)
    other = batch.actions.clone()
    other[~batch.acted] = (other[~batch.acted] + 1) % 3
    opened = replace(batch, available=None)
    losses = [agent.losses(params, {}, replace(opened, actions=a), noise)[0] for a in (batch.actions, other)]
    assert losses[0] == losses[1]


def test_attention_lets_the_plan_of_others_matter_and_dof_has_none() -> None:
    for name, crosses in (("madiff", True), ("dof", False)):
        params = made(name, "continuous")[1]
        x = torch.randn(1, 3, 4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        other = x.clone()
        other[:, 2] += 1.0
        zero, one = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
        first, second = (unet(params, "unet", y, zero, one, one)[:, 0] for y in (x, other))
        assert torch.equal(first, second) is not crosses, name


def test_guidance_of_released_dof_is_mostly_off() -> None:
    agent, _ = made("dof-released", "discrete")
    seeds = torch.stack([torch.arange(2000.0), torch.zeros(2000)], dim=-1)
    keep = agent._keep(Draws(seeds, "fresh"), torch.zeros(2000, 1))
    assert (keep[:, 0] == 1.0).all() and float(keep[:, 1].mean()) == pytest.approx(0.75, abs=0.03)
    agent, _ = made("dof", "discrete")
    keep = agent._keep(Draws(seeds, "fresh"), torch.zeros(2000, 1))
    assert (keep[:, 0] == 1.0).all() and not keep[:, 1].any()


def test_guidance_of_one_is_the_prediction_with_the_return() -> None:
    for weight, same in ((1.0, True), (1.5, False)):
        agent, params = made("dof", "continuous", guidance=weight, sampling_steps=2)
        with_random = replace(agent.config, unguided="random", drop_return=0.0)  # type: ignore[call-arg]
        other = type(agent)(with_random, agent.spec)
        memory = torch.ones(4, agent.memory_size, dtype=torch.float64)
        memory[:, 1:4] = torch.eye(3)[0]
        seeds = torch.tensor([[float(i), 0.0] for i in range(4)], dtype=torch.float64)
        actions = [a.act_batch(params, memory, None, seeds, "zero") for a in (agent, other)]
        assert torch.allclose(*actions, atol=1e-12) is same


@BOTH
def test_a_team_acts_by_the_averaged_weights(spec: TeamSpec) -> None:
    agent, params = build("madiff", spec)
    assert isinstance(agent, OfflineAgent)
    names = agent.target_names(params)
    assert set(params) - set(names) == set(cdf.NAMES)
    targets = {name: params[name] + 1.0 for name in names}
    acting = agent.acting_params(params, targets)
    assert all(torch.equal(acting[name], targets[name]) for name in names)
    assert all(acting[name] is params[name] for name in cdf.NAMES)


def test_training_moves_every_weight_and_no_table() -> None:
    agent, params = made("madiff", "discrete")
    leaves = {name: tensor.float().requires_grad_() for name, tensor in params.items()}
    optimizer = torch.optim.Adam(list(leaves.values()), lr=1e-2)
    generator, batch = torch.Generator().manual_seed(0), random_windows(agent, 16)
    losses = []
    for _ in range(60):
        loss, _ = agent.losses(leaves, {}, batch, agent.draw_training_noise(generator, 16))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
    for name, tensor in leaves.items():
        assert torch.equal(tensor, params[name].float()) is (name in cdf.NAMES), name


def test_the_normaliser_makes_features_uniform_and_constant_ones_zero() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.standard_normal(5000) ** 3, rng.integers(0, 3, 5000), np.full(5000, 7.0)], axis=-1)
    table = cdf.cdf_fit(torch.from_numpy(rows.astype(np.float32)), 33)
    x = cdf.uniformed(table, torch.from_numpy(rows.astype(np.float32)))
    assert float(x[:, 0].mean()) == pytest.approx(0.0, abs=0.02)
    # Exact at the knots only, so a heavy tail stays a little uneven.
    shares = np.histogram(x[:, 0].numpy(), bins=10, range=(-1, 1))[0] / 5000
    assert np.abs(shares - 0.1).max() < 0.02
    for value in range(3):
        level = 2 * float((rows[:, 1] <= value).mean()) - 1
        assert float(x[rows[:, 1] == value, 1][0]) == pytest.approx(level, abs=1e-6)
    assert not x[:, 2].any()
    beyond = cdf.uniformed(table, torch.tensor([[1e9, 9.0, 8.0], [-1e9, -9.0, 0.0]]))
    assert beyond[0, :2].tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert beyond[1, 0] == pytest.approx(-1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"horizon": 1}, "horizon"),
        ({"history": 19}, "history \\+ horizon is 23"),
        ({"channels": (30, 64)}, "channels has 30"),
        ({"channels": ()}, "channels"),
        ({"embedding": 7}, "embedding is 7"),
        ({"sampling_steps": 201}, "sampling_steps"),
        ({"returns_scale": 0.0}, "returns_scale"),
        ({"rows_per_call": 0}, "rows_per_call"),
        ({"drop_return": float("nan")}, "drop_return"),
    ],
)
def test_senseless_options_are_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidValueError, match=named):
        TrajectoryConfig(**wrong)


def episodes_with_a_direction(n_episodes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Observations [E, 9, 2, 2] of agents that walk left or right throughout, and their actions [E, 8, 2], 1 or 2."""
    generator = torch.Generator().manual_seed(seed)
    way = 2 * torch.randint(2, (n_episodes, 2), generator=generator) - 1
    place, seen = 0.3 * torch.randn(n_episodes, 2, generator=generator), []
    for t in range(9):
        seen.append(torch.stack([place, torch.full_like(place, t / 8)], dim=-1))
        place = place + 0.15 * way + 0.02 * torch.randn(n_episodes, 2, generator=generator)
    return torch.stack(seen, dim=1), ((way > 0).long() + 1)[:, None].expand(-1, 8, -1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sampling_steps"), [("madiff", 5), ("dof", 0)])
def test_a_trained_team_goes_on_as_it_remembers_to_have_begun(name: str, sampling_steps: int) -> None:
    """Only the own history tells the direction: chance at the first step, right once there is a past."""
    spec = replace(DISCRETE, n_agents=2, observation_size=2, action_size=3)
    tiny = replace(small(name), diffusion_steps=20, sampling_steps=sampling_steps, inverse_hidden=(64,))
    agent = registry.load_class(name)(replace(tiny, embedding=16, tau=0.02, returns_scale=8.0), spec)
    assert isinstance(agent, TrajectoryAgent)
    observations, actions = episodes_with_a_direction(300, seed=0)
    offsets, rewards = torch.arange(301) * 8, torch.ones(2400)
    data = WindowData(
        observations.flatten(0, 1),
        actions.flatten(0, 1),
        rewards,
        None,
        returns_to_go(rewards, offsets, agent.returns_discount),
        episode_index(offsets),
        offsets,
    )
    params = agent.fit(agent.init(torch.Generator().manual_seed(0)), data.observations)
    params = {key: tensor.requires_grad_() for key, tensor in params.items()}
    averages = {key: params[key].detach().clone() for key in agent.target_names(params)}
    optimizer = torch.optim.Adam(list(params.values()), lr=2e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(400):
        batch = windows(data, torch.randint(2400, (64,), generator=generator), agent.history, agent.horizon)
        loss, _ = agent.losses(params, averages, batch, agent.draw_training_noise(generator, 64))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        for key, tensor in averages.items():
            tensor.lerp_(params[key].detach(), agent.config.tau)
    acting = {key: tensor.detach() for key, tensor in agent.acting_params(params, averages).items()}
    seen, right = episodes_with_a_direction(60, seed=5)
    team = BatchedTeam(agent, acting, 60)
    team.begin(np.arange(60), np.arange(60))
    shares = [float((team.act(seen[:, t].numpy(), None) == right[:, t].numpy()).mean()) for t in range(6)]
    assert shares[0] < 0.65 and min(shares[3:]) > 0.85, shares
