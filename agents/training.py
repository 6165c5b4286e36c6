"""Offline training: one agent, one dataset, one or several seeds, exactly resumable.

The batch and the noise of step t derive from (seed, t) alone, and the training state (parameters, target
copies, Adam moments, t) is written atomically; a run that was killed and started again ends with the same
bits as one that was not (CPU, one thread), and a seed ends with the same bits whichever others train beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import torch

from agents.api import OfflineAgent, Params
from agents.checkpoints import save_checkpoint
from agents.curves import Curve
from agents.execution import check_execution, device_errors, matmul_precision
from agents.program import COUNT, Program
from agents.resident import Draws, ResidentData
from agents.training_options import Execution, TrainConfig
from agents.training_state import load_state, provenance, save_state
from datasets.schema import Dataset
from env_adapters.errors import DivergenceError

__all__ = ["CHECKPOINT", "Evaluation", "Execution", "TrainConfig", "TrainProgress", "Trainer"]

CHECKPOINT: Final = "checkpoint.safetensors"
"""Name of the finished agent in a training folder, or with several seeds in the folder of each."""
_CURVE: Final = "curve.csv"


class Evaluation(NamedTuple):
    """Playing the current parameters now and then; changes the curve, never the training."""

    every: int
    """Steps between evaluations; the last step is always one."""
    play: Callable[[OfflineAgent, Params], Mapping[str, float]]
    """Columns of the curve, such as return and win rate, from parameters on the CPU."""


class TrainProgress(NamedTuple):
    """What a row of the learning curves says."""

    step: int
    metrics: dict[str, float]
    """Means since the last row and over seeds."""
    steps_per_s: float
    """Of all seeds together: a step counts once."""
    by_seed: dict[int, dict[str, float]]
    """What each seed's curve got at this step: its metrics, and the outcome of an evaluation."""


class Trainer:
    """Trains one agent with one or several seeds in one folder.

    Args:
        agent: what to train.
        dataset: what to learn from; must match the agent's specification.
        config: how.
        folder: receives the training state, the learning curve and the finished checkpoint; with several seeds
            curve and checkpoint stand in a folder `seed-S` of each.
        device: where tensors live.
        dataset_name: what tables call the dataset.
        preset: name of the preset that the agent's options started from, for the record.
        execution: how the numbers are computed.
        evaluation: what to play now and then.
        draw_ahead: draw the next steps in a thread meanwhile; default: on a CUDA device.

    Raises:
        MismatchError: dataset of another scenario or layout.
        RunConflictError: the folder holds a training run with another configuration.
        InvalidValueError: an execution that this device does not have.
    """

    def __init__(
        self,
        agent: OfflineAgent,
        dataset: Dataset,
        config: TrainConfig,
        folder: Path,
        device: torch.device,
        dataset_name: str = "",
        execution: Execution | None = None,
        evaluation: Evaluation | None = None,
        draw_ahead: bool | None = None,
        preset: str | None = None,
    ) -> None:
        dataset.check_matches(agent.spec)
        self.agent, self.config, self.folder, self.device = agent, config, folder, device
        self.seeds = tuple(range(config.seed, config.seed + config.seeds))
        execution = execution or Execution()
        check_execution(execution, device)
        self._precision, self._evaluation = execution.precision, evaluation
        self._ahead = device.type == "cuda" if draw_ahead is None else draw_ahead
        wanted = execution.stacked == "on" or (execution.stacked == "auto" and device.type == "cuda")
        stacked = wanted and config.seeds > 1
        self._labels = {"dataset_name": dataset_name, "preset": preset}
        self._provenance = provenance(dataset, config, execution, device, config.seeds if stacked else 1)
        state = load_state(folder, self._fingerprint())
        self.step, self.stopped, self._versions = state.step, state.stopped, state.versions
        self._draws = Draws(agent, dataset.n_transitions, config.batch_size)
        self._length = self._draws.chunk_length(config.seeds if stacked else 1, device)
        with device_errors(device):
            self.programs = self._programs(ResidentData(dataset, device, self.agent), stacked, execution)
            for program in self.programs:
                state.put_into(program)
        self._curves = {seed: Curve(self._place(seed) / _CURVE, self.step) for seed in self.seeds}

    def _programs(self, data: ResidentData, stacked: bool, execution: Execution) -> list[Program]:
        """All seeds that have not diverged, in one program or one each."""
        seeds = [seed for seed in self.seeds if seed not in self.stopped]
        groups = [seeds] * bool(seeds) if stacked else [[seed] for seed in seeds]
        c, draws = self.config, self._draws
        return [
            Program(
                self.agent, data, group, draws, c.learning_rate, self.device, stacked, execution, self._length
            )
            for group in groups
        ]

    def _place(self, seed: int) -> Path:
        """Where checkpoint and curve of a seed stand."""
        return self.folder if len(self.seeds) == 1 else self.folder / f"seed-{seed}"

    def checkpoints(self) -> dict[int, Path]:
        """The finished checkpoint of every seed that did not diverge; there once `run` has returned."""
        return {seed: self._place(seed) / CHECKPOINT for seed in self.seeds if seed not in self.stopped}

    def run(
        self,
        on_progress: Callable[[TrainProgress], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Path:
        """Train to the last step and return the checkpoint of the first seed.

        Args:
            on_progress: told about every row of the curves.
            should_stop: asked between steps; when true, the state is saved.

        Raises:
            DivergenceError: a loss left the finite numbers or exploded; the other seeds are trained to the end first.
            KeyboardInterrupt: after `should_stop`; the same call continues.
            InvalidValueError: out of memory.
            OutputError: no room on the disk.
        """
        with matmul_precision(self._precision), device_errors(self.device):
            for progress in self._progress(should_stop):
                if on_progress is not None:
                    on_progress(progress)
            for program in self.programs:
                for seed in program.seeds:
                    self._save_checkpoint(program, seed)
        if self.stopped:
            raise DivergenceError(self._what_stopped())
        return self._place(self.seeds[0]) / CHECKPOINT

    def _save_checkpoint(self, program: Program, seed: int) -> None:
        made = {
            **self._provenance,
            "seed": seed,
            **self._labels,
            "torch": ", then ".join(self._versions),
        }
        save_checkpoint(self._place(seed) / CHECKPOINT, self.agent, program.weights(seed), made)

    def _progress(self, should_stop: Callable[[], bool]) -> Iterator[TrainProgress]:
        """Train; yields after every row of the curves."""
        c, started, before = self.config, time.perf_counter(), self.step
        for end in self._advance() if self.programs else ():
            dropped = self._drop_diverged(with_weights=self._is_due(c.save_every, end))
            rows = self._rows(end)
            for seed, row in rows.items():
                self._curves[seed].put(end, row)
            if rows:
                rate = (end - before) / (time.perf_counter() - started)
                yield TrainProgress(end, _mean(rows.values()), rate, rows)
                started, before = time.perf_counter(), end
            stop = end < c.steps and should_stop()
            if self._is_due(c.save_every, end) or dropped or stop:
                self._save()
            if stop:
                raise KeyboardInterrupt(f"step {end} of {c.steps} is saved")
            if not self.programs:
                return

    def _rows(self, step: int) -> dict[int, dict[str, float]]:
        """What the curves get at this step: means of the metrics since the last row, the outcome of playing."""
        rows: dict[int, dict[str, float]] = {}
        if self._is_due(self.config.log_every, step):
            for program in self.programs:
                for seed, sums in program.take_sums().items():
                    count = sums.pop(COUNT)
                    rows[seed] = {name: value / count for name, value in sums.items()}
                program.put_sums({})
        if self._evaluation is not None and self._is_due(self._evaluation.every, step):
            for program in self.programs:
                for seed in program.seeds:
                    params = {name: tensor.cpu() for name, tensor in program.weights(seed).items()}
                    rows.setdefault(seed, {}).update(self._evaluation.play(self.agent, params))
        return rows

    def _drop_diverged(self, with_weights: bool) -> bool:
        """Take seeds whose loss or weights went wrong out of their programs; returns whether there were any."""
        kept, dropped = [], False
        for program in self.programs:
            found = program.diverged(with_weights)
            for seed, (step, what) in found.items():
                self.stopped[seed] = f"{what} at step {step}"
                self._curves[seed].put(step, {"stopped": what})
            if len(found) < len(program.seeds):
                kept.append(program.without(list(found), self._draws, self.step) if found else program)
            dropped = dropped or bool(found)
        self.programs = kept
        return dropped

    def _what_stopped(self) -> str:
        """One line about the seeds that diverged, and the others."""
        which = "; ".join(f"seed {seed}: {reason}" for seed, reason in sorted(self.stopped.items()))
        finished = ", ".join(str(seed) for seed in self.checkpoints())
        rest = f"; finished below {self.folder}: seeds {finished}" if finished else ""
        advice = "lower --learning-rate"
        if getattr(self.agent.config, "cfg_rows", None) == "all":
            advice = "lower --guidance, or train the preset vgm2p-positive, which is stable up to 20"
        return f"training diverged ({which}); {advice}, in another folder{rest}"

    def _is_due(self, every: int, step: int) -> bool:
        return step % every == 0 or step == self.config.steps

    def _spans(self) -> Iterator[tuple[int, int]]:
        """First step and length of what is done without looking up: up to the next row, save or evaluation."""
        c, step = self.config, self.step
        periods = [c.log_every, c.save_every, *([self._evaluation.every] if self._evaluation else [])]
        while step < c.steps:
            length = min(self._length, c.steps - step, *(every - step % every for every in periods))
            yield step, length
            step += length

    def _advance(self) -> Iterator[int]:
        """Let all programs make the steps of one span after the other; yields the steps made so far."""
        spans, pending = list(self._spans()), None
        with ThreadPoolExecutor(1) as pool:
            for (first, length), following in zip(spans, [*spans, None][1:], strict=True):
                for program in self.programs:
                    chunk = None if pending is None else pending.result()
                    if chunk is None or chunk.seeds != program.seeds:
                        chunk = self._draws.chunk(program.seeds, first, length, program.stacked)
                    if self._ahead and len(self.programs) == 1 and following is not None:
                        pending = pool.submit(self._draws.chunk, program.seeds, *following, program.stacked)
                    program.load(chunk)
                    program.run(length)
                self.step = first + length
                yield self.step

    def _fingerprint(self) -> str:
        return repr((self.agent.name, self.agent.config, self.agent.spec, self._provenance, self.seeds))

    def _save(self) -> None:
        save_state(self.folder, self._fingerprint(), self.step, self.programs, self.stopped, self._versions)


def _mean(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Means of columns that all rows have."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in columns.items()}
