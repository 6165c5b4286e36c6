"""Worlds that users bring as code: `harness evaluate --map FILE.py:make`.

`make()` returns a `DecentralizedEnv`; many of them are stepped one after the other.
"""

from __future__ import annotations

from typing import Any

from env_adapters.api import DecentralizedEnv, TeamSpec
from env_adapters.code import described, load_code
from env_adapters.errors import AgentError, HarnessError, InvalidValueError
from env_adapters.vector import LoopVectorEnv


def make_single(reference: str) -> DecentralizedEnv:
    """One world of the user's code.

    Raises:
        UnknownNameError: no such file, module or callable.
        InvalidValueError: what it makes is no `DecentralizedEnv`.
        AgentError: the code raises.
    """
    make = load_code(reference, "map", "def NAME()").make
    try:
        made = make()
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        raise AgentError(f"map '{reference}' cannot be made: {described(error)}") from error
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
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:  # of its attributes, or of closing it
        raise AgentError(f"map '{reference}' cannot be used: {described(error)}") from error
