"""Behaviour policies for recipes of datasets: PPO checkpoints cut down to what acts."""

from __future__ import annotations

from pathlib import Path

from agents.checkpoints import load_checkpoint, save_checkpoint
from agents.ppo import Ppo
from env_adapters.errors import MismatchError


def export(checkpoint: Path, out: Path) -> str:
    """Write the acting part of a PPO checkpoint, which acts as before, bit for bit.

    Its provenance is kept, training command included, and joined by the weights hash of the whole.

    Args:
        checkpoint: a file that `harness train --agent ppo` wrote.
        out: the file to write; an existing one is replaced.

    Returns:
        The weights hash of the new file.

    Raises:
        MismatchError: the checkpoint is of another agent.
        HarnessError: as `load_checkpoint` and `save_checkpoint`.
    """
    whole = load_checkpoint(checkpoint)
    if not isinstance(whole.agent, Ppo):
        raise MismatchError(
            f"checkpoint {checkpoint} is of agent '{whole.agent.name}'; only ppo can be cut down to its actor"
        )
    provenance = {"cut_from": whole.weights_hash} | whole.provenance
    return save_checkpoint(out, whole.agent, whole.agent.acting(whole.params), provenance)
