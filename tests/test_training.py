"""The offline trainer: learns, resumes exactly, stops with a reason."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import acting, checkpoints
from agents.bc import BcConfig, BcMeanFlow
from agents.training import CHECKPOINT, Trainer
from agents.training_options import TrainConfig
from agents.vgm2p import Vgm2p, Vgm2pConfig
from datasets.collect import Behaviour, collect
from datasets.formats.native import open_dataset
from datasets.schema import Dataset
from env_adapters import scenarios
from env_adapters.errors import (
    CorruptFileError,
    DivergenceError,
    InvalidValueError,
    MismatchError,
    RunConflictError,
)

torch.set_num_threads(1)
CPU = torch.device("cpu")
CONFIG = TrainConfig(steps=60, batch_size=16, log_every=20, save_every=15)
SMALL = Vgm2pConfig(hidden=(16, 16))


@pytest.fixture(scope="module")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "3m.h5"
    with scenarios.make_vector("3m", 8) as env:
        control = checkpoints.initial("nearest", None, env.spec, 0)
        policy = acting.BatchedTeam(control.agent, control.params, 8)
        collect(env, [Behaviour(policy, "nearest", control.weights_hash, 1.0, "greedy")], 600, 0, path)
    return path


@pytest.fixture(scope="module")
def dataset(data_path: Path) -> Dataset:
    return open_dataset(data_path)


@pytest.fixture(scope="module")
def agent() -> Vgm2p:
    return Vgm2p(SMALL, scenarios.make_vector("3m", 1).spec)


def test_the_same_configuration_gives_the_same_bytes(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    first = Trainer(agent, dataset, CONFIG, tmp_path / "a", CPU).run()
    second = Trainer(agent, dataset, CONFIG, tmp_path / "b", CPU).run()
    assert first.read_bytes() == second.read_bytes()
    other = Trainer(agent, dataset, replace(CONFIG, seed=1), tmp_path / "c", CPU).run()
    assert other.read_bytes() != first.read_bytes()


def test_rows_are_means_whatever_log_every_was_before(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    coarse = replace(CONFIG, log_every=30)
    Trainer(agent, dataset, coarse, tmp_path / "whole", CPU).run()
    stops = iter([False, True])
    with pytest.raises(KeyboardInterrupt):
        Trainer(agent, dataset, replace(CONFIG, log_every=40), tmp_path / "parts", CPU).run(
            should_stop=lambda: next(stops, True)
        )
    Trainer(agent, dataset, coarse, tmp_path / "parts", CPU).run()
    whole, parts = ((tmp_path / name / "curve.csv").read_text() for name in ("whole", "parts"))
    assert whole == parts


def test_a_resumed_training_ends_with_the_same_bits(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    whole = Trainer(agent, dataset, CONFIG, tmp_path / "whole", CPU).run()

    class Interrupted(Exception):
        pass

    def interrupt(progress: object) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        Trainer(agent, dataset, CONFIG, tmp_path / "parts", CPU).run(interrupt)
    resumed = Trainer(agent, dataset, CONFIG, tmp_path / "parts", CPU)
    assert 0 < resumed.step < CONFIG.steps
    assert resumed.run().read_bytes() == whole.read_bytes()
    assert (tmp_path / "parts" / "curve.csv").read_bytes() == (tmp_path / "whole" / "curve.csv").read_bytes()
    rows = list(csv.DictReader((tmp_path / "parts" / "curve.csv").open()))
    assert [int(row["step"]) for row in rows] == [20, 40, 60]
    assert all(np.isfinite(float(row["policy_loss"])) for row in rows)


KILLED = """
import sys, torch
from pathlib import Path
from agents.training import Trainer
from agents.training_options import TrainConfig
from agents.vgm2p import Vgm2p, Vgm2pConfig
from datasets.formats.native import open_dataset
from env_adapters import scenarios
torch.set_num_threads(1)
data, out, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
agent = Vgm2p(Vgm2pConfig(hidden=(16, 16)), scenarios.make_vector("3m", 1).spec)
config = TrainConfig(steps=steps, batch_size=16, log_every=50, save_every=10)
Trainer(agent, open_dataset(data), config, out, torch.device("cpu")).run()
"""


@pytest.mark.slow
def test_kill_minus_nine_at_any_moment(
    data_path: Path, agent: Vgm2p, dataset: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, steps=600, log_every=50)
    expected = Trainer(agent, dataset, config, tmp_path / "whole", CPU).run().read_bytes()
    command = [sys.executable, "-c", KILLED, str(data_path), str(tmp_path / "killed"), "600"]
    kills = 0
    state = tmp_path / "killed" / "training.safetensors"
    for delay in (0.02, 0.15, 0.4):
        process = subprocess.Popen(command)
        before = state.stat().st_mtime_ns if state.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if state.exists() and state.stat().st_mtime_ns != before:
                time.sleep(delay)
                break
            time.sleep(0.005)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
    assert kills >= 1, "every run finished before it could be killed"
    subprocess.run(command, check=True)
    assert (tmp_path / "killed" / CHECKPOINT).read_bytes() == expected


def test_another_configuration_in_the_same_folder_is_refused(
    agent: Vgm2p, dataset: Dataset, tmp_path: Path
) -> None:
    Trainer(agent, dataset, CONFIG, tmp_path, CPU).run()
    with pytest.raises(RunConflictError, match="--out"):
        Trainer(agent, dataset, replace(CONFIG, learning_rate=1e-3), tmp_path, CPU)


def test_a_damaged_training_state_is_named(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    Trainer(agent, dataset, CONFIG, tmp_path, CPU).run()
    state = tmp_path / "training.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(CorruptFileError, match=r"training\.safetensors"):
        Trainer(agent, dataset, CONFIG, tmp_path, CPU)


def test_a_flipped_bit_in_the_training_state_is_noticed(
    agent: Vgm2p, dataset: Dataset, tmp_path: Path
) -> None:
    Trainer(agent, dataset, CONFIG, tmp_path, CPU).run()
    state = tmp_path / "training.safetensors"
    data = bytearray(state.read_bytes())
    for position in (len(data) - 9, len(data) // 2):
        flipped = bytearray(data)
        flipped[position] ^= 4
        state.write_bytes(flipped)
        with pytest.raises((CorruptFileError, RunConflictError)):
            Trainer(agent, dataset, CONFIG, tmp_path, CPU)


def test_divergence_stops_with_a_reason(dataset: Dataset, tmp_path: Path) -> None:
    agent = Vgm2p(replace(SMALL, guidance=1e6), scenarios.make_vector("3m", 1).spec)
    with pytest.raises(DivergenceError, match="diverged"):
        Trainer(agent, dataset, replace(CONFIG, learning_rate=0.1), tmp_path, CPU).run()


def test_a_dataset_of_another_scenario_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    agent = Vgm2p(SMALL, scenarios.make_vector("8m", 1).spec)
    with pytest.raises(MismatchError, match=r"3m-v1.*8m-v1"):
        Trainer(agent, dataset, CONFIG, tmp_path, CPU)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch_size": -1}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}]
)
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        replace(CONFIG, **wrong)  # type: ignore[arg-type]


def test_targets_follow_the_critics_at_rate_tau(agent: Vgm2p, dataset: Dataset, tmp_path: Path) -> None:
    trainer = Trainer(agent, dataset, CONFIG, tmp_path, CPU)
    (program,) = trainer.programs
    before = {name: tensor.clone() for name, tensor in program.targets.items()}
    program.load(trainer._draws.chunk((0,), 0, 1, stacked=False))
    program.run(1)
    for name, tensor in program.targets.items():
        expected = before[name] + SMALL.tau * (program.params[name].detach() - before[name])
        assert not torch.equal(tensor, before[name]) or "bias" in name
        assert torch.allclose(tensor, expected, atol=1e-7), name


def test_cloning_learns_what_the_behaviour_did(dataset: Dataset, tmp_path: Path) -> None:
    env = scenarios.make_vector("3m", 1)
    clone = BcMeanFlow(BcConfig(hidden=(64, 64)), env.spec)
    path = Trainer(clone, dataset, TrainConfig(steps=1500, log_every=500), tmp_path, CPU).run()
    loaded = checkpoints.load_checkpoint(path)
    batch = dataset.transitions(np.arange(0, dataset.n_transitions, 3))
    team = acting.BatchedTeam(loaded.agent, loaded.params, len(batch.actions))
    team.begin(np.arange(len(batch.actions)), np.arange(len(batch.actions)))
    chosen = team.act(batch.observations, batch.available_actions)
    free = batch.available_actions.sum(axis=-1) > 1  # type: ignore[union-attr]
    assert np.mean(chosen[free] == batch.actions[free]) > 0.8
