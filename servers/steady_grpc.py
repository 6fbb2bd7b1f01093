"""A gRPC server that no stranger's request can bring down.

grpc.aio decodes the name of each call's method in the loop that accepts calls: a single name that is no UTF-8 ends that
loop, and the whole server with it, before anybody was asked for a key. Here every method is registered with gRPC's core,
which compares names as bytes, and has a loop of its own; what names none of them is answered UNIMPLEMENTED, and its name is
never read. This reaches into grpcio's own parts: setup.cfg keeps to the release that they are of.
"""

# ruff: noqa: SLF001 - see above

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server

# How a call is named that names no method of ours.
NOBODYS = "/unknown"


def steady_server(*, options: Sequence[tuple[str, Any]] = (), calls_max: int = 1 << 20) -> grpc.aio.Server:
    """Make a grpc.aio server, whose services have to come in the registered form.

    Beyond `calls_max` calls at once, more are refused with RESOURCE_EXHAUSTED.
    """
    return cast("grpc.aio.Server", _SteadyServer(options, calls_max))


class _SteadyServer(_server.Server):
    """The server with another way to accept."""

    def __init__(self, options: Sequence[tuple[str, Any]], calls_max: int) -> None:
        self._loop = cygrpc.get_working_loop()
        self._server = _Acceptor(self._loop, options, calls_max)


class _Acceptor(cygrpc.AioServer):  # type: ignore[misc]
    """Accepts calls. The loop of the base class waits for acceptors that never end, and so reads no names."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Sequence[tuple[str, Any]], calls_max: int) -> None:
        super().__init__(loop, None, (), (), tuple(options), None)
        self._running = loop
        self._calls_max = calls_max
        self._calls: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, Any] = {}

    def add_registered_method_handlers(self, method_handlers: Mapping[str, Any]) -> None:
        """Take the handlers of methods, by their full names."""
        self._handlers |= method_handlers
        super().add_registered_method_handlers(dict(method_handlers))

    def _make_request_call_future(self, method: bytes | None) -> "asyncio.Task[None]":
        """Begin to accept calls of one method, or of nobody's; the base class asks for each once, and after a failure."""
        return self._running.create_task(self._accept(method))

    async def _accept(self, method: bytes | None) -> None:
        name = method.decode() if method is not None else NOBODYS
        handlers = cygrpc._MethodResolver([], {name: self._handlers[name]} if method is not None else {})
        while True:
            state = await (self._request_call() if method is None else self._request_registered_call(method))
            is_full = len(self._calls) >= self._calls_max
            work = cygrpc._handle_rpc(name, handlers, (), state, self._running, is_full)
            call = self._running.create_task(cygrpc._schedule_rpc_coro(work, state, self._running, name))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
