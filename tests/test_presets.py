"""Presets: data that stands for an agent's configuration."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from test_agents import CONTINUOUS, DISCRETE, build, cases

from agents import checkpoints, registry, zoo
from agents.presets import PRESETS
from agents.vgm2p import Vgm2pConfig
from env_adapters.api import TeamSpec
from env_adapters.errors import UnknownNameError

torch.set_num_threads(1)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_differs_from_its_agent_in_what_it_says(preset: registry.AgentEntry) -> None:
    entry = registry.find(preset.name)
    assert entry.preset_of == preset.agent and preset.summary
    default = asdict(registry.default_config(entry.preset_of))
    config = asdict(registry.default_config(preset.name))
    changed = {name: value for name, value in config.items() if value != default[name]}
    assert changed and changed.items() <= dict(preset.overrides).items()
    assert registry.load_class(preset.name) is registry.load_class(entry.preset_of)


def test_no_two_presets_of_an_agent_are_the_same() -> None:
    names = [*registry.AGENTS, *registry.PRESETS]
    assert len(names) == len({*names}) == len(registry.AGENTS) + len(PRESETS)
    configs = [(registry.load_class(name).name, repr(registry.default_config(name))) for name in names]
    assert len(set(configs)) == len(configs)


def test_the_literal_paper_method_is_the_default() -> None:
    config = registry.default_config("vgm2p")
    assert config == Vgm2pConfig()
    assert (config.uncond, config.cfg_rows, config.mix, config.guidance) == ("literal", "all", "sum", 3.0)
    assert (config.hidden, config.discount, config.instantaneous) == ((512,) * 4, 0.995, 0.0)


def test_a_default_can_still_be_overruled() -> None:
    config = replace(registry.default_config("vgm2p-null"), guidance=1.5)
    assert (config.uncond, config.guidance) == ("null", 1.5)


def test_a_misspelt_preset_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean vgm2p-null"):
        registry.find("vgm2p-nul")


def test_names_need_no_torch() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, agents.registry; print('torch' in sys.modules)"],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "False"


@pytest.mark.parametrize(("name", "spec"), cases(presets=True))
def test_a_checkpoint_names_the_agent_and_writes_out_every_option(
    name: str, spec: TeamSpec, tmp_path: Path
) -> None:
    agent, params = build(name, spec)
    path = tmp_path / "agent.safetensors"
    digest = checkpoints.save_checkpoint(path, agent, params, {"seed": 3})
    loaded = checkpoints.load_checkpoint(path)
    assert loaded.agent.name in registry.AGENTS and type(loaded.agent) is type(agent)
    assert (loaded.agent.config, loaded.agent.spec) == (agent.config, spec)
    assert loaded.weights_hash == digest
    assert loaded.params.keys() == params.keys()
    assert all(torch.equal(loaded.params[key], tensor) for key, tensor in params.items())


def test_shipped_checkpoints_still_load() -> None:
    entries = [entry for entry in zoo.entries() if "ppo" not in entry.name]
    assert len(entries) >= 3
    for entry in entries:
        loaded = checkpoints.load_checkpoint(entry.path)
        assert loaded.agent.name == entry.name.removesuffix("-medium")


def test_every_kind_of_action_has_agents() -> None:
    for spec in (DISCRETE, CONTINUOUS):
        offline = [case.values[0] for case in cases("offline") if case.values[1] is spec]
        assert {"vgm2p", "mac-flow", "bc-meanflow", "bc-flow", "bc-diffusion"} < set(offline)
