"""What a training leaves on disk to go on from, and what a checkpoint says about how it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from agents.checkpoints import read_tensors, write_tensors
from agents.program import Program
from agents.training_options import Execution, TrainConfig
from datasets.schema import Dataset
from env_adapters.errors import CorruptFileError, RunConflictError

_STATE: Final = "training.safetensors"
_NOT_PROVENANCE: Final = ("log_every", "save_every", "seed", "seeds")


class TrainState(NamedTuple):
    """Where a training stands."""

    step: int
    sums: dict[int, dict[str, float]]
    """Metrics of each seed that goes on, added up since the last row of the curve."""
    stopped: dict[int, str]
    """Seeds that diverged, and how."""
    versions: list[str]
    """Versions of torch that took part."""
    tensors: dict[str, Tensor]
    """As `Program.state`, with a row for each seed of `sums`."""

    def put_into(self, program: Program) -> None:
        """Let a program go on from here."""
        if self.step:
            seeds = list(self.sums)
            program.put_state(self.tensors, [seeds.index(seed) for seed in program.seeds], self.step)
            program.put_sums(self.sums)


def save_state(
    folder: Path,
    fingerprint: str,
    step: int,
    programs: Sequence[Program],
    stopped: Mapping[int, str],
    versions: Sequence[str],
) -> None:
    """Write the state of a training atomically; OutputError where that is impossible."""
    parts = [program.state() for program in programs]
    header = {
        "fingerprint": fingerprint,
        "step": step,
        "sums": [[seed, sums] for program in programs for seed, sums in program.take_sums().items()],
        "stopped": [[seed, reason] for seed, reason in stopped.items()],
        "torch": list(versions),
    }
    names = list(parts[0]) if parts else []
    write_tensors(
        folder / _STATE, header, {name: torch.cat([part[name] for part in parts]) for name in names}
    )


def load_state(folder: Path, fingerprint: str) -> TrainState:
    """The state in a folder, or that of a training that has not begun.

    Raises:
        RunConflictError: it is the state of something else.
        CorruptFileError: it is damaged.
    """
    version = str(torch.__version__)
    if not (folder / _STATE).exists():
        return TrainState(0, {}, {}, [version], {})
    try:
        header, tensors = read_tensors(folder / _STATE)
    except CorruptFileError as error:
        reason = str(error).split("; ")[0]
        raise CorruptFileError(
            f"{reason}; delete it to train from the start, or choose another --out"
        ) from error
    if header.get("fingerprint") != fingerprint:
        raise RunConflictError(
            f"{folder} holds a training run with another agent, dataset or configuration; choose another --out"
        )
    versions = list(dict.fromkeys([*header["torch"], version]))
    return TrainState(int(header["step"]), dict(header["sums"]), dict(header["stopped"]), versions, tensors)


def provenance(
    dataset: Dataset, config: TrainConfig, execution: Execution, device: torch.device, stacked: int
) -> dict[str, Any]:
    """What, besides agent, options and seed, is needed to repeat a training; the same for every seed of it."""
    return {
        "trainer": "offline",
        "dataset": dataset.card.sha256,
        "dataset_scenario": dataset.card.scenario,
        "dataset_behaviors": [asdict(record) for record in dataset.card.behaviours],
        "dataset_return_mean": dataset.card.returns.mean,
        **{key: value for key, value in asdict(config).items() if key not in _NOT_PROVENANCE},
        **asdict(execution),
        "stacked": stacked,  # how many seeds shared each product
        "device": device.type,
    }
