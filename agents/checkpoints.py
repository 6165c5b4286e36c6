"""Agents as files: safetensors with configuration and provenance as JSON metadata. Nothing is unpickled.

A digest over configuration, specification and every weight is stored with them and checked on reading,
because safetensors itself notices a flipped bit only in its header.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from agents.api import Agent, Params
from agents.registry import load_class
from env_adapters.api import TeamSpec
from env_adapters.errors import CorruptFileError, MismatchError, OutputError, UnknownNameError

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


def weights_hash(agent: Agent, params: Mapping[str, Tensor]) -> str:
    """Digest of everything that decides how the agent acts."""
    hasher = hashlib.sha256(json.dumps(_identity(agent), sort_keys=True).encode())
    for name in sorted(params):
        tensor = params[name].detach().contiguous().cpu()
        hasher.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        hasher.update(tensor.numpy().tobytes())
    return hasher.hexdigest()


def _identity(agent: Agent) -> dict[str, Any]:
    return {
        "agent": agent.name,
        "config": dataclasses.asdict(agent.config),
        "spec": dataclasses.asdict(agent.spec),
    }


def save_checkpoint(
    path: Path, agent: Agent, params: Mapping[str, Tensor], provenance: Mapping[str, Any]
) -> str:
    """Write a checkpoint atomically and return its weights hash; OutputError where the folder cannot be written."""
    digest = weights_hash(agent, params)
    metadata = {
        "format": FORMAT,
        "identity": json.dumps(_identity(agent), sort_keys=True),
        "provenance": json.dumps(dict(provenance), sort_keys=True),
        "sha256": digest,
        "provenance_sha256": _sha256(json.dumps(dict(provenance), sort_keys=True)),
    }
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in params.items()}
    write_atomically(path, save(tensors, metadata))
    return digest


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: temporary file in the same folder, fsync, rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        UnknownNameError: no such file.
        CorruptFileError: truncated, altered, or not a checkpoint of this project.
    """
    if not path.is_file():
        raise UnknownNameError(f"no checkpoint at {path}; `harness ls agents` lists the shipped ones")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            params = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptFileError(
            f"checkpoint {path} cannot be read ({error}); fetch or train it again"
        ) from error
    return _build(path, metadata, params)


def _build(path: Path, metadata: Mapping[str, str], params: Params) -> Checkpoint:
    if metadata.get("format") != FORMAT:
        raise CorruptFileError(
            f"{path} is not a checkpoint of this project: format '{metadata.get('format')}', expected '{FORMAT}'"
        )
    try:
        identity = json.loads(metadata["identity"])
        provenance = json.loads(metadata["provenance"])
        kind = load_class(identity["agent"])
        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in identity["config"].items()}
        agent = kind(kind.Config(**fields), TeamSpec(**identity["spec"]))
        intact = metadata["sha256"] == weights_hash(agent, params) and metadata[
            "provenance_sha256"
        ] == _sha256(metadata["provenance"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptFileError(
            f"checkpoint {path} has unreadable metadata ({error!r}); fetch or train it again"
        ) from error
    if not intact:
        raise CorruptFileError(
            f"checkpoint {path} was altered: its sha256 does not match its content; fetch or train it again"
        )
    return Checkpoint(agent, params, provenance, metadata["sha256"], path)


def check_fits(checkpoint: Checkpoint, spec: TeamSpec) -> None:
    """Raise MismatchError unless the agent was made for this scenario and layout; both sides are named."""
    made_for = checkpoint.agent.spec
    for field in ("scenario", "layout", "n_agents", "observation_size", "action_kind", "action_size"):
        ours, theirs = getattr(spec, field), getattr(made_for, field)
        if ours != theirs:
            raise MismatchError(
                f"checkpoint {checkpoint.path} was trained for {field} '{theirs}', this run has '{ours}'; "
                f"choose a checkpoint of {spec.scenario} or --map {made_for.scenario.rsplit('-v', 1)[0]}"
            )


def initial(name: str, config: Any | None, spec: TeamSpec, seed: int) -> Checkpoint:
    """An untrained agent (or a control) with weights from a seed."""
    kind = load_class(name)
    agent = kind(kind.Config() if config is None else config, spec)
    params = agent.init(torch.Generator().manual_seed(seed))
    return Checkpoint(agent, params, {"seed": seed, "steps": 0}, weights_hash(agent, params))
