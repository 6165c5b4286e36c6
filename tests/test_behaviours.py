"""Behaviour policies: cut down to what acts, found by name, and acting in double precision where asked."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from walking import CONTINUOUS, walks

from agents import zoo
from agents.acting import BatchedTeam
from agents.behaviours import export
from agents.checkpoints import Checkpoint, initial, load_checkpoint, save_checkpoint, weights_hash
from agents.ppo import Ppo, PpoConfig
from datasets.collect import Behaviour, collect
from datasets.noise import NoisyTeam
from env_adapters.api import ActionArray, TeamSpec
from env_adapters.errors import CorruptFileError, MismatchError, UnknownNameError

SPEC = TeamSpec("walk-v1", "walk-obs-v1", "toy/1", 2, 3, 2, "discrete", 4, 15, True)
ROBOT = TeamSpec("swim-v1", "swim-obs-v1", "toy/1", 2, 3, 2, "continuous", 2, 15, False)


@pytest.fixture(params=[SPEC, ROBOT], ids=["discrete", "continuous"])
def trained(request: pytest.FixtureRequest) -> Checkpoint:
    """As if trained: no parameter is at its initial value, and actions depend on the observation."""
    found = initial("ppo", PpoConfig(hidden=(16, 16)), request.param, seed=1)
    generator = torch.Generator().manual_seed(5)
    for tensor in found.params.values():
        tensor.add_(torch.rand(tensor.shape, generator=generator))
    return replace(found, weights_hash=weights_hash(found.agent, found.params))


def actions(found: Checkpoint, mode: str, double: bool = False) -> ActionArray:
    """[50, 8, 2, ...]"""
    rng, spec = np.random.default_rng(0), found.agent.spec
    team = BatchedTeam(found.agent, found.params, 8, mode, double=double)
    team.begin(np.arange(8), np.arange(8))
    masks = None if spec.action_kind == "continuous" else np.ones((8, 2, 4), dtype=np.bool_)
    return np.stack([team.act(rng.standard_normal((8, 2, 3)).astype(np.float32), masks) for _ in range(50)])


def test_what_is_left_acts_as_the_whole(trained: Checkpoint, tmp_path: Path) -> None:
    provenance = {"trainer": "ppo", "steps": 7, "command": "harness train --agent ppo --map walk"}
    save_checkpoint(tmp_path / "whole.safetensors", trained.agent, trained.params, provenance)
    weights = export(tmp_path / "whole.safetensors", tmp_path / "cut.safetensors")
    cut = load_checkpoint(tmp_path / "cut.safetensors")
    assert cut.weights_hash == weights != trained.weights_hash
    assert cut.provenance == {**provenance, "cut_from": trained.weights_hash}
    assert not [name for name in cut.params if name.startswith(("value", "norm.state", "norm.return"))]
    for mode in ("greedy", "sample"):
        np.testing.assert_array_equal(actions(cut, mode), actions(trained, mode))
    again = export(tmp_path / "cut.safetensors", tmp_path / "again.safetensors")
    assert again == weights, "there is nothing left to cut"


def test_only_ppo_can_be_cut_and_nothing_is_left_behind(tmp_path: Path) -> None:
    other = initial("vgm2p", None, SPEC, 0)
    save_checkpoint(tmp_path / "other.safetensors", other.agent, other.params, {})
    with pytest.raises(MismatchError, match="is of agent 'vgm2p'; only ppo"):
        export(tmp_path / "other.safetensors", tmp_path / "out.safetensors")
    (tmp_path / "text.safetensors").write_text("no")
    with pytest.raises(CorruptFileError):
        export(tmp_path / "text.safetensors", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_double_precision_is_that_of_numpy(trained: Checkpoint) -> None:
    """Actions of the same network in NumPy with 64-bit numbers; two implementations, the same choices."""
    rng = np.random.default_rng(0)
    params = {name: tensor.double().numpy() for name, tensor in trained.params.items()}
    found = actions(trained, "greedy", double=True)
    for moment in found:
        seen = rng.standard_normal((8, 2, 3)).astype(np.float32).astype(np.float64)
        x = np.concatenate([np.broadcast_to(np.eye(2), (8, 2, 2)), seen], axis=-1)
        x = np.clip((x - params["norm.input_mean"]) / params["norm.input_std"], -10, 10)
        for layer in range(3):
            x = x @ params[f"actor.{layer}.weight"].T + params[f"actor.{layer}.bias"]
            if layer < 2:
                x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        expected = np.clip(x, -1, 1) if trained.agent.spec.action_kind == "continuous" else x.argmax(axis=-1)
        np.testing.assert_allclose(moment, expected, rtol=1e-6)
    assert found.dtype == (np.int64 if found.ndim == 3 else np.float32)


def test_near_ties_are_decided_in_double_precision_only() -> None:
    agent = Ppo(PpoConfig(hidden=(4,)), SPEC)
    params = {name: torch.zeros_like(value) for name, value in agent.init(torch.Generator()).items()}
    params["norm.input_std"] = torch.ones(5)
    params["actor.1.bias"] = torch.tensor([1.0, 1.0, 0.0, 0.0])
    params["actor.0.bias"] = torch.full((4,), 3.0)
    params["actor.1.weight"][1] = 1e-9  # 12e-9 better: lost in 32 bits, where the first of equals is taken
    close = Checkpoint(agent, params, {}, "")
    assert (actions(close, "greedy") == 0).all() and (actions(close, "greedy", double=True) == 1).all()


def test_sampling_in_double_precision_draws_the_same_noise(trained: Checkpoint) -> None:
    single, double = (actions(trained, "sample", double) for double in (False, True))
    if single.dtype == np.int64:
        assert np.mean(single == double) > 0.995
    else:
        np.testing.assert_allclose(single, double, atol=1e-5)


def test_bits_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    """Continuous actions show every bit of the network's output and of the noise."""
    agent = Ppo(PpoConfig(hidden=(64, 64)), CONTINUOUS)
    params = {name: value + 0.1 for name, value in agent.init(torch.Generator().manual_seed(3)).items()}
    digests = set()
    for n_games in (1, 16, 64):
        team = BatchedTeam(agent, params, n_games, "greedy", double=True)
        noisy = NoisyTeam(team, CONTINUOUS, n_games, sigma=0.2)
        behaviour = Behaviour(noisy, "ppo", "none", 1.0, "greedy, sigma 0.2")
        card = collect(walks(n_games, CONTINUOUS), [behaviour], 2000, 0, tmp_path / "data.h5")
        digests.add(card.sha256)
    assert len(digests) == 1


def test_behaviours_are_found_by_name_but_are_no_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = zoo.find("3m", "ppo-good")
    monkeypatch.setattr(zoo, "BEHAVIOURS", tmp_path)
    shutil.copy(whole, tmp_path / "3m--s1-0120k.safetensors")
    (entry,) = zoo.behaviours("3m", "smac-v1")
    assert (entry.map, entry.name, entry.layout) == ("3m", "s1-0120k", "smac-v1")
    assert zoo.behaviours("8m") == [] and zoo.behaviours(layout="smac-v1-omiga") == []
    assert zoo.behaviour("3m--s1-0120k") == entry.path and zoo.behaviour("3m--ppo-good") == whole
    assert "s1-0120k" not in [entry.name for entry in zoo.entries("3m")]
    with pytest.raises(
        UnknownNameError, match=r"unknown behaviour policy '3m--s1-0130k': did you mean 3m--s1"
    ):
        zoo.behaviour("3m--s1-0130k")


@pytest.mark.parametrize("entry", zoo.behaviours(), ids=lambda entry: str(entry.path.stem))
def test_every_shipped_behaviour_is_cut_down_and_says_how_it_was_trained(entry: zoo.ZooEntry) -> None:
    found = load_checkpoint(entry.path)
    assert isinstance(found.agent, Ppo) and found.agent.acting(found.params).keys() == found.params.keys()
    assert found.agent.spec.scenario.startswith(f"{entry.map}-v") and found.provenance["cut_from"]
