"""HTTP over connections that are kept for a while after use, by aiohttp, whose parser is written in C.

What it does of its own accord is taken from it: it repeats no request, follows no redirect, keeps no cookies, unpacks
nothing and asks neither the environment nor a home directory. And an answer belongs to its request: a connection on which
something came while it was idle is not used again.
"""

import functools
import select
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver
from yarl import URL

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

# aiohttp would give these where we say nothing, and channels sign what we say.
_OURS_TO_SAY = ("accept", "accept-encoding", "content-type", "user-agent")


class Lines:
    """Connections by where they lead. How many are used at once is the caller's to bound."""

    def __init__(
        self, *, idle_max: int, keep_alive_s: float, connect_s: float, tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:  # fmt: skip
        """Open a session in the running loop. A resolver that is given is asked anew for every connection."""
        connector = _Connector(
            idle_max, limit=0, keepalive_timeout=keep_alive_s, ssl=tls or _usual_tls(), resolver=resolver,
            use_dns_cache=resolver is None,
        )  # fmt: skip
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None, connect=connect_s), middlewares=(_once,),
            cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, skip_auto_headers=_OURS_TO_SAY,
        )  # fmt: skip

    async def send(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        """Send a request and return the head of its answer. Used with `async with`, it ends what is not read to its end.

        Only aiohttp.ClientConnectorError and aiohttp.ConnectionTimeoutError prove that nothing was sent.
        """
        return await self._session.request(method, url, headers=headers, data=body or None, allow_redirects=False)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()


class _Connector(aiohttp.TCPConnector):
    """Bounds what is idle, and uses no connection again on which the other side has said or done anything meanwhile.

    It may have been closed a moment ago, and what came would be taken for the answer to what is asked next.
    """

    def __init__(self, idle_max: int, **options: Any) -> None:
        super().__init__(**options)
        self._idle_max = idle_max
        self._idle: dict[ResponseHandler, None] = {}

    async def connect(
        self, req: aiohttp.ClientRequest, traces: "list[Trace]", timeout: aiohttp.ClientTimeout
    ) -> "Connection":
        """Return a connection that is new, or as quiet as it was left."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None, "it is open"
            is_new = protocol not in self._idle
            self._idle.pop(protocol, None)
            if is_new or _is_quiet(protocol):
                connection.add_callback(functools.partial(self._let_go, protocol))
                return connection
            connection.close()

    def _let_go(self, protocol: "ResponseHandler") -> None:
        if protocol.transport is not None and protocol.transport.get_write_buffer_size():
            # Whoever has not read the request by now never gets the rest, nor is he waited for.
            protocol.abort()
            return
        self._idle[protocol] = None
        while len(self._idle) > self._idle_max:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.close()


def _is_quiet(protocol: "ResponseHandler") -> bool:
    """Tell whether nothing came on a connection, neither to us nor, since the loop looked last, to its socket."""
    if protocol.should_close or protocol.transport is None:
        return False
    poll = select.poll()
    poll.register(protocol.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not poll.poll(0)


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Say of a lost connection that it is lost: of those errors that it knows, aiohttp sends what asks a second time."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


@functools.cache
def _usual_tls() -> ssl.SSLContext:
    """Return what verifies the public's certificates; to read all authorities takes longer than a loop has."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
