"""`harness check support`: does a policy stay inside the data's support?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from env_adapters.errors import InvalidValueError
from harness.commands.parsing import parse, say

if TYPE_CHECKING:
    from harness.support.report import Where


@dataclass(frozen=True)
class SupportConfig:
    """How far the actions of trained teams are from those that the dataset took at its nearest observations."""

    checkpoint: tuple[Path, ...]
    """Checkpoint files of one map."""
    dataset: Path
    """A native file (.h5), or the name of a fetched dataset."""
    where: Literal["data", "play", "both"] = "both"
    """Situations of the dataset, those that the team gets into when it plays, or both."""
    observations: int = 2000
    """Situations of each kind, at most."""
    neighbours: int = 10
    """Nearest transitions that each situation is compared with."""
    rows: int | None = None
    """Search so many random transitions of the dataset only (default: all)."""
    episodes: int = 32
    """Episodes to play."""
    seed: int = 0
    """Root of every draw; the episodes are those of harness evaluate."""
    json: bool = False
    """Print everything as one JSON list instead."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0 whatever is found.

    Raises:
        InvalidValueError: a checkpoint is named twice, or an option makes no sense.
        HarnessError: as opening the dataset, loading or playing raises it.
    """
    config = parse(SupportConfig, arguments, "check support")
    if len(set(config.checkpoint)) < max(1, len(config.checkpoint)):
        raise InvalidValueError("--checkpoint: name at least one file, each once")

    from datasets.cache import locate
    from datasets.formats.native import open_dataset
    from env_adapters import scenarios
    from harness.commands.datasets_describe import check_native
    from harness.jobs import one_torch_thread
    from harness.support import SupportOptions, measure
    from harness.support.text import format_reports
    from harness.warmup import prepare_engine

    options = SupportOptions(
        config.observations, config.neighbours, config.rows, config.episodes, config.seed
    )
    options.check()
    path = locate(config.dataset)
    check_native(path)
    dataset = open_dataset(path)
    where: tuple[Where, ...] = ("data", "play") if config.where == "both" else (config.where,)
    if "play" in where:
        prepare_engine(scenarios.find(dataset.card.scenario), say)
    with one_torch_thread():
        reports = measure(config.checkpoint, dataset, options, where, say)
    print(json.dumps([r.to_json() for r in reports], indent=1) if config.json else format_reports(reports))
    return 0
