"""A host on the loopback that does what hosts do: truncates, stalls, redirects, forgets Range, changes the file, lies."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Host:
    """Serves one file under every path; `answers` are taken first, one per request, each a name of a method of Request.

    Attributes:
        content: the file.
        headers: request headers so far, in order.
        paths: paths asked for, in order.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.answers: list[Callable[[Request], None]] = []
        self.always: Callable[[Request], None] = Request.ranged
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.url = ""

    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'


class Request(BaseHTTPRequestHandler):
    """One request; what it answers is the host's."""

    host: Host
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        host = self.host
        host.headers.append(dict(self.headers))
        host.paths.append(self.path)
        (host.answers.pop(0) if host.answers else host.always)(self)
        self.close_connection = True

    def answer(self, code: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def ranged(self, upto: int | None = None, tag: str | None = None) -> None:
        """The file as a sound host sends it; `upto` bytes of it, if given."""
        content, tag = self.host.content, self.host.etag() if tag is None else tag
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and condition == tag else 0
        extra = {"ETag": tag} if tag else {}
        if start >= len(content):
            return self.answer(416, Content_Range=f"bytes */{len(content)}")
        if start:
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        return self.answer(206 if start else 200, body[:upto], len(body), **extra)


def part(upto: int) -> Callable[[Request], None]:
    """Close the connection after so many bytes of what was asked for."""
    return lambda request: request.ranged(upto)


def code(number: int, **headers: str) -> Callable[[Request], None]:
    return lambda request: request.answer(number, b"sorry", **headers)


def redirect(to: str) -> Callable[[Request], None]:
    return lambda request: request.answer(302, Location=to)


def stalled(upto: int, seconds: float = 3.0) -> Callable[[Request], None]:
    def answer(request: Request) -> None:
        request.ranged(upto)
        time.sleep(seconds)

    return answer


@contextmanager
def hosting(content: bytes) -> Iterator[Host]:
    """A host on a port of the system's choice."""
    host = Host(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OurRequest", (Request,), {"host": host}))
    server.daemon_threads = True
    server.block_on_close = False
    host.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
