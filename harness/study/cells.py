"""The commands that make a cell of a study, and what they left behind."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from agents.curves import read_curve
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


def question(cell: Cell) -> Command:
    """What decides the numbers of a training, as options of `harness train`: all but the dataset's file."""
    scale, variant = cell.scale, cell.variant
    steps, known = scale.steps[cell.kind], _agent_options(variant.agent)
    chosen = {name: value for name, value in scale.options.items() if name in known}
    chosen |= dict(variant.options or {}) | dict((variant.by_scale or {}).get(scale.name, {}))
    words = ["--agent", variant.agent, "--seeds", str(scale.seeds), "--steps", str(steps)]
    words += ["--evaluate-every", str(max(1, steps // scale.evaluations))]
    words += ["--evaluate-episodes", str(scale.episodes[cell.kind])]
    for name, value in chosen.items():
        value = value[cell.kind] if isinstance(value, dict) else value
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return words


@cache
def _agent_options(agent: str) -> set[str]:
    """Names of what `harness train` lets one choose about the training of an agent."""
    from agents.registry import default_config
    from agents.training_options import TrainConfig

    return {field.name for kind in (TrainConfig, type(default_config(agent))) for field in fields(kind)}


def folder(cell: Cell, out: Path) -> Path:
    """Where the training of a cell stands: another place for other options, so that nothing is overwritten."""
    dataset = dataset_path(Path(), cell.scale, cell.dataset)
    text = json.dumps([dataset.name, *question(cell)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return out / cell.scale.name / cell.dataset.replace("/", "--") / f"{cell.variant.name}-{digest}"


def train_command(cell: Cell, out: Path, device: str) -> Command:
    """Trains all seeds, and plays them now and then."""
    steps = cell.scale.steps[cell.kind]
    words = ["train", *question(cell), "--dataset", str(dataset_path(out, cell.scale, cell.dataset))]
    words += ["--device", device, "--log-every", str(max(1, steps // 20))]
    return [*words, "--save-every", str(max(1, steps // 10)), "--out", str(folder(cell, out))]


def is_done(cell: Cell, out: Path) -> bool:
    """Whether it was trained to its end, and everything that came of it is still there."""
    return outcome_path(cell, out).exists() and all(
        outcome.stopped is not None or outcome.checkpoint.exists() for outcome in read(cell, out)
    )


def outcome_path(cell: Cell, out: Path) -> Path:
    """Where it is noted how the training of a cell ended."""
    return folder(cell, out) / _OUTCOME


def write_outcome(path: Path, code: int) -> None:
    """Note that a training came to its end; OutputError where that is impossible."""
    write_atomic(path, json.dumps({"exit_code": code}).encode())


def add_time(path: Path, cpu_s: float) -> None:
    """Add the processor time of a process to what earlier ones of the same training took."""
    write_atomic(path, repr(cpu_s + read_time(path)).encode())


def read_time(path: Path) -> float:
    """Processor time so far; 0 where nothing was noted."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError) as error:
        raise CorruptFileError(f"{path} is damaged: {error}; delete it") from error


def time_path(cell: Cell, out: Path) -> Path:
    """Where the processor time of a cell's training is added up."""
    return folder(cell, out) / "cpu_s.txt"


def read(cell: Cell, out: Path) -> list[Outcome]:
    """All seeds of a finished cell; [] of one that is not."""
    if not outcome_path(cell, out).exists():
        return []
    place, n = folder(cell, out), cell.scale.seeds
    places = [place if n == 1 else place / f"seed-{seed}" for seed in range(n)]
    return [_outcome(seed, place) for seed, place in enumerate(places)]


def cpu_s(cell: Cell, out: Path) -> float:
    """Processor time of a cell, starting and playing included; NaN where it was not noted."""
    return read_time(time_path(cell, out)) or math.nan


def _outcome(seed: int, place: Path) -> Outcome:
    path = place / "curve.csv"
    stopped = None
    curve: dict[int, dict[str, float]] = {}
    try:
        for step, row in read_curve(path).items():
            if why := row.pop("stopped", None):
                stopped = f"{why} at step {step}"
            curve[step] = {name: float(value) for name, value in row.items()}
    except (OSError, ValueError, CorruptFileError) as error:
        raise CorruptFileError(
            f"{path} is no learning curve: {error}; delete its folder, the study makes it again"
        ) from error
    if stopped is None and not any("return" in row for row in curve.values()):
        raise CorruptFileError(f"{path} has no evaluation; delete its folder, the study makes it again")
    return Outcome(seed, curve, stopped, place / "checkpoint.safetensors")
