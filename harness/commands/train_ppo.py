"""The part of `harness train` that learns in the simulator: PPO."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from env_adapters.errors import InvalidValueError
from env_adapters.files import writing
from harness.commands.parsing import say
from harness.commands.train import TrainChoice, check_numbers, finished, parse_parts

if TYPE_CHECKING:
    from agents.online import Progress


@dataclass(frozen=True)
class OnlineRun:
    """Length and seed of an online training."""

    steps: int = 3_000_000
    """Environment steps, over all games."""
    seed: int = 0
    """Decides weights, actions and episodes."""
    checkpoint_every: int = 100_000
    """Environment steps between checkpoints kept on disk."""


def train_online(name: str, arguments: list[str]) -> int:
    """Train and print the checkpoint; returns 0."""
    import torch

    from agents.online import OnlineConfig, PpoTrainer
    from agents.ppo import Ppo, PpoConfig
    from env_adapters import scenarios
    from harness.layouts import label
    from harness.warmup import prepare_engine

    parsed = parse_parts(arguments, run=OnlineRun(), training=OnlineConfig(), hyperparameters=PpoConfig())
    _check_online(name, parsed.choice)
    check_numbers(parsed.run, parsed.training, parsed.hyperparameters)
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
    print(finished([path], agent.spec))
    return 0


def _check_online(name: str, choice: TrainChoice) -> None:
    """Refuse options that contradict training in the simulator."""
    if choice.map is None:
        raise InvalidValueError(f"agent '{name}' trains in the simulator; give a scenario with --map")
    if choice.dataset is not None:
        raise InvalidValueError(f"agent '{name}' trains in the simulator; leave --dataset away")
    if choice.device == "cuda":
        raise InvalidValueError(f"agent '{name}' trains on the CPU; leave --device away")


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
