"""`harness train`: an agent from a dataset, or PPO in the simulator."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from env_adapters.bounds import check_at_least
from env_adapters.errors import InvalidValueError, MismatchError, UnknownNameError, UsageError
from env_adapters.files import writing
from harness.commands.parsing import parse, say

if TYPE_CHECKING:
    import torch

    from agents.online import Progress
    from agents.training import TrainConfig, Trainer, TrainProgress
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
    return _train_offline(name, arguments) if kind == "offline" else _train_online(name, arguments)


def _agent_name(arguments: list[str]) -> str | None:
    """The value of --agent, needed before the options of that agent are known."""
    for argument, following in zip(arguments, [*arguments[1:], "-"], strict=False):
        if argument.startswith("--agent="):
            return argument.removeprefix("--agent=")
        if argument == "--agent" and not following.startswith("-"):
            return following
    return None


def _parse_parts(arguments: list[str], **defaults: Any) -> Any:
    """Options of several dataclasses side by side, without prefixes; given are their default instances."""
    import tyro

    flat = tyro.conf.OmitArgPrefixes
    parts = [("choice", Annotated[TrainChoice, flat], field())]
    parts += [
        (name, Annotated[type(default), flat], field(default=default)) for name, default in defaults.items()
    ]
    return parse(dataclasses.make_dataclass("Train", parts), arguments, "train")


def _train_offline(name: str, arguments: list[str]) -> int:
    import torch

    from agents.registry import default_config, load_class
    from agents.training import TrainConfig

    kind = load_class(name)
    parsed = _parse_parts(arguments, training=TrainConfig(), hyperparameters=default_config(name))
    choice, training = parsed.choice, parsed.training
    if choice.dataset is None:
        raise InvalidValueError(
            f"agent '{name}' learns from a dataset; give one with --dataset (harness collect makes one)"
        )
    _check_numbers(training, parsed.hyperparameters)
    device = _device(choice.device)
    torch.set_num_threads(1)
    trainer = _offline_trainer(choice, training, kind, parsed.hyperparameters, device)
    if trainer.step:
        say(f"continuing {trainer.folder} at step {trainer.step}")
    checkpoint = trainer.run(lambda progress: _report(progress, training.steps))
    print(_finished(checkpoint, trainer.agent.spec))
    return 0


def _finished(checkpoint: Path, spec: TeamSpec) -> str:
    """The last lines of a training: its file, and the command that plays it."""
    from env_adapters import scenarios
    from harness.layouts import option

    scenario = scenarios.find(spec.scenario)
    world = f"--map {scenario.name}{option(scenario, spec.layout)}"
    return f"{checkpoint}\n\nnext: harness evaluate {world} --checkpoint {checkpoint}"


def _offline_trainer(
    choice: TrainChoice, training: TrainConfig, kind: type[Any], hyperparameters: Any, device: torch.device
) -> Trainer:
    """The trainer with its dataset open and its folder made."""
    from agents.training import Trainer
    from datasets.cache import label, locate
    from datasets.formats.native import open_dataset
    from env_adapters import scenarios
    from env_adapters.layouts import observation_layout

    assert choice.dataset is not None
    if choice.map is not None:
        scenarios.find(choice.map)
    dataset = open_dataset(locate(choice.dataset))
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
        raise UnknownNameError(f"dataset {choice.dataset}: {error}") from error
    with world:
        spec = world.spec
    if layout != dataset.card.layout:  # other states, which are learned from, never acted on
        spec = dataclasses.replace(spec, state_size=dataset.card.state_size)
    agent = kind(hyperparameters, spec)
    name = label(choice.dataset)
    folder = choice.out or Path("runs") / "train" / f"{name}-{choice.agent}-s{training.seed}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return Trainer(agent, dataset, training, folder, device, dataset_name=name)


def _report(progress: TrainProgress, steps: int) -> None:
    left = (steps - progress.step) / progress.steps_per_s
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in progress.metrics.items())
    say(f"step {progress.step}/{steps}  {progress.steps_per_s:.0f}/s  {left / 60:.1f} min left  {numbers}")


def _device(name: str) -> torch.device:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InvalidValueError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class OnlineRun:
    """Length and seed of an online training."""

    steps: int = 3_000_000
    """Environment steps, over all games."""
    seed: int = 0
    """Decides weights, actions and episodes."""
    checkpoint_every: int = 100_000
    """Environment steps between checkpoints kept on disk."""


def _train_online(name: str, arguments: list[str]) -> int:
    import torch

    from agents.online import OnlineConfig, PpoTrainer
    from agents.ppo import Ppo, PpoConfig
    from env_adapters import scenarios
    from harness.layouts import label
    from harness.warmup import prepare_engine

    parsed = _parse_parts(arguments, run=OnlineRun(), training=OnlineConfig(), hyperparameters=PpoConfig())
    _check_online(name, parsed.choice)
    _check_numbers(parsed.run, parsed.training, parsed.hyperparameters)
    choice, scenario = parsed.choice, scenarios.find(parsed.choice.map)
    torch.set_num_threads(1)
    with scenarios.make_vector(scenario.name, parsed.training.n_games, layout=choice.layout) as env:
        agent = Ppo(parsed.hyperparameters, env.spec)
        world = f"{scenario.name}{label(scenario, env.spec.layout)}"
        folder = choice.out or Path("runs") / "train" / f"{world}-{name}-s{parsed.run.seed}"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        prepare_engine(scenario, say)
        trainer = PpoTrainer(agent, env, parsed.training, parsed.run.seed, parsed.run.steps)
        keeper = _Keeper(trainer, folder, parsed.run)
        trainer.train(keeper.on_update)
        path = keeper.save(folder / "checkpoint.safetensors")
    print(_finished(path, agent.spec))
    return 0


def _check_online(name: str, choice: TrainChoice) -> None:
    """Refuse options that contradict training in the simulator."""
    if choice.map is None:
        raise InvalidValueError(f"agent '{name}' trains in the simulator; give a scenario with --map")
    if choice.dataset is not None:
        raise InvalidValueError(f"agent '{name}' trains in the simulator; leave --dataset away")
    if choice.device == "cuda":
        raise InvalidValueError(f"agent '{name}' trains on the CPU; leave --device away")


def _check_numbers(*parts: Any) -> None:
    """Refuse counts below one, a negative seed and numbers that are not finite, in options of several dataclasses."""
    for name, value in (item for part in parts for item in vars(part).items()):
        option = f"--{name.replace('_', '-')}"
        if value == ():
            raise InvalidValueError(f"{option} has no value; give at least one")
        for number in value if isinstance(value, tuple) else (value,):
            if type(number) is int:
                check_at_least(option, number, 0 if name == "seed" else 1)
            if isinstance(number, float) and not math.isfinite(number):
                raise InvalidValueError(f"{option} is {number}; give a finite number")


class _Keeper:
    """Reports updates and keeps checkpoints along the way."""

    def __init__(self, trainer: Any, folder: Path, run: OnlineRun) -> None:
        self._trainer, self._folder, self._run = trainer, folder, run
        self._kept = 0

    def on_update(self, progress: Progress) -> None:
        """Report and keep a checkpoint every `checkpoint_every` steps."""
        if progress.steps // self._run.checkpoint_every == self._kept // self._run.checkpoint_every:
            return
        self._kept = progress.steps
        self.save(self._folder / f"step-{progress.steps:09d}.safetensors")
        won = "" if progress.win_rate != progress.win_rate else f"  won {progress.win_rate:.0%}"
        ended = not math.isnan(progress.episode_return)
        outcome = f"return {progress.episode_return:.2f}{won}" if ended else "no episode ended"
        say(f"step {progress.steps}/{self._run.steps}  {progress.steps_per_s:.0f}/s  {outcome}")

    def save(self, path: Path) -> Path:
        """Write the agent as it is now; returns `path`."""
        from agents.checkpoints import save_checkpoint

        trainer = self._trainer
        provenance = {
            "trainer": "ppo",
            "seed": self._run.seed,
            "steps": trainer.steps,
            "total_steps": self._run.steps,  # the learning rate falls over these
            **dataclasses.asdict(trainer.config),
        }
        save_checkpoint(path, trainer.agent, trainer.params, provenance)
        return path
