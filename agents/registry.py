"""Agents and their presets by name. Importing this module loads no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from agents.presets import PRESETS as _PRESETS
from env_adapters.errors import unknown_name

if TYPE_CHECKING:
    from agents.api import Agent


@dataclass(frozen=True)
class AgentEntry:
    """One row of the table: an agent, or a preset of one."""

    name: str
    kind: Literal["offline", "online", "control"]
    """Trained from a dataset, trained in the simulator, or not trained at all."""
    summary: str
    target: str
    """`module:Class`."""
    actions: Literal["both", "discrete", "continuous"] = "both"
    """Kinds of actions it can choose."""
    preset_of: str | None = None
    """Name of the agent that a preset configures."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Options that a preset sets."""


_TABLE = (
    AgentEntry(
        "vgm2p", "offline", "value-guidance MeanFlow policy (VGM2P), one-step sampling", "agents.vgm2p:Vgm2p"
    ),
    AgentEntry(
        "mac-flow",
        "offline",
        "one-step student of a flow, guided by the team's value (MAC-Flow)",
        "agents.macflow:MacFlow",
    ),
    AgentEntry(
        "om2p",
        "offline",
        "MeanFlow policy pulled towards valuable actions (OM2P), continuous actions",
        "agents.om2p:Om2p",
        "continuous",
    ),
    AgentEntry("bc-meanflow", "offline", "behaviour cloning with a MeanFlow policy", "agents.bc:BcMeanFlow"),
    AgentEntry(
        "bc-flow",
        "offline",
        "behaviour cloning with flow matching, 10 Euler steps",
        "agents.bc_flow:BcFlow",
    ),
    AgentEntry(
        "bc-diffusion",
        "offline",
        "behaviour cloning with a diffusion policy, 15 steps",
        "agents.bc_diffusion:BcDiffusion",
    ),
    AgentEntry(
        "bc-gaussian",
        "offline",
        "behaviour cloning with a Gaussian policy, continuous actions",
        "agents.bc_gaussian:BcGaussian",
        "continuous",
    ),
    AgentEntry(
        "bc-categorical",
        "offline",
        "behaviour cloning with a categorical policy, discrete actions",
        "agents.bc_gaussian:BcCategorical",
        "discrete",
    ),
    AgentEntry(
        "bc-recurrent",
        "offline",
        "behaviour cloning with a recurrent categorical policy, discrete actions",
        "agents.bc_recurrent:BcRecurrent",
        "discrete",
    ),
    AgentEntry(
        "bc-recurrent-gaussian",
        "offline",
        "behaviour cloning with a recurrent policy, continuous actions",
        "agents.bc_recurrent:BcRecurrentGaussian",
        "continuous",
    ),
    AgentEntry(
        "madiff",
        "offline",
        "diffusion of the team's trajectories from each agent's own history (MADiff-D)",
        "agents.madiff:Madiff",
    ),
    AgentEntry(
        "dof",
        "offline",
        "diffusion of each agent's trajectory, noises joined to the team's (DoF)",
        "agents.dof:Dof",
    ),
    AgentEntry(
        "dof-policy",
        "offline",
        "diffusion policy of each agent, guided by its value (DoF), continuous actions",
        "agents.dof_policy:DofPolicy",
        "continuous",
    ),
    AgentEntry(
        "ppo",
        "online",
        "PPO with shared parameters and a central value, makes behaviour policies",
        "agents.ppo:Ppo",
    ),
    AgentEntry("random", "control", "uniform over the available actions", "agents.controls:Random"),
    AgentEntry(
        "noop", "control", "stop while alive (StarCraft), zero torque (MuJoCo)", "agents.controls:Noop"
    ),
    AgentEntry(
        "nearest",
        "control",
        "shoot the nearest enemy in range, else walk to it (SMAC v1)",
        "agents.controls:Nearest",
        "discrete",
    ),
)

AGENTS: dict[str, AgentEntry] = {entry.name: entry for entry in _TABLE}
"""Every agent by name; these names stand in checkpoints."""
PRESETS: dict[str, AgentEntry] = {
    preset.name: replace(
        AGENTS[preset.agent],
        name=preset.name,
        summary=preset.summary,
        preset_of=preset.agent,
        overrides=preset.overrides,
    )
    for preset in _PRESETS
}
"""Every preset by name; a training takes either."""


def find(name: str) -> AgentEntry:
    """Look an agent or a preset up; UnknownNameError with the nearest names."""
    known = AGENTS | PRESETS
    if name not in known:
        raise unknown_name("agent", name, known, "harness ls agents")
    return known[name]


def load_class(name: str) -> type[Agent]:
    """Import the class of an agent, or of the agent of a preset."""
    module, attribute = find(name).target.split(":")
    return cast("type[Agent]", getattr(importlib.import_module(module), attribute))


def default_config(name: str) -> Any:
    """The configuration to start from: an agent's defaults, with what a preset sets."""
    return load_class(name).Config(**find(name).overrides)
