"""HTTP as all real channels use it: an answer as its raw bytes, or what the network proves about the request.

NOT_SENT is said only where no byte of the request can have left: no room in the pool, no address, a refused or untimely
connection, a TLS handshake that failed. Whatever breaks after that is MAYBE, also an answer that is too big or too slow.
Redirects are not followed and proxies of the environment are not used: a channel is where its settings say.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import httpx

from domain.evidence import Fault, Outcome

# What a channel's contract allows at once, where its settings do not say.
CONNECTIONS_MAX = 100
# Shorter than what servers keep an idle connection for: one that they close as we write on it makes a MAYBE of nothing.
KEEP_ALIVE_S = 4.0
ANSWER_BYTES_MAX = 1 << 20


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
        self._client = httpx.AsyncClient(
            verify=True if tls is None else tls,
            timeout=httpx.Timeout(self._limits.total_s, connect=self._limits.connect_s, pool=self._limits.connect_s),
            limits=httpx.Limits(
                max_connections=self._limits.connections_max,
                max_keepalive_connections=self._limits.connections_max,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
            headers={"accept-encoding": "identity", "user-agent": "paydesk"},
            trust_env=False,
            follow_redirects=False,
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
        most = answer_bytes_max or self._limits.answer_bytes_max
        try:
            async with (
                asyncio.timeout(self._limits.total_s),
                self._client.stream(method, url, headers=headers, content=body) as response,
            ):
                return await _read(response, most)
        except httpx.PoolTimeout:
            return Lost(Outcome.NOT_SENT, "NO_CONNECTION_FREE", Fault.LOCAL)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Lost(Outcome.NOT_SENT, "CONNECTION_REFUSED", Fault.CHANNEL)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            return Lost(Outcome.NOT_SENT, "URL_INVALID", Fault.CONFIG)
        except (TimeoutError, httpx.TimeoutException):
            return Lost(Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)
        except (httpx.HTTPError, OSError):
            return Lost(Outcome.MAYBE, "CONNECTION_LOST", Fault.CHANNEL)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def _read(response: httpx.Response, most: int) -> Reply | Lost:
    chunks: list[bytes] = []
    length = 0
    async for chunk in response.aiter_raw():
        length += len(chunk)
        if length > most:
            return Lost(Outcome.MAYBE, "ANSWER_TOO_BIG", Fault.CHANNEL)
        chunks.append(chunk)
    return Reply(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, b"".join(chunks)
    )


def target_of(url: str) -> str:
    """Return path and query of a URL exactly as they are sent, for channels that sign them."""
    return httpx.URL(url).raw_path.decode("ascii")
