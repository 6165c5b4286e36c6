"""The commands that make a cell of a study, and what they left behind."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from env_adapters.errors import CorruptFileError, DivergenceError
from env_adapters.files import write_atomic
from harness.study.spec import Cell, Scale

DIVERGED: Final = DivergenceError.exit_code
"""Exit code of `harness train` when seeds went out of bounds."""
_OUTCOME: Final = "outcome.json"
Command = list[str]
"""Words of a command line, beginning with the command of `harness`."""


class Outcome(NamedTuple):
    """One seed of a cell."""

    seed: int
    curve: dict[int, dict[str, float]]
    """Step -> columns of the learning curve that are numbers."""
    stopped: str | None
    """Why and where it was given up, if it was."""
    checkpoint: Path

    @property
    def last(self) -> dict[str, float]:
        """The columns of the last step at which it was played; {} if it never was."""
        played = [step for step, row in self.curve.items() if "return" in row]
        return self.curve[max(played)] if played and self.stopped is None else {}


def dataset_path(out: Path, scale: Scale, dataset: str) -> Path:
    """Where a study's dataset stands."""
    part = "" if scale.transitions is None else f"-{scale.transitions}"
    return out / "data" / f"{dataset.replace('/', '--')}{part}.h5"


def collect_command(out: Path, scale: Scale, dataset: str) -> Command:
    """Makes the dataset."""
    name, _, quality = dataset.partition("/")
    size = [] if scale.transitions is None else ["--transitions", str(scale.transitions)]
    path = dataset_path(out, scale, dataset)
    return ["collect", "--map", name, "--quality", quality, *size, "--out", str(path)]


def train_command(cell: Cell, out: Path, device: str, training_options: Callable[[str], set[str]]) -> Command:
    """Trains all seeds, and plays them now and then.

    Args:
        cell: what to train.
        out: folder of the studies.
        device: of `harness train`.
        training_options: names of the options that an agent has; a scale's others are left out.
    """
    scale, variant = cell.scale, cell.variant
    steps = scale.steps[cell.kind]
    known = training_options(variant.agent)
    chosen = {name: value for name, value in scale.options.items() if name in known}
    chosen |= dict(variant.options or {}) | dict((variant.by_scale or {}).get(scale.name, {}))
    words = ["train", "--agent", variant.agent, "--dataset", str(dataset_path(out, scale, cell.dataset))]
    words += ["--seeds", str(scale.seeds), "--steps", str(steps), "--device", device]
    words += ["--evaluate-every", str(max(1, steps // scale.evaluations))]
    words += ["--evaluate-episodes", str(scale.episodes[cell.kind])]
    words += ["--log-every", str(max(1, steps // 20)), "--save-every", str(max(1, steps // 2))]
    for name, value in chosen.items():
        value = value[cell.kind] if isinstance(value, dict) else value
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return [*words, "--out", str(cell.folder(out))]


def agent_options(agent: str) -> set[str]:
    """Names of what `harness train` lets one choose about the training of an agent."""
    from agents.registry import default_config
    from agents.training_options import TrainConfig

    return {field.name for kind in (TrainConfig, type(default_config(agent))) for field in fields(kind)}


def is_done(cell: Cell, out: Path, command: Command) -> bool:
    """Whether this very command has been run to its end."""
    try:
        found = json.loads(outcome_path(cell, out).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found.get("command") == command)


def outcome_path(cell: Cell, out: Path) -> Path:
    """Where it is noted how the training of a cell ended."""
    return cell.folder(out) / _OUTCOME


def write_outcome(path: Path, command: Command, code: int, cpu_s: float) -> None:
    """Note how a training ended; OutputError where that is impossible."""
    content = {"command": command, "exit_code": code, "cpu_s": cpu_s}
    write_atomic(path, json.dumps(content, indent=1).encode())


def read(cell: Cell, out: Path) -> list[Outcome]:
    """All seeds of a finished cell; [] of one that is not."""
    folder = cell.folder(out)
    if not outcome_path(cell, out).exists():
        return []
    n = cell.scale.seeds
    places = [folder if n == 1 else folder / f"seed-{seed}" for seed in range(n)]
    return [_outcome(seed, place) for seed, place in enumerate(places)]


def cpu_s(cell: Cell, out: Path) -> float:
    """Processor time of a finished cell, playing included; NaN where it is not known."""
    content: Mapping[str, Any] = json.loads(outcome_path(cell, out).read_text(encoding="utf-8"))
    return float(content.get("cpu_s", math.nan))


def _outcome(seed: int, place: Path) -> Outcome:
    path = place / "curve.csv"
    curve: dict[int, dict[str, float]] = {}
    stopped = None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(row.pop("step"))
                if row.get("stopped"):
                    stopped = f"{row['stopped']} at step {step}"
                row.pop("stopped", None)
                curve[step] = {name: float(value) for name, value in row.items() if value}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise CorruptFileError(
            f"{path} is no learning curve: {error}; delete its folder, the study makes it again"
        ) from error
    return Outcome(seed, curve, stopped, place / "checkpoint.safetensors")
