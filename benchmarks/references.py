"""`harness bench references`: play the teams whose returns count as 0 and as 100, and compare with the stored file.

Episodes are decided by their seeds, so on the same engine the same returns must come out to the last digit.
`--out harness/references.json` replaces the entries that were played and keeps the others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from env_adapters import scenarios
from env_adapters.bounds import check_at_least
from env_adapters.errors import InvalidValueError
from env_adapters.mamujoco.robots import DATASET_TEAMS, OMIGA
from env_adapters.rollout import play
from harness.commands.bench import Report
from harness.jobs import one_torch_thread
from harness.plan import episode_seeds
from harness.progress import Say
from harness.references import (
    FILE,
    WON_BATTLE,
    References,
    Score,
    find_references,
    load_references,
    write_references,
)
from harness.statistics import mean_std
from harness.team import TeamSource, load_team

_ROOT_SEED: Final = 0
"""So that `harness evaluate --agent random --episodes 100` scores exactly 0."""
_EXPERT: Final = "ppo-expert"
_MOST_GAMES: Final = 100


@dataclass(frozen=True)
class Config:
    """The returns that count as 0 and as 100."""

    maps: tuple[str, ...] = tuple(
        name for name, s in scenarios.SCENARIOS.items() if s.family == "smac-v1" or name in DATASET_TEAMS
    )
    """SMAC v1 maps and the robots 6halfcheetah, 3hopper, 2ant."""
    episodes: int = 100
    """Episodes per team, from root seed 0."""
    out: Path | None = None
    """File to write; its other entries are kept."""
    json: bool = False
    """Print one JSON object instead of the table."""
    quick: bool = False
    """Two episodes: shows that everything runs, measures nothing."""


def run(config: Config, say: Say) -> Report:
    """Measure the references of each map, in each layout that has any.

    Raises:
        UnknownNameError: no such map.
        InvalidValueError: a map without references, less than two episodes, or a file from a quick run.
        OutputError: the file cannot be written.
        MissingExtraError: the simulator of a robot is not installed.
    """
    check_at_least("--episodes", config.episodes, 2)
    if config.quick and config.out is not None:
        raise InvalidValueError("--quick measures nothing that could be written; leave out --quick or --out")
    measured: list[References] = []
    for name in config.maps:
        scenario = scenarios.find(name)
        say(f"playing {scenario.name} ...")
        measured += [
            _measure(scenario, layout, 2 if config.quick else config.episodes)
            for layout in _layouts(scenario)
        ]
    verdicts = [_verdict(entry) for entry in measured]  # before the stored file is written
    if config.out is not None:
        write_references(config.out, _merged(config.out, measured))
        say(f"written to {config.out}")
    headers = ("scenario", "layout", "engine", "counts as 0", "counts as 100", "stored file")
    cells: list[tuple[object, ...]] = [
        (r.scenario, r.layout, r.engine, _cell(r.random), _cell(r.strong), verdict)
        for r, verdict in zip(measured, verdicts, strict=True)
    ]
    notes = [
        "± is the standard error of the mean; every team plays the same episodes, root seed 0",
        "won battle: SMAC v1 scales its rewards so that killing every enemy and winning sums to 20",
    ]
    rows = [asdict(r) | {"stored": verdict} for r, verdict in zip(measured, verdicts, strict=True)]
    return Report("references", config.quick, headers, cells, rows, notes)


def _layouts(scenario: scenarios.Scenario) -> tuple[str, ...]:
    if scenario.family == "smac-v1":
        return scenario.layouts
    if scenario.name in DATASET_TEAMS:
        return (OMIGA,)
    raise InvalidValueError(
        f"--maps {scenario.name} has no strong reference: give SMAC v1 maps or dataset robots"
    )


def _measure(scenario: scenarios.Scenario, layout: str, episodes: int) -> References:
    with (
        scenarios.make_vector(scenario.name, min(episodes, _MOST_GAMES), layout=layout) as env,
        one_torch_thread(),
    ):
        spec = env.spec
        seeds = episode_seeds(_ROOT_SEED, episodes)

        def score(agent: str) -> Score:
            team = load_team(scenario.name, spec, TeamSource(agent))
            returns = {e.seed: e.episode_return for e in play(env, team.vector(env.n_games), seeds)}
            mean, std = mean_std([returns[seed] for seed in seeds])
            assert std is not None
            return Score(team.name, mean, std / episodes**0.5, episodes, team.weights_hash[:12])

        strong = WON_BATTLE if spec.has_win else score(_EXPERT)
        return References(spec.scenario, spec.layout, spec.engine, score("random"), strong)


def _merged(path: Path, measured: list[References]) -> list[References]:
    """The entries of a file, those of the same scenario, layout and engine replaced."""
    kept = load_references(path) if path.exists() else []
    entries = {(r.scenario, r.layout, r.engine): r for r in [*kept, *measured]}
    return list(entries.values())


def _cell(score: Score) -> str:
    spread = "" if score.standard_error is None else f" ± {score.standard_error:.2g}"
    return f"{score.team} {score.mean:.5g}{spread}"


def _verdict(measured: References) -> str:
    stored = find_references(measured.scenario, measured.layout, measured.engine)
    if stored is None:
        return f"has no entry of this engine in {FILE.name}"
    if stored == measured:
        return "equal"
    if stored.random.episodes != measured.random.episodes:
        return f"has {stored.random.episodes} episodes"
    return "DIFFERS"
