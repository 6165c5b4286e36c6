"""Compilation of kernels, cached by the content of every source file of their package.

Numba's own cache looks only at the file of the function that is called, so an edit in a file it calls
into would go unnoticed. Here the cache folder carries a digest of the whole package that the kernel is in.
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

from env_adapters.files import user_cache

_STARCRAFT = Path(__file__).resolve().parent / "starcraft"

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def cache_folder(package: Path) -> Path:
    """Where compiled kernels of exactly this package's source live; created on first use."""
    hasher = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    # Numba keys its own files by the path of the source as well.
    hasher.update(str(package).encode())
    for source in (Path(__file__), *sorted(package.glob("*.py"))):
        hasher.update(source.read_bytes())
    for base in (user_cache(), Path(tempfile.gettempdir()) / f"cache-{os.getuid()}" / "marl-harness"):
        folder = base / "numba" / hasher.hexdigest()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="marl-harness-numba-"))


def is_cached(family: str) -> bool:
    """Whether every kernel of a family of StarCraft scenarios has been compiled from this source on this machine before."""
    return _mark(family).exists()


def mark_cached(family: str) -> None:
    """Remember that every kernel of a family of StarCraft scenarios has been compiled."""
    _mark(family).touch()


def _mark(family: str) -> Path:
    return cache_folder(_STARCRAFT) / f"complete-{family}"


def kernel(function: Function, contract: bool = False) -> Function:
    """Compile without the interpreter lock and without reordering floating-point arithmetic.

    Args:
        function: what to compile.
        contract: whether a product and the sum it goes into may be rounded once instead of twice, which is faster.
    """
    before = numba.config.CACHE_DIR
    package = Path(function.__code__.co_filename).resolve().parent
    numba.config.CACHE_DIR = str(cache_folder(package))
    try:
        compiled: Function = numba.njit(
            cache=True, nogil=True, error_model="numpy", fastmath={"contract"} if contract else False
        )(function)
    finally:
        numba.config.CACHE_DIR = before
    return compiled


def inner(function: Function) -> Function:
    """A kernel that only kernels call: no interface to the interpreter and no cache of its own to spend time on."""
    compiled: Function = numba.njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)
    return compiled


def inlined(function: Function, contract: bool = False) -> Function:
    """An inner kernel that is copied into its callers, for what runs in every game loop; see `kernel`."""
    compiled: Function = numba.njit(
        forceinline=True,
        nogil=True,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        fastmath={"contract"} if contract else False,
    )(function)
    return compiled
