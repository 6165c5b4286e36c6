"""Writing files so that nothing is half-written, in every room."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from env_adapters.errors import OutputError


def user_cache() -> Path:
    """This project's folder in the user's cache: below XDG_CACHE_HOME, or else ~/.cache. It need not exist.

    A relative XDG_CACHE_HOME is ignored, as the XDG base directory specification asks.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (named if named.is_absolute() else Path("~/.cache").expanduser()) / "marl-harness"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the enclosed writes into an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"cannot write {path}: {reason}; free the place or choose another folder"
        ) from error


def check_replaceable(path: Path) -> None:
    """Raise OutputError where `path` is no file name, or names a folder, device or pipe: renaming would replace it."""
    if not path.name:
        raise OutputError(f"cannot write '{path}': it names no file; give a folder and a name")
    with writing(path):
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or pipe, not a file"
            raise OutputError(f"cannot write {path}: it is {kind}; choose another name")


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it, whenever we crash, meets the old content or the new.

    A temporary file in the same folder is written, flushed to disk and renamed over `path`.

    Raises:
        OutputError: the folder cannot be written, the disk is full, or `path` is no file; it is as it was.
    """
    check_replaceable(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    with suppress(OSError):  # not every platform and file system can flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
