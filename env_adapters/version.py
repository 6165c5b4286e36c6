"""The version that results and files carry."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

DISTRIBUTION: Final = "marl-harness"
"""Name of the installed distribution."""


def project_version() -> str:
    """Version of the installed project, `0+source` in a source tree that was never installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0+source"
