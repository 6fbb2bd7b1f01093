"""HTTP as all real channels use it: an answer as its raw bytes, or what the network proves about the request.

NOT_SENT is said only where no byte of the request can have left: no room in the pool, no address, a refused or untimely
connection, a TLS handshake that failed. Whatever breaks after that is MAYBE, also an answer that is too big or too slow.
Redirects are not followed and proxies of the environment are not used: a channel is where its settings say.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import httpcore

from channels.lines import Lines
from domain.evidence import Fault, Outcome

# What a channel's contract allows at once, where its settings do not say.
CONNECTIONS_MAX = 100
# Shorter than what servers keep an idle connection for: one that they close as we write on it makes a MAYBE of nothing.
KEEP_ALIVE_S = 4.0
ANSWER_BYTES_MAX = 1 << 20
# What has a meaning in path and query, and stays as it is.
_STAY = "/?:@!$&'()*+,;=%~-._"
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
        self._lines = Lines(idle_max=self._limits.connections_max, keep_alive_s=KEEP_ALIVE_S, tls=tls)

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
            request = _request(method, url, headers or {}, body, self._limits)
        except ValueError:
            return Lost(Outcome.NOT_SENT, "URL_INVALID", Fault.CONFIG)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._room.acquire()
        except TimeoutError:
            return Lost(Outcome.NOT_SENT, "NO_CONNECTION_FREE", Fault.LOCAL)
        try:
            async with asyncio.timeout(self._limits.total_s), self._lines.exchange(request) as response:
                return await _read(response, answer_bytes_max or self._limits.answer_bytes_max)
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            return Lost(Outcome.NOT_SENT, "CONNECTION_REFUSED", Fault.CHANNEL)
        except (TimeoutError, httpcore.TimeoutException):
            return Lost(Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
            return Lost(Outcome.MAYBE, "CONNECTION_LOST", Fault.CHANNEL)
        finally:
            self._room.release()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._lines.aclose()


def _request(
    method: str, url: str, headers: Mapping[str, str], body: bytes, limits: HttpLimits
) -> httpcore.Request:
    """Write a request. Raise ValueError for a URL that is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no address")
    host = parts.hostname.encode("idna")
    where = f"[{host.decode()}]" if b":" in host else host.decode()
    whole = {
        "host": where if parts.port is None else f"{where}:{parts.port}",
        "accept": "*/*", "accept-encoding": "identity", "user-agent": "paydesk", **headers,
    }  # fmt: skip
    if body or method != "GET":
        whole["content-length"] = str(len(body))
    return httpcore.Request(
        method,
        httpcore.URL(scheme=parts.scheme.encode(), host=host, port=parts.port, target=target_of(url).encode("ascii")),
        headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in whole.items()],
        content=body,
        extensions={"timeout": {"connect": limits.connect_s}},
    )


async def _read(response: httpcore.Response, most: int) -> Reply | Lost:
    chunks: list[bytes] = []
    length = 0
    async for chunk in response.aiter_stream():
        length += len(chunk)
        if length > most:
            return Lost(Outcome.MAYBE, "ANSWER_TOO_BIG", Fault.CHANNEL)
        chunks.append(chunk)
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Reply(response.status, headers, b"".join(chunks))


def target_of(url: str) -> str:
    """Return path and query of a URL exactly as they are sent, for channels that sign them."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return target if _is_plain(target) else quote(target, safe=_STAY)
