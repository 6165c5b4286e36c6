"""Downloads one large file so that an interruption costs nothing and nothing wrong is ever taken for it.

Bytes go to `NAME.part`; what they belong to (address, validator, length, stated SHA-256) stands in `NAME.part.json`,
so that the next attempt, or the next command, asks for the rest only (Range with If-Range, RFC 9110, section 14.2 and
13.1.5). A host that ignores this, or whose file has changed, answers with the whole file, which then starts over. The
file gets its name only when it is complete and its digest, where one is known, is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import web
from datasets.cache import Say, check_online
from env_adapters.errors import CorruptFileError, DownloadError, OutputError
from env_adapters.files import write_atomic, writing

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here, and how many there will be where that is known, after every block."""
_BLOCK = 1 << 18
_WORTHWHILE = 1 << 20
"""Bytes after which an attempt that failed in the end does not count."""
_LEAST_RATE = 1024
"""Bytes per second below which, over ten times the patience, a connection counts as stalled."""
_LONGEST_PAUSE_S = 120.0
_MOST_ATTEMPTS = 1000


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to try."""

    stall_s: float = 30.0
    """Seconds without a byte after which a connection is given up; also for connecting."""
    attempts: int = 6
    """Attempts in a row that may fail; one that brought a mebibyte does not count."""
    pause_s: float = 1.0
    """Before the second attempt; doubles every time, up to two minutes. A host's Retry-After counts, too."""


class Download:
    """One file to be downloaded.

    Args:
        url: http or https.
        target: the file; its folder must exist.
        limit: bytes that it cannot have.
        sha256: what it must be; None where that is not known.
        patience: see `Patience`.
        progress: see `Progress`.
        say: receives a line about every attempt that failed.
    """

    def __init__(
        self,
        url: str,
        target: Path,
        limit: int,
        sha256: str | None,
        patience: Patience,
        progress: Progress,
        say: Say,
    ) -> None:
        self._url, self._target, self._limit, self._sha256 = url, target, limit, sha256
        self._patience, self._progress, self._say = patience, progress, say
        self._part = target.with_name(f"{target.name}.part")
        self._notes = target.with_name(f"{target.name}.part.json")

    def run(self) -> str:
        """Download what is missing, and return the SHA-256.

        Raises:
            DownloadError: offline, the host refuses, or too many attempts failed; what has arrived is kept.
            CorruptFileError: what came is not the file: a web page, too large, or another digest; nothing is kept.
            OutputError: the disk is full or cannot be written; what has arrived is kept.
        """
        check_online(self._url)
        failures = 0
        last = ""
        for _ in range(_MOST_ATTEMPTS):
            before = self._size()
            try:
                return self._attempt()
            except web.PassingError as problem:
                arrived = self._size()
                last = str(problem)
                failures = 1 if arrived - before >= _WORTHWHILE else failures + 1
                if failures >= self._patience.attempts:
                    break
                pause = max(self._patience.pause_s * 2.0 ** (failures - 1), problem.wait_s or 0.0)
                pause = min(pause, _LONGEST_PAUSE_S)
                said = f"{problem}; attempt {failures + 1} of {self._patience.attempts} in {pause:.0f} s"
                self._say(f"{said}, {arrived} bytes are here")
                time.sleep(pause)
        raise DownloadError(
            f"{self._url}: {last}; {failures} attempts in a row failed, "
            f"{self._size()} bytes are kept and the same command continues (or try --mirror)"
        )

    def _attempt(self) -> str:
        held, start = self._held()
        if start and held.get("total") == start:  # killed before its last step
            return self._finish(self._sha256 or held.get("sha256"))
        headers = {"Range": f"bytes={start}-", "If-Range": held["validator"]} if start else {}
        answer = web.ask(self._url, headers, self._patience.stall_s)
        try:
            start, total = self._check(answer, held, start)
            expected = self._sha256 or answer.sha256
            with writing(self._part):
                self._check_space(None if total is None else total - start)
                if start == 0:
                    self._discard()
                    notes = {
                        "url": self._url,
                        "validator": _validator(answer),
                        "total": total,
                        "sha256": answer.sha256,
                    }
                    self._part.touch()
                    write_atomic(self._notes, json.dumps(notes).encode())
            self._receive(answer, start, total)
        finally:
            if answer.body is not None:
                answer.body.close()
        return self._finish(expected)

    def _held(self) -> tuple[dict[str, Any], int]:
        """Notes and length of what an earlier attempt left; length 0 where it cannot be continued."""
        try:
            notes = json.loads(self._notes.read_bytes())
            sound = notes["url"] == self._url and isinstance(notes["validator"], str) and notes["validator"]
            return (notes, self._part.stat().st_size) if sound else ({}, 0)
        except (OSError, ValueError, KeyError, TypeError):
            return {}, 0

    def _check(self, answer: web.Answer, held: dict[str, Any], asked: int) -> tuple[int, int | None]:
        """Where the answer starts, and the length of the whole file."""
        stated = answer.sha256
        if asked and stated and held.get("sha256") not in (None, stated):
            raise self._start_over("the file at the host has changed")
        if answer.status == 416:
            raise self._start_over("the host has not as many bytes as are here")
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise DownloadError(
                f"{answer.url} sends the file in the encoding '{encoding[:50]}'; try --mirror"
            )
        if answer.status == 200:
            if asked:
                self._say("the host sends the whole file again (it has changed, or cannot be continued)")
            length = answer.headers.get("Content-Length", "")
            return self._bounded(0, int(length) if re.fullmatch(r"\d{1,18}", length) else None)
        span = re.fullmatch(
            r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", answer.headers.get("Content-Range", "")
        )
        if answer.status != 206 or span is None or not asked:
            raise DownloadError(f"{answer.url} answers {answer.status} without sense; try --mirror")
        total = held.get("total") if span[3] == "*" else int(span[3])
        if (
            int(span[1]) != asked
            or held.get("total") not in (None, total)
            or _validator(answer) not in ("", held["validator"])
        ):
            raise self._start_over("the host sends another part, or another file, than asked for")
        return self._bounded(asked, total)

    def _bounded(self, start: int, total: int | None) -> tuple[int, int | None]:
        if total is not None and total > self._limit:
            self._discard()
            raise CorruptFileError(
                f"{self._url} has {total} bytes, at most {self._limit} were expected; not downloaded"
            )
        return start, total

    def _receive(self, answer: web.Answer, start: int, total: int | None) -> None:
        assert answer.body is not None
        size, due, due_size = start, time.monotonic() + 10 * self._patience.stall_s, start
        with writing(self._part):
            file = self._part.open("ab", buffering=0)
        with file:
            while True:
                with web.connection_errors():
                    block = answer.body.read1(_BLOCK)
                if not block:
                    break
                if size == 0:
                    self._check_beginning(answer, block)
                size += len(block)
                if size > (self._limit if total is None else total):
                    self._discard()
                    raise CorruptFileError(
                        f"{self._url} sends more than the {total or self._limit} bytes expected; nothing is kept"
                    )
                _write(file, block, self._part)
                self._progress(size, total)
                if time.monotonic() > due:
                    if size - due_size < _LEAST_RATE * 10 * self._patience.stall_s:
                        raise web.PassingError("hardly anything arrives")
                    due, due_size = time.monotonic() + 10 * self._patience.stall_s, size
            with writing(self._part):
                os.fsync(file.fileno())
        if total is not None and size < total:
            raise web.PassingError(f"the connection was closed after {size} of {total} bytes")

    def _check_beginning(self, answer: web.Answer, block: bytes) -> None:
        """Refuse at once what is not a zip archive: hosts answer with pages where files were."""
        head = block[:4096].lstrip().lower()
        kind = answer.headers.get("Content-Type", "").lower()
        if block.startswith(b"PK") or (len(block) < 4 and not kind.startswith("text/")):
            return
        self._discard()
        if head.startswith((b"<!doctype html", b"<html")) or kind.startswith("text/html"):
            title = re.search(rb"(?i)<title>([^<]{1,80})", block[:4096])
            named = f" ('{title[1].decode('utf-8', 'replace').strip()}')" if title else ""
            raise CorruptFileError(
                f"{answer.url} answers with a web page{named} instead of a zip archive; try --mirror"
            )
        if head.startswith(b"version https://git-lfs"):
            raise CorruptFileError(
                f"{answer.url} answers with a pointer of git-lfs instead of the file; try --mirror"
            )
        raise CorruptFileError(f"{answer.url} answers with something that is no zip archive; try --mirror")

    def _finish(self, expected: str | None) -> str:
        with writing(self._part), self._part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if expected not in (None, found):
            self._discard()
            if expected == self._sha256:
                raise CorruptFileError(
                    f"{self._url} is another file than recorded: sha256 {found}, expected {expected}"
                )
            raise web.PassingError("what arrived has another sha256 than the host states")
        with writing(self._target):
            self._part.replace(self._target)
            self._notes.unlink(missing_ok=True)
        return found

    def _check_space(self, wanted: int | None) -> None:
        free = shutil.disk_usage(self._part.parent).free
        if wanted is not None and wanted > free:
            raise OutputError(
                f"the download needs {wanted / 1e6:.1f} MB more, {self._part.parent} has {free / 1e6:.1f} MB free; "
                "free the place or set HARNESS_DATASETS"
            )

    def _start_over(self, why: str) -> web.PassingError:
        self._discard()
        return web.PassingError(f"{why}, starting over")

    def _discard(self) -> None:
        with writing(self._part):
            self._notes.unlink(missing_ok=True)
            self._part.unlink(missing_ok=True)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0


def _validator(answer: web.Answer) -> str:
    """What proves that two answers are parts of one file: a strong entity tag, or else the date of the last change."""
    tag = answer.headers.get("ETag", "")
    if tag.startswith('"'):
        return tag
    return answer.headers.get("Last-Modified", "")


def _write(file: Any, block: bytes, path: Path) -> None:
    """All of a block; what a full disk took of it is a part of the file all the same."""
    rest = memoryview(block)
    while rest:
        with writing(path):
            rest = rest[file.write(rest) :]
