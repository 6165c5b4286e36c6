"""`harness bench engine`: how fast the embedded engine plays, how much memory it needs, how soon it is ready."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks import first_use, smax
from benchmarks.measurement import Measurement, make_report
from benchmarks.throughput import BatchedPlay, SinglePlay, steps_per_second
from env_adapters import scenarios
from env_adapters.errors import InvalidValueError
from harness.commands.bench import Report
from harness.progress import Say

TARGETS: Final = {
    "3m": 1_000_000,
    "5m_vs_6m": 500_000,
    "10m_vs_11m": 200_000,
    "27m_vs_30m": 25_000,
    "terran_10_vs_10": 150_000,
}
"""Environment steps per second wanted of `_GAMES` games on `_THREADS` threads."""
_GAMES, _THREADS = 1024, 2
_SINGLE_MAP, _SINGLE_TARGET = "5m_vs_6m", 30_000
_BYTES_TARGET = 64 * 1024
_MANY_GAMES, _GROWTH_TARGET = 16_384, 2 * 2**30
_COMPILE_TARGET_S, _START_TARGET_S = 12.0, 1.5
_PEER_MAPS = ("3m", "5m_vs_6m")
_SPEED = "env steps/s"


@dataclass(frozen=True)
class Config:
    """Speed, memory and start of the embedded StarCraft engine, against the project's own targets."""

    maps: tuple[str, ...] = tuple(TARGETS)
    """StarCraft scenarios played 1024 at once; all: harness ls maps."""
    json: bool = False
    """Print one JSON object instead of the table."""
    quick: bool = False
    """A few games for moments, nothing compiled afresh: shows that everything runs, measures nothing."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    n_games: int
    repetitions: int
    duration_s: float
    """Of each repetition of a rate."""
    many_games: int
    fresh: int
    """Processes started for each time that needs one."""


FULL = Effort(_GAMES, 5, 2.0, _MANY_GAMES, 3)
QUICK = Effort(4, 3, 0.02, 64, 1)


def run(config: Config, say: Say) -> Report:
    """Measure everything, one thing after the other.

    Args:
        config: what to measure.
        say: receives a line about each stage.

    Raises:
        UnknownNameError: no such map.
        InvalidValueError: a map that the engine does not play.
        HarnessError: games that do not really play, or a child process that failed.
    """
    effort = QUICK if config.quick else FULL
    for name in config.maps:
        if scenarios.find(name).family not in ("smac-v1", "smacv2"):
            raise InvalidValueError(f"--maps {name} is no StarCraft map; choose from: harness ls maps")
    rows = list(_measure(config, effort, say))
    notes = [
        "an environment step: random available actions chosen, 8 game loops, reward, masks, observations, one global "
        "state, resets of ended games",
        "spread is lowest .. highest of n repetitions; times include the start of the interpreter",
        _peer_note(),
    ]
    return make_report("engine", config.quick, rows, notes)


def _peer_note() -> str:
    if smax.is_installed():
        return (
            f"peer: SMAX of {smax.version()}, inside one jitted scan on all cores; it has other rules and observations; "
            "x is our speed over its"
        )
    return "peer: none; for a comparison with SMAX in the same call: pip install jaxmarl"


def _measure(config: Config, effort: Effort, say: Say) -> Iterator[Measurement]:
    speeds: dict[tuple[str, int], Measurement] = {}
    for name in config.maps:
        say(f"playing {effort.n_games} games of {name} ...")
        speeds[name, effort.n_games] = batched(name, effort)
        yield speeds[name, effort.n_games]
    peers = [name for name in _PEER_MAPS if name in config.maps and smax.is_installed()]
    for name in sorted({_SINGLE_MAP, *peers}):
        say(f"playing one game of {name} ...")
        speeds[name, 1] = single(name, effort)
        yield speeds[name, 1]
    for name in peers:
        for n_games in (1, effort.n_games):
            say(f"playing SMAX {name} ({n_games} at once) ...")
            yield from _against_smax(name, n_games, effort, speeds.get((name, n_games)))
    say("measuring memory ...")
    yield from _memory(config.maps, effort)
    say("starting fresh processes ...")
    yield from _first_use(config, effort)


def batched(name: str, effort: Effort) -> Measurement:
    """Speed of many games of one scenario on two threads."""
    with scenarios.make_vector(name, effort.n_games, n_threads=_THREADS) as env:
        games = BatchedPlay(env)
        games.warm_up()
        rates = steps_per_second(games.advance, effort.repetitions, effort.duration_s)
    what = f"{name}, {effort.n_games} games, {_THREADS} threads"
    return Measurement(what, _SPEED, rates, TARGETS.get(name))


def single(name: str, effort: Effort) -> Measurement:
    """Speed of one game through the interface of single worlds."""
    with scenarios.make(name) as env:
        game = SinglePlay(env)
        game.warm_up()
        rates = steps_per_second(game.advance, effort.repetitions, effort.duration_s)
    target = _SINGLE_TARGET if name == _SINGLE_MAP else None
    return Measurement(f"{name}, one game, 1 thread, Python interface", _SPEED, rates, target)


def _against_smax(name: str, n_games: int, effort: Effort, ours: Measurement | None) -> Iterator[Measurement]:
    peer = steps_per_second(smax.play(name, n_games), effort.repetitions, effort.duration_s)
    games = "1 game" if n_games == 1 else f"{n_games} games"
    yield Measurement(f"SMAX {name}, {games}", _SPEED, peer)
    if ours is not None:
        yield Measurement(f"ours over SMAX, {name}, {games}", "x", [ours.value / median(peer)])


def _memory(maps: Sequence[str], effort: Effort) -> Iterator[Measurement]:
    sizes = {name: first_use.bytes_per_game(name) for name in maps}
    if sizes:
        largest = max(sizes, key=lambda name: sizes[name][0])
        state, seen = sizes[largest]
        what = f"memory of a game of {largest} (the largest here), and {seen:,} of observations"
        yield Measurement(what, "bytes", [state], _BYTES_TARGET, at_most=True)
    growth = [first_use.growth_bytes(_SINGLE_MAP, effort.many_games) for _ in range(effort.fresh)]
    values = [size / 2**20 for size in growth if size is not None]
    if values:
        what = f"growth of the process by {effort.many_games} games of {_SINGLE_MAP}"
        yield Measurement(what, "MiB", values, _GROWTH_TARGET / 2**20, at_most=True)


def _first_use(config: Config, effort: Effort) -> Iterator[Measurement]:
    starts = [first_use.start_seconds() for _ in range(effort.fresh)]
    yield Measurement("process start to first step, compiled before", "s", starts, _START_TARGET_S, True)
    if config.quick:
        return
    compiled = [first_use.compile_seconds("command") for _ in range(effort.fresh)]
    what = "process start to first step, empty cache"
    yield Measurement(f"{what}, as a command does", "s", compiled, _COMPILE_TARGET_S, True)
    alone = [first_use.compile_seconds("python")]
    yield Measurement(f"{what}, in a script (one core)", "s", alone)
