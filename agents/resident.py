"""What a training step reads: the dataset on the device, and everything random, drawn for many steps together.

What seed s draws at step t depends on (s, t) alone: neither on the device, nor on how many seeds train side by
side, nor on where the training was interrupted, nor on how many steps are drawn together.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.api import Batch, OfflineAgent, Params, WindowBatch, with_identity
from agents.windows import WindowData, episode_index, returns_to_go, windows
from datasets.schema import Dataset

LONGEST_CHUNK: Final = {"cuda": 64}
"""Most steps that are drawn, and brought to a kind of device, together."""
_SHORT_CHUNK: Final = 8
"""The same elsewhere: signals are heeded between chunks."""
_CHUNK_BYTES: Final = 2**26
_STREAM: Final = 3


class ResidentData:
    """A dataset as tensors on one device, from which batches are gathered there.

    The one place where batches are made: of single transitions, or of windows for an agent that asks for them.

    Args:
        dataset: what to hold.
        device: where.
        agent: says what its batches are; default: transitions.
    """

    def __init__(self, dataset: Dataset, device: torch.device, agent: OfflineAgent | None = None) -> None:
        episode = np.repeat(np.arange(dataset.n_episodes), np.diff(dataset.episode_offsets))
        self.n_transitions = dataset.n_transitions
        self._rows = self._tensor(np.arange(dataset.n_transitions) + episode, device)
        self.observations = self._tensor(dataset.observations, device)
        """float32[T + E, N, D]"""
        masks = dataset.available_actions
        self._available = None if masks is None else self._tensor(masks, device)
        self._actions = self._tensor(dataset.actions, device)
        self._rewards = self._tensor(dataset.rewards, device)
        self._terminated = self._tensor(dataset.terminated, device).float()
        self._agent = agent
        self._windows = None
        if agent is not None and agent.horizon:
            self._windows = self._window_data(self._tensor(dataset.episode_offsets, device), agent)

    def _window_data(self, offsets: Tensor, agent: OfflineAgent) -> WindowData:
        return WindowData(
            self.observations,
            self._actions,
            self._rewards,
            self._available,
            returns_to_go(self._rewards, offsets, agent.returns_discount),
            episode_index(offsets),
            offsets,
        )

    @property
    def batch_type(self) -> type[Batch] | type[WindowBatch]:
        """What `batch` returns."""
        return Batch if self._windows is None else WindowBatch

    @staticmethod
    def _tensor(array: np.ndarray[Any, Any], device: torch.device) -> Tensor:
        """On the CPU the array itself, mapped from its file or not: nothing writes into it."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(array).to(device)

    def batch(self, indices: Tensor) -> Batch | WindowBatch:
        """The transitions of these indices, or the windows around them, [B], or [K, B] for K seeds.

        Every field gets the same leading axes.
        """
        if self._windows is not None and self._agent is not None:
            return windows(self._windows, indices, self._agent.history, self._agent.horizon)
        rows = self._rows[indices]
        both = torch.stack([rows, rows + 1])
        inputs = with_identity(self.observations[both])
        masks = (None, None) if self._available is None else self._available[both]
        actions = self._actions[indices]
        return Batch(
            inputs=inputs[0],
            actions=actions if actions.is_floating_point() else actions.long(),
            rewards=self._rewards[indices],
            next_inputs=inputs[1],
            terminated=self._terminated[indices],
            available=masks[0],
            next_available=masks[1],
        )


class Chunk(NamedTuple):
    """What some seeds draw for M steps, on the CPU; with the axis K only where it was asked for."""

    seeds: tuple[int, ...]
    first: int
    """Number of the first step."""
    indices: Tensor
    """int64[M, (K,) B]"""
    noise: dict[str, Tensor]
    """[M, (K,) ...]"""


class Draws:
    """Everything random of a training.

    Args:
        agent: says which noise a step needs.
        n_transitions: indices are drawn below it.
        batch_size: B.
    """

    def __init__(self, agent: OfflineAgent, n_transitions: int, batch_size: int) -> None:
        self._agent, self._n, self._size = agent, n_transitions, batch_size

    def initial(self, seed: int) -> Params:
        """The initial weights of a seed."""
        return self._agent.init(self._generator(seed, -1))

    def chunk(self, seeds: Sequence[int], first: int, length: int, stacked: bool) -> Chunk:
        """Indices and noise of steps first .. first + length - 1; `stacked` adds the axis K, else K is 1."""
        assert stacked or len(seeds) == 1
        steps = [[self._one(seed, step) for seed in seeds] for step in range(first, first + length)]
        shape = (length, len(seeds)) if stacked else (length,)

        def together(name: str) -> Tensor:
            parts = torch.stack([drawn[name] for step in steps for drawn in step])
            return parts.reshape(*shape, *parts.shape[1:])

        tensors = {name: together(name) for name in steps[0][0]}
        return Chunk(tuple(seeds), first, tensors.pop(""), tensors)

    def chunk_length(self, n_seeds: int, device: torch.device) -> int:
        """Steps to draw together: fewer where the noise of one step is large."""
        size = n_seeds * sum(tensor.nbytes for tensor in self._one(0, 0).values())
        return max(1, min(LONGEST_CHUNK.get(device.type, _SHORT_CHUNK), _CHUNK_BYTES // size))

    def _one(self, seed: int, step: int) -> dict[str, Tensor]:
        """What one seed draws at one step; the indices stand under the empty name."""
        generator = self._generator(seed, step)
        indices = torch.randint(self._n, (self._size,), generator=generator)
        return {"": indices} | self._agent.draw_training_noise(generator, self._size)

    @staticmethod
    def _generator(seed: int, step: int) -> torch.Generator:
        """The generator of one step; -1 is that of the initial weights."""
        state = np.random.SeedSequence([seed, _STREAM, step + 1]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0] >> 1))
