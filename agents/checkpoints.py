"""Agents as files: safetensors with configuration and provenance as JSON metadata. Nothing is unpickled.

A digest over configuration, specification and every weight is stored with them and checked on reading,
because safetensors itself notices a flipped bit only in its header.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from agents.api import Agent, Params
from agents.headers import METADATA
from agents.registry import default_config, load_class
from env_adapters.api import TeamSpec
from env_adapters.errors import CorruptFileError, HarnessError, MismatchError, UnknownNameError
from env_adapters.files import write_atomic, writing
from env_adapters.layouts import observation_layout

FORMAT: Final = "marl-harness-agent/1"
"""Identifies the files and their version."""


@dataclass(frozen=True)
class Checkpoint:
    """An agent ready to act."""

    agent: Agent
    params: Params
    provenance: dict[str, Any]
    """How it was trained: dataset or simulator, seed, steps."""
    weights_hash: str
    """sha256 hex digest of name, configuration, specification and weights."""
    path: Path | None = None


def tensors_digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """sha256 hex digest of a JSON header and named tensors."""
    hasher = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        hasher.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        hasher.update(tensor.numpy().tobytes())
    return hasher.hexdigest()


def weights_hash(agent: Agent, params: Mapping[str, Tensor]) -> str:
    """Digest of everything that decides how the agent acts."""
    return tensors_digest(_identity(agent), params)


def _identity(agent: Agent) -> dict[str, Any]:
    return {
        "agent": agent.name,
        "config": dataclasses.asdict(agent.config),
        "spec": dataclasses.asdict(agent.spec),
    }


def write_tensors(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a JSON header and tensors atomically, sealed by a digest; equal content gives equal bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    sealed = {"header": dict(header), "sha256": tensors_digest(header, plain)}
    # One metadata entry: safetensors writes several in random order.
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, save(plain, {METADATA: json.dumps(sealed, sort_keys=True)}))


def read_tensors(path: Path) -> tuple[dict[str, Any], Params]:
    """Read and verify what `write_tensors` wrote.

    Raises:
        CorruptFileError: truncated, altered, or not a file of this project.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sealed = json.loads(metadata[METADATA])
        header, expected = sealed["header"], sealed["sha256"]
    except KeyError as error:
        raise CorruptFileError(
            f"{path} was not written by this project, or its header was altered"
        ) from error
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{path} cannot be read ({error}); fetch or train it again") from error
    if tensors_digest(header, tensors) != expected:
        raise CorruptFileError(
            f"{path} was altered: its sha256 does not match its content; fetch or train it again"
        )
    return header, tensors


def save_checkpoint(
    path: Path, agent: Agent, params: Mapping[str, Tensor], provenance: Mapping[str, Any]
) -> str:
    """Write a checkpoint atomically and return its weights hash; OutputError where the folder cannot be written."""
    write_tensors(
        path, {"format": FORMAT, "identity": _identity(agent), "provenance": dict(provenance)}, params
    )
    return weights_hash(agent, params)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        UnknownNameError: no such file.
        CorruptFileError: truncated, altered, or not a checkpoint of this project.
    """
    if not path.is_file():
        raise UnknownNameError(f"no checkpoint at {path}; `harness ls agents` lists the shipped ones")
    header, params = read_tensors(path)
    if header.get("format") != FORMAT:
        raise CorruptFileError(
            f"{path} is not an agent: format '{header.get('format')}', expected '{FORMAT}'"
        )
    try:
        identity = header["identity"]
        kind = load_class(identity["agent"])
        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in identity["config"].items()}
        agent = kind(kind.Config(**fields), TeamSpec(**identity["spec"]))
        provenance = dict(header["provenance"])
    except (KeyError, TypeError, ValueError, HarnessError) as error:
        raise CorruptFileError(
            f"checkpoint {path} was written by another version ({error!r}); train it again"
        ) from error
    # Of the identity as stored: an option that a later version added must not rename old checkpoints.
    return Checkpoint(agent, params, provenance, tensors_digest(identity, params), path)


def check_fits(checkpoint: Checkpoint, spec: TeamSpec) -> None:
    """Raise MismatchError unless the agent was made for this scenario and layout; both sides are named."""
    made_for = checkpoint.agent.spec
    for field in ("scenario", "layout", "n_agents", "observation_size", "action_kind", "action_size"):
        ours, theirs = getattr(spec, field), getattr(made_for, field)
        if field == "layout":
            ours, theirs = observation_layout(ours), observation_layout(theirs)
        if ours != theirs:
            raise MismatchError(
                f"checkpoint {checkpoint.path} was trained for {field} '{theirs}', this run has '{ours}'; "
                + _advice(field, made_for, spec)
            )


def _advice(field: str, made_for: TeamSpec, spec: TeamSpec) -> str:
    """What to do about a checkpoint that was made for something else."""
    layout = f"--layout {made_for.layout}"
    if field == "scenario":
        its_world = f"--map {made_for.scenario.rsplit('-v', 1)[0]}"
        its_world += f" {layout}" if made_for.layout != spec.layout else ""
        return f"choose a checkpoint of {spec.scenario} or {its_world}"
    if field == "layout":
        return f"add {layout}, or choose a checkpoint of {spec.layout}"
    return f"another version of the project made it: choose another checkpoint of {spec.scenario} or train it again"


def initial(name: str, config: Any | None, spec: TeamSpec, seed: int) -> Checkpoint:
    """An untrained agent, preset or control with weights from a seed."""
    agent = load_class(name)(default_config(name) if config is None else config, spec)
    params = agent.init(torch.Generator().manual_seed(seed))
    return Checkpoint(agent, params, {"seed": seed, "steps": 0}, weights_hash(agent, params))
