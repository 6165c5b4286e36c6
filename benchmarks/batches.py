"""`harness bench batches`: drawing batches from a dataset of SMAC's 5m_vs_6m, opening it, and the memory it takes."""

from __future__ import annotations

import gc
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measurement import Measurement, make_report
from datasets.batches import BatchSampler
from datasets.card import BehaviourRecord
from datasets.formats.native import NativeWriter, open_dataset
from datasets.schema import Array, Dataset
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least
from env_adapters.rollout import Episode
from harness.commands.bench import Report
from harness.progress import Say

_BATCH_SIZE = 64
_TARGET = 20_000.0
_OPENING_S = 1.0
_MEMORY_MB = 300.0
_LENGTH = 27
"""Steps of an episode, as the published datasets of this map have on average."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    quick: bool = False
    """A small file: shows that everything runs, its numbers are no results."""
    json: bool = False
    """Print the report as JSON."""
    file: Path | None = None
    """Measure this dataset instead of one that is made up."""
    transitions: int = 1_000_000
    """Size of the file that is made up, 1.6 kB each, in the folder for temporary files."""
    repetitions: int = 7
    """How often each quantity is measured; the table shows the median."""

    def __post_init__(self) -> None:
        """Reject counts below one."""
        check_at_least("--transitions", self.transitions, 1)
        check_at_least("--repetitions", self.repetitions, 1)


def run(config: Config, say: Say) -> Report:
    """Measure; one row per quantity.

    Raises:
        OutputError: no room for the file.
        CorruptFileError: `--file` is damaged.
    """
    if config.file is not None:
        return _measure(config, config.file, say)
    n_transitions = 5_000 if config.quick else config.transitions
    with tempfile.TemporaryDirectory() as folder:
        say(f"writing {n_transitions} transitions ...")
        write_random(Path(folder) / "made-up.h5", n_transitions)
        if not config.quick:
            time.sleep(3)  # a file that changed just now is not remembered as verified
        return _measure(config, Path(folder) / "made-up.h5", say)


def write_random(path: Path, n_transitions: int) -> None:
    """Write a dataset file of random numbers in the shapes of 5m_vs_6m; OutputError without room."""
    with scenarios.make_vector("5m_vs_6m", 1) as env:
        spec = env.spec
    generator = np.random.default_rng(0)
    with NativeWriter(path, spec, 0) as writer:
        n_episodes = 0
        while writer.n_transitions < n_transitions:
            writer.append(_episode(spec, min(_LENGTH, n_transitions - writer.n_transitions), generator))
            n_episodes += 1
        writer.finish([BehaviourRecord("made up", "none", "sample", n_episodes)])


def _episode(spec: TeamSpec, length: int, generator: np.random.Generator) -> Episode:
    masks = generator.random((length + 1, spec.n_agents, spec.action_size), dtype=np.float32) < 0.5
    masks[..., 0] = True
    observations = generator.random((length + 1, spec.n_agents, spec.observation_size), dtype=np.float32)
    return Episode(
        seed=0,
        won=False,
        rewards=generator.random(length).tolist(),
        terminated=True,
        truncated=False,
        observations=list(observations),
        available_actions=list(masks),
        states=list(generator.random((length + 1, spec.state_size), dtype=np.float32)),
        actions=list(np.zeros((length, spec.n_agents), np.int64)),
    )


def _measure(config: Config, path: Path, say: Say) -> Report:
    repetitions = 2 if config.quick else config.repetitions
    n_batches = 50 if config.quick else 4000
    say("opening ...")
    first = _seconds(lambda: open_dataset(path, verify="again"))
    opening = [_seconds(lambda: open_dataset(path)) for _ in range(repetitions)]
    memory = _memory_mb("RssAnon")
    dataset = open_dataset(path)
    sampler = BatchSampler(dataset, _BATCH_SIZE, np.random.default_rng(1))
    own: list[float] = []
    wall: list[float] = []
    plain: list[float] = []
    ratios: list[float] = []
    _rate(sampler.draw, n_batches)  # compiles, and brings the file into memory
    say("drawing ...")
    for _ in range(repetitions):
        fast, fast_wall = _rate(sampler.draw, n_batches)
        slow, _ = _rate(_fancy(dataset), max(2, n_batches // 10))
        for values, value in zip(
            (own, wall, plain, ratios), (fast, fast_wall, slow, fast / slow), strict=True
        ):
            values.append(value)
    del sampler
    rows = [
        Measurement("opening, verified before", "s", opening, _OPENING_S, at_most=True),
        Measurement("opening and verifying", "s", [first]),
        Measurement("batches drawn, per second of processor time", "batches/s", own, _TARGET),
        Measurement("batches drawn, per second that passed", "batches/s", wall),
        Measurement("NumPy indexing, per second of processor time", "batches/s", plain),
        Measurement("batches drawn / NumPy indexing, same minute", "ratio", ratios),
    ]
    if memory is not None:
        gc.collect()
        held = _memory_mb("RssAnon") or 0.0
        rows.append(Measurement("memory of the process", "MB", [held], _MEMORY_MB, at_most=True))
        rows.append(Measurement("pages of the file in memory", "MB", [_memory_mb("RssFile") or 0.0]))
    notes = [
        f"{dataset.n_transitions} transitions of {dataset.card.n_agents} agents, {path.stat().st_size / 1e6:.0f} MB; "
        f"batches of {_BATCH_SIZE} transitions with both moments, states and masks; one thread; "
        f"{n_batches} batches per repetition",
        "NumPy indexing copies the same arrays one by one, with the episode of each index looked up",
        "pages of the file belong to the system, which takes them back when others need memory",
    ]
    return make_report("batches", config.quick, rows, notes)


def _fancy(dataset: Dataset) -> Callable[[], object]:
    """What one would write without a sampler."""
    generator = np.random.default_rng(1)
    moments: list[Array] = [dataset.observations, dataset.states]
    moments += [] if dataset.available_actions is None else [dataset.available_actions]
    single = (dataset.rewards, dataset.terminated, dataset.truncated)

    def draw() -> object:
        indices = generator.integers(0, dataset.n_transitions, _BATCH_SIZE)
        rows = indices + np.searchsorted(dataset.episode_offsets, indices, side="right") - 1
        pairs = [(array[rows], array[rows + 1]) for array in moments]
        return pairs, dataset.actions[indices].astype(np.int64), [array[indices] for array in single]

    return draw


def _rate(draw: Callable[[], object], n_batches: int) -> tuple[float, float]:
    """Batches per second of processor time, and per second that passed."""
    passed, used = time.perf_counter(), time.process_time()
    for _ in range(n_batches):
        draw()
    return n_batches / (time.process_time() - used), n_batches / (time.perf_counter() - passed)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _memory_mb(kind: str) -> float | None:
    """Resident memory of this process of one kind; None where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)
    return None if found is None else int(found.group(1)) / 1000
