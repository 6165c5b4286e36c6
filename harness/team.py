"""Which team plays: a checkpoint file, a shipped one, or a control."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agents import registry, zoo
from env_adapters.api import TeamSpec
from env_adapters.errors import InvalidValueError, UnknownNameError, unknown_name

if TYPE_CHECKING:
    from agents.checkpoints import Checkpoint


def choose_team(map_name: str, spec: TeamSpec, agent: str | None, checkpoint: Path | None) -> Checkpoint:
    """Load the team for one world.

    Args:
        map_name: name of the scenario without version.
        spec: the world's specification; the team must fit it.
        agent: a shipped checkpoint of this map (`vgm2p`, `ppo-good`) or a control (`random`).
        checkpoint: a file instead. With neither, the default checkpoint of the map and the layout.

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
        if agent is not None:
            _check_ships(map_name, agent)
        checkpoint = zoo.find(map_name, agent, spec.layout)
    loaded = load_checkpoint(checkpoint)
    check_fits(loaded, spec)
    return loaded


def _check_ships(map_name: str, agent: str) -> None:
    """Tell a name that nobody knows from one that exists, but not trained for this map."""
    of_map = [entry.name for entry in zoo.entries(map_name)]
    if agent in of_map:
        return
    known = {*registry.AGENTS, *(entry.name for entry in zoo.entries())}
    if agent not in known:
        raise unknown_name("agent", agent, known, "harness ls agents")
    raise UnknownNameError(
        f"no trained '{agent}' ships for map '{map_name}' (shipped: {', '.join(of_map) or 'none'}); "
        "train one and give it with --checkpoint, or take --agent random"
    )
