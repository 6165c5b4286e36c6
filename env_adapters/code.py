"""Python code that users bring: agents and worlds named as `FILE.py:make` or `package.module:make`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from env_adapters.errors import AgentError, UnknownNameError


@dataclass(frozen=True)
class UserCode:
    """A callable that a user named."""

    reference: str
    """As the user wrote it."""
    make: Callable[..., Any]
    code_hash: str
    """sha256 hex digest of the source file and the callable's name; what that file loads is not part of it."""


def is_reference(name: str) -> bool:
    """Whether a name means code rather than a row of a table."""
    return ":" in name


def absolute(reference: str) -> str:
    """The same reference with the absolute path of its file, so that it means the same in every folder."""
    place, _, attribute = reference.rpartition(":")
    return f"{Path(place).absolute()}:{attribute}" if place.endswith(".py") else reference


def load_code(reference: str, what: str, form: str) -> UserCode:
    """Import the callable behind `FILE.py:make` or `module:make`.

    A file may import its neighbours: its folder is searched after everything that is installed.

    Args:
        reference: as the user wrote it.
        what: what it should be, for messages: "agent", "map".
        form: how to write such a callable, for messages; NAME stands for its name.

    Raises:
        UnknownNameError: no such file, module or callable.
        AgentError: the code raises when it is imported.
    """
    named = f"{what} '{reference}'"
    place, _, attribute = reference.rpartition(":")
    if not place or (place.startswith(".") and not place.endswith(".py")) or not attribute:
        raise UnknownNameError(f"{named} names no code; give FILE.py:make or module:make")
    module = _from_file(Path(place), named) if place.endswith(".py") else _installed(place, named)
    make = getattr(module, attribute, None)
    if not callable(make):
        wanted = form.replace("NAME", attribute)
        raise UnknownNameError(f"{named}: {place} has no callable '{attribute}'; write {wanted}")
    source = Path(module.__file__).read_bytes() if module.__file__ else place.encode()
    code_hash = hashlib.sha256(source + b"\0" + attribute.encode()).hexdigest()
    return UserCode(reference, make, code_hash)


def described(error: BaseException) -> str:
    """Type and text of an exception."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _from_file(path: Path, named: str) -> ModuleType:
    if not path.is_file():
        raise UnknownNameError(f"{named}: there is no file {path}")
    path = path.resolve()
    name = f"_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[name] = module  # dataclasses and torch look modules up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise AgentError(f"{named} cannot be imported: {described(error)}") from error
    return module


def _installed(name: str, named: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name == error.name or name.startswith(f"{error.name}."):
            raise UnknownNameError(
                f"{named}: there is no module {name}; give FILE.py:make or an installed module:make"
            ) from error
        raise AgentError(f"{named} cannot be imported: {described(error)}") from error
    except (Exception, SystemExit) as error:
        raise AgentError(f"{named} cannot be imported: {described(error)}") from error
