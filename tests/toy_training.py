"""A world of one agent and one observation, to see which distribution an agent learns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from agents.api import Agent, Batch, OfflineAgent, Params
from env_adapters.api import TeamSpec

LINE = TeamSpec("toy-v1", "toy", "test/1", 1, 1, 1, "continuous", 1, 5, False)
CHOICE = TeamSpec("toy-v1", "toy", "test/1", 1, 1, 1, "discrete", 4, 5, False)
ODDS = torch.tensor([0.6, 0.3, 0.1, 0.0])
Reward = Callable[[torch.Tensor], torch.Tensor]


def two_modes(size: int = 4000) -> torch.Tensor:
    """70 % near 0.6, 30 % near -0.6: [size, 1, 1]."""
    generator = torch.Generator().manual_seed(2)
    modes = torch.where(torch.rand(size, 1, 1, generator=generator) < 0.7, 0.6, -0.6)
    return modes + 0.05 * torch.randn(size, 1, 1, generator=generator)


def four_choices(size: int = 4000) -> torch.Tensor:
    """Choices with the odds above: [size, 1]."""
    generator = torch.Generator().manual_seed(2)
    return torch.multinomial(ODDS, size, True, generator=generator)[:, None]


def train_toy(
    agent: OfflineAgent, actions: torch.Tensor, steps: int, reward: Reward | None = None, rate: float = 1e-3
) -> Params:
    """Parameters after `steps` updates with Adam, every transition the last of its episode."""
    params = {k: v.requires_grad_() for k, v in agent.init(torch.Generator().manual_seed(0)).items()}
    targets = {name: params[name].detach().clone() for name in agent.target_names(params)}
    optimizer = torch.optim.Adam(list(params.values()), lr=rate)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.ones(128, 1, 2)
    for _ in range(steps):
        chosen = actions[torch.randint(len(actions), (128,), generator=generator)]
        rewards = torch.zeros(128) if reward is None else reward(chosen.reshape(128))
        batch = Batch(inputs, chosen, rewards, inputs, torch.ones(128), None, None)
        loss, _ = agent.losses(params, targets, batch, agent.draw_training_noise(generator, 128))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in params.items()}


def samples(agent: Agent, params: Params, mode: str, size: int = 4000) -> torch.Tensor:
    """Actions of an act mode."""
    rng = np.random.default_rng(5)
    noise = torch.from_numpy(np.stack([agent.draw_noise(rng, mode) for _ in range(size)]))
    return agent.act_batch(params, torch.ones(size, 2), None, noise, mode)


def has_two_modes(drawn: torch.Tensor, near: float = 0.8) -> bool:
    """Whether at least this share of samples lies near the two modes, 70 % of them above."""
    close = ((drawn - 0.6).abs() < 0.25) | ((drawn + 0.6).abs() < 0.25)
    upper = float((drawn > 0).float().mean())
    assert float(close.float().mean()) > near, close.float().mean()
    assert abs(upper - 0.7) < 0.08, upper
    return True


def has_odds(chosen: torch.Tensor, tolerance: float = 0.08) -> bool:
    """Whether choices come with the odds above."""
    shares = torch.bincount(chosen, minlength=4) / len(chosen)
    assert torch.allclose(shares, ODDS, atol=tolerance), shares
    return True
