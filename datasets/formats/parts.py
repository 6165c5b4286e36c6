"""Folders for what is not finished yet, beside the file or folder that it will become.

A living writer holds a lock on its folder, so that the next writer of the same target can delete what one that was
killed left behind. Where folders cannot be locked (not on POSIX, some network file systems) nothing of others is deleted.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def part_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, deleted with all that is still in it when the block is left, however that is.

    Raises:
        OSError: it cannot be made.
    """
    folder, handle = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part"), None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _delete_abandoned(target)
        folder.mkdir()
        handle = _lock(folder)
        folder.mkdir(
            exist_ok=True
        )  # another writer may have taken it for abandoned just before it was locked
        yield folder
    finally:
        _discard(folder)
        if handle is not None:
            os.close(handle)


def _delete_abandoned(target: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    for other in target.parent.iterdir():
        if pattern.fullmatch(other.name) and (handle := _lock(other)) is not None:
            _discard(other)
            os.close(handle)


def _lock(folder: Path) -> int | None:
    """An open handle that holds the lock; None where another process holds it or there are no locks."""
    with suppress(ImportError, OSError):
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle
    return None


def _discard(folder: Path) -> None:
    """Delete a folder that may not exist; an interruption meanwhile is passed on when it is gone."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
