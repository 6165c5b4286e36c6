"""Agents that can be trained pass the leak check in a discrete and in a continuous world, untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_agents import CONTINUOUS, DISCRETE, small

from agents import registry
from agents.api import BLOCK_ROWS
from agents.checkpoints import initial, save_checkpoint
from env_adapters import scenarios
from env_adapters.rollout import Recording, play
from harness.leak import check_leak
from harness.team import TeamSource, load_team

torch.set_num_threads(1)
WORLDS = {DISCRETE.action_kind: "3m", CONTINUOUS.action_kind: "3hopper"}


@pytest.mark.parametrize(
    ("name", "world_name"),
    [
        pytest.param(entry.name, world, marks=[pytest.mark.slow] if entry.name == "dof" else [])
        for entry in registry.AGENTS.values()
        for kind, world in WORLDS.items()
        if entry.kind == "offline" and entry.actions in ("both", kind)
    ],
)
def test_offline_agents_pass(name: str, world_name: str, tmp_path: Path) -> None:
    with scenarios.make_vector(world_name, 1) as world:
        made = initial(name, small(name), world.spec, seed=1)
        path = tmp_path / "agent.safetensors"
        save_checkpoint(path, made.agent, made.params, {"seed": 1, "steps": 0})
        team = load_team(world_name, world.spec, TeamSource(checkpoint=str(path)))
        episode = next(play(world, team.vector(1), [11], Recording(transitions=True)))
        # Diffusion of trajectories takes long; its history of two steps is full after three.
        steps = 8 if made.agent.block_rows == BLOCK_ROWS else 3
        report = check_leak(team, [episode], world, steps=steps)
    assert report.is_decentralized is True, report.findings
    assert report.n_tested == report.n_views > 0 and not report.skipped
