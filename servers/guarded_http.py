"""HTTP for strangers: a connection gets so much time and so many bytes for a request, and then it is cut.

uvicorn waits for ever for a request that comes drop by drop, and keeps any number of header fields. Here a request has to
be whole within REQUEST_S, its head and its framing are bounded, and so is the time in which its answer is fetched. One
address has so many connections at once, and all of them together too. Who is cut is counted, not logged: a flood must not
fill the disk.
"""

import asyncio
import logging
from collections import Counter as Tally
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from servers.neighbourhoods import neighbourhood

# The largest notice takes a second on the slowest line of a channel.
REQUEST_S = 10.0
# Longer than any answer is worked at; whoever does not fetch it by then gets none.
ANSWER_S = 60.0
# A channel's signatures and certificates take four kilobytes of a head.
HEAD_BYTES_MAX = 32 << 10
# A body may be chunked into small pieces, each with a frame of its own.
REQUEST_BYTES_MAX = 1 << 20


def guarded(
    registry: CollectorRegistry, *, connections_max: int, address_connections_max: int
) -> type[HttpToolsProtocol]:
    """Return the protocol for a server with so many connections, and so many of one address; those who are cut are counted."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # one line for each cut would be the flood's
    cuts = Counter("http_cuts", "Connections that were cut, by why", ["reason"], registry=registry)
    for reason in ("SLOW", "HEAD_TOO_LARGE", "TOO_LARGE", "MALFORMED", "TOO_MANY"):
        cuts.labels(reason)
    of_place = Tally[str]()

    class Guarded(GuardedProtocol):
        place = ""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.place = neighbourhood(str((transport.get_extra_info("peername") or ("",))[0]))
            of_place[self.place] += 1
            if of_place[self.place] > address_connections_max or len(self.connections) > connections_max:
                cuts.labels("TOO_MANY").inc()
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            of_place[self.place] -= 1
            if not of_place[self.place]:
                del of_place[self.place]
            super().connection_lost(exc)

        def cut(self, reason: str, status: str) -> None:
            cuts.labels(reason).inc()
            super().cut(reason, status)

    return Guarded


class _HeadTooLarge(Exception):
    """Ends the parsing of a head."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = 0
        self._in_head = True
        self._is_whole = False
        self._working: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not for ever."""
        super().connection_made(transport)
        self._wait(REQUEST_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer, and tell also the answer that is worked at: uvicorn tells the last that was asked for."""
        self._rest()
        if self._working is not None:
            self._working.disconnected = True
            self._working.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._working = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request, as far as it still may become one."""
        self._bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self._is_whole:
            return
        if self._in_head and self._bytes > HEAD_BYTES_MAX:
            self.cut("HEAD_TOO_LARGE", "431 Request Header Fields Too Large")
        elif self._bytes > REQUEST_BYTES_MAX:
            self.cut("TOO_LARGE", "413 Content Too Large")

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._bytes, self._in_head, self._is_whole = 0, True, False
        self._wait(REQUEST_S)

    def on_headers_complete(self) -> None:
        """Look at the size of a head that came in one piece, before anybody works for it."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES_MAX:
            raise _HeadTooLarge
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the answer now."""
        super().on_message_complete()
        self._is_whole = True
        self._wait(ANSWER_S)

    def on_response_complete(self) -> None:
        """Rest until the next request, if the answer is on its way and the request was whole."""
        super().on_response_complete()
        if self._is_answered():
            self._rest()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        if not self.transport.is_closing():
            self.cut("MALFORMED", "400 Bad Request")

    def _is_answered(self) -> bool:
        is_complete = self._is_whole and self.cycle is not None and self.cycle.response_complete
        return is_complete and not self.transport.is_closing() and not self.transport.get_write_buffer_size()

    def cut(self, reason: str, status: str) -> None:
        """End the connection; whoever can still be told why is told."""
        untold = self.cycle is None or self.cycle.response_complete or not self.cycle.response_started
        if untold and not self.transport.get_write_buffer_size():
            self.transport.write(
                f"HTTP/1.1 {status}\r\ncontent-length: {len(reason)}\r\nconnection: close\r\n\r\n{reason}".encode()
            )
            self.transport.close()
            self._wait(REQUEST_S)  # for whoever does not fetch even that
        else:
            self.transport.abort()

    def _wait(self, seconds: float) -> None:
        self._rest()
        self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()
        elif not self._is_answered():
            self.cut("SLOW", "408 Request Timeout")

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
