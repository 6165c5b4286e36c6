"""One request over HTTP(S): redirects with bounds, answers in words, nothing but these two schemes."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime

from env_adapters.errors import DownloadError, InvalidValueError

_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which the same request may succeed."""
_AGENT = {"User-Agent": "marl-harness", "Accept-Encoding": "identity"}


class PassingError(Exception):
    """A failure after which another attempt may succeed.

    Args:
        problem: what happened, in words.
        wait_s: seconds that the host asks to wait, if it does.
    """

    def __init__(self, problem: str, wait_s: float | None = None) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


@dataclass
class Answer:
    """The beginning of an answer; its body is still to be read."""

    url: str
    """Where redirects led."""
    status: int
    """200, 206 or 416."""
    headers: Message[str, str]
    body: http.client.HTTPResponse | None
    """None after 416."""
    sha256: str | None
    """Of the whole file, as the host states it (`X-Linked-ETag`, which Hugging Face sends with its redirect)."""


def check_url(url: str) -> str:
    """The address without a slash at its end.

    Raises:
        InvalidValueError: not http or https, without a host, or with a user name or password in it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidValueError(
            f"'{url}' is no address of a web server; give http://HOST/... or https://HOST/..."
        )
    if "@" in parts.netloc:
        raise InvalidValueError(
            "an address with a user name or password in it is not used; download by hand and give --from FILE"
        )
    return url.rstrip("/")


@contextmanager
def connection_errors() -> Iterator[None]:
    """Turn what a network does to a request or its answer into PassingError, and what stays so into DownloadError."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise DownloadError(f"the host's certificate is not valid: {error.verify_message}") from error
    except TimeoutError as error:
        raise PassingError("nothing arrived for too long") from error
    except http.client.HTTPException as error:
        raise PassingError(f"the answer broke off or makes no sense ({type(error).__name__})") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, Exception):
            with connection_errors():
                raise error.reason from error
        raise PassingError(f"no connection: {error.reason}") from error
    except socket.gaierror as error:
        raise PassingError(f"the host's name is not known: {error.strerror}") from error
    except OSError as error:
        raise PassingError(f"no connection: {error.strerror or error}") from error


def _opener() -> urllib.request.OpenerDirector:
    """Without handlers for files, FTP and redirects; proxies as the environment names them."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def ask(url: str, headers: Mapping[str, str], stall_s: float) -> Answer:
    """GET an address and follow redirects.

    Args:
        url: http or https.
        headers: beyond the usual ones; no credentials are ever sent.
        stall_s: seconds to wait for a connection, and for every next piece of the answer.

    Raises:
        PassingError: no connection, no answer in time, or the host is busy.
        DownloadError: the host refuses, or redirects too often, to nowhere, or from https to anything else.
    """
    opener, place, sha256 = _opener(), url, None
    for _ in range(_MAX_REDIRECTS + 1):
        request = urllib.request.Request(place, headers={**_AGENT, **headers})
        try:
            with connection_errors():
                try:
                    response = opener.open(request, timeout=stall_s)
                except urllib.error.HTTPError as error:
                    refusal = error
                else:
                    return Answer(
                        place,
                        response.status,
                        response.headers,
                        response,
                        sha256 or _stated(response.headers),
                    )
        except DownloadError as error:
            raise DownloadError(f"{place}: {error}") from error
        with refusal:
            sha256 = sha256 or _stated(refusal.headers)
            if refusal.code == 416:
                return Answer(place, 416, refusal.headers, None, sha256)
            if refusal.code not in _REDIRECTS:
                raise _refused(place, refusal)
            place = _redirected(place, refusal.headers.get("Location"))
    raise DownloadError(f"{url} redirects more than {_MAX_REDIRECTS} times; try --mirror")


def _stated(headers: Message[str, str]) -> str | None:
    """A SHA-256 that the host states; other files than large ones have other digests there."""
    value = headers.get("X-Linked-ETag", "").strip('"').lower()
    return value if re.fullmatch("[0-9a-f]{64}", value) else None


def _redirected(place: str, location: str | None) -> str:
    """The absolute address that a redirect leads to, if it may be followed."""
    try:
        target = urllib.parse.urljoin(place, location or "")
        is_downgrade = place.startswith("https:") and not target.startswith("https:")
        if location and not is_downgrade:
            target = urllib.parse.quote(target, safe="%/:=&?~#+!$,;'@()*[]")
            check_url(target)
            return target
    except (ValueError, InvalidValueError):
        pass
    raise DownloadError(
        f"{place} redirects to '{(location or '')[:200]}', which is not followed; try --mirror"
    )


def _refused(place: str, refusal: urllib.error.HTTPError) -> Exception:
    said = f"answers {refusal.code} {refusal.reason}"
    if refusal.code in _PASSING:
        return PassingError(f"the host {said}", _retry_after(refusal.headers.get("Retry-After")))
    if refusal.code in (401, 403):
        return DownloadError(
            f"{place} {said}: it wants to know who asks; --via hub uses your token, or give --from FILE"
        )
    return DownloadError(f"{place} {said}; the file may have moved: try --mirror, or give --from FILE")


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number or a date."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
