"""What the harness adds to an offline training: playing in the simulator now and then, and TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from env_adapters import scenarios
from env_adapters.errors import MissingExtraError
from env_adapters.files import writing
from env_adapters.rollout import play
from harness.plan import episode_seeds

if TYPE_CHECKING:
    from agents.api import Agent, Params
    from agents.training import TrainProgress

_GAMES = 32


@dataclass(frozen=True)
class Watching:
    """What is shown of a training; nothing here changes its numbers."""

    evaluate_every: int | None = None
    """Play the current parameters of every seed in the simulator every this many steps (default: never)."""
    evaluate_episodes: int = 32
    """Episodes of each such evaluation, the same ones every time."""
    tensorboard: bool = False
    """Also write the curves for TensorBoard, into the folder `tensorboard`."""


class Simulator:
    """Plays parameters in a team's own world, as `harness evaluate --seed 0` does; a context manager.

    Args:
        scenario: name of the scenario.
        layout: what agents are shown.
        n_episodes: how many episodes, always the first ones of root seed 0.
    """

    def __init__(self, scenario: str, layout: str, n_episodes: int) -> None:
        self._seeds = episode_seeds(0, n_episodes)
        self._env = scenarios.make_vector(scenario, min(_GAMES, n_episodes), layout=layout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._env.close()

    def play(self, agent: Agent, params: Params) -> Mapping[str, float]:
        """Columns of the learning curve: return, and win rate where the scenario has a winner."""
        from agents.acting import BatchedTeam

        team = BatchedTeam(agent, params, self._env.n_games)
        # Episodes end in any order, which must not decide how a mean is rounded.
        episodes = sorted(play(self._env, team, self._seeds), key=lambda episode: episode.seed)
        found = {"return": float(np.mean([episode.episode_return for episode in episodes]))}
        if self._env.spec.has_win:
            found["win_rate"] = float(np.mean([bool(episode.won) for episode in episodes]))
        return found


class TensorBoard:
    """Learning curves as TensorBoard event files, one run per seed; a context manager.

    Args:
        folder: gets a folder for each seed.
        seeds: training seeds.
        step: where the training goes on; what was written after it is hidden.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, seeds: tuple[int, ...], step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("--tensorboard", "tensorboard") from error
        make: Any = SummaryWriter
        hidden_from = step + 1 if step else None
        with writing(folder):
            self._writers = {s: make(str(folder / f"seed-{s}"), purge_step=hidden_from) for s in seeds}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, progress: TrainProgress) -> None:
        """Write a row of every curve."""
        for seed, row in progress.by_seed.items():
            for name, value in row.items():
                self._writers[seed].add_scalar(name, value, progress.step)
