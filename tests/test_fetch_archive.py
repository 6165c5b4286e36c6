"""Archives that attack, or are broken: one line, and nothing is written outside, or left inside."""

from __future__ import annotations

import errno
import io
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_disk_full import failing

from datasets.archive import Limits, extract_vault
from env_adapters.errors import CorruptFileError, HarnessError, MismatchError, OutputError

SOUND = {
    "3m.vlt/Good/metadata.json": b"{}",
    "3m.vlt/Good/manifest.ocdbt": b"m" * 50,
    "3m.vlt/Good/d/00": np.random.default_rng(0).bytes(5000),
    "3m.vlt/Poor/metadata.json": b"poor",
    "__MACOSX/._x": b"rubbish",
}


def packed(path: Path, files: dict[str, bytes], *extra: zipfile.ZipInfo) -> Path:
    """A zip archive; `extra` members are written with the content `x`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for member in extra:
            archive.writestr(member, "x")
    return path


def member(name: str, kind: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    info.external_attr = (kind | 0o644) << 16 if kind else 0
    return info


def refused(tmp_path: Path, archive: Path, limits: Limits | None = None) -> str:
    """The message; nothing may have been written, but what lay in the folder of the vault."""
    before = {path for path in tmp_path.rglob("*")}
    with pytest.raises(HarnessError) as failure:
        extract_vault(archive, "3m", "Good", tmp_path / "out" / "vault", limits or Limits())
    assert isinstance(failure.value, CorruptFileError | MismatchError)
    written = {path for path in tmp_path.rglob("*")} - before
    assert all(path.is_relative_to(tmp_path / "out") for path in written)
    assert "\n" not in str(failure.value)
    return str(failure.value)


def test_one_vault_is_taken_out_and_nothing_else(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", SOUND)
    extract_vault(archive, "3m", "good", tmp_path / "vault")
    found = {
        str(p.relative_to(tmp_path / "vault")): p.read_bytes()
        for p in (tmp_path / "vault").rglob("*")
        if p.is_file()
    }
    assert found == {name[12:]: content for name, content in SOUND.items() if "/Good/" in name}


def test_further_folders_above_do_not_matter(tmp_path: Path) -> None:
    archive = packed(
        tmp_path / "a.zip", {f"home/me/vaults/{name}": content for name, content in SOUND.items()}
    )
    extract_vault(archive, "3m", "Good", tmp_path / "vault")
    assert (tmp_path / "vault" / "d" / "00").is_file()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../evil", "leads out"),
        ("3m.vlt/Good/../../../evil", "leads out"),
        ("/etc/evil", "leads out"),
        ("C:/evil", "leads out"),
        ("C:\\evil", "leads out"),
        ("3m.vlt\\Good\\evil", "leads out"),
        ("3m.vlt//evil", "leads out"),
        ("./evil", "leads out"),
        ("3m.vlt/Good/..", "leads out"),
        ("3m.vlt/Good/a\nb", "is no name"),
        ("3m.vlt/Good/a\x1b[2J", "is no name"),
        ("3m.vlt/Good/" + "x" * 300, "is no name"),
        ("a/" * 600, "is no name"),
        ("3m.vlt/Good/METADATA.JSON", "is there twice"),
        ("3m.vlt/Good/d", "is a file and a folder"),
        ("3m.vlt/Good/metadata.json/x", "is a file and a folder"),
    ],
)
def test_names_that_attack(tmp_path: Path, name: str, said: str) -> None:
    assert said in refused(tmp_path, packed(tmp_path / "a.zip", SOUND, member(name)))
    assert not (tmp_path / "out").exists(), "all names are checked before anything is written"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    archive = packed(tmp_path / "a.zip", SOUND, member("3m.vlt/Good/link", kind))
    assert "is a link or a device" in refused(tmp_path, archive)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", SOUND, member("3m.vlt/Good/metadata.json"))
    assert "is there twice" in refused(tmp_path, archive)


def test_a_bomb_is_not_lit(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", SOUND | {"3m.vlt/Good/zeros": bytes(20_000_000)})
    assert "decompression bomb" in refused(tmp_path, archive)
    archive = packed(tmp_path / "b.zip", SOUND)
    assert "decompression bomb" in refused(tmp_path, archive, Limits(total_bytes=1000))
    assert "more than 3" in refused(tmp_path, archive, Limits(members=3))


def test_a_header_that_lies_about_the_size(tmp_path: Path) -> None:
    """A bomb whose directory says that it is small."""
    archive = packed(tmp_path / "a.zip", SOUND | {"3m.vlt/Good/zeros": bytes(3_000_000)})
    raw = archive.read_bytes()
    archive.write_bytes(raw.replace((3_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    assert "zeros' cannot be unpacked" in refused(tmp_path, archive)
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file()) < 20_000


def test_encrypted_members(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", SOUND)
    raw = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = raw.find(signature)
        while place >= 0:
            raw[place + offset] |= 1
            place = raw.find(signature, place + 1)
    archive.write_bytes(raw)
    assert "is encrypted" in refused(tmp_path, archive)
    assert not (tmp_path / "out").exists(), "found before anything is written"


def test_unusual_compression(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        for name, content in SOUND.items():
            archive.writestr(name, content)
    assert "compressed in an unusual way" in refused(tmp_path, tmp_path / "a.zip")


@pytest.mark.parametrize("length", [0, 10, 1000, 4000, -30, -1])
def test_a_truncated_archive(tmp_path: Path, length: int) -> None:
    archive = packed(tmp_path / "a.zip", SOUND)
    archive.write_bytes(archive.read_bytes()[:length])
    assert "fetch the archive anew" in refused(tmp_path, archive)


def test_a_flipped_bit_in_the_data(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", SOUND)
    raw = bytearray(archive.read_bytes())
    raw[raw.find(b"d/00") + 2000] ^= 4
    archive.write_bytes(raw)
    assert "'3m.vlt/Good/d/00' cannot be unpacked" in refused(tmp_path, archive)


def test_what_is_not_in_it(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as nested:
        nested.writestr("3m.vlt/Good/metadata.json", "{}")
    assert "holds no vault" in refused(tmp_path, packed(tmp_path / "a.zip", {"3m.zip": inner.getvalue()}))
    assert "holds no vault" in refused(tmp_path, packed(tmp_path / "b.zip", {}))
    poor = {name: content for name, content in SOUND.items() if "Poor" in name}
    assert "holds 0 vaults 'Good'; found: 3m.vlt/Poor" in refused(tmp_path, packed(tmp_path / "c.zip", poor))
    twice = SOUND | {"old/3m.vlt/Good/metadata.json": b"{}"}
    assert "holds 2 vaults 'Good'" in refused(tmp_path, packed(tmp_path / "d.zip", twice))
    other = {name.replace("3m", "8m"): content for name, content in SOUND.items()}
    assert "holds 8m.vlt, not 3m.vlt" in refused(tmp_path, packed(tmp_path / "e.zip", other))


@pytest.mark.parametrize("fails_at", range(1, 10))
def test_a_full_disk(tmp_path: Path, fails_at: int) -> None:
    archive = packed(tmp_path / "a.zip", SOUND)
    with failing(tmp_path / "out", fails_at, stays=True, code=errno.ENOSPC) as disk:
        try:
            extract_vault(archive, "3m", "Good", tmp_path / "out" / "vault")
        except OutputError as error:
            assert "No space left" in str(error)
        else:
            assert not disk.failed


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(packed(tmp_path / "a.zip", SOUND).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "b.zip").write_bytes(raw)
    target = tmp_path / "out" / str(len(list(tmp_path.glob("out/*"))))
    try:
        extract_vault(tmp_path / "b.zip", "3m", "Good", target)
    except (CorruptFileError, MismatchError) as error:
        assert "\n" not in str(error)
    assert {path.name for path in tmp_path.iterdir()} <= {"a.zip", "b.zip", "out"}
