"""Several seeds in one training: each is what it would be alone, whatever the others, the chunks and the threads do."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_agents import small
from torch import Tensor

from agents import checkpoints
from agents.api import Batch, Metrics, OfflineAgent, Params, WindowBatch
from agents.bc import BcConfig, BcMeanFlow
from agents.execution import device_errors
from agents.program import Program
from agents.registry import load_class
from agents.resident import Draws, ResidentData
from agents.training import Evaluation, Trainer
from agents.training_options import Execution, TrainConfig
from agents.vgm2p import Vgm2p, Vgm2pConfig
from datasets.collect import Behaviour, collect
from datasets.formats.native import open_dataset
from datasets.schema import Dataset
from env_adapters import scenarios
from env_adapters.errors import DivergenceError, InvalidValueError, OutputError

torch.set_num_threads(1)
CPU = torch.device("cpu")
CONFIG = TrainConfig(steps=30, batch_size=16, log_every=20, save_every=12, seeds=3)
SMALL = Vgm2pConfig(hidden=(16, 16))
STACKED = Execution(stacked="on")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    from agents import acting

    path = tmp_path_factory.mktemp("data") / "3m.h5"
    with scenarios.make_vector("3m", 4) as env:
        control = checkpoints.initial("random", None, env.spec, 0)
        policy = acting.BatchedTeam(control.agent, control.params, 4)
        collect(env, [Behaviour(policy, "random", control.weights_hash, 1.0, "sample")], 300, 0, path)
    return open_dataset(path)


@pytest.fixture(scope="module")
def agent() -> Vgm2p:
    return Vgm2p(SMALL, scenarios.make_vector("3m", 1).spec)


def train(
    agent: OfflineAgent, dataset: Dataset, folder: Path, config: TrainConfig = CONFIG, **how: Any
) -> Trainer:
    trainer = Trainer(agent, dataset, config, folder, CPU, **how)
    trainer.run()
    return trainer


def close(first: Params, second: Params, tolerance: float = 1e-5) -> None:
    assert set(first) == set(second)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=tolerance, atol=tolerance, msg=name)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_seed_ends_with_the_same_bits_alone_and_beside_others(
    agent: Vgm2p, dataset: Dataset, tmp_path: Path
) -> None:
    three = train(agent, dataset, tmp_path / "three")
    alone = train(agent, dataset, tmp_path / "alone", replace(CONFIG, seed=1, seeds=1))
    assert list(three.checkpoints()) == [0, 1, 2]
    ours = [path.read_bytes() for path in three.checkpoints().values()]
    assert ours[1] == alone.checkpoints()[1].read_bytes() and len(set(ours)) == 3
    assert (tmp_path / "three/seed-1/curve.csv").read_bytes() == (tmp_path / "alone/curve.csv").read_bytes()
    made = checkpoints.load_checkpoint(three.checkpoints()[2]).provenance
    wanted = {"seed": 2, "steps": 30, "batch_size": 16, "dataset": dataset.card.sha256, "precision": "fp32"}
    assert made | wanted | {"torch": str(torch.__version__), "stacked": 1, "device": "cpu"} == made


def programs(
    agent: OfflineAgent, dataset: Dataset, seeds: tuple[int, ...]
) -> tuple[Draws, Program, list[Program]]:
    data, draws = ResidentData(dataset, CPU, agent), Draws(agent, dataset.n_transitions, 16)

    def program(group: tuple[int, ...], stacked: bool) -> Program:
        return Program(agent, data, group, draws, 3e-4, CPU, stacked, Execution(), 4)

    return draws, program(seeds, True), [program((seed,), False) for seed in seeds]


def make(kind: str) -> OfflineAgent:
    """A small agent of a kind for 3m."""
    made = load_class(kind)(small(kind), scenarios.make_vector("3m", 1).spec)
    assert isinstance(made, OfflineAgent)
    return made


def test_a_dataset_on_the_cpu_is_not_copied(dataset: Dataset) -> None:
    data = ResidentData(dataset, CPU)
    assert data.observations.data_ptr() == dataset.observations.ctypes.data


WINDOWED = ["bc-recurrent", "madiff", "dof"]


@pytest.mark.parametrize("kind", WINDOWED)
def test_agents_that_learn_from_windows_are_trained(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    agent = make(kind)
    trainer = train(agent, dataset, tmp_path / "a", replace(CONFIG, seeds=1, steps=4, batch_size=4))
    batch = ResidentData(dataset, CPU, agent).batch(torch.arange(6).reshape(2, 3))
    assert isinstance(batch, WindowBatch)
    length = agent.history + agent.horizon
    assert batch.observations.shape == (2, 3, length, 3, 30) and batch.returns_to_go.shape == (2, 3)
    for index in range(6):
        now = batch.observations[index // 3, index % 3, agent.history].numpy()
        assert (now == dataset.transitions(np.array([index])).observations[0]).all()
    (program,) = trainer.programs
    kept = checkpoints.load_checkpoint(trainer.checkpoints()[0]).params
    close(kept, agent.acting_params(program.params, program.targets), 0.0)
    assert (kind == "bc-recurrent") == all((kept[name] == program.params[name]).all() for name in kept)


@pytest.mark.parametrize("kind", ["vgm2p", "bc-meanflow", *WINDOWED])
def test_every_stacked_step_equals_single_ones(kind: str, dataset: Dataset) -> None:
    """Also without target copies (bc-meanflow), and with windows."""
    agent = make(kind)
    draws, together, apart = programs(agent, dataset, (0, 4, 7))
    for step in range(10):
        together.load(draws.chunk(together.seeds, step, 1, stacked=True))
        together.run(1)
        for program in apart:
            program.load(draws.chunk(program.seeds, step, 1, stacked=False))
            program.run(1)
            (seed,) = program.seeds
            close(program.weights(seed), together.weights(seed))
            sums = together.take_sums()[seed]
            assert sums == pytest.approx(program.take_sums()[seed], rel=1e-4, abs=1e-5)


def test_a_stacked_training_stays_near_the_others_and_resumes(
    agent: Vgm2p, dataset: Dataset, tmp_path: Path
) -> None:
    """State and bits of a stacked training are its own; after 30 steps rounding has not grown much."""
    looped = train(agent, dataset, tmp_path / "looped")
    whole = train(agent, dataset, tmp_path / "whole", execution=STACKED)
    for seed, path in whole.checkpoints().items():
        ours = checkpoints.load_checkpoint(path)
        close(ours.params, checkpoints.load_checkpoint(looped.checkpoints()[seed]).params, 1e-4)
        assert ours.provenance["stacked"] == 3
    with pytest.raises(KeyboardInterrupt, match="step 8 of 30 is saved"):
        Trainer(agent, dataset, CONFIG, tmp_path / "cut", CPU, execution=STACKED).run(
            should_stop=lambda: True
        )
    resumed = Trainer(agent, dataset, CONFIG, tmp_path / "cut", CPU, execution=STACKED)
    assert resumed.step == 8
    resumed.run()
    for seed, path in resumed.checkpoints().items():
        assert path.read_bytes() == whole.checkpoints()[seed].read_bytes()
        assert rows(path.with_name("curve.csv")) == rows(tmp_path / "whole" / f"seed-{seed}" / "curve.csv")


def test_drawing_ahead_in_a_thread_changes_nothing(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    plain = train(agent, dataset, tmp_path / "plain", execution=STACKED, draw_ahead=False)
    ahead = train(agent, dataset, tmp_path / "ahead", execution=STACKED, draw_ahead=True)
    for seed, path in plain.checkpoints().items():
        assert path.read_bytes() == ahead.checkpoints()[seed].read_bytes()


def test_draws_do_not_depend_on_chunks_or_company(agent: Vgm2p) -> None:
    draws = Draws(agent, 100, 8)
    together, alone = draws.chunk((3, 5), 0, 6, stacked=True), draws.chunk((5,), 4, 2, stacked=False)
    assert together.indices.shape == (6, 2, 8) and alone.indices.shape == (2, 8)
    assert torch.equal(together.indices[4:, 1], alone.indices)
    for name, noise in alone.noise.items():
        assert torch.equal(together.noise[name][4:, 1], noise), name
    assert not torch.equal(together.indices[0, 0], together.indices[0, 1])
    assert not torch.equal(together.indices[0, 0], together.indices[1, 0])


class Fragile(BcMeanFlow):
    """Cloning whose loss becomes infinite for the seed whose first weight is `WEAK`'s, from the 11th step on."""

    weak: float = 0.0

    def losses(
        self,
        params: Params,
        targets: Params,
        batch: Batch,
        noise: dict[str, Tensor],  # type: ignore[override]
    ) -> tuple[Tensor, Metrics]:
        loss, metrics = super().losses(params, targets, batch, noise)
        mark = params["mark"] - 0.0
        return loss * torch.where((mark[0] == self.weak) & (mark[1] < -0.0029), torch.inf, 1.0) + mark[
            1
        ], metrics

    def init(self, generator: torch.Generator) -> Params:
        params = super().init(generator)
        number = float(torch.randint(1000, (1,), generator=generator))
        return params | {"mark": torch.tensor([number, 0.0])}


@pytest.mark.parametrize("stacked", ["on", "off"])
def test_a_seed_that_diverges_does_not_stop_the_others(
    stacked: Any, dataset: Dataset, tmp_path: Path
) -> None:
    fragile = Fragile(BcConfig(hidden=(8,)), scenarios.make_vector("3m", 1).spec)
    how = Execution(stacked=stacked)
    sound = train(fragile, dataset, tmp_path / "sound", execution=how)
    fragile.weak = float(Draws(fragile, 1, 1).initial(1)["mark"][0])
    with pytest.raises(
        DivergenceError, match=r"seed 1: loss is inf at step 1\d\).*finished below .*: seeds 0, 2"
    ):
        Trainer(fragile, dataset, CONFIG, tmp_path / "cut", CPU, execution=how).run()
    again = Trainer(fragile, dataset, CONFIG, tmp_path / "cut", CPU, execution=how)
    assert again.step == 30 and list(again.checkpoints()) == [0, 2]
    for seed, path in again.checkpoints().items():
        theirs = checkpoints.load_checkpoint(sound.checkpoints()[seed]).params
        close(checkpoints.load_checkpoint(path).params, theirs, 0.0 if stacked == "off" else 1e-5)
    assert not (tmp_path / "cut/seed-1/checkpoint.safetensors").exists()
    (row,) = rows(tmp_path / "cut/seed-1/curve.csv")
    assert row["stopped"] == "loss is inf" and 10 < int(row["step"]) < 20
    with pytest.raises(DivergenceError, match="seed 1"):
        again.run()


def test_when_every_seed_diverges_nothing_is_left_to_train(dataset: Dataset, tmp_path: Path) -> None:
    wild = Vgm2p(replace(SMALL, guidance=1e6), scenarios.make_vector("3m", 1).spec)
    config = replace(CONFIG, learning_rate=0.1, steps=200)
    for _ in range(2):
        with pytest.raises(DivergenceError, match=r"seed 0: .*seed 2: .*preset vgm2p-positive"):
            Trainer(wild, dataset, config, tmp_path, CPU, execution=STACKED).run()
    assert not list(tmp_path.rglob("checkpoint.safetensors"))


def test_weights_that_are_not_finite_are_noticed(agent: Vgm2p, dataset: Dataset) -> None:
    draws, together, _ = programs(agent, dataset, (0, 1))
    together.load(draws.chunk((0, 1), 0, 1, stacked=True))
    together.run(1)
    assert together.diverged(with_weights=True) == {}
    next(iter(together.params.values())).data[1, 0, 0] = torch.nan
    assert together.diverged() == {} and list(together.diverged(with_weights=True)) == [1]


def test_a_rehearsal_leaves_no_trace(agent: Vgm2p, dataset: Dataset) -> None:
    """What is done before a CUDA graph is recorded."""
    draws, rehearsed, _ = programs(agent, dataset, (0, 1))
    _, plain, _ = programs(agent, dataset, (0, 1))
    for program in (rehearsed, plain):
        program.load(draws.chunk((0, 1), 0, 4, stacked=True))
        if program is rehearsed:
            program.rehearse()
        program.run(4)
    for name, tensor in plain.state().items():
        assert torch.equal(tensor, rehearsed.state()[name]), name
    assert plain.take_sums() == rehearsed.take_sums()


@pytest.mark.parametrize(
    "execution", [Execution(precision="bf16"), Execution(precision="bf16", stacked="on")]
)
def test_half_precision_stays_near_full(
    execution: Execution, agent: Vgm2p, dataset: Dataset, tmp_path: Path
) -> None:
    """Losses within 5 %: bf16 keeps 8 bits. Every weight moves, which a lost gradient would prevent."""
    full = train(agent, dataset, tmp_path / "full")
    half = train(agent, dataset, tmp_path / "half", execution=execution)
    for seed, path in half.checkpoints().items():
        start = Draws(agent, 1, 1).initial(seed)
        ours = checkpoints.load_checkpoint(path)
        theirs = checkpoints.load_checkpoint(full.checkpoints()[seed])
        assert ours.provenance["precision"] == "bf16" and ours.weights_hash != theirs.weights_hash
        for name, tensor in ours.params.items():
            assert tensor.dtype == torch.float32 and not torch.equal(tensor, start[name]), name
            assert (tensor - theirs.params[name]).abs().max() < 30 * 3e-4, name
        for mine, other in zip(
            rows(path.with_name("curve.csv")), rows(tmp_path / f"full/seed-{seed}/curve.csv"), strict=True
        ):
            numbers = [{k: float(v) for k, v in row.items()} for row in (mine, other)]
            assert numbers[0] == pytest.approx(numbers[1], rel=0.05, abs=0.02)


@pytest.mark.slow
def test_compiled_losses_are_the_same_within_rounding(dataset: Dataset, tmp_path: Path) -> None:
    clone = BcMeanFlow(BcConfig(hidden=(8,)), scenarios.make_vector("3m", 1).spec)
    config = replace(CONFIG, seeds=2)
    plain = train(clone, dataset, tmp_path / "plain", config, execution=STACKED)
    made = train(clone, dataset, tmp_path / "made", config, execution=Execution(stacked="on", compile=True))
    for seed, path in made.checkpoints().items():
        ours = checkpoints.load_checkpoint(path).params
        close(ours, checkpoints.load_checkpoint(plain.checkpoints()[seed]).params, 1e-4)


@pytest.mark.parametrize("execution", [Execution(precision="tf32"), Execution(cuda_graph=True)])
def test_what_only_cuda_has_is_refused_elsewhere(
    execution: Execution, agent: Vgm2p, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValueError, match="needs a CUDA device"):
        Trainer(agent, dataset, CONFIG, tmp_path, CPU, execution=execution)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_too_little_memory_says_what_to_lower(error: Exception) -> None:
    with (
        pytest.raises(InvalidValueError, match="out of memory on cpu: lower --batch-size"),
        device_errors(CPU),
    ):
        raise error
    with pytest.raises(RuntimeError, match="other"), device_errors(CPU):
        raise RuntimeError("other")


def test_playing_now_and_then_changes_the_curve_alone(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    plain = train(agent, dataset, tmp_path / "plain")
    played: list[str] = []

    def play(agent: OfflineAgent, params: Params) -> dict[str, float]:
        played.append(checkpoints.weights_hash(agent, params))
        return {"return": float(len(played))}

    watched = train(agent, dataset, tmp_path / "watched", evaluation=Evaluation(25, play))
    for seed, path in watched.checkpoints().items():
        assert path.read_bytes() == plain.checkpoints()[seed].read_bytes()
        assert played[3 + seed] == checkpoints.load_checkpoint(path).weights_hash
        curve = rows(path.with_name("curve.csv"))
        assert [row["step"] for row in curve] == ["20", "25", "30"]
        assert [row["return"] for row in curve] == ["", f"{seed + 1.0}", f"{seed + 4.0}"]
        assert [bool(row["policy_loss"]) for row in curve] == [True, False, True]


def test_no_room_for_the_state_is_one_line(
    agent: Vgm2p, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device; free the place"):
        train(agent, dataset, tmp_path)
    monkeypatch.undo()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert np.isfinite(train(agent, dataset, tmp_path).step)
