"""Agents by name. Importing this module loads no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from env_adapters.errors import unknown_name

if TYPE_CHECKING:
    from agents.api import Agent


@dataclass(frozen=True)
class AgentEntry:
    """One row of the table."""

    name: str
    kind: Literal["offline", "online", "control"]
    """Trained from a dataset, trained in the simulator, or not trained at all."""
    summary: str
    target: str
    """`module:Class`."""


_TABLE = (
    AgentEntry(
        "vgm2p", "offline", "value-guidance MeanFlow policy (VGM2P), one-step sampling", "agents.vgm2p:Vgm2p"
    ),
    AgentEntry("bc-meanflow", "offline", "behaviour cloning with a MeanFlow policy", "agents.bc:BcMeanFlow"),
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
    ),
)

AGENTS: dict[str, AgentEntry] = {entry.name: entry for entry in _TABLE}
"""Every agent by name."""


def find(name: str) -> AgentEntry:
    """Look an agent up; UnknownNameError with the nearest names."""
    if name not in AGENTS:
        raise unknown_name("agent", name, AGENTS, "harness ls agents")
    return AGENTS[name]


def load_class(name: str) -> type[Agent]:
    """Import the class of an agent."""
    module, attribute = find(name).target.split(":")
    return cast("type[Agent]", getattr(importlib.import_module(module), attribute))
