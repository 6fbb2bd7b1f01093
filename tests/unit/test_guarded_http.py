"""A connection gets so much time and so many bytes: who wants more is cut, told why, and counted."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from ops import port_fuzz
from servers import guarded_http, neighbourhoods
from simulator.wire.server import bind

BODY_MAX = 1_000
CONNECTIONS_MAX = 50


class Server:
    def __init__(self, port: int, registry: CollectorRegistry) -> None:
        self.port = port
        self.registry = registry

    async def send(self, *pieces: bytes, pause_s: float = 0.0, reads: bool = True) -> bytes:
        """Send pieces one after the other; return all that is answered until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
            return await asyncio.wait_for(reader.read(), 5) if reads else b""
        except ConnectionError:
            return b"RESET"
        finally:
            writer.close()

    def cut(self, reason: str) -> float:
        return self.registry.get_sample_value("http_cuts_total", {"reason": reason}) or 0.0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Take at most BODY_MAX, as the ingress does."""
    length, more = 0, True
    while more and length <= BODY_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.05)
    status = 200 if length <= BODY_MAX else 413
    wanted = scope["query_string"]
    body = str(length).encode() * (int(wanted) if wanted.isdigit() and len(wanted) < 9 else 1)
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    registry, bound = CollectorRegistry(), bind("127.0.0.1", 0)
    protocol = guarded_http.guarded(registry, connections_max=60, address_connections_max=CONNECTIONS_MAX)
    config = uvicorn.Config(app, http=protocol, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([bound]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield Server(bound.getsockname()[1], registry)
    finally:
        server.should_exit = server.force_exit = True
        await serving


def request(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join((*lines, "", "")).encode() + body


GOOD = request("POST / HTTP/1.1", "host: x", "content-length: 3", body=b"abc")
LAST = request("POST / HTTP/1.1", "host: x", "content-length: 3", "connection: close", body=b"abc")
SLOW = GOOD.replace(b"POST / ", b"POST /slow ")
CHUNKED = request("POST / HTTP/1.1", "host: x", "transfer-encoding: chunked")


async def test_requests_are_served_one_after_the_other_on_one_connection() -> None:
    async with served() as server:
        said = await server.send(GOOD * 20 + LAST)
        assert said.count(b"200 OK") == 21
        said = await server.send(*(GOOD[place : place + 1] for place in range(len(GOOD))), LAST)
        assert said.count(b"200 OK") == 2, "a byte at a time"


@pytest.mark.parametrize(
    "pieces",
    [(), (b"POST",), (request("POST / HTTP/1.1", "host: x", "content-length: 10"), b"a"), (CHUNKED, b"1\r\na\r\n")],
    ids=["nothing", "half a line", "half a body", "no last chunk"],
)
async def test_who_is_slow_is_cut(monkeypatch: pytest.MonkeyPatch, pieces: tuple[bytes, ...]) -> None:
    monkeypatch.setattr(guarded_http, "REQUEST_S", 0.2)
    async with served() as server:
        assert b"408 Request Timeout" in await server.send(*pieces)
        assert server.cut("SLOW") == 1
        assert b"408 Request Timeout" in await server.send(GOOD, b"POST / HT"), "also at the second request"


async def test_who_drips_is_cut_when_his_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_http, "REQUEST_S", 0.2)
    async with served() as server:
        drops = [b"x-%d: a\r\n" % place for place in range(40)]
        began = asyncio.get_running_loop().time()
        said = await server.send(b"POST / HTTP/1.1\r\nhost: x\r\n", *drops, pause_s=0.01)
        assert said == b"RESET" or b"408" in said
        assert asyncio.get_running_loop().time() - began < 3


async def test_an_address_has_so_many_connections_and_leaves_a_way_for_others() -> None:
    async with served() as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(CONNECTIONS_MAX)]
        await asyncio.sleep(0.05)
        assert await server.send(LAST) in (b"", b"RESET") and server.cut("TOO_MANY") == 1
        _, other = await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
        other.write(LAST)
        assert b"200 OK" in await asyncio.wait_for(_.read(), 5)
        for _, writer in held[:2]:
            writer.close()
        await asyncio.sleep(0.05)
        assert b"200 OK" in await server.send(LAST)
        others = [await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.3", 0)) for _ in range(20)]
        await asyncio.sleep(0.05)
        assert server.cut("TOO_MANY") > 1, "all together have a limit too"
        for _, writer in held + others:
            writer.close()
        other.close()


@pytest.mark.parametrize(("peer", "place"), [
    ("ipv4:192.0.2.1:5000", "192.0.2.1"), ("ipv6:%5B2001:db8:0:1:2::3%5D:5000", "2001:db8:0:1::/64"),
    ("ipv6:[::ffff:192.0.2.1]:5000", "192.0.2.1"), ("unix:", ""), ("unix:/run/x.sock", ""),
])  # fmt: skip
def test_callers_are_counted_by_their_address(peer: str, place: str) -> None:
    assert neighbourhoods.of_peer(peer) == place


async def test_a_head_has_a_limit_whether_it_comes_in_one_piece_or_in_many() -> None:
    async with served() as server:
        large = request("POST / HTTP/1.1", "host: x", *(f"x-{place}: {'a' * 90}" for place in range(400)))
        assert b"400 Bad Request" in await server.send(large)
        for line in (b"x: " + b"a" * 20_000, b"y" * 20_000):
            said = await server.send(b"POST / HTTP/1.1\r\nhost: x\r\n", *[line] * 4, pause_s=0.01)
            assert said == b"RESET" or b"431 " in said
        said = await server.send(b"GET /" + b"a" * 20_000, *[b"a" * 20_000] * 3, pause_s=0.01)
        assert said == b"RESET" or b"431 " in said


async def test_chunks_and_trailers_that_never_end_are_cut_though_they_were_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_http, "REQUEST_BYTES_MAX", 50_000)
    async with served() as server:
        chunk = b"1f4\r\n" + b"a" * 500 + b"\r\n"
        said = await server.send(CHUNKED, *[chunk * 20] * 40)
        assert said == b"RESET" or b"413" in said
        trailers = [b"t-%d: a\r\n" % place * 100 for place in range(200)]
        said = await server.send(CHUNKED, b"1\r\na\r\n0\r\n", *trailers)
        assert said == b"RESET" or b"413" in said
        assert server.cut("TOO_LARGE") >= 1


async def test_who_does_not_fetch_his_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_http, "ANSWER_S", 0.2)
    async with served() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.write(request("GET /?20000000 HTTP/1.1", "host: x"))
        async with asyncio.timeout(20):
            while not server.cut("SLOW"):
                await asyncio.sleep(0.05)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(20_000_000)
        writer.close()


@pytest.mark.parametrize(
    "body",
    [b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n",
     request("POST / HTTP/1.1", "host: x", "content-length: -1"), request("POST / HTTP/1.1", "content-length: 1", "content-length: 2"),
     request("POST / HTTP/1.1", "host: x", "content-length: 99999999999999999999999"), CHUNKED + b"zz\r\n",
     request("POST / HTTP/1.1", "host: x", "content-length: 3", "transfer-encoding: chunked", body=b"abc")],
    ids=repr,
)  # fmt: skip
async def test_what_is_no_http_is_refused(body: bytes) -> None:
    async with served() as server:
        assert b"400 Bad Request" in await server.send(body)
        assert server.cut("MALFORMED") == 1


async def test_whatever_is_thrown_is_refused_and_let_go_of() -> None:
    make, chance = port_fuzz.throws(port_fuzz.http_seeds(("/callbacks/x",))), random.Random(1)
    async with served() as server:
        for _ in range(200):
            content = make(chance)
            answer, is_held = await port_fuzz.exchange("127.0.0.1", server.port, content, end_s=5)
            assert not port_fuzz.judge_http(answer, is_held), content


async def test_the_drills_honest_questions_come_from_another_address_than_what_it_holds() -> None:
    async with served() as server, AsyncExitStack() as held:
        for _ in range(CONNECTIONS_MAX):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            held.callback(writer.close)
        question = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answers = [
            await port_fuzz.exchange("127.0.0.1", server.port, question, end_s=5, own_host=own_host)
            for own_host in (None, port_fuzz.NEIGHBOUR)
        ]
        assert [answer.startswith(b"HTTP/1.1 200 ") for answer, _ in answers] == [False, True]


async def test_the_drill_sees_a_server_that_breaks_and_one_that_holds_on() -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oh\r\n\r\n")
        writer.close()

    async def holds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.close()

    found = []
    for handler in (breaks, holds):
        async with await asyncio.start_server(handler, "127.0.0.1", 0) as listening:
            number = listening.sockets[0].getsockname()[1]
            found.append(port_fuzz.judge_http(*await port_fuzz.exchange("127.0.0.1", number, b"GET", end_s=0.1)))
    assert found[0].startswith("answered b'HTTP/1.1 500") and found[1] == "the connection is held"


def test_who_hangs_up_before_his_answer_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """In the loop of the real process, whose transports complain when they are gone."""

    async def hang_up() -> None:
        async with served() as server:
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(SLOW * 2)
                await asyncio.sleep(0.01)
                writer.transport.abort()
            await asyncio.sleep(0.2)
            assert b"200 OK" in await server.send(LAST)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(hang_up())
    assert not caplog.records
