"""Agents at work: one decentralised agent at a time, or all agents of many games in one call.

A row's result has the same bits whoever shares the batch: networks are computed row by row (`agents.rowwise`), or, where
a library computes them, on blocks of exactly `Agent.block_rows` rows. Randomness comes from one generator per episode and agent. What an agent remembers is a
row of its own, zeros when an episode begins.

The bits of a library's products are of one CPU: another one's differ in the last bit. A team that acts in double
precision, by such products, meets that only where two actions are equally good to 15 digits.
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
from agents.networks import ActingParams
from env_adapters.api import ActionArray, AgentView, BoolArray, FloatArray, IntArray
from env_adapters.errors import UnknownNameError

_ROWS_AT_ONCE: Final = 512
"""Rows of a call where their number does not matter: few enough to stay in the cache."""
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


def _ready(agent: Agent, params: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The parameters in the form in which the agent acts by them."""
    return ActingParams(params, agent.networks) if agent.networks else params


@torch.inference_mode()
def _act_in_blocks(
    agent: Agent,
    params: Mapping[str, Tensor],
    inputs: Tensor,
    available: Tensor | None,
    noise: Tensor,
    mode: str,
    memory: Tensor | None,
    size: int,
) -> Tensor:
    """`agent.act_batch` on a multiple of `size` rows, in blocks of so many; replaces what is in `memory`."""
    if memory is None and len(inputs) <= size:
        return agent.act_batch(params, inputs, available, noise, mode)
    blocks = []
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

    def __init__(self, agent: Agent, mode: str, double: bool = False) -> None:
        self._agent, self._mode = agent, mode
        self.is_fixed = mode == "fixed"
        self.is_fresh = not self.is_fixed and mode not in _WITHOUT_NOISE
        self._size = len(agent.draw_noise(np.random.default_rng(0), mode))
        is_default = type(agent).draw_noise is Agent.draw_noise
        self._fills = is_default and mode not in _WITHOUT_NOISE and not double

    def blank(self, *shape: int) -> FloatArray:
        """Zeros [*shape, Z]."""
        return np.zeros((*shape, self._size), dtype=np.float32)

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Noise of one action [Z]; the modes without randomness draw nothing."""
        if self._mode in _WITHOUT_NOISE:
            return self.blank()
        return self._agent.draw_noise(rng, self._mode)

    def fill(self, rng: np.random.Generator, row: npt.NDArray[Any]) -> None:
        """Draw into a row [Z]: the same numbers, sooner where no copy is needed."""
        if self._fills:
            rng.standard_normal(dtype=np.float32, out=row)
        else:
            row[:] = self.draw(rng)


class DecentralizedPolicy:
    """One agent of a team, alone: it sees its own view and its own generator, nothing else."""

    def __init__(self, agent: Agent, params: Mapping[str, Tensor], mode: str | None = None) -> None:
        self.agent, self.params = agent, _ready(agent, params)
        self.mode = check_mode(agent, mode)
        self._noise = _NoiseSource(agent, self.mode)
        self._row = _Rows(self._noise, agent, 1)

    def act(
        self, view: AgentView, memory: FloatArray | None, rng: np.random.Generator
    ) -> tuple[ActionArray, FloatArray | None]:
        """Choose one action. `memory` is None at the start of an episode, later what the last call returned.

        It holds what the agent remembers, then the noise of an act mode that draws once per episode.
        """
        row, size, is_fixed = self._row, self.agent.memory_size, self._noise.is_fixed
        noise = memory[size:] if memory is not None and is_fixed else self._noise.draw(rng)
        n_agents = self.agent.spec.n_agents
        row.inputs[0, :n_agents] = 0.0
        row.inputs[0, view.agent_index] = 1.0
        row.inputs[0, n_agents:] = view.observation
        row.noise[0] = noise
        if row.available is not None:
            row.available[0] = True if view.available_actions is None else view.available_actions
        if row.memory is not None:
            row.memory[0] = 0.0 if memory is None else memory[:size]
        action = row.act(self.agent, self.params, self.mode)[0]
        if row.memory is None:
            return action, noise if is_fixed else None
        return action, np.concatenate([row.memory[0], noise]) if is_fixed else row.memory[0].copy()


class _Rows:
    """What the network is given: real rows first, then idle ones up to a multiple of the block, if there are blocks."""

    def __init__(
        self,
        source: _NoiseSource,
        agent: Agent,
        rows: int,
        double: bool = False,
    ) -> None:
        is_rowwise = bool(agent.networks) and not double
        self._at_once = _ROWS_AT_ONCE if is_rowwise else agent.block_rows
        padded = rows if is_rowwise else rows + -rows % agent.block_rows
        spec, dtype = agent.spec, np.float64 if double else np.float32
        self.rows = rows
        self.inputs: npt.NDArray[Any] = np.zeros((padded, agent.input_size), dtype=dtype)
        self.noise = source.blank(padded).astype(dtype)
        discrete = spec.action_kind == "discrete"
        self.available = np.ones((padded, spec.action_size), dtype=np.bool_) if discrete else None
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
        """Actions of the real rows, in memory of their own."""
        inputs, available, noise = self._tensors
        actions = _act_in_blocks(agent, params, inputs, available, noise, mode, self._memory, self._at_once)
        array = actions.numpy()[: self.rows]
        return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


class BatchedTeam:
    """B teams of decentralised agents in one call: a `TeamPolicy`, equal to B x N single policies (tested).

    Args:
        agent: who acts.
        params: its parameters.
        n_games: B.
        mode: one of the agent's act modes (default: its first).
        double: compute in double precision, by a library's products; for actions that should not depend on the CPU.
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
        self.params = (
            {name: tensor.double() for name, tensor in params.items()} if double else _ready(agent, params)
        )
        self.mode = check_mode(agent, mode)
        self._source = _NoiseSource(agent, self.mode, double)
        self._generators: list[list[np.random.Generator]] = [[] for _ in range(n_games)]
        n_agents = agent.spec.n_agents
        self._rows = _Rows(self._source, agent, n_games * n_agents, double)
        self._inputs = self._by_team(self._rows.inputs)
        self._inputs[:, :, :n_agents] = np.eye(n_agents)
        self._noise = [list(rows) for rows in self._by_team(self._rows.noise)]

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
        for row, rng in zip(self._noise[game], self._generators[game], strict=False):
            self._source.fill(rng, row)

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
