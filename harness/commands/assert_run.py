"""`harness assert RUN CLAIM`: exit code 0 where the claim holds and 12 where it does not, for scripts and CI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from env_adapters.errors import AssertionFailedError
from harness.assertion import Finding, check_claim, parse_claim
from harness.commands.parsing import parse
from harness.records import load_run
from harness.tables import render


@dataclass(frozen=True)
class AssertConfig:
    """Check a claim about a run: harness assert runs/A "win_rate.lower > 0.6 and episodes >= 320"."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    claim: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CLAIM")]
    """METRIC[.lower|.upper] OP NUMBER, joined by `and`; METRIC: win_rate, return, iqm, episodes, crashed; OP: > >= < <= == !=."""
    confidence: float = 0.95
    """Of the bounds."""
    unfinished: bool = False
    """Accept a run that is not finished."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0 where the claim holds.

    Raises:
        AssertionFailedError: it does not, or the run is unfinished.
    """
    config = parse(AssertConfig, arguments, "assert")
    terms = parse_claim(config.claim)
    run = load_run(config.run)
    findings = check_claim(run, terms, config.confidence)
    print(render(["claim", "value", "holds"], [_row(finding) for finding in findings]))
    planned = run.planned
    if len(run.episodes) < planned and not config.unfinished:
        raise AssertionFailedError(
            f"{config.run} is unfinished: {len(run.episodes)} of {planned} episodes; finish it, or allow it with --unfinished"
        )
    failed = [_said(finding) for finding in findings if not finding.holds]
    if failed:
        raise AssertionFailedError(f"{config.run}: {'; '.join(failed)}")
    return 0


def _row(finding: Finding) -> list[object]:
    term = finding.term
    return [f"{term.name} {term.sign} {term.number:g}", finding.value, "yes" if finding.holds else "no"]


def _said(finding: Finding) -> str:
    term = finding.term
    if finding.value is None:
        return f"there is no {term.name}: a single episode, or all returns equal, says nothing about spread"
    return f"{term.name} is {finding.value:.10g}, not {term.sign} {term.number:g}"
