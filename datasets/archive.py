"""Takes one vault out of a zip archive that may be hostile.

Every name of the archive is checked before a byte is written: no absolute names, no `..`, no links or devices, nothing
encrypted, no name twice (also not in other case). What is written is counted, since headers may lie, and goes to a
folder of its own.
"""

from __future__ import annotations

import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from env_adapters.errors import CorruptFileError, MismatchError, OutputError
from env_adapters.files import writing

_BLOCK = 1 << 20
_ENCRYPTED = 0x1
"""Bit of a member's flags."""


class Limits(NamedTuple):
    """What no dataset reaches: vaults hold one file per flush, compressed already."""

    members: int = 200_000
    total_bytes: int = 1 << 37
    ratio: int = 100
    """Bytes written per byte of the archive; small archives may hold a mebibyte in any case."""


LIMITS = Limits()


@contextmanager
def _reading(archive: Path, member: str = "") -> Iterator[None]:
    """Turn everything that damaged archives raise into one line."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        place = f"{archive}: {member!r}" if member else str(archive)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CorruptFileError(f"{place} cannot be unpacked ({reason}); fetch the archive anew") from error


def check_members(archive: Path, members: Sequence[zipfile.ZipInfo], limits: Limits = LIMITS) -> None:
    """Refuse an archive that is an attack or makes no sense.

    Raises:
        CorruptFileError: a member with a name that leads elsewhere, a link, a device, encrypted, twice there, or too
            many or too large altogether.
    """
    size = archive.stat().st_size
    if len(members) > limits.members:
        raise CorruptFileError(
            f"{archive} holds {len(members)} files, more than {limits.members}; not unpacked"
        )
    promised = sum(member.file_size for member in members)
    if promised > min(limits.total_bytes, max(limits.ratio * size, _BLOCK)):
        raise CorruptFileError(
            f"{archive} would unpack {size} bytes to {promised}; it looks like a decompression bomb, not unpacked"
        )
    seen: dict[str, bool] = {}
    for member in members:
        problem = _problem(member)
        key = unicodedata.normalize("NFC", member.filename.rstrip("/")).casefold()
        if problem is None and key in seen and not (member.is_dir() and seen[key]):
            problem = "is there twice"
        seen[key] = member.is_dir()
        if problem is not None:
            raise CorruptFileError(f"{archive}: {member.filename[:200]!r} {problem}; nothing was unpacked")
    for key in seen:
        above = key.rpartition("/")[0]
        while above:
            if seen.get(above) is False:
                raise CorruptFileError(f"{archive}: {above!r} is a file and a folder; nothing was unpacked")
            above = above.rpartition("/")[0]


def _problem(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member, in words."""
    name, mode = member.orig_filename, member.external_attr >> 16
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(mode)
    if (
        name.startswith("/")
        or "\\" in name
        or ":" in parts[0]
        or any(part in ("", ".", "..") for part in parts)
    ):
        return "leads out of the archive"
    if not name.isprintable() or any(len(part.encode()) > 255 for part in parts) or len(name) > 1000:
        return "is no name for a file"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an unusual way"
    if member.is_dir() and member.file_size:
        return "is a folder with contents"
    return None


def _like(name: str) -> str:
    return name.casefold().replace("_", "-")


def _choose(archive: Path, members: Sequence[zipfile.ZipInfo], scenario: str, quality: str) -> str:
    """The folder of the wanted vault, with a slash at its end."""
    inside = [member.filename.split("/") for member in members]
    vaults = [parts[:-1] for parts in inside if parts[-1] == "metadata.json" and len(parts) > 1]
    if not vaults:
        raise CorruptFileError(f"{archive} holds no vault (no metadata.json); it is not an OG-MARL archive")
    fitting = [parts for parts in vaults if _like(parts[-1]) == _like(quality)]
    if len(fitting) != 1:
        names = ", ".join(sorted("/".join(parts) for parts in vaults)[:8])[:500]
        raise MismatchError(f"{archive} holds {len(fitting)} vaults '{quality}'; found: {names}")
    above = next((part for part in reversed(fitting[0][:-1]) if part.endswith(".vlt")), "")
    if above and _like(above.removesuffix(".vlt")) != _like(scenario):
        raise MismatchError(
            f"{archive} holds {above}, not {scenario}.vlt; it is the archive of another scenario"
        )
    return "/".join(fitting[0]) + "/"


def extract_vault(archive: Path, scenario: str, quality: str, target: Path, limits: Limits = LIMITS) -> None:
    """Unpack the vault of one quality.

    Args:
        archive: a zip archive, `SCENARIO.vlt/QUALITY/...`, perhaps below further folders.
        scenario: whose vaults it must hold.
        quality: which of them.
        target: becomes the vault's folder; must not exist. Whoever calls removes it after an error.
        limits: what is refused.

    Raises:
        CorruptFileError: damaged or hostile; the message names the member.
        MismatchError: a sound archive without this vault.
        OutputError: the target cannot be written.
    """
    with _reading(archive):
        opened = zipfile.ZipFile(archive)
    with opened:
        with _reading(archive):
            members = opened.infolist()
        check_members(archive, members, limits)
        prefix = _choose(archive, members, scenario, quality)
        wanted = [m for m in members if m.filename.startswith(prefix) and not m.is_dir()]
        _check_space(target, sum(member.file_size for member in wanted))
        for member in wanted:
            _extract(opened, archive, member, target / member.filename.removeprefix(prefix))


def _check_space(target: Path, wanted: int) -> None:
    existing = next(path for path in target.parents if path.exists())
    with writing(target):
        free = shutil.disk_usage(existing).free
    if wanted > free:
        raise OutputError(f"unpacking needs {wanted / 1e6:.1f} MB, {existing} has {free / 1e6:.1f} MB free")


def _extract(opened: zipfile.ZipFile, archive: Path, member: zipfile.ZipInfo, path: Path) -> None:
    """Write one member, no more than its header promises; a wrong checksum is found at its end."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file, _reading(archive, member.filename), opened.open(member) as stream:
            left = member.file_size
            while block := stream.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise ValueError("it is longer than it says")
                with writing(path):
                    file.write(block)
            if left:
                raise EOFError(f"{left} bytes are missing")
