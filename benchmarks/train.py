"""`harness bench train`: the training step of VGM2P against its own matrix products, its peers and itself.

One CPU thread, batch 64, the shapes of 5m_vs_6m; everything of a step counts: draws, batch, losses, gradients, Adam,
target copies. What is compared is measured alternately, in processor time, so that a busy machine meets all of it alike.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import torch

from agents.api import Batch, OfflineAgent
from agents.program import Program
from agents.registry import default_config, load_class
from agents.resident import Draws, ResidentData
from agents.training_options import Execution
from benchmarks import jax_step
from benchmarks.batches import write_random
from benchmarks.measurement import TURN_S, Clock, Measurement, Steps, in_turns, make_report, percent
from benchmarks.products import record
from datasets.formats.native import open_dataset
from datasets.schema import Dataset
from env_adapters import scenarios
from env_adapters.api import TeamSpec
from env_adapters.bounds import check_at_least
from harness.commands.bench import Report
from harness.jobs import one_torch_thread
from harness.progress import Say

_MAP: Final = "5m_vs_6m"
_BATCH: Final = 64
_TRANSITIONS: Final = 5_000
_SIZES: Final = ((512, 512, 512, 512), (128, 128))
"""Widths: the paper's, and those of the shipped agents."""
_OF_PRODUCTS: Final = 90.0
"""Percent of a paper-size step that should be its matrix products."""
_OF_JAX: Final = 150.0
"""Percent of JAX's steps per second that a paper-size step should make."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    quick: bool = False
    """One step of everything: shows that everything runs, its numbers are no results."""
    json: bool = False
    """Print the report as JSON."""
    repetitions: int = 7
    """How often each quantity is measured; the table shows the median."""
    seeds: int = 6
    """Seeds of the comparison of stacked training with one seed after the other."""

    def __post_init__(self) -> None:
        """Reject counts below one."""
        check_at_least("--repetitions", self.repetitions, 1)
        check_at_least("--seeds", self.seeds, 1)


class _Place(NamedTuple):
    """What every program of the report is made from."""

    dataset: Dataset
    spec: TeamSpec
    device: torch.device


def run(config: Config, say: Say) -> Report:
    """Measure; one row per quantity.

    Raises:
        OutputError: no room for the dataset that is made up.
    """
    rows: list[Measurement] = []
    with tempfile.TemporaryDirectory() as folder, one_torch_thread():
        write_random(Path(folder) / "made-up.h5", 500 if config.quick else _TRANSITIONS)
        with scenarios.make_vector(_MAP, 1) as env:
            spec = env.spec
        dataset = open_dataset(Path(folder) / "made-up.h5")
        place = _Place(dataset, spec, torch.device("cpu"))
        for hidden in _SIZES:
            say(f"{_named(hidden)} ...")
            rows += _size(config, place, hidden)
        if torch.cuda.is_available():
            say("CUDA ...")
            rows += _cuda(config, place._replace(device=torch.device("cuda")))
    notes = [
        f"batch {_BATCH}, {spec.n_agents} agents, {spec.observation_size} numbers and {spec.action_size} actions each; "
        "a step is everything from the draw of its batch to the target copies; one CPU thread; "
        "all but CUDA rows are processor time, which other work on the machine disturbs least",
        "matrix products alone: the same operands again, without anything around them",
        f"the peer is {jax_step.version()}, its step jitted, without drawing"
        if jax_step.is_installed()
        else "the same step in JAX: not installed; pip install jax, then run this again",
        "CUDA rows: the same code on a device"
        if torch.cuda.is_available()
        else "no CUDA device here: nothing was measured on one",
    ]
    return make_report("train", config.quick, rows, notes)


def _seconds(
    contenders: Mapping[str, Steps], config: Config, clock: Clock = time.process_time
) -> dict[str, list[float]]:
    repetitions, turn_s = (2, 0.0) if config.quick else (config.repetitions, TURN_S)
    return in_turns(contenders, repetitions, turn_s, clock)


def _named(hidden: tuple[int, ...]) -> str:
    return f"{len(hidden)} x {hidden[0]}"


def _agent(name: str, hidden: tuple[int, ...], spec: TeamSpec) -> OfflineAgent:
    made = default_config(name)
    agent = load_class(name)(type(made)(**{**vars(made), "hidden": hidden}), spec)
    assert isinstance(agent, OfflineAgent)
    return agent


def _steps(place: _Place, agent: OfflineAgent, seeds: int = 1, stacked: bool = False, **how: object) -> Steps:
    """A training of some seeds, from which nothing is saved."""
    data, draws = ResidentData(place.dataset, place.device), Draws(agent, place.dataset.n_transitions, _BATCH)
    groups = [tuple(range(seeds))] if stacked else [(seed,) for seed in range(seeds)]
    execution = Execution(**how)  # type: ignore[arg-type]
    programs = [
        Program(agent, data, group, draws, 3e-4, place.device, stacked, execution, 8) for group in groups
    ]
    done = 0

    def run(n_steps: int) -> None:
        nonlocal done
        for first in range(done, done + n_steps, 8):
            length = min(8, done + n_steps - first)
            for program in programs:
                program.load(draws.chunk(program.seeds, first, length, program.stacked))
                program.run(length)
        done += n_steps
        for program in programs:
            program.take_sums()  # waits for the device

    return run


def _jax_steps(place: _Place, agent: OfflineAgent) -> Steps:
    """The same step in JAX, on one batch."""
    draws = Draws(agent, place.dataset.n_transitions, _BATCH)
    drawn, params = draws.chunk((0,), 0, 1, stacked=False), draws.initial(0)
    batch = ResidentData(place.dataset, place.device).batch(drawn.indices[0])
    assert isinstance(batch, Batch)
    arrays = {name: tensor.numpy() for name, tensor in params.items()}
    return jax_step.steps(
        arrays,
        {name: arrays[name] for name in agent.target_names(params)},
        batch_arrays(batch),
        {name: tensor[0].numpy() for name, tensor in drawn.noise.items()},
    )


def batch_arrays(batch: Batch) -> jax_step.Arrays:
    """The fields of a batch as NumPy arrays."""
    return {name: value.cpu().numpy() for name, value in vars(batch).items() if value is not None}


def _size(config: Config, place: _Place, hidden: tuple[int, ...]) -> list[Measurement]:
    """All rows about networks of one size."""
    named, agent = _named(hidden), _agent("vgm2p", hidden, place.spec)
    step = _steps(place, agent)
    step(1)
    products = record(lambda: step(1))

    def products_alone(n: int) -> None:
        for _ in range(n):
            products.again()

    contenders: dict[str, Steps] = {"step": step, "products": products_alone}
    contenders["bf16"] = _steps(place, agent, precision="bf16")
    for name in ("mac-flow", "vgm2p-fm"):
        contenders[name] = _steps(place, _agent(name, hidden, place.spec))
    for stacked, name in ((False, "apart"), (True, "together")):
        contenders[name] = _steps(place, agent, config.seeds, stacked)
    if jax_step.is_installed():
        contenders["jax"] = _jax_steps(place, agent)
    found = _seconds(contenders, config)
    seconds, bound = found["step"], found["products"]
    share, peer = (_OF_PRODUCTS, _OF_JAX) if hidden == _SIZES[0] else (None, None)
    rows = [
        Measurement(f"{named}: VGM2P", "steps/s", [1 / value for value in seconds]),
        Measurement(f"{named}: a step", "ms", [1e3 * value for value in seconds]),
        Measurement(
            f"{named}: its {products.n_products} matrix products alone",
            "ms",
            [1e3 * value for value in bound],
        ),
        Measurement(f"{named}: those products", "GFLOP/s", [products.flop / value / 1e9 for value in bound]),
        Measurement(f"{named}: a step", "GFLOP/s", [products.flop / value / 1e9 for value in seconds]),
        Measurement(f"{named}: products / step", "%", percent(bound, seconds), share),
        Measurement(f"{named}: a step in bf16", "ms", [1e3 * value for value in found["bf16"]]),
    ]
    if "jax" in found:
        rows.append(Measurement(f"{named}: a step in JAX", "ms", [1e3 * value for value in found["jax"]]))
        rows.append(Measurement(f"{named}: JAX / ours", "%", percent(found["jax"], seconds), peer))
        halved = percent(found["jax"], found["bf16"])
        rows.append(Measurement(f"{named}: JAX in fp32 / ours in bf16", "%", halved, peer))
    for name in ("mac-flow", "vgm2p-fm"):
        rows.append(Measurement(f"{named}: {name} / vgm2p", "%", percent(found[name], seconds)))
    k = f"{config.seeds} seeds"
    each = [1e3 * value / config.seeds for value in found["apart"]]
    rows.append(Measurement(f"{named}: {k}, one after the other, each step", "ms", each))
    ratio = percent(found["together"], found["apart"])
    rows.append(Measurement(f"{named}: {k}, stacked / one after the other", "%", ratio))
    return rows


def _cuda(config: Config, place: _Place) -> list[Measurement]:
    """Seeds side by side on the device, in every way it offers."""
    ways: dict[str, dict[str, object]] = {
        "fp32": {},
        "tf32": {"precision": "tf32"},
        "bf16": {"precision": "bf16"},
        "fp32, CUDA graph": {"cuda_graph": True},
        "bf16, CUDA graph": {"precision": "bf16", "cuda_graph": True},
    }
    agent, rows = _agent("vgm2p", _SIZES[0], place.spec), []
    contenders: dict[str, Steps] = {"one seed": _steps(place, agent)}
    for name, how in ways.items():
        stacked = _steps(place, agent, config.seeds, True, **how)
        contenders[f"{config.seeds} seeds stacked, {name}"] = stacked
    for name, values in _seconds(contenders, config, time.perf_counter).items():
        rows.append(Measurement(f"CUDA, {_named(_SIZES[0])}: {name}", "steps/s", [1 / v for v in values]))
    return rows
