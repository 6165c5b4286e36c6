"""`harness train`: an agent from a dataset, or PPO in the simulator."""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from env_adapters.bounds import check_at_least
from env_adapters.errors import InvalidValueError, MismatchError, UnknownNameError, UsageError
from env_adapters.files import writing
from env_adapters.layouts import observation_layout
from harness.commands.parsing import parse, say
from harness.interrupts import gentle_interrupts
from harness.run_directory import lock_folder
from harness.training import Simulator, TensorBoard, Watching
from harness.warmup import prepare_engine

if TYPE_CHECKING:
    import torch

    from agents.training import Trainer, TrainProgress
    from agents.training_options import TrainConfig
    from datasets.schema import Dataset
    from env_adapters.api import TeamSpec


@dataclass(frozen=True)
class TrainChoice:
    """What to train. `harness train --agent NAME --help` shows the options of one agent."""

    agent: str
    """Agent to train; all: harness ls agents."""
    dataset: Path | None = None
    """Dataset to learn from (offline agents): a file, or the name of a fetched one (harness datasets ls)."""
    map: str | None = None
    """Scenario to play (ppo)."""
    layout: str | None = None
    """What agents are shown, and by which rules (ppo; default: the map's first; all: harness ls maps)."""
    out: Path | None = None
    """Folder for checkpoint, learning curve and training state (default: below runs/train/)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a CUDA device where there is one. PPO always trains on the CPU."""
    in_memory: bool = False
    """Load the dataset instead of mapping its file (on the CPU; a GPU always holds it)."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    from agents import registry

    name = _agent_name(arguments)
    if name is None:
        parse(TrainChoice, arguments, "train")
        raise UsageError("train: --agent is missing; all: harness ls agents")
    kind = registry.find(name).kind
    if kind == "control":
        trainable = ", ".join(entry.name for entry in registry.AGENTS.values() if entry.kind != "control")
        raise InvalidValueError(
            f"agent '{name}' is a control and has nothing to train; trainable: {trainable}"
        )
    if kind == "offline":
        return _train_offline(name, arguments)
    from harness.commands.train_ppo import train_online

    return train_online(name, arguments)


def _agent_name(arguments: list[str]) -> str | None:
    """The value of --agent, needed before the options of that agent are known."""
    for argument, following in zip(arguments, [*arguments[1:], "-"], strict=False):
        if argument.startswith("--agent="):
            return argument.removeprefix("--agent=")
        if argument == "--agent" and not following.startswith("-"):
            return following
    return None


def parse_parts(arguments: list[str], **defaults: Any) -> Any:
    """Options of several dataclasses side by side, without prefixes; given are their default instances."""
    import tyro

    flat = tyro.conf.OmitArgPrefixes
    parts = [("choice", Annotated[TrainChoice, flat], field())]
    parts += [
        (name, Annotated[type(default), flat], field(default=default)) for name, default in defaults.items()
    ]
    name = _agent_name(arguments)
    return parse(
        dataclasses.make_dataclass("Train", parts),
        arguments,
        "train" if name is None else f"train --agent {name}",
    )


def _train_offline(name: str, arguments: list[str]) -> int:
    import torch

    from agents.registry import default_config
    from agents.training_options import Execution, TrainConfig

    parsed = parse_parts(
        arguments,
        training=TrainConfig(),
        execution=Execution(),
        watching=Watching(),
        hyperparameters=default_config(name),
    )
    if parsed.choice.dataset is None:
        raise InvalidValueError(
            f"agent '{name}' learns from a dataset; give one with --dataset (harness collect makes one)"
        )
    check_numbers(parsed.training, parsed.watching, parsed.hyperparameters)
    device = _device(parsed.choice.device)
    torch.set_num_threads(1)
    try:
        print(_trained(parsed, device))
    except KeyboardInterrupt as stop:
        again = shlex.join(["harness", "train", *arguments])
        raise KeyboardInterrupt(
            f"{str(stop) or 'what was saved last, if anything, is kept'}; continue with: {again}"
        ) from None
    return 0


def _trained(parsed: Any, device: torch.device) -> str:
    """Train, alone in the folder; returns the last lines."""
    choice, training, watching = parsed.choice, parsed.training, parsed.watching
    dataset, spec = _dataset(choice)
    folder = choice.out or _folder(choice, training)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    try:
        with ExitStack() as stack:
            trainer = _trainer(parsed, dataset, spec, folder, device, stack)
            if trainer.step:
                say(f"continuing {trainer.folder} at step {trainer.step}")
            listeners: list[Callable[[TrainProgress], None]] = [_Reporter(training.steps, trainer.seeds)]
            if watching.tensorboard:
                board = TensorBoard(folder / "tensorboard", trainer.seeds, trainer.step)
                listeners.append(stack.enter_context(board).add)
            told = "saving where the training stands"
            stopped = stack.enter_context(gentle_interrupts(lambda: None, say, told))
            trainer.run(partial(_tell, listeners), stopped)
        return finished(list(trainer.checkpoints().values()), spec)
    finally:
        if lock is not None:
            os.close(lock)


def _tell(listeners: list[Callable[[TrainProgress], None]], progress: TrainProgress) -> None:
    for listen in listeners:
        listen(progress)


def _folder(choice: TrainChoice, training: TrainConfig) -> Path:
    """Where a training goes that nobody named."""
    from datasets.cache import label

    assert choice.dataset is not None
    last = f"-{training.seed + training.seeds - 1}" if training.seeds > 1 else ""
    return Path("runs") / "train" / f"{label(choice.dataset)}-{choice.agent}-s{training.seed}{last}"


def _trainer(
    parsed: Any, dataset: Dataset, spec: TeamSpec, folder: Path, device: torch.device, stack: ExitStack
) -> Trainer:
    """The trainer, with a simulator to play in where that is wanted."""
    from agents.registry import load_class
    from agents.training import Evaluation, Trainer
    from datasets.cache import label
    from env_adapters import scenarios

    choice, watching, evaluation = parsed.choice, parsed.watching, None
    if watching.evaluate_every is not None:
        scenario = scenarios.find(spec.scenario)
        prepare_engine(scenario, say)
        simulator = Simulator(scenario.name, observation_layout(spec.layout), watching.evaluate_episodes)
        evaluation = Evaluation(watching.evaluate_every, stack.enter_context(simulator).play)
    agent: Any = load_class(choice.agent)(parsed.hyperparameters, spec)
    return Trainer(
        agent,
        dataset,
        parsed.training,
        folder,
        device,
        dataset_name=label(choice.dataset),
        execution=parsed.execution,
        evaluation=evaluation,
        preset=None if choice.agent == agent.name else choice.agent,
    )


def finished(checkpoints: list[Path], spec: TeamSpec) -> str:
    """The last lines of a training: its files, and the command that plays the first."""
    from env_adapters import scenarios
    from harness.layouts import option

    scenario = scenarios.find(spec.scenario)
    world = f"--map {scenario.name}{option(scenario, spec.layout)}"
    files = "\n".join(map(str, checkpoints))
    return f"{files}\n\nnext: harness evaluate {world} --checkpoint {checkpoints[0]}"


def _dataset(choice: TrainChoice) -> tuple[Dataset, TeamSpec]:
    """The dataset, and the specification of the world that it was recorded in."""
    from datasets.cache import locate
    from datasets.formats.native import open_dataset
    from env_adapters import scenarios
    from harness.commands.datasets_describe import check_native

    assert choice.dataset is not None
    if choice.map is not None:
        scenarios.find(choice.map)
    path = locate(choice.dataset)
    check_native(path)
    dataset = open_dataset(path, in_memory=choice.in_memory)
    scenario = scenarios.find(dataset.card.scenario)
    if choice.map not in (None, scenario.name, scenario.id):
        raise MismatchError(
            f"dataset {choice.dataset} was recorded on {scenario.id}, not on --map {choice.map}; "
            "leave --map away or choose a dataset of that map"
        )
    layout = observation_layout(dataset.card.layout)
    if choice.layout not in (None, dataset.card.layout, layout):
        raise MismatchError(
            f"dataset {choice.dataset} was recorded in layout '{dataset.card.layout}', not in --layout "
            f"'{choice.layout}'; leave --layout away or choose a dataset of that layout"
        )
    try:
        world = scenarios.make_vector(scenario.name, 1, layout=layout)
    except UnknownNameError as error:
        raise MismatchError(f"dataset {choice.dataset}: {error}") from error
    with world:
        spec = world.spec
    if layout != dataset.card.layout:  # other states, which are learned from, never acted on
        spec = dataclasses.replace(spec, state_size=dataset.card.state_size)
    return dataset, spec


class _Reporter:
    """Says a line about every row of the learning curves."""

    def __init__(self, steps: int, seeds: tuple[int, ...]) -> None:
        self._steps = steps
        self._seeds = f"  {len(seeds)} seeds" if len(seeds) > 1 else ""
        self._played: dict[str, float] = {}

    def __call__(self, progress: TrainProgress) -> None:
        left = (self._steps - progress.step) / progress.steps_per_s / 60
        self._played |= {name: v for name, v in progress.metrics.items() if name in ("return", "win_rate")}
        shown = progress.metrics | self._played  # the last outcome of playing stays in sight
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        where = f"step {progress.step}/{self._steps}{self._seeds}"
        say(f"{where}  {progress.steps_per_s:.3g}/s  {left:.1f} min left  {numbers}")


def _device(name: str) -> torch.device:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidValueError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


_FROM_ZERO = ("seed", "history", "sampling_steps")
"""Whole numbers that may be 0; 0 sampling steps are all of the diffusion's."""


def check_numbers(*parts: Any) -> None:
    """Refuse counts below one, a negative seed and numbers that are not finite, in options of several dataclasses."""
    for name, value in (item for part in parts for item in vars(part).items()):
        option = f"--{name.replace('_', '-')}"
        if value == ():
            raise InvalidValueError(f"{option} has no value; give at least one")
        for number in value if isinstance(value, tuple) else (value,):
            if type(number) is int:
                check_at_least(option, number, 0 if name in _FROM_ZERO else 1)
            if isinstance(number, float) and not math.isfinite(number):
                raise InvalidValueError(f"{option} is {number}; give a finite number")
