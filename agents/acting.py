"""Agents at work: one decentralised agent at a time, or all agents of many games in one call.

Both paths run the network on blocks of exactly `BLOCK_ROWS` rows, so that a row's result has the same bits
whoever shares the batch. Randomness comes from one generator per episode and agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from torch import Tensor

from agents.api import Agent, with_identity
from env_adapters.api import ActionArray, AgentView, BoolArray, FloatArray, IntArray
from env_adapters.errors import UnknownNameError

BLOCK_ROWS: Final = 32
"""Rows of every network call while acting. Matrix products of one shape give each row the same bits."""
_ACT_STREAM: Final = 1
_WITHOUT_NOISE: Final = ("zero", "greedy")


def episode_generator(episode_seed: int, agent_index: int) -> np.random.Generator:
    """The random generator of one agent in one episode."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([episode_seed, _ACT_STREAM, agent_index]))
    )


def check_mode(agent: Agent, mode: str | None) -> str:
    """The act mode to use: `mode`, or the agent's default; UnknownNameError for one it does not have."""
    if mode is None:
        return agent.act_modes[0]
    if mode not in agent.act_modes:
        raise UnknownNameError(
            f"agent '{agent.name}' has no act mode '{mode}'; it has: {', '.join(agent.act_modes)}"
        )
    return mode


@torch.inference_mode()
def act_in_blocks(
    agent: Agent,
    params: Mapping[str, Tensor],
    inputs: Tensor,
    available: Tensor | None,
    noise: Tensor,
    mode: str,
) -> Tensor:
    """`agent.act_batch` on any number of rows, in blocks of BLOCK_ROWS."""
    rows = len(inputs)
    missing = -rows % BLOCK_ROWS
    if missing:
        inputs = torch.cat([inputs, inputs[:1].expand(missing, -1)])
        noise = torch.cat([noise, noise[:1].expand(missing, -1)])
        available = None if available is None else torch.cat([available, available[:1].expand(missing, -1)])
    blocks = []
    for low in range(0, rows, BLOCK_ROWS):
        block = slice(low, low + BLOCK_ROWS)
        mask = None if available is None else available[block]
        blocks.append(agent.act_batch(params, inputs[block], mask, noise[block], mode))
    return torch.cat(blocks)[:rows]


class _NoiseSource:
    """Draws an agent's noise according to the act mode: fresh, the first draw again ("fixed"), or zeros."""

    def __init__(self, agent: Agent, mode: str) -> None:
        self._agent, self._mode = agent, mode
        self.is_fixed = mode == "fixed"
        self.is_fresh = not self.is_fixed and mode not in _WITHOUT_NOISE
        self._size = len(agent.draw_noise(np.random.default_rng(0), mode))

    def blank(self, *shape: int) -> FloatArray:
        """Zeros [*shape, Z]."""
        return np.zeros((*shape, self._size), dtype=np.float32)

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Noise of one action [Z]; the modes without randomness draw nothing."""
        if self._mode in _WITHOUT_NOISE:
            return self.blank()
        return self._agent.draw_noise(rng, self._mode)


class DecentralizedPolicy:
    """One agent of a team, alone: it sees its own view and its own generator, nothing else."""

    def __init__(self, agent: Agent, params: Mapping[str, Tensor], mode: str | None = None) -> None:
        self.agent, self.params = agent, params
        self.mode = check_mode(agent, mode)
        self._noise = _NoiseSource(agent, self.mode)

    def act(
        self, view: AgentView, memory: FloatArray | None, rng: np.random.Generator
    ) -> tuple[ActionArray, FloatArray | None]:
        """Choose one action. `memory` is None at the start of an episode, later what the last call returned."""
        noise = memory if memory is not None else self._noise.draw(rng)
        identity = np.zeros(self.agent.spec.n_agents, dtype=np.float32)
        identity[view.agent_index] = 1.0
        inputs = torch.from_numpy(np.concatenate([identity, view.observation])[None])
        mask = None if view.available_actions is None else torch.from_numpy(view.available_actions[None])
        action = act_in_blocks(
            self.agent, self.params, inputs, mask, torch.from_numpy(noise[None]), self.mode
        )
        return action[0].numpy(), noise if self._noise.is_fixed else None


class BatchedTeam:
    """B teams of decentralised agents in one call: a `TeamPolicy`, equal to B x N single policies (tested)."""

    def __init__(
        self, agent: Agent, params: Mapping[str, Tensor], n_games: int, mode: str | None = None
    ) -> None:
        self.agent, self.params, self.n_games = agent, params, n_games
        self.mode = check_mode(agent, mode)
        self._source = _NoiseSource(agent, self.mode)
        self._noise = self._source.blank(n_games, agent.spec.n_agents)
        self._generators: list[list[np.random.Generator]] = [[] for _ in range(n_games)]

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Start episodes with fresh generators."""
        for seed, game in zip(episode_seeds, games, strict=True):
            self._generators[game] = [
                episode_generator(int(seed), i) for i in range(self.agent.spec.n_agents)
            ]
            if self._source.is_fixed:
                self._redraw(game)

    def _redraw(self, game: int) -> None:
        for i, rng in enumerate(self._generators[game]):
            self._noise[game, i] = self._source.draw(rng)

    def act(self, observations: FloatArray, available_actions: BoolArray | None) -> ActionArray:
        """[B, N, D] and [B, N, A] to int64[B, N] or float32[B, N, A]."""
        if self._source.is_fresh:
            for game in range(self.n_games):
                self._redraw(game)
        shape = observations.shape[:2]
        inputs = with_identity(torch.from_numpy(observations)).flatten(0, 1)
        mask = None if available_actions is None else torch.from_numpy(available_actions).flatten(0, 1)
        noise = torch.from_numpy(self._noise).flatten(0, 1)
        actions = act_in_blocks(self.agent, self.params, inputs, mask, noise, self.mode)
        return actions.numpy().reshape(*shape, *actions.shape[1:])
