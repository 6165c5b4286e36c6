"""Worlds that users bring as code: `harness evaluate --map FILE.py:make`.

`make()` returns a `DecentralizedEnv`; many of them are stepped one after the other.
"""

from __future__ import annotations

from typing import Any

from env_adapters.api import DecentralizedEnv, TeamSpec
from env_adapters.code import load_code
from env_adapters.errors import AgentError, InvalidValueError
from env_adapters.vector import LoopVectorEnv


def make_single(reference: str) -> DecentralizedEnv:
    """One world of the user's code.

    Raises:
        UnknownNameError: no such file, module or callable.
        InvalidValueError: what it makes is no `DecentralizedEnv`.
    """
    made = load_code(reference, "map", "def NAME()").make()
    if not isinstance(made, DecentralizedEnv):
        raise InvalidValueError(
            f"map '{reference}' makes a {type(made).__name__}; it must return an env_adapters.api.DecentralizedEnv"
        )
    return made


def make_vector(scenario_id: str, name: str, n_games: int, **options: Any) -> LoopVectorEnv:
    """B worlds of the user's code; InvalidValueError for options, which code takes none of."""
    if options:
        raise InvalidValueError(f"map '{name}' is code: it takes no {' or '.join(options)}")
    return LoopVectorEnv(lambda: make_single(name), n_games)


def spec_of(reference: str) -> TeamSpec:
    """What the user's world says about itself; AgentError where making one raises."""
    try:
        with make_single(reference) as env:
            return env.spec
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise AgentError(f"map '{reference}' cannot be made: {type(error).__name__}: {error}") from error
