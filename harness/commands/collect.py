"""`harness collect`: record a dataset with behaviour policies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from env_adapters import scenarios
from env_adapters.errors import InvalidValueError
from harness.commands.parsing import parse, say
from harness.evaluate import announce_compilation
from harness.team import choose_team


@dataclass(frozen=True)
class CollectConfig:
    """Record a dataset. A dataset is a function of map, behaviours, transitions and seed, bit for bit."""

    map: str
    """Scenario; all: harness ls maps."""
    quality: str = "good"
    """Which shipped behaviour policy plays: good or medium."""
    checkpoint: tuple[Path, ...] = ()
    """Checkpoint files that play equal shares instead."""
    agent: str | None = None
    """A control, such as random, that plays instead."""
    act_mode: str | None = None
    """How the behaviour acts (default: sample where the policy can, else its own default)."""
    transitions: int = 100_000
    """Transitions to record at least; whole episodes are kept."""
    seed: int = 0
    """Root of the episode seeds."""
    out: Path | None = None
    """File to write (default: data/MAP-QUALITY.h5)."""
    n_games: int = 64
    """Games played side by side. The dataset does not depend on it."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0."""
    from agents.acting import BatchedTeam
    from datasets.collect import Behaviour, collect

    config = parse(CollectConfig, arguments, "collect")
    if config.n_games < 1:
        raise InvalidValueError(f"--n-games must be at least 1, not {config.n_games}")
    scenario = scenarios.find(config.map)
    label = config.agent or ("custom" if config.checkpoint else config.quality)
    path = config.out or Path("data") / f"{scenario.name}-{label}.h5"
    announce_compilation(scenario, say)
    with scenarios.make_vector(config.map, config.n_games) as env:
        shipped = None if config.checkpoint else config.agent or f"ppo-{config.quality}"
        files = config.checkpoint or (None,)
        behaviours = []
        for file in files:
            team = choose_team(scenario.name, env.spec, shipped, file)
            mode = config.act_mode or (
                "sample" if "sample" in team.agent.act_modes else team.agent.act_modes[0]
            )
            policy = BatchedTeam(team.agent, team.params, config.n_games, mode)
            behaviours.append(Behaviour(policy, team.agent.name, team.weights_hash, 1.0 / len(files), mode))
        card = collect(env, behaviours, config.transitions, config.seed, path, _progress())
    wins = "" if card.win_rate is None else f", {card.win_rate:.0%} won"
    print(
        f"{path}: {card.n_transitions} transitions in {card.n_episodes} episodes, "
        f"return {card.returns.mean:.2f} ± {card.returns.std:.2f}{wins}"
    )
    print(f"sha256 {card.sha256}")
    print(f"\nnext: harness train --agent vgm2p --dataset {path}")
    return 0


def _progress() -> Callable[[int, int], None]:
    """Report at most every two seconds."""
    last = started = time.monotonic()

    def report(stored: int, wanted: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 2.0:
            last = now
            say(f"{stored} of {wanted} transitions, {stored / (now - started):.0f} per second")

    return report
