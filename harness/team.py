"""Which team plays: a checkpoint file, a shipped one, or a control."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agents import registry, zoo
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from agents.checkpoints import Checkpoint


def choose_team(map_name: str, spec: TeamSpec, agent: str | None, checkpoint: Path | None) -> Checkpoint:
    """Load the team for one world.

    Args:
        map_name: name of the scenario without version.
        spec: the world's specification; the team must fit it.
        agent: a shipped checkpoint of this map (`vgm2p`, `ppo-good`) or a control (`random`).
        checkpoint: a file instead.

    Raises:
        InvalidValueError: both agent and checkpoint given.
        UnknownNameError: no such agent, shipped checkpoint or file.
        CorruptFileError: the file is damaged.
        MismatchError: the team was trained for another scenario or layout.
    """
    from agents.checkpoints import check_fits, initial, load_checkpoint

    if agent is not None and checkpoint is not None:
        raise InvalidValueError("give either --agent or --checkpoint, not both: a checkpoint names its agent")
    if agent in registry.AGENTS and registry.AGENTS[agent].kind == "control":
        return initial(agent, None, spec, seed=0)
    if checkpoint is None:
        _check_known(map_name, agent)
        checkpoint = zoo.find(map_name, agent or zoo.DEFAULT)
    loaded = load_checkpoint(checkpoint)
    check_fits(loaded, spec)
    return loaded


def _check_known(map_name: str, agent: str | None) -> None:
    """A name that is neither shipped nor an agent gets the list of agents rather than of one map's files."""
    shipped = {entry.name for entry in zoo.entries() if entry.map == map_name}
    if agent is None or agent in shipped:
        return
    registry.find(agent)
    raise UnknownNameError(
        f"no trained '{agent}' ships for map '{map_name}'; train one and give it with --checkpoint"
    )
