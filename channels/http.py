"""HTTP as all real channels use it: an answer as its raw bytes, or what the network proves about the request.

NOT_SENT is said only where no byte of the request can have left: no room in the pool, no address, a refused or untimely
connection, a TLS handshake that failed. Whatever breaks after that is MAYBE, also an answer that is too big or too slow.
Redirects are not followed and proxies of the environment are not used: a channel is where its settings say.
"""

import asyncio
import functools
import re
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from channels.lines import Lines
from domain.evidence import Fault, Outcome

# What a channel's contract allows at once, where its settings do not say.
CONNECTIONS_MAX = 100
# Shorter than what servers keep an idle connection for: one that they close as we write on it makes a MAYBE of nothing.
KEEP_ALIVE_S = 4.0
ANSWER_BYTES_MAX = 1 << 20
# What has a meaning in path and query, and stays as it is.
_STAY = "/?:@!$&'()*+,;=%~-._"
_is_header = re.compile(r"[\t -~]*").fullmatch
_is_plain = re.compile(rf"[A-Za-z0-9{re.escape(_STAY)}]*").fullmatch


class Reply(NamedTuple):
    """What a server answered. Names of headers are in lower case; `body` is as it came, never decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(NamedTuple):
    """That no answer can be used, and what is proved about the request all the same."""

    outcome: Outcome
    reason: str
    fault: Fault


class HttpLimits(NamedTuple):
    """How long and how much. `total_s` ends a request whatever it does, so a server that drips gets no more than that."""

    connections_max: int = CONNECTIONS_MAX
    connect_s: float = 3.0
    total_s: float = 15.0
    answer_bytes_max: int = ANSWER_BYTES_MAX


class HttpTransport:
    """A pool of connections. It belongs to one event loop and never raises for what the network does."""

    def __init__(self, limits: HttpLimits | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        """`tls` holds what a channel wants beyond the usual: authorities of its own, or a client certificate."""
        self._limits = limits or HttpLimits()
        self._room = asyncio.Semaphore(self._limits.connections_max)
        self._tls = tls

    @functools.cached_property
    def _lines(self) -> Lines:
        """They are opened in the loop that uses them."""
        limits = self._limits
        return Lines(
            idle_max=limits.connections_max, keep_alive_s=KEEP_ALIVE_S, connect_s=limits.connect_s, tls=self._tls
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        answer_bytes_max: int = 0,
    ) -> Reply | Lost:
        """Send one request. `answer_bytes_max` is for files that are bigger than any message."""
        try:
            there, whole = _request(method, url, headers or {}, body)
        except ValueError:
            return Lost(Outcome.NOT_SENT, "URL_INVALID", Fault.CONFIG)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._room.acquire()
        except TimeoutError:
            return Lost(Outcome.NOT_SENT, "NO_CONNECTION_FREE", Fault.LOCAL)
        try:
            async with asyncio.timeout(self._limits.total_s), await self._lines.send(method, there, whole, body) as answer:
                return await _read(answer, answer_bytes_max or self._limits.answer_bytes_max)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return Lost(Outcome.NOT_SENT, "CONNECTION_REFUSED", Fault.CHANNEL)
        except TimeoutError:
            return Lost(Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)
        except (aiohttp.ClientError, OSError):
            return Lost(Outcome.MAYBE, "CONNECTION_LOST", Fault.CHANNEL)
        finally:
            self._room.release()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._lines.aclose()


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[URL, dict[str, str]]:
    """Return where a request goes and all its headers. Raise ValueError for a URL that is none, or for a header that is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no address")
    host = parts.hostname.encode("idna").decode()
    where = f"[{host}]" if ":" in host else host
    where = where if parts.port is None else f"{where}:{parts.port}"
    whole = {"host": where, "accept": "*/*", "accept-encoding": "identity", "user-agent": "paydesk", **headers}
    if not all(map(_is_header, whole.values())):
        raise ValueError("no header")
    if body or method != "GET":
        whole["content-length"] = str(len(body))
    return URL(f"{parts.scheme}://{where}{target_of(url)}", encoded=True), whole


async def _read(answer: aiohttp.ClientResponse, most: int) -> Reply | Lost:
    chunks: list[bytes] = []
    length = 0
    async for chunk in answer.content.iter_any():
        length += len(chunk)
        if length > most:
            return Lost(Outcome.MAYBE, "ANSWER_TOO_BIG", Fault.CHANNEL)
        chunks.append(chunk)
    headers: dict[str, str] = {}
    for raw_name, raw_value in answer.raw_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Reply(answer.status, headers, b"".join(chunks))


def target_of(url: str) -> str:
    """Return path and query of a URL exactly as they are sent, for channels that sign them."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return target if _is_plain(target) else quote(target, safe=_STAY)
