"""Layouts in what a user reads: names of folders and files, and commands to type next."""

from __future__ import annotations

import hashlib

from env_adapters.scenarios import Scenario

_LONGEST = 60
"""Characters of a layout's id in the name of a file; an id with every option would be too long for one."""


def label(scenario: Scenario, layout: str) -> str:
    """`-LAYOUT` for the name of a file, shortened but unique; empty for the scenario's default layout."""
    if layout == scenario.layouts[0]:
        return ""
    if len(layout) <= _LONGEST:
        return f"-{layout}"
    return f"-{layout[: _LONGEST - 9]}-{hashlib.sha256(layout.encode()).hexdigest()[:8]}"


def option(scenario: Scenario, layout: str) -> str:
    """` --layout LAYOUT` for a command line; empty for the scenario's default layout."""
    return "" if layout == scenario.layouts[0] else f" --layout {layout}"
