"""Fetches a dataset of the catalog: download, check, unpack, convert, compare with what was published.

Downloads go over plain HTTPS by default. That needs no package and no account, resumes, works with every mirror that
is a folder on a web server, and checks the SHA-256 that the host states; huggingface_hub (`via="hub"`) is there for
what needs a token. The archive is kept, since it holds the other qualities of the scenario, too; what was unpacked is
not kept.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from datasets import cache, hub
from datasets.agreement import Row, compare
from datasets.archive import extract_vault
from datasets.cache import Say
from datasets.card import DatasetCard
from datasets.catalog import CatalogEntry
from datasets.convert import Progress as ConvertProgress
from datasets.convert import convert
from datasets.download import Download, Patience
from datasets.download import Progress as DownloadProgress
from datasets.formats.native import open_dataset
from datasets.formats.source import Reading
from datasets.formats.vault_store import tensorstore
from datasets.web import check_url
from env_adapters.errors import CorruptFileError, UnknownNameError
from env_adapters.files import writing

_UNKNOWN_LIMIT = 32 * 10**9
"""Bytes of the largest archive that is downloaded where the catalog does not know its size; the largest known has 9e9."""


@dataclass(frozen=True)
class Wish:
    """How to fetch."""

    mirror: str | None = None
    """Address that replaces the one of the catalog; the archive's path is appended."""
    via: Literal["https", "hub"] = "https"
    file: Path | None = None
    """The zip archive, to be used instead of a download; it is not copied."""
    keep_illegal: bool = False
    """See `datasets.formats.source.Reading`."""
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class Observer:
    """Who is told what happens."""

    say: Say
    """Receives lines about waiting and failed attempts."""
    downloaded: DownloadProgress
    stored: ConvertProgress | None = None


@dataclass(frozen=True)
class Fetched:
    """What is in the cache now."""

    path: Path
    card: DatasetCard
    notes: tuple[str, ...]
    """Of the conversion."""
    rows: tuple[Row, ...]
    """The dataset beside its published row."""
    was_there: bool
    """Whether it had been fetched before."""


def archive_url(entry: CatalogEntry, mirror: str | None = None) -> str:
    """Where an archive is downloaded from; InvalidValueError where the mirror is no address."""
    return f"{check_url(mirror or entry.base)}/{entry.archive}"


def fetch(entry: CatalogEntry, wish: Wish, observer: Observer) -> Fetched:
    """Make sure that a dataset is in the cache; another process that does the same is waited for.

    Raises:
        DownloadError: see `datasets.download`; also where HARNESS_OFFLINE is set and the archive is not there.
        CorruptFileError: the archive or the vault in it is damaged, or not the one fetched before.
        MismatchError: the archive is of another scenario, or has no such quality.
        MissingExtraError: a vault cannot be read without tensorstore, or --via hub without huggingface_hub.
        OutputError: the cache cannot be written, or is too small.
    """
    path = cache.native_path(entry)
    if wish.file is not None:
        _check_given(wish.file)
    elif not path.is_file() and not cache.archive_path(entry).is_file():
        cache.check_online(entry.name)
    with cache.locked(entry, observer.say):
        was_there = path.is_file()
        made = None if was_there else _make(entry, wish, observer)
        dataset = open_dataset(path, verify=False)
        rows = compare(dataset, entry.published)
        if made is not None and made.record and all(row.agrees for row in rows):
            cache.write_record(entry, made.record)
    return Fetched(path, dataset.card, () if made is None else made.notes, rows, was_there)


def _check_given(archive: Path) -> None:
    if not archive.is_file():
        raise UnknownNameError(f"--from {archive}: there is no such file")
    if not zipfile.is_zipfile(archive):
        raise CorruptFileError(
            f"--from {archive} is no zip archive, or a damaged one; unpacked vaults are read by: harness datasets convert"
        )


class _Made(NamedTuple):
    notes: tuple[str, ...]
    record: dict[str, Any]
    """Of the archive, to be kept if the figures agree; empty where there is nothing new to record."""


def _make(entry: CatalogEntry, wish: Wish, observer: Observer) -> _Made:
    given, path = wish.file, cache.native_path(entry)
    tensorstore()  # said before gigabytes are downloaded
    archive, digest, url = _archive(entry, wish, observer)
    try:
        with _unpacked(entry, archive) as vault:
            conversion = convert(
                vault,
                path,
                reading=Reading(keep_illegal=wish.keep_illegal),
                progress=observer.stored,
                name=entry.name,
            )
    except CorruptFileError as error:
        if given is None and not cache.read_record(entry):
            with writing(archive):
                archive.unlink()
            raise CorruptFileError(
                f"{error}; the archive was deleted, the same command downloads it anew"
            ) from error
        raise
    if given is not None or cache.read_record(entry):
        return _Made(conversion.notes, {})
    record = {"sha256": digest, "size_bytes": archive.stat().st_size, "url": url}
    return _Made(conversion.notes, record)


def _archive(entry: CatalogEntry, wish: Wish, observer: Observer) -> tuple[Path, str, str]:
    """The archive, its SHA-256 and where it came from: given, kept from before, or downloaded now."""
    if wish.file is not None:
        return wish.file, "", ""
    archive, record = cache.archive_path(entry), cache.read_record(entry)
    expected = entry.sha256 or record.get("sha256")
    url = archive_url(entry, wish.mirror)
    if archive.is_file():
        digest = sha256_of(archive)
    elif wish.via == "hub":
        digest = hub.download(entry.repository, entry.archive, archive)
    else:
        limit = 2 * entry.size_bytes if entry.size_bytes else _UNKNOWN_LIMIT
        digest = Download(url, archive, limit, None, wish.patience, observer.downloaded, observer.say).run()
    if expected not in (None, digest):
        with writing(archive):
            archive.unlink()
        raise CorruptFileError(
            f"{url} is not the archive that was fetched first: sha256 {digest}, expected {expected}; nothing is kept. "
            f"If it was meant to change: harness datasets rm {entry.name} --forget, then fetch again"
        )
    return archive, digest, url


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; CorruptFileError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptFileError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def _unpacked(entry: CatalogEntry, archive: Path) -> Iterator[Path]:
    """The vault of an archive, in folders named as the reader expects; deleted afterwards."""
    place = cache.folder(entry)
    with writing(place):
        temporary = Path(tempfile.mkdtemp(dir=place, prefix=cache.EXTRACTED))
    source = entry.source.replace("-", "_")
    vault = temporary / source / entry.environment / f"{entry.scenario}.vlt" / entry.quality
    try:
        extract_vault(archive, entry.scenario, entry.quality, vault)
        yield vault
    except CorruptFileError as error:
        raise CorruptFileError(str(error).replace(str(temporary), str(archive))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
