"""Between a wire and the world: an awaitable question, and HTTP that can fall silent, break off and drip.

A wire's handler verifies and reads a request in its channel's own way, asks the world by `Front.ask`, and writes the
answer in its channel's own way. What the weather does to the connection happens here: silence is a connection that is
held and then dropped, a refusal is a reset.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.channel import SandboxChannel
from simulator.codec import AnswerFields, Flaw
from simulator.errors import BadControl
from simulator.records import Attempt
from simulator.words import Operation
from simulator.world import World

# Longer than any client waits; then the connection is dropped.
HOLD_S = 60.0
BODY_BYTES_MAX = 1 << 20
REQUEST_S, REQUEST_BYTES_MAX = 30.0, 4 << 20
DRIP_PIECES = 50

_TRANSPORT = "simulator.transport"


class NoAnswer(Exception):
    """The weather's wish that a request gets no answer: the connection is reset, or held and then dropped."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__(reset)
        self.reset = reset


class TooLarge(Exception):
    """A request's body is larger than any message of a channel."""


class Told(NamedTuple):
    """What the channel says, to be written in the wire's own words; `flaw` is what is to be wrong with its signature."""

    fields: AnswerFields
    flaw: Flaw
    drip_ms: int

    def response(
        self, body: bytes, *, media_type: str, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Make the HTTP response, which drips where the weather wants it."""
        kind = DrippingResponse if self.drip_ms else Response
        made = kind(body, status_code=status, media_type=media_type, headers=dict(headers or {}))
        if isinstance(made, DrippingResponse):
            made.drip_s = self.drip_ms / 1_000
        return made


class DrippingResponse(Response):
    """A response that begins at once and takes its time."""

    drip_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body piece by piece."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)
        size = max(1, len(body) // DRIP_PIECES)
        for start in range(0, len(body), size):
            await asyncio.sleep(self.drip_s / DRIP_PIECES)
            await send({"type": "http.response.body", "body": body[start : start + size], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Front:
    """What a wire knows of the world."""

    def __init__(self, world: World, *, base_url: str) -> None:
        """`base_url` is where the wires are, for the addresses in their answers."""
        self.world = world
        self.base_url = base_url

    async def ask(self, channel_id: str, operation: Operation, item: dict[str, Any], merchant_no: str) -> Told:
        """Ask one thing; come back when its answer is due. Raise NoAnswer where none is to be given."""
        try:
            async with asyncio.timeout(HOLD_S):
                outgoing, _, drip_ms = await self.world.ask(channel_id, operation, item, merchant_no)
        except TimeoutError:
            raise NoAnswer(reset=False) from None
        if outgoing is None or "transport" in outgoing.answer:
            raise NoAnswer(reset=outgoing is not None)
        return Told(outgoing.answer, outgoing.flaw, drip_ms)

    def channel(self, channel_id: str) -> SandboxChannel:
        """Return a channel's state, to be read."""
        return self.world.channel(channel_id)

    def find(self, channel_id: str, txn_no: str) -> Attempt | None:
        """Find an attempt by the channel's own number."""
        return self.world.channel(channel_id).book.by_txn.get(txn_no)


async def read_body(request: Request) -> bytes:
    """Read a body of a sensible size. Raise TooLarge for a larger one, of which the rest is never read."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise TooLarge
    return body


class Endpoint:
    """An ASGI application around a wire's handler."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or let its connection come to a bad end."""
        try:
            response = await self._handler(Request(scope, receive))
        except NoAnswer as silence:
            await _break_off(scope, receive, reset=silence.reset)
            return
        except TooLarge:
            response = PlainTextResponse("too large", status_code=413)
        except BadControl:  # an address of a page that names no channel of ours
            response = PlainTextResponse("no such page", status_code=404)
        except ClientDisconnect:
            return
        await response(scope, receive, send)


async def _break_off(scope: Scope, receive: Receive, *, reset: bool) -> None:
    if not reset:
        try:
            await asyncio.wait_for(_gone(receive), HOLD_S)
        except TimeoutError:
            pass
        else:
            return
    transport: asyncio.Transport = scope[_TRANSPORT]
    raw = transport.get_extra_info("socket")
    if raw is not None:
        # Without lingering, closing sends a reset.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class WireProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, with the connection itself within reach of those who break it off.

    A request has to be whole within REQUEST_S and to fit into REQUEST_BYTES_MAX, framing and all; else it is cut.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        self._bytes += len(data)
        if self._timer is not None and self._bytes > REQUEST_BYTES_MAX:
            self.transport.abort()
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope[_TRANSPORT] = self.transport  # type: ignore[literal-required]
        self._begin()

    def on_message_complete(self) -> None:
        """Let it take its time from here."""
        super().on_message_complete()
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer."""
        super().connection_lost(exc)
        self._rest()

    def _begin(self) -> None:
        self._rest()
        self._bytes = 0
        self._timer = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
