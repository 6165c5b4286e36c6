"""The offline trainer on a CUDA device. Run where there is one: pytest -m gpu."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import acting, checkpoints
from agents.training import Trainer
from agents.training_options import Execution, TrainConfig
from agents.vgm2p import Vgm2p, Vgm2pConfig
from datasets.collect import Behaviour, collect
from datasets.formats.native import open_dataset
from datasets.schema import Dataset
from env_adapters import scenarios

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]
CONFIG = TrainConfig(steps=60, batch_size=64, log_every=20, save_every=15)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("data") / "3hopper.h5"
    with scenarios.make_vector("3hopper", 8) as env:
        control = checkpoints.initial("random", None, env.spec, 0)
        policy = acting.BatchedTeam(control.agent, control.params, 8)
        collect(env, [Behaviour(policy, "random", control.weights_hash, 1.0, "sample")], 600, 0, path)
    return open_dataset(path)


@pytest.fixture(scope="module")
def agent() -> Vgm2p:
    return Vgm2p(Vgm2pConfig(hidden=(64, 64)), scenarios.make_vector("3hopper", 1).spec)


def curve(folder: Path) -> list[dict[str, float]]:
    with next(folder.glob("*.csv")).open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def train(agent: Vgm2p, dataset: Dataset, folder: Path, device: str) -> Path:
    return Trainer(agent, dataset, CONFIG, folder, torch.device(device)).run()


def test_cuda_learns_what_the_cpu_learns(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    """Batches and noise are drawn on the CPU either way; only rounding differs."""
    for device in ("cpu", "cuda"):
        train(agent, dataset, tmp_path / device, device)
    for ours, theirs in zip(curve(tmp_path / "cuda"), curve(tmp_path / "cpu"), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=1e-4)


def test_an_interrupted_cuda_run_goes_on(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    whole = train(agent, dataset, tmp_path / "whole", "cuda")
    cut = Trainer(agent, dataset, CONFIG, tmp_path / "cut", torch.device("cuda"))
    for progress in cut._progress(lambda: False):
        if progress.step == 40:
            break
    resumed = Trainer(agent, dataset, CONFIG, tmp_path / "cut", torch.device("cuda"))
    assert resumed.step == 30
    path = resumed.run()
    first, second = (checkpoints.load_checkpoint(file).params for file in (whole, path))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-5, atol=1e-6)


def test_what_cuda_trained_acts_on_the_cpu(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    trained = checkpoints.load_checkpoint(train(agent, dataset, tmp_path, "cuda"))
    assert {tensor.device.type for tensor in trained.params.values()} == {"cpu"}
    policy = acting.BatchedTeam(trained.agent, trained.params, 2)
    with scenarios.make_vector("3hopper", 2) as env:
        seeds = np.arange(2)
        step = env.reset(seeds)
        policy.begin(seeds, seeds)
        actions = policy.act(step.observations, None)
        assert np.isfinite(actions).all()
        env.step(actions)


def test_stacked_seeds_learn_what_single_ones_learn(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    config, cuda = replace(CONFIG, seeds=3), torch.device("cuda")
    together = Trainer(agent, dataset, config, tmp_path / "together", cuda)
    apart = Trainer(agent, dataset, config, tmp_path / "apart", cuda, execution=Execution(stacked="off"))
    assert [len(trainer.programs) for trainer in (together, apart)] == [1, 3]
    for trainer in (together, apart):
        trainer.run()
    for seed, path in together.checkpoints().items():
        theirs = apart.checkpoints()[seed]
        for mine, other in zip(curve(path.parent), curve(theirs.parent), strict=True):
            assert mine == pytest.approx(other, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("execution", "tolerance"),
    [
        (Execution(cuda_graph=True), 1e-4),
        (Execution(precision="tf32"), 0.02),
        (Execution(precision="bf16"), 0.05),
        (Execution(precision="bf16", cuda_graph=True), 0.05),
    ],
)
def test_other_ways_to_compute_stay_near(
    execution: Execution, tolerance: float, agent: Vgm2p, dataset: Dataset, tmp_path: Path
) -> None:
    config, cuda = replace(CONFIG, seeds=2), torch.device("cuda")
    plain = Trainer(agent, dataset, config, tmp_path / "plain", cuda)
    other = Trainer(agent, dataset, config, tmp_path / "other", cuda, execution=execution)
    for trainer in (plain, other):
        trainer.run()
    for seed, path in other.checkpoints().items():
        for mine, theirs in zip(curve(path.parent), curve(plain.checkpoints()[seed].parent), strict=True):
            assert mine == pytest.approx(theirs, rel=tolerance, abs=max(1e-4, tolerance / 2))
