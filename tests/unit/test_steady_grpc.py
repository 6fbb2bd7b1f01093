"""A gRPC server outlives calls that name what is no name, and is as others are in all else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from ops.port_fuzz import exchange, grpc_call
from servers.grpc_server import WATCHERS_OF_ADDRESS_MAX, HealthService
from servers.steady_grpc import steady_server

CHECK = health_pb2.HealthCheckRequest()
# No UTF-8; an honest name that nobody has; nothing; and a real one with a byte too many.
NAMES = [b"/a\xff", b"/x.Y/Z", b"", b"/grpc.health.v1.Health/Check\x9b", b"/" * 200]


class Held:
    """A method that takes as long as it is told."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def wait(self, request: bytes, context: Any) -> bytes:
        await self.go.wait()
        return b"done"


@asynccontextmanager
async def served(server: Any) -> AsyncIterator[tuple[int, grpc.aio.Channel]]:
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            yield port, channel
        finally:
            await asyncio.wait_for(server.stop(0.1), 10)


async def throw(port: int) -> None:
    for name in NAMES * 3:
        await exchange("127.0.0.1", port, grpc_call(name, b""), end_s=0.0)


async def test_no_name_ends_it() -> None:
    async with served(steady_server()) as (port, channel):
        await throw(port)
        assert (await health_pb2_grpc.HealthStub(channel).Check(CHECK, timeout=5)).status == 1


async def test_the_librarys_own_server_would_end() -> None:
    """When this fails, the library has mended it: `servers/steady_grpc.py` can go."""
    async with served(grpc.aio.server()) as (port, channel):
        with suppress(ConnectionError):
            await throw(port)
        with pytest.raises(grpc.aio.AioRpcError):
            await health_pb2_grpc.HealthStub(channel).Check(CHECK, timeout=5)


async def test_an_unknown_method_is_unimplemented_and_a_full_server_says_so() -> None:
    held, server = Held(), steady_server(calls_max=2)
    server.add_registered_method_handlers("x.Y", {"Wait": grpc.unary_unary_rpc_method_handler(held.wait)})
    async with served(server) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/x.Y/Nothing")(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        waiting = [asyncio.ensure_future(channel.unary_unary("/x.Y/Wait")(b"", timeout=5)) for _ in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(grpc.aio.AioRpcError) as full:
            await health_pb2_grpc.HealthStub(channel).Check(CHECK, timeout=5)
        assert full.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        held.go.set()
        assert await asyncio.gather(*waiting) == [b"done", b"done"]
        assert (await health_pb2_grpc.HealthStub(channel).Check(CHECK, timeout=5)).status == 1


async def test_a_caller_who_hangs_up_ends_the_call() -> None:
    ended = asyncio.Event()

    async def wait(request: bytes, context: Any) -> bytes:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return b""

    server = steady_server()
    server.add_registered_method_handlers("x.Y", {"Wait": grpc.unary_unary_rpc_method_handler(wait)})
    async with served(server) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/x.Y/Wait")(b"", timeout=0.1)
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_stranger_watches_with_so_many_streams_and_only_what_there_is() -> None:
    server = steady_server()
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(CHECK, timeout=20) for _ in range(WATCHERS_OF_ADDRESS_MAX)]
        assert [(await watch.read()).status for watch in watches] == [1] * WATCHERS_OF_ADDRESS_MAX
        assert await stub.Watch(CHECK, timeout=5).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        unknown = health_pb2.HealthCheckRequest(service="x" * 1_000)
        assert await stub.Watch(unknown, timeout=5).code() is grpc.StatusCode.NOT_FOUND
        watches.pop().cancel()
        await asyncio.sleep(0.1)
        again = stub.Watch(CHECK, timeout=5)
        assert (await again.read()).status == 1
        for watch in [*watches, again]:
            watch.cancel()
    await server.stop(0.1)
