"""`harness bench mujoco`: how fast robots are stepped, evaluated and filmed, as ratios to a peer in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from benchmarks.measurement import Measurement, make_report
from env_adapters import scenarios
from env_adapters.errors import InvalidValueError
from env_adapters.mamujoco.robots import DATASET_TEAMS
from harness.commands.bench import Report
from harness.jobs import one_torch_thread
from harness.progress import Say

_BATCHED_TARGET = 0.90
_THREADS_TARGET = 1.9
_SINGLE_TARGETS: Final = {"6halfcheetah": 2.0, "3hopper": 1.7, "2ant": 1.6}
_EVALUATION_TARGET_S, _EVALUATION_RATIO = 0.7, 6.0
_FRAMES_TARGET = 75.0
_SIZE = (480, 360)
_RACES: Final = {"6halfcheetah": (200, 2), "3hopper": (12, 10), "2ant": (40, 2)}
"""Environment steps of one race, as many as most robots stand through, and races whose rates are averaged."""
_SPEED = "env steps/s"


@dataclass(frozen=True)
class Config:
    """Speed of the robots of the public datasets, against MuJoCo itself and against gymnasium-robotics."""

    maps: tuple[str, ...] = tuple(DATASET_TEAMS)
    """Robots: 6halfcheetah, 3hopper, 2ant."""
    json: bool = False
    """Print one JSON object instead of the table."""
    quick: bool = False
    """A few robots for moments: shows that everything runs, measures nothing."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    n_games: int
    repetitions: int
    single_steps: int
    peer_episodes: int
    episode_limit: int
    frames: int


FULL = Effort(128, 7, 3000, 2, 1000, 200)
QUICK = Effort(4, 2, 60, 1, 30, 8)


def run(config: Config, say: Say) -> Report:
    """Measure everything, one thing after the other.

    Args:
        config: what to measure.
        say: receives a line about each stage.

    Raises:
        UnknownNameError: no such map.
        InvalidValueError: a map that is no robot of the datasets.
        MissingExtraError: the simulator is not installed.
    """
    effort = QUICK if config.quick else FULL
    for name in config.maps:
        scenario = scenarios.find(name)
        if scenario.name not in DATASET_TEAMS:
            raise InvalidValueError(
                f"--maps {name} is no dataset robot; choose from {', '.join(DATASET_TEAMS)}"
            )
    scenarios.make(config.maps[0]).close()  # says what is missing, before benchmarks import it
    with one_torch_thread():
        rows = list(_measure(config, effort, say))
    notes = [
        f"batched: {effort.n_games} robots, observations and rewards, against mujoco.rollout over the same states, "
        "controls and threads; resets are left out of both",
        "single: DecentralizedEnv against gymnasium-robotics' mamujoco_v1 (agent_obsk=1), resets included",
        f"evaluation: ten episodes, two hidden layers of 256, one torch thread; the peer's time is that of "
        f"{effort.peer_episodes} episodes, scaled",
        "frames: 480 x 360, without the header and the encoding; OpenGL renders in a child process, its start left out",
        "spread is lowest .. highest of n repetitions; ratios are taken within each repetition",
    ]
    return make_report("mujoco", config.quick, rows, notes)


def _measure(config: Config, effort: Effort, say: Say) -> Iterator[Measurement]:
    for name in config.maps:
        say(f"stepping {name} ...")
        yield from _batched(name, effort)
        yield from _single(name, effort)
    if "6halfcheetah" in config.maps:
        say("evaluating 6halfcheetah ...")
        yield from _evaluation(effort)
    for name in config.maps:
        say(f"drawing {name} ...")
        yield from _frames(name, effort)


def _batched(name: str, effort: Effort) -> Iterator[Measurement]:
    from benchmarks.robot_speed import CLimitRace, Pair

    n_steps, n_races = _RACES[name]
    races = {n: CLimitRace(name, effort.n_games, n, n_steps) for n in (1, 2)}
    pairs: dict[int, list[Pair]] = {1: [], 2: []}
    for repetition in range(effort.repetitions):
        for n, race in races.items():
            runs = [race.race(ours_first=bool((repetition + i) % 2)) for i in range(n_races)]
            pairs[n].append(Pair(*(sum(side) / len(runs) for side in zip(*runs, strict=True))))
    for n, measured in pairs.items():
        threads = f"{n} thread{'s' if n > 1 else ''}"
        yield Measurement(f"{name}, batched, {threads}", _SPEED, [pair.ours for pair in measured])
        ratios = [pair.ratio for pair in measured]
        yield Measurement(f"{name}, batched over mujoco.rollout, {threads}", "x", ratios, _BATCHED_TARGET)
    gains = [two.ours / one.ours for one, two in zip(pairs[1], pairs[2], strict=True)]
    yield Measurement(f"{name}, batched, two threads over one", "x", gains, _THREADS_TARGET)
    gains = [two.peer / one.peer for one, two in zip(pairs[1], pairs[2], strict=True)]
    yield Measurement(f"{name}, mujoco.rollout, two threads over one", "x", gains)


def _single(name: str, effort: Effort) -> Iterator[Measurement]:
    from benchmarks.robot_speed import SingleRace

    race = SingleRace(name, effort.single_steps)
    pairs = [race.race() for _ in range(effort.repetitions)]
    yield Measurement(f"{name}, single", _SPEED, [pair.ours for pair in pairs])
    ratios = [pair.ratio for pair in pairs]
    yield Measurement(f"{name}, single over mamujoco_v1", "x", ratios, _SINGLE_TARGETS[name])


def _evaluation(effort: Effort) -> Iterator[Measurement]:
    from benchmarks.robot_speed import EvaluationRace

    race = EvaluationRace(10, effort.peer_episodes, effort.episode_limit)
    race.race()  # warms up
    pairs = [race.race() for _ in range(effort.repetitions)]
    what = "6halfcheetah, ten episodes"
    yield Measurement(what, "s", [pair.ours for pair in pairs], _EVALUATION_TARGET_S, at_most=True)
    ratios = [1.0 / pair.ratio for pair in pairs]
    yield Measurement(f"{what}, mamujoco_v1's time over ours", "x", ratios, _EVALUATION_RATIO)


def _frames(name: str, effort: Effort) -> Iterator[Measurement]:
    from benchmarks.robot_speed import recorded_poses
    from videos import gl
    from videos.drawing import Drawing

    task, poses = DATASET_TEAMS[name].task, recorded_poses(name, effort.frames)
    paths: dict[str, Callable[[], Iterator[object]]] = {
        "OpenGL": lambda: gl.pictures(task, poses, _SIZE),
        "drawn": lambda: map(Drawing(task, _SIZE).draw, poses),
    }
    for path, start in paths.items():
        rates = [rate for _ in range(effort.repetitions) if (rate := _frame_rate(start())) is not None]
        if rates:
            yield Measurement(f"{name}, frames, {path}", "frames/s", rates, _FRAMES_TARGET)


def _frame_rate(pictures: Iterator[object]) -> float | None:
    """Pictures per second after the first; None where there are none."""
    if next(pictures, None) is None:
        return None
    start = perf_counter()
    count = sum(1 for _ in pictures)
    return count / (perf_counter() - start)
