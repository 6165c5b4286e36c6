"""Offline training: one agent, one dataset, one seed, exactly resumable.

The batch and the noise of step t derive from (seed, t) alone, and the training state (parameters, target
copies, Adam moments, t) is written atomically; a run that was killed and started again ends with the same
bits as one that was not (CPU, one thread).
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.api import Batch, OfflineAgent, Params, with_identity
from agents.checkpoints import read_tensors, save_checkpoint, write_tensors
from datasets.schema import Dataset
from env_adapters.bounds import check_at_least, check_between
from env_adapters.errors import DivergenceError, RunConflictError
from env_adapters.files import write_atomic, writing

CHECKPOINT: Final = "checkpoint.safetensors"
"""Name of the finished agent in a training folder."""
_STATE: Final = "training.safetensors"
_CURVE: Final = "curve.csv"
_STREAM: Final = 3
_HUGE: Final = 1e10


@dataclass(frozen=True)
class TrainConfig:
    """How to train, whatever the agent."""

    steps: int = 100_000
    """Gradient steps (the paper: 1e6 on SMAC, 5e5 on MuJoCo)."""
    batch_size: int = 64
    """Transitions per step (Table 3)."""
    learning_rate: float = 3e-4
    """Adam (Table 3)."""
    seed: int = 0
    """Decides initial weights, batches and noise."""
    log_every: int = 1000
    """Steps between rows of the learning curve."""
    save_every: int = 5000
    """Steps between training states on disk."""

    def __post_init__(self) -> None:
        """Reject values that make no sense."""
        for field in ("steps", "batch_size", "log_every", "save_every"):
            check_at_least(field, getattr(self, field), 1)
        check_between("learning_rate", self.learning_rate, 1e-12, 1.0)


class TrainProgress(NamedTuple):
    """What a row of the learning curve says."""

    step: int
    metrics: dict[str, float]
    """Means since the last row."""
    steps_per_s: float


class ResidentData:
    """A dataset as tensors on one device, from which batches are gathered there."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        episode = np.repeat(np.arange(dataset.n_episodes), np.diff(dataset.episode_offsets))
        self.n_transitions = dataset.n_transitions
        self._rows = self._tensor(np.arange(dataset.n_transitions) + episode, device)
        self._observations = self._tensor(dataset.observations, device)
        masks = dataset.available_actions
        self._available = None if masks is None else self._tensor(masks, device)
        self._actions = self._tensor(dataset.actions, device)
        self._rewards = self._tensor(dataset.rewards, device)
        self._terminated = self._tensor(dataset.terminated, device).float()

    @staticmethod
    def _tensor(array: np.ndarray[Any, Any], device: torch.device) -> Tensor:
        return torch.from_numpy(np.array(array)).to(device)

    def batch(self, indices: Tensor) -> Batch:
        """The transitions of these indices [B]."""
        rows = self._rows[indices]
        actions, masks = self._actions[indices], self._available
        return Batch(
            inputs=with_identity(self._observations[rows]),
            actions=actions if actions.is_floating_point() else actions.long(),
            rewards=self._rewards[indices],
            next_inputs=with_identity(self._observations[rows + 1]),
            terminated=self._terminated[indices],
            available=None if masks is None else masks[rows],
            next_available=None if masks is None else masks[rows + 1],
        )


class Trainer:
    """Trains one agent in one folder.

    Args:
        agent: what to train.
        dataset: what to learn from; must match the agent's specification.
        config: how.
        folder: receives the training state, the learning curve and the finished checkpoint.
        device: where tensors live.
        dataset_name: what tables call the dataset.

    Raises:
        MismatchError: dataset of another scenario or layout.
        RunConflictError: the folder holds a training run with another configuration.
    """

    def __init__(
        self,
        agent: OfflineAgent,
        dataset: Dataset,
        config: TrainConfig,
        folder: Path,
        device: torch.device,
        dataset_name: str = "",
    ) -> None:
        dataset.check_matches(agent.spec)
        self.agent, self.config, self.folder, self.device = agent, config, folder, device
        self._data = ResidentData(dataset, device)
        self._dataset_name = dataset_name
        self._provenance = {
            "trainer": "offline",
            "dataset": dataset.card.sha256,
            "dataset_scenario": dataset.card.scenario,
            "dataset_behaviors": [asdict(record) for record in dataset.card.behaviours],
            "dataset_return_mean": dataset.card.returns.mean,
            **{key: value for key, value in asdict(config).items() if key not in ("log_every", "save_every")},
        }
        self.params = {k: p.to(device).requires_grad_() for k, p in self._initial().items()}
        self.targets = {name: self.params[name].detach().clone() for name in agent.target_names(self.params)}
        self._optimizer = torch.optim.Adam(list(self.params.values()), lr=config.learning_rate)
        self._generator = torch.Generator()
        self.step = 0
        self._sums: dict[str, float] = {}
        self._restore()

    def _initial(self) -> Params:
        return self.agent.init(torch.Generator().manual_seed(self._number(-1)))

    def _number(self, step: int) -> int:
        """A 63-bit number that decides everything random about one step (-1: the initial weights)."""
        return int(
            np.random.SeedSequence([self.config.seed, _STREAM, step + 1]).generate_state(1, np.uint64)[0] >> 1
        )

    def run(self, on_progress: Callable[[TrainProgress], None] | None = None) -> Path:
        """Train to the last step and return the checkpoint; DivergenceError if the loss leaves the finite numbers."""
        for progress in self._progress():
            self._write_curve(progress)
            if on_progress is not None:
                on_progress(progress)
        path = self.folder / CHECKPOINT
        provenance = {**self._provenance, "dataset_name": self._dataset_name}
        save_checkpoint(path, self.agent, self.params, provenance)
        return path

    def _progress(self) -> Iterator[TrainProgress]:
        c, started, resumed = self.config, time.perf_counter(), self.step
        while self.step < c.steps:
            for name, value in self._update().items():
                self._sums[name] = self._sums.get(name, 0.0) + float(value)
            if self.step % c.log_every == 0 or self.step == c.steps:
                count = (self.step - 1) % c.log_every + 1
                rate = (self.step - resumed) / (time.perf_counter() - started)
                yield TrainProgress(self.step, {k: v / count for k, v in self._sums.items()}, rate)
                self._sums, started, resumed = {}, time.perf_counter(), self.step
            if self.step % c.save_every == 0 or self.step == c.steps:
                self._save()

    def _update(self) -> dict[str, Tensor]:
        self._generator.manual_seed(self._number(self.step))
        size = self.config.batch_size
        indices = torch.randint(self._data.n_transitions, (size,), generator=self._generator)
        noise = {
            k: v.to(self.device) for k, v in self.agent.draw_training_noise(self._generator, size).items()
        }
        loss, metrics = self.agent.losses(
            self.params, self.targets, self._data.batch(indices.to(self.device)), noise
        )
        if not torch.isfinite(loss) or float(loss.detach()) > _HUGE:
            saved = self.step - self.step % self.config.save_every
            raise DivergenceError(
                f"loss is {float(loss.detach()):.3g} at step {self.step} (seed {self.config.seed}): training diverged; "
                f"lower the learning rate or guidance (the last saved state is of step {saved})"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._follow()
        self.step += 1
        return metrics

    @torch.no_grad()
    def _follow(self) -> None:
        """Move target copies towards the parameters at rate tau (Polyak)."""
        if self.targets:
            names = list(self.targets)
            torch._foreach_lerp_(
                [self.targets[n] for n in names], [self.params[n] for n in names], self.agent.config.tau
            )

    def _fingerprint(self) -> str:
        return repr((self.agent.name, self.agent.config, self.agent.spec, self._provenance))

    def _save(self) -> None:
        state = {f"params.{name}": tensor for name, tensor in self.params.items()}
        state |= {f"targets.{name}": tensor for name, tensor in self.targets.items()}
        for name, tensor in self.params.items():
            moments = self._optimizer.state[tensor]
            state |= {f"{key}.{name}": moments[key] for key in ("exp_avg", "exp_avg_sq", "step")}
        write_tensors(
            self.folder / _STATE,
            {"fingerprint": self._fingerprint(), "step": self.step, "sums": self._sums},
            state,
        )

    def _restore(self) -> None:
        path = self.folder / _STATE
        if not path.exists():
            return
        header, state = read_tensors(path)
        if header.get("fingerprint") != self._fingerprint():
            raise RunConflictError(
                f"{self.folder} holds a training run with another agent, dataset or configuration; choose another --out"
            )
        self.step, self._sums = int(header["step"]), dict(header["sums"])
        with torch.no_grad():
            for name, tensor in self.params.items():
                tensor.copy_(state[f"params.{name}"])
                moments = {key: state[f"{key}.{name}"] for key in ("exp_avg", "exp_avg_sq", "step")}
                self._optimizer.state[tensor] = {
                    key: value if key == "step" else value.to(self.device) for key, value in moments.items()
                }
            for name, tensor in self.targets.items():
                tensor.copy_(state[f"targets.{name}"])

    def _write_curve(self, progress: TrainProgress) -> None:
        """Replace or append the row of this step, so that a resumed run leaves one row per step."""
        path = self.folder / _CURVE
        with writing(path):
            self.folder.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) < progress.step]
        rows.append({"step": str(progress.step)} | {k: repr(v) for k, v in progress.metrics.items()})
        lines = [",".join(rows[-1]), *(",".join(row.values()) for row in rows)]
        write_atomic(path, ("\n".join(lines) + "\n").encode())
