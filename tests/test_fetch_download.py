"""Downloads from hosts that misbehave: what is taken is the file, or nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_disk_full import failing
from web_hosts import Host, Request, code, hosting, part, redirect, stalled

from datasets.download import Download, Patience
from datasets.web import check_url
from env_adapters.errors import CorruptFileError, DownloadError, InvalidValueError, OutputError

CONTENT = b"PK\x03\x04" + np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(stall_s=0.3, attempts=3, pause_s=0.01)
PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting(CONTENT) as made:
        yield made


class Place:
    """A folder to download to, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.target, self.said, self.seen = (
            folder / "archive.zip",
            list[str](),
            list[tuple[int, int | None]](),
        )

    def load(self, url: str, limit: int = 10**6, sha256: str | None = None, **patience: Any) -> str:
        chosen = Patience(**{**vars(QUICK), **patience})
        report = self.seen.append
        return Download(
            url, self.target, limit, sha256, chosen, lambda *at: report(at), self.said.append
        ).run()

    def left(self) -> list[str]:
        return sorted(path.name for path in self.target.parent.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "cache").mkdir()
    return Place(tmp_path / "cache")


def test_a_whole_file(place: Place, host: Host) -> None:
    assert place.load(f"{host.url}/x.zip", sha256=SHA256) == SHA256
    assert place.target.read_bytes() == CONTENT and place.left() == ["archive.zip"]
    assert place.seen[-1] == (len(CONTENT), len(CONTENT)) and place.said == []
    assert not {"Authorization", "Cookie"} & set(host.headers[0])


def test_a_connection_that_breaks_is_continued_where_it_broke(place: Place, host: Host) -> None:
    host.answers = [part(100_000), stalled(50_000)]
    assert place.load(host.url, attempts=4) == SHA256
    assert [headers.get("Range") for headers in host.headers] == [None, "bytes=100000-", "bytes=150000-"]
    assert host.headers[1]["If-Range"] == host.etag()
    assert "closed after 100000 of 300004 bytes; attempt 2 of 4" in place.said[0]
    assert "nothing arrived for too long" in place.said[1]


def test_the_next_command_continues(place: Place, host: Host) -> None:
    host.answers = [part(100_000)]
    with pytest.raises(
        DownloadError, match="1 attempts in a row failed, 100000 bytes are kept and the same command"
    ):
        place.load(host.url, attempts=1)
    assert place.left() == ["archive.zip.part", "archive.zip.part.json"]
    assert place.load(host.url) == SHA256
    assert host.headers[1]["Range"] == "bytes=100000-" and place.left() == ["archive.zip"]


def test_a_download_that_was_killed_before_its_last_step_asks_for_nothing(place: Place, host: Host) -> None:
    host.answers = [part(100_000)]
    with pytest.raises(DownloadError):
        place.load(host.url, attempts=1)
    place.target.with_name("archive.zip.part").write_bytes(CONTENT)
    assert place.load(host.url) == SHA256 and len(host.paths) == 1


def test_a_host_without_range_sends_the_whole_again(place: Place, host: Host) -> None:
    host.answers = [part(100_000), lambda request: request.answer(200, CONTENT)]
    assert place.load(host.url) == SHA256
    assert "sends the whole file again" in place.said[1]


def test_without_a_validator_nothing_is_continued(place: Place, host: Host) -> None:
    host.answers = [
        lambda request: request.ranged(100_000, tag=""),
        lambda request: request.answer(200, CONTENT),
    ]
    assert place.load(host.url) == SHA256
    assert "Range" not in host.headers[1]


def test_a_weak_tag_proves_nothing(place: Place, host: Host) -> None:
    host.answers = [lambda request: request.ranged(100_000, tag='W/"x"')]
    assert place.load(host.url) == SHA256
    assert "Range" not in host.headers[1]


def test_a_file_that_changes_between_attempts_is_never_mixed(place: Place, host: Host) -> None:
    new = b"PK\x03\x04" + np.random.default_rng(1).bytes(300_000)

    def change(request: Request) -> None:
        request.ranged(100_000)
        host.content = new

    host.answers = [change]
    place.load(host.url)
    assert place.target.read_bytes() == new


@pytest.mark.parametrize("span", ["bytes 99999-300003/300004", "bytes 100000-300004/300005"])
def test_a_host_that_sends_another_part_starts_over(place: Place, host: Host, span: str) -> None:
    def wrong(request: Request) -> None:
        request.answer(206, CONTENT[100_000:], ETag=host.etag(), Content_Range=span)

    host.answers = [part(100_000), wrong]
    assert place.load(host.url) == SHA256
    assert "another part, or another file" in place.said[1] and "0 bytes are here" in place.said[1]


def test_another_tag_in_a_part_starts_over(place: Place, host: Host) -> None:
    def wrong(request: Request) -> None:
        span = f"bytes 100000-{len(CONTENT) - 1}/{len(CONTENT)}"
        request.answer(206, CONTENT[100_000:], ETag='"other"', Content_Range=span)

    host.answers = [part(100_000), wrong]
    assert place.load(host.url) == SHA256 and len(host.paths) == 3


def test_a_part_longer_than_the_file_starts_over(place: Place, host: Host) -> None:
    host.answers = [part(100_000), code(416)]
    assert place.load(host.url) == SHA256
    assert "has not as many bytes" in place.said[1]


def test_notes_of_another_address_are_not_continued(place: Place, host: Host) -> None:
    host.answers = [part(100_000)]
    with pytest.raises(DownloadError):
        place.load(f"{host.url}/a", attempts=1)
    place.load(f"{host.url}/b")
    assert "Range" not in host.headers[1]


@pytest.mark.parametrize("notes", [b"", b"{", b"[]", b'{"url": 1}', b"\xff"])
def test_damaged_notes_start_over(place: Place, host: Host, notes: bytes) -> None:
    place.target.with_name("archive.zip.part").write_bytes(b"PK??")
    place.target.with_name("archive.zip.part.json").write_bytes(notes)
    assert place.load(host.url) == SHA256


def test_what_the_host_states_is_checked(place: Place, host: Host) -> None:
    stated = f'"{SHA256}"'
    host.always = lambda request: (
        request.ranged()
        if request.path == "/real"
        else request.answer(302, Location="/real", X_Linked_ETag=stated)
    )
    damaged = bytearray(CONTENT)
    damaged[200_000] ^= 1
    host.content = bytes(damaged)
    with pytest.raises(DownloadError, match="has another sha256 than the host states"):
        place.load(host.url)
    assert place.left() == []
    host.content = CONTENT
    assert place.load(host.url) == SHA256


def test_another_file_than_recorded_is_refused(place: Place, host: Host) -> None:
    with pytest.raises(CorruptFileError, match=f"sha256 {SHA256}, expected 0000"):
        place.load(host.url, sha256="0" * 64)
    assert place.left() == []


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("/again", "redirects more than 5 times"),
        ("file:///etc/passwd", "redirects to 'file:///etc/passwd', which is not followed"),
        ("ftp://127.0.0.1/x", "which is not followed"),
        ("http://user:secret@127.0.0.1/", "which is not followed"),
        ("", "redirects to ''"),
        ("http://[", "which is not followed"),
    ],
)
def test_redirects_that_are_not_followed(place: Place, host: Host, to: str, said: str) -> None:
    host.always = redirect(to)
    with pytest.raises(DownloadError, match=said) as failure:
        place.load(host.url)
    assert len(host.paths) <= 6 and place.left() == [] and "\n" not in str(failure.value)


def test_no_redirect_leads_from_https_to_http() -> None:
    from datasets.web import _redirected

    with pytest.raises(DownloadError, match="not followed"):
        _redirected("https://host/x", "http://host/x")
    assert _redirected("https://host/x", "/y/") == "https://host/y/"
    assert _redirected("https://host/x", "/y z") == "https://host/y%20z"


def test_a_redirect_is_followed_and_carries_the_range(place: Place, host: Host) -> None:
    host.answers = [redirect("/real?token=a%2Fb"), part(100_000), redirect("/real")]
    assert place.load(host.url) == SHA256
    assert host.paths[1] == "/real?token=a%2Fb" and host.headers[3]["Range"] == "bytes=100000-"


@pytest.mark.parametrize("number", [404, 410, 403, 401, 400, 206])
def test_answers_that_stay_are_not_tried_again(place: Place, host: Host, number: int) -> None:
    host.always = code(number)
    with pytest.raises(DownloadError, match=f"answers {number}"):
        place.load(host.url)
    assert len(host.paths) == 1 and place.left() == []


@pytest.mark.parametrize("number", [429, 500, 502, 503])
def test_answers_that_pass_are(place: Place, host: Host, number: int) -> None:
    host.answers = [code(number), code(number)]
    assert place.load(host.url) == SHA256
    assert f"the host answers {number}" in place.said[0] and "attempt 3 of 3" in place.said[1]


def test_a_host_that_stays_busy_is_given_up(place: Place, host: Host) -> None:
    host.always = code(503)
    with pytest.raises(DownloadError, match=r"answers 503 .*; 3 attempts in a row failed, 0 bytes are kept"):
        place.load(host.url)
    assert len(host.paths) == 3


@pytest.mark.parametrize(("value", "waited"), [("7", 7.0), ("100000", 120.0), ("soon", 0.01), ("-1", 0.01)])
def test_retry_after(
    place: Place, host: Host, monkeypatch: pytest.MonkeyPatch, value: str, waited: float
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("datasets.download.time.sleep", pauses.append)
    host.answers = [code(429, Retry_After=value)]
    place.load(host.url)
    assert pauses == [waited]


def test_a_retry_after_date() -> None:
    from datasets.web import _retry_after

    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (_retry_after("Wed, 21 Oct 2215 07:28:00 GMT") or 0) > 1e9


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (
            b"<!DOCTYPE html><title>Log in</title>",
            "application/zip",
            r"a web page \('Log in'\) instead of a zip",
        ),
        (b"please wait", "text/html; charset=utf-8", "a web page instead of a zip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "text/plain", "a pointer of git-lfs"),
        (b"{}          ", "application/json", "something that is no zip archive"),
    ],
)
def test_what_is_no_archive_is_named_at_once(
    place: Place, host: Host, body: bytes, kind: str, said: str
) -> None:
    host.always = lambda request: request.answer(200, body, Content_Type=kind)
    with pytest.raises(CorruptFileError, match=f"{host.url}.*{said}"):
        place.load(host.url)
    assert place.left() == [] and len(host.paths) == 1


def test_a_file_that_is_too_large(place: Place, host: Host) -> None:
    with pytest.raises(CorruptFileError, match="has 300004 bytes, at most 1000 were expected"):
        place.load(host.url, limit=1000)
    assert place.left() == []


def chunked(request: Request) -> None:
    """Without a length."""
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for start in range(0, len(CONTENT), 50_000):
        block = CONTENT[start : start + 50_000]
        request.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))


def test_a_file_without_a_length(place: Place, host: Host) -> None:
    def whole(request: Request) -> None:
        chunked(request)
        request.wfile.write(b"0\r\n\r\n")

    host.answers = [chunked, whole]  # the first ends before its last chunk
    assert place.load(host.url) == SHA256 and len(host.paths) == 2
    host.always = whole
    with pytest.raises(CorruptFileError, match="sends more than the 100000 bytes expected"):
        Place(place.target.parent).load(host.url, limit=100_000)


def test_a_length_that_is_too_small_is_found_by_the_digest(place: Place, host: Host) -> None:
    host.always = lambda request: request.answer(200, CONTENT, length=1000)
    with pytest.raises(CorruptFileError, match="is another file than recorded"):
        place.load(host.url, sha256=SHA256)


def test_an_encoding_is_refused(place: Place, host: Host) -> None:
    host.always = lambda request: request.answer(200, CONTENT, Content_Encoding="gzip")
    with pytest.raises(DownloadError, match="in the encoding 'gzip'"):
        place.load(host.url)


def test_nobody_listens(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadError, match=r"no connection: Connection refused; 3 attempts"):
            place.load(f"http://127.0.0.1:{taken.getsockname()[1]}/x")
    assert place.left() == []


def test_no_tls_where_it_was_promised(place: Place, host: Host) -> None:
    with pytest.raises(DownloadError, match="no connection"):
        place.load(host.url.replace("http:", "https:"))


def test_garbage_instead_of_http(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def serve() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(DownloadError, match="makes no sense"):
            place.load(f"http://127.0.0.1:{server.getsockname()[1]}/x")
        thread.join(5)


def test_offline_opens_no_socket(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HARNESS_OFFLINE is set; fetched already: none"):
        place.load("https://host/x")
    monkeypatch.setenv("HARNESS_OFFLINE", "0")
    with pytest.raises(AssertionError, match="a socket was made"):
        place.load("https://host/x")


@pytest.mark.parametrize("fails_at", range(1, 12))
def test_a_full_disk_keeps_what_can_be_continued(place: Place, host: Host, fails_at: int) -> None:
    with failing(place.target.parent, fails_at, stays=True, code=errno.ENOSPC) as disk:
        try:
            place.load(host.url)
        except OutputError as error:
            assert "No space left" in str(error)
        else:
            assert not disk.failed or "unlink" in disk.failed
    assert place.load(host.url) == SHA256 or place.target.exists()
    shown = [name for name in place.left() if not name.startswith(".")]  # the next fetch removes hidden ones
    assert place.target.read_bytes() == CONTENT and shown == ["archive.zip"]


def test_a_disk_that_is_too_small_is_found_before(
    place: Place, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr("datasets.download.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(OutputError, match=r"needs \d+\.\d MB more.*HARNESS_DATASETS"):
        place.load(host.url)
    assert place.left() == []


def test_a_download_that_is_killed_is_continued_by_another_process(place: Place, host: Host) -> None:
    host.answers = [stalled(120_000, 30)]
    program = (
        "import sys; from pathlib import Path; from datasets.download import Download, Patience\n"
        "Download(sys.argv[1], Path(sys.argv[2]), 10**6, None, Patience(), lambda *_: None, print).run()"
    )
    command = [sys.executable, "-c", program, host.url, str(place.target)]
    process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    partial = place.target.with_name("archive.zip.part")
    while not partial.exists() or partial.stat().st_size < 120_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads(place.target.with_name("archive.zip.part.json").read_bytes())["total"] == len(CONTENT)
    assert place.load(host.url) == SHA256 and host.headers[1]["Range"] == "bytes=120000-"


@pytest.mark.parametrize(
    "url",
    ["", "host/x", "file:///x", "ftp://host/x", "http://", "http://host:x/", "http://[", "http://a b/", "http://h\u00e4st/",
     "https://user:password@host/", "javascript:alert(1)", "http://host/\n"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InvalidValueError, match="address") as failure:
        check_url(url)
    assert "password" not in str(failure.value) or "user name or password" in str(failure.value)
