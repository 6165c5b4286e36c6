"""What must be ready before episodes run fast."""

from __future__ import annotations

import importlib

from env_adapters.scenarios import Scenario
from harness.progress import Say


def prepare_engine(scenario: Scenario, say: Say) -> None:
    """Compile the kernels of a StarCraft map on the first use on a machine, and say so."""
    if not scenario.family.startswith("smac"):
        return
    from env_adapters.jit import is_cached

    if not is_cached(scenario.family):
        from env_adapters.starcraft.warm import compile_kernels

        say("compiling the combat engine for this machine (once per family of maps, about 20 s) ...")
        compile_kernels(scenario.family, meanwhile=_import_slow_modules)


def _import_slow_modules() -> None:
    """What the end of an evaluation needs."""
    importlib.import_module("pandas")
    importlib.import_module("videos.encode")
