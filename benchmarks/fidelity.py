"""`harness bench fidelity`: the embedded StarCraft engine against what is known of the real game.

What the rows mean, and the cause of every deviation that is known, stands in docs/engine-fidelity.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import fidelity_play, fidelity_trace, fidelity_units, fidelity_variants
from benchmarks.finding import Finding
from env_adapters.starcraft.battle import ENGINE_ID
from harness.commands.bench import Report
from harness.jobs import one_torch_thread
from harness.progress import Say


@dataclass(frozen=True)
class Config:
    """The embedded StarCraft engine against recordings, game data and published numbers."""

    json: bool = False
    """Print one JSON object instead of the table."""
    quick: bool = False
    """Few episodes on few maps: shows that everything runs, decides nothing."""


def run(config: Config, say: Say) -> Report:
    """Compute every row now.

    Args:
        config: how much.
        say: receives a line about each stage.
    """
    with one_torch_thread():
        found = list(_quick(say) if config.quick else _full(say))
    counts = Counter(finding.verdict for finding in found)
    notes = [
        f"engine {ENGINE_ID}: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())),
        "brackets are 95 % intervals (Wilson for win rates); ok: the reference lies inside, or the rule beside it holds",
        "recalled: the reference was quoted from memory, see docs/engine-fidelity.md; it decides nothing",
    ]
    headers = ("what", "reference", "here", "n", "verdict", "source")
    cells = [finding.cells() for finding in found]
    return Report("fidelity", config.quick, headers, cells, [finding.row() for finding in found], notes)


def _full(say: Say, episodes: int = 512) -> Iterator[Finding]:
    say("comparing traces and single units ...")
    yield from fidelity_trace.findings(n_games=64)
    yield from fidelity_units.findings(windows=40)
    say("playing the random policy ...")
    yield from fidelity_play.random_policy(episodes)
    say("playing the scripted agents ...")
    yield from fidelity_play.heuristic(episodes)
    say("playing shipped policies ...")
    yield from fidelity_play.shipped(episodes)
    say("playing variants ...")
    yield from fidelity_variants.recovery(n_games=32)
    yield from fidelity_variants.ladder(episodes)


def _quick(say: Say) -> Iterator[Finding]:
    say("comparing a little of everything ...")
    yield from fidelity_trace.findings(n_games=4)
    yield from fidelity_units.findings(windows=2)
    yield from fidelity_play.random_policy(4, fidelity_play.POOR[:1])
    yield from fidelity_play.heuristic(4, ("2s3z",))
    yield from fidelity_play.shipped(4, fidelity_play.SHIPPED[:1])
    yield from fidelity_variants.recovery(2, fidelity_variants.RECOVERY[:1])
    yield from fidelity_variants.ladder(4, ("2s3z",))
