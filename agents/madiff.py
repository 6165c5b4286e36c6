"""MADiff, decentralised (arXiv 2305.17330, "MADiff-D"): every agent diffuses the whole team's observations ahead.

Each agent samples the trajectories of all agents from its own history alone and executes its own part, so a team of
N computes N times what one plan would cost. See `trajectories.py` for what is done as in the released code.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.trajectories import TrajectoryAgent, TrajectoryConfig


@dataclass(frozen=True)
class MadiffConfig(TrajectoryConfig):
    """Hyperparameters of MADiff."""


class Madiff(TrajectoryAgent):
    """MADiff with attention between the agents' trajectories."""

    name = "madiff"
    Config = MadiffConfig
    attention = True
    config: MadiffConfig
