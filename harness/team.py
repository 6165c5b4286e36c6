"""Which team plays: a checkpoint file, a shipped one, a control, or a user's own code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents import registry, zoo
from env_adapters.api import Policy, TeamPolicy, TeamSpec
from env_adapters.code import absolute
from env_adapters.errors import InvalidValueError, UnknownNameError, unknown_name

if TYPE_CHECKING:
    from agents.api import Agent
    from agents.checkpoints import Checkpoint


@dataclass(frozen=True)
class TeamSource:
    """How to build a team, in any process: plain values that can be sent and stored."""

    agent: str | None = None
    """A shipped checkpoint of the map, a control, or `FILE.py:make`; None for the map's default."""
    checkpoint: str | None = None
    """A checkpoint file instead."""
    act_mode: str | None = None
    """None for the agent's own."""


@dataclass(frozen=True)
class Team:
    """N decentralised agents that can play together or one by one."""

    name: str
    """What tables show: the shipped name (`ppo-expert`), preset or algorithm of a checkpoint, or `FILE.py:make`."""
    algorithm: str
    """Agent name of `harness ls agents`; `code` for a user's own."""
    spec: TeamSpec
    weights_hash: str
    """sha256 hex digest of everything that decides how the team acts."""
    act_mode: str
    is_default_mode: bool
    provenance: Mapping[str, Any]
    """How it was trained; empty for controls and code."""
    config_hash: str | None
    """Short hash of algorithm, hyperparameters, layout and data, without the seed; None where nothing was trained."""
    source: TeamSource
    """Where it came from, with absolute paths and the act mode spelled out."""
    vector: Callable[[int], TeamPolicy]
    """All agents of B games in one call: B in, policy out."""
    policy: Callable[[int], Policy]
    """The agent of this index alone; equal to its row of `vector`."""
    network_rows: int | None = None
    """Rows of every network call while acting; None where their number is no matter, or code acts."""


def load_team(map_name: str, spec: TeamSpec, source: TeamSource) -> Team:
    """Load a team for one world.

    Args:
        map_name: name of the scenario without version.
        spec: the world's specification; the team must fit it.
        source: which one.

    Raises:
        HarnessError: as `choose_team`; for code as `agents.policies.load_code`.
    """
    if source.agent is not None and ":" in source.agent:
        return _from_code(spec, source)
    from agents.acting import BatchedTeam, DecentralizedPolicy, check_mode

    path = None if source.checkpoint is None else Path(source.checkpoint)
    found = choose_team(map_name, spec, source.agent, path)
    agent, params = found.agent, found.params
    mode = check_mode(agent, source.act_mode)
    return Team(
        name=_shipped_name(found.path) or _preset(agent, found.provenance) or agent.name,
        algorithm=agent.name,
        spec=agent.spec,
        weights_hash=found.weights_hash,
        act_mode=mode,
        is_default_mode=mode == agent.act_modes[0],
        provenance=found.provenance if params else {},
        config_hash=_config_hash(agent, found.provenance) if params else None,
        source=_pinned(source, found.path, mode),
        vector=lambda n_games: BatchedTeam(agent, params, n_games, mode),
        policy=lambda agent_index: DecentralizedPolicy(agent, params, mode),
        network_rows=None if agent.networks else agent.block_rows,
    )


_NOT_METHOD = (
    *("seed", "dataset_name", "preset", "command"),
    *("torch", "device", "stacked", "compile", "cuda_graph"),  # where it was trained
)


def _config_hash(agent: Agent, provenance: Mapping[str, Any]) -> str:
    how = {key: value for key, value in provenance.items() if key not in _NOT_METHOD}
    method = [agent.name, asdict(agent.config), agent.spec.scenario, agent.spec.layout, how]
    return hashlib.sha256(json.dumps(method, sort_keys=True).encode()).hexdigest()[:12]


def _pinned(source: TeamSource, path: Path | None, mode: str) -> TeamSource:
    """The same team named so that another process, folder or version finds the same file."""
    if path is None:
        return TeamSource(source.agent, None, mode)
    return TeamSource(None, str(path.absolute()), mode)


def _shipped_name(path: Path | None) -> str | None:
    return (
        None
        if path is None or path.resolve().parent != zoo.FOLDER.resolve()
        else path.stem.partition("--")[2]
    )


def _preset(agent: Agent, provenance: Mapping[str, Any]) -> str | None:
    """The preset that a training started from; nothing that is none of this agent."""
    entry = registry.PRESETS.get(str(provenance.get("preset")))
    return entry.name if entry is not None and entry.preset_of == agent.name else None


def _from_code(spec: TeamSpec, source: TeamSource) -> Team:
    from agents.policies import PolicyTeam, load_code

    if source.checkpoint is not None or source.act_mode is not None:
        raise InvalidValueError(
            f"agent '{source.agent}' is code: it takes neither --checkpoint nor --act-mode"
        )
    code = load_code(str(source.agent))
    return Team(
        name=Path(code.reference).name,
        algorithm="code",
        spec=spec,
        weights_hash=code.code_hash,
        act_mode="code",
        is_default_mode=True,
        provenance={},
        config_hash=None,
        source=TeamSource(absolute(code.reference)),
        vector=lambda n_games: PolicyTeam(
            [code.policy(spec, i) for i in range(spec.n_agents)], spec, n_games
        ),
        policy=lambda agent_index: code.policy(spec, agent_index),
    )


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
    known = {*registry.AGENTS, *registry.PRESETS, *(entry.name for entry in zoo.entries())}
    if agent not in known:
        raise unknown_name("agent", agent, known, "harness ls agents")
    raise UnknownNameError(
        f"no trained '{agent}' ships for map '{map_name}' (shipped: {', '.join(of_map) or 'none'}); "
        "train one and give it with --checkpoint, or take --agent random"
    )
