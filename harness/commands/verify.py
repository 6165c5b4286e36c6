"""`harness verify RUN`: check a run's books and play some of its episodes again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from env_adapters.bounds import check_at_least
from env_adapters.errors import CheckFailedError
from harness.commands.parsing import parse, say
from harness.tables import render
from harness.verify import verify


@dataclass(frozen=True)
class VerifyConfig:
    """Check a run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory."""
    episodes: int = 3
    """Episodes, chosen at random, that are played again and compared."""
    seed: int = 0
    """Of the choice."""
    checkpoint: Path | None = None
    """Where the weights lie now, if they moved."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0.

    Raises:
        CheckFailedError: at least one check failed, after the table is printed.
    """
    config = parse(VerifyConfig, arguments, "verify")
    check_at_least("--episodes", config.episodes, 0)
    check_at_least("--seed", config.seed, 0)
    checks = verify(config.run, config.episodes, config.seed, config.checkpoint, say)
    words = {True: "ok", False: "WRONG", None: "not checked"}
    print(render(["check", "result", "detail"], [(c.name, words[c.passed], c.detail) for c in checks]))
    if failed := [check.name for check in checks if check.passed is False]:
        raise CheckFailedError(f"{config.run} is not what it claims to be: {', '.join(failed)}")
    return 0
