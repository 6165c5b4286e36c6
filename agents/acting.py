"""Agents at work: one decentralised agent at a time, or all agents of many games in one call.

Both paths run the network on blocks of exactly `Agent.block_rows` rows, so that a row's result has the same bits
whoever shares the batch. Randomness comes from one generator per episode and agent. What an agent remembers is a
row of its own, zeros when an episode begins.

Those bits are of one CPU: another one's matrix products differ in the last bit. A team that acts in double
precision meets that only where two actions are equally good to 15 digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.api import Agent
from agents.generators import episode_generator
from env_adapters.api import ActionArray, AgentView, BoolArray, FloatArray, IntArray
from env_adapters.errors import UnknownNameError

_WITHOUT_NOISE: Final = ("zero", "greedy")


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
    memory: Tensor | None = None,
) -> Tensor:
    """`agent.act_batch` on a multiple of `block_rows` rows, in blocks of so many; replaces what is in `memory`."""
    blocks, size = [], agent.block_rows
    for low in range(0, len(inputs), size):
        block = slice(low, low + size)
        mask = None if available is None else available[block]
        rows = inputs[block]
        if memory is not None:
            rows = agent.remember(params, memory[block], rows)
            memory[block] = rows
        blocks.append(agent.act_batch(params, rows, mask, noise[block], mode))
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


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
        self._memory_size = agent.memory_size

    def act(
        self, view: AgentView, memory: FloatArray | None, rng: np.random.Generator
    ) -> tuple[ActionArray, FloatArray | None]:
        """Choose one action. `memory` is None at the start of an episode, later what the last call returned.

        It holds what the agent remembers, then the noise of an act mode that draws once per episode.
        """
        size, is_fixed = self._memory_size, self._noise.is_fixed
        noise = memory[size:] if memory is not None and is_fixed else self._noise.draw(rng)
        masked = view.available_actions is not None
        rows = _Rows(self._noise, self.agent, 1, len(view.observation), masked)
        rows.inputs[0, view.agent_index] = 1.0
        rows.inputs[0, self.agent.spec.n_agents :] = view.observation
        rows.noise[0] = noise
        if rows.available is not None:
            rows.available[0] = view.available_actions
        if rows.memory is not None and memory is not None:
            rows.memory[0] = memory[:size]
        action = rows.act(self.agent, self.params, self.mode)[0]
        if rows.memory is None:
            return action, noise if is_fixed else None
        return action, np.concatenate([rows.memory[0], noise]) if is_fixed else rows.memory[0].copy()


class _Rows:
    """What the network is given: real rows first, then idle ones up to a multiple of the agent's block."""

    def __init__(
        self,
        source: _NoiseSource,
        agent: Agent,
        rows: int,
        observation_size: int,
        masked: bool,
        dtype: type[np.float32 | np.float64] = np.float32,
    ) -> None:
        padded = rows + -rows % agent.block_rows
        spec = agent.spec
        self.rows = rows
        self.inputs: npt.NDArray[Any] = np.zeros((padded, spec.n_agents + observation_size), dtype=dtype)
        self.noise = source.blank(padded).astype(dtype)
        self.available = np.ones((padded, spec.action_size), dtype=np.bool_) if masked else None
        size = agent.memory_size
        self.memory: npt.NDArray[Any] | None = np.zeros((padded, size), dtype=dtype) if size else None
        """[R, M], None for agents without memory; `act` replaces it."""
        # The same memory as tensors.
        self._tensors = (
            torch.from_numpy(self.inputs),
            None if self.available is None else torch.from_numpy(self.available),
            torch.from_numpy(self.noise),
        )
        self._memory = None if self.memory is None else torch.from_numpy(self.memory)

    def act(self, agent: Agent, params: Mapping[str, Tensor], mode: str) -> ActionArray:
        """Actions of the real rows."""
        inputs, available, noise = self._tensors
        actions = act_in_blocks(agent, params, inputs, available, noise, mode, self._memory)
        array = actions.numpy()[: self.rows]
        return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


class BatchedTeam:
    """B teams of decentralised agents in one call: a `TeamPolicy`, equal to B x N single policies (tested).

    Args:
        agent: who acts.
        params: its parameters.
        n_games: B.
        mode: one of the agent's act modes (default: its first).
        double: compute in double precision; for actions that should not depend on the CPU.
    """

    def __init__(
        self,
        agent: Agent,
        params: Mapping[str, Tensor],
        n_games: int,
        mode: str | None = None,
        double: bool = False,
    ) -> None:
        self.agent, self.n_games = agent, n_games
        self.params = {name: tensor.double() for name, tensor in params.items()} if double else params
        self.mode = check_mode(agent, mode)
        self._source = _NoiseSource(agent, self.mode)
        self._generators: list[list[np.random.Generator]] = [[] for _ in range(n_games)]
        spec, n_agents = agent.spec, agent.spec.n_agents
        masked = spec.action_kind == "discrete"
        dtype = np.float64 if double else np.float32
        self._rows = _Rows(self._source, agent, n_games * n_agents, spec.observation_size, masked, dtype)
        self._inputs = self._by_team(self._rows.inputs)
        self._inputs[:, :, :n_agents] = np.eye(n_agents)
        self._noise = self._by_team(self._rows.noise)

    def _by_team(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The real ones of padded rows [R, X] as [B, N, X], in the same memory."""
        n_agents = self.agent.spec.n_agents
        return rows[: self.n_games * n_agents].reshape(self.n_games, n_agents, -1)

    def begin(self, episode_seeds: IntArray, games: IntArray) -> None:
        """Start episodes with fresh generators and no memory."""
        if self._rows.memory is not None:
            self._by_team(self._rows.memory)[games] = 0.0
        if not (self._source.is_fresh or self._source.is_fixed):
            return
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
        n_agents = self.agent.spec.n_agents
        self._inputs[:, :, n_agents:] = observations
        if self._rows.available is not None and available_actions is not None:
            self._by_team(self._rows.available)[:] = available_actions
        actions = self._rows.act(self.agent, self.params, self.mode)
        return actions.reshape(self.n_games, n_agents, *actions.shape[1:])
