"""Compilation of the engine's kernels, cached by the content of every kernel source.

Numba's own cache looks only at the file of the function that is called, so an edit in a file it calls
into would go unnoticed. Here the cache folder carries a digest of the whole package.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def cache_folder() -> Path:
    """Where compiled kernels of exactly this source live; created on first use."""
    hasher = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    # Numba keys its own files by the path of the source as well.
    hasher.update(str(Path(__file__).resolve()).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        hasher.update(source.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for base in (root, Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"):
        folder = base / "marl-harness" / "numba" / hasher.hexdigest()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="marl-harness-numba-"))


def is_cached(family: str) -> bool:
    """Whether every kernel of a family of scenarios has been compiled from this source on this machine before."""
    return (cache_folder() / f"complete-{family}").exists()


def mark_cached(family: str) -> None:
    """Remember that every kernel of a family has been compiled."""
    (cache_folder() / f"complete-{family}").touch()


def kernel(function: Function) -> Function:
    """Compile without the interpreter lock and without reordering floating-point arithmetic."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        compiled: Function = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before
    return compiled


def inner(function: Function) -> Function:
    """A kernel that only kernels call: no interface to the interpreter and no cache of its own to spend time on."""
    compiled: Function = numba.njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)
    return compiled


def inlined(function: Function) -> Function:
    """An inner kernel that is copied into its callers, for what runs in every game loop."""
    compiled: Function = numba.njit(
        forceinline=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)
    return compiled
