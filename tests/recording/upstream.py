"""Importing the pinned upstream modules."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

from env_adapters.errors import HarnessError, MismatchError


class UpstreamMissingError(HarnessError):
    """The upstream package, or one that it needs, cannot be imported."""

    exit_code = 8


def load_module(name: str, sha256: str) -> Any:
    """Import an upstream module after checking that its source is the one the goldens are about.

    Raises:
        UpstreamMissingError: it is not on the path, or a package that it needs is missing.
        MismatchError: its source differs from the pinned commit.
    """
    advice = "set up the environment of tests/recording/README.md"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise UpstreamMissingError(f"cannot import {name} ({error}): {advice}") from error
    source = Path(str(module.__file__))
    if hashlib.sha256(source.read_bytes()).hexdigest() != sha256:
        raise MismatchError(f"{source} is not the pinned upstream version: {advice}")
    return module
