"""Where fetched datasets lie, and who may write there.

One folder per archive, `SOURCE/ENVIRONMENT/SCENARIO/`, below `HARNESS_DATASETS`, or else `datasets/` in the user's
cache. It holds native files `QUALITY.h5`, `archive.zip`, `archive.json` (the SHA-256 that was seen first; it stays
when datasets are removed) and, while a download is under way, `archive.zip.part` with `archive.zip.part.json`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from datasets import catalog
from datasets.catalog import CatalogEntry
from env_adapters.errors import CorruptFileError, DownloadError, InvalidValueError, UnknownNameError
from env_adapters.files import user_cache, write_atomic, writing

Say = Callable[[str], None]
"""Receives one line about what happens."""
EXTRACTED = ".extracted-"
"""What the names of folders begin with in which archives are unpacked."""
_OURS = ("archive.zip", "archive.zip.part", "archive.zip.part.json")
_HUB = "archive.zip.hub"
"""Folder in which huggingface_hub keeps what has arrived."""
_PAUSE_S = 0.2


def root() -> Path:
    """The folder of all fetched datasets; it need not exist."""
    named = os.environ.get("HARNESS_DATASETS")
    return Path(named).expanduser().absolute() if named else user_cache() / "datasets"


def folder(entry: CatalogEntry) -> Path:
    """Where the datasets of one archive lie."""
    return root() / entry.source / entry.environment / entry.scenario


def native_path(entry: CatalogEntry) -> Path:
    """The converted dataset."""
    return folder(entry) / f"{entry.quality}.h5"


def archive_path(entry: CatalogEntry) -> Path:
    """The archive as downloaded."""
    return folder(entry) / _OURS[0]


def locate(reference: str | Path) -> Path:
    """The file that a user means by a path or by a name of the catalog.

    What exists is taken as it is. A text that is neither a path nor looks like a name is returned as a path, so that
    whoever opens it says what is wrong.

    Raises:
        UnknownNameError: a name that is not in the catalog, or that has not been fetched.
    """
    path = Path(reference)
    if path.exists() or not catalog.is_name(str(reference)):
        return path
    entry = catalog.find(str(reference))
    if not native_path(entry).is_file():
        raise UnknownNameError(
            f"dataset {entry.name} is not in {root()}; fetch it with: harness datasets fetch {entry.name}"
        )
    return native_path(entry)


def label(reference: str | Path) -> str:
    """A short name of a dataset for folders: of a file its stem, of a name of the catalog all its parts."""
    path = Path(reference)
    if path.exists() or not catalog.is_name(str(reference)):
        return path.stem
    return catalog.find(str(reference)).name.replace("/", "-")


def is_offline() -> bool:
    """Whether HARNESS_OFFLINE forbids to open connections; empty and 0 do not."""
    return os.environ.get("HARNESS_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def check_online(what: str) -> None:
    """Raise DownloadError where nothing may be downloaded; the message says which datasets are at hand."""
    if is_offline():
        held = [entry.name for entry in catalog.entries() if native_path(entry).is_file()]
        shown = ", ".join(held[:5]) + (f" and {len(held) - 5} more" if len(held) > 5 else "")
        raise DownloadError(
            f"cannot fetch {what}: HARNESS_OFFLINE is set; fetched already: {shown or 'none'} (in {root()})"
        )


@contextmanager
def locked(entry: CatalogEntry, say: Say) -> Iterator[None]:
    """Be the only process that changes the folder of an archive; waits for another one, and says so.

    Hidden files and folders, which a killed process left half written, are removed. Where the system has no file locks, nobody is kept out.

    Raises:
        OutputError: the folder cannot be made.
    """
    place = folder(entry)
    descriptor, is_alone = _lock(place, say)
    try:
        for left in place.glob(".*") if is_alone else ():
            _remove(left)
        yield
    finally:
        _remove_empty(place)
        os.close(descriptor)


def _remove(left: Path) -> None:
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left, ignore_errors=True)
    else:
        with suppress(OSError):
            left.unlink()


def _lock(place: Path, say: Say) -> tuple[int, bool]:
    """A descriptor of the folder, and whether it is locked; the folder is made, also anew where its last user removed it meanwhile."""
    while True:
        with writing(place):
            try:
                place.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(place, os.O_RDONLY)
            except FileNotFoundError:  # removed in between
                continue
        try:
            is_alone = _wait(descriptor, place, say)
            if place.is_dir() and os.path.samestat(os.fstat(descriptor), place.stat()):
                return descriptor, is_alone
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _remove_empty(place: Path) -> None:
    """Remove a folder of the cache and those above it, as far as nothing is in them."""
    with suppress(OSError):
        for empty in (place, *place.parents[:2]):
            empty.rmdir()


def _wait(descriptor: int, place: Path, say: Say) -> bool:
    """Lock a folder; False where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return False
    is_said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not is_said:
                say(f"another process is at work in {place}; waiting for it (Ctrl-C stops waiting)")
            is_said = True
            time.sleep(_PAUSE_S)
        except OSError:  # a network file system without locks
            return False


def read_record(entry: CatalogEntry) -> dict[str, Any]:
    """What was recorded at the first verified fetch of an archive: `sha256`, `size_bytes`, `url`; empty before.

    Raises:
        CorruptFileError: the record is damaged.
    """
    path = folder(entry) / "archive.json"
    try:
        record = json.loads(path.read_bytes())
        if len(record["sha256"]) == 64:
            return dict(record)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise CorruptFileError(f"{path} is damaged; delete it, the next fetch records anew")


def write_record(entry: CatalogEntry, record: dict[str, Any]) -> None:
    """Remember what an archive was; OutputError where it cannot be written."""
    write_atomic(folder(entry) / "archive.json", json.dumps(record, indent=1).encode())


def partial_bytes(entry: CatalogEntry) -> int:
    """Bytes of an unfinished download."""
    path = folder(entry) / _OURS[1]
    return path.stat().st_size if path.is_file() else 0


def remove(entry: CatalogEntry, forget: bool, say: Say) -> int:
    """Delete a dataset from the cache, with its archive once no other dataset of it is left; returns bytes freed.

    Args:
        entry: which.
        forget: also drop the record of the archive's SHA-256.
        say: see `locked`.

    Raises:
        UnknownNameError: there is nothing of it.
        InvalidValueError: its folder leads out of the cache through a link; nothing is deleted.
        OutputError: a file cannot be deleted.
    """
    place = folder(entry)
    if not place.is_dir():
        raise UnknownNameError(f"nothing of {entry.name} is in {root()}")
    if place.resolve() != root().resolve() / place.relative_to(root()):
        raise InvalidValueError(f"{place} leads out of the cache, to {place.resolve()}; nothing was deleted")
    with locked(entry, say), writing(place):
        wanted = [native_path(entry)]
        if not any(path != native_path(entry) for path in place.glob("*.h5")):
            wanted += [place / name for name in _OURS]
        if forget:
            wanted.append(place / "archive.json")
        found = [path for path in wanted if path.is_file() or path.is_symlink()]
        if not found:
            raise UnknownNameError(f"nothing of {entry.name} is in {root()}")
        freed = sum(path.lstat().st_size for path in found)
        for path in found:
            path.unlink()
        if native_path(entry) in wanted and len(wanted) > 2:
            shutil.rmtree(place / _HUB, ignore_errors=True)
    return freed
