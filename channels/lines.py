"""HTTP connections that are kept for a while after use.

httpcore's own pool looks at every connection at every request, for every connection: with a hundred of them that takes
twenty times as long as the request itself.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator

import httpcore


class Lines:
    """Connections by where they lead. How many are used at once is the caller's to bound."""

    def __init__(
        self, *, idle_max: int, keep_alive_s: float, tls: ssl.SSLContext | None = None,
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:  # fmt: skip
        self._tls = tls or httpcore.default_ssl_context()
        self._backend = backend
        self._keep_alive_s = keep_alive_s
        self._idle: deque[httpcore.AsyncHTTPConnection] = deque()
        self._idle_max = idle_max

    @contextlib.asynccontextmanager
    async def exchange(self, request: httpcore.Request) -> AsyncIterator[httpcore.Response]:
        """Send a request over a connection of its own, which is kept if the response was read to its end."""
        line = await self._take(request.url.origin)
        try:
            response = await line.handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()
        except BaseException:
            await asyncio.shield(line.aclose())
            raise
        if line.is_idle():
            self._idle.append(line)
        while len(self._idle) > self._idle_max:
            await self._idle.popleft().aclose()

    async def _take(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        for line in reversed(self._idle):  # the one used last is the one most surely alive
            if line.can_handle_request(origin):
                self._idle.remove(line)
                if not line.has_expired():
                    return line
                await line.aclose()
                break
        return httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._tls, keepalive_expiry=self._keep_alive_s, network_backend=self._backend
        )

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.popleft().aclose()
