"""`harness doctor`: what is installed, what is missing, how to get it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.commands.parsing import parse
from harness.doctor import diagnose, format_checks


@dataclass(frozen=True)
class DoctorConfig:
    """Check this machine."""


def main(arguments: list[str]) -> int:
    """Run the command; returns 0 whatever is missing: optional parts may be."""
    parse(DoctorConfig, arguments, "doctor")
    print(format_checks(diagnose()))
    return 0
