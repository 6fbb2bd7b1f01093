"""The transport of the real channels: what each way of breaking a conversation proves."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa as keys

from channels import rsa
from channels.asking import side_by_side
from channels.http import HttpLimits, HttpTransport, Lost, Reply, target_of
from domain.evidence import Fault, Outcome

QUICK = HttpLimits(connections_max=4, connect_s=0.5, total_s=0.5, answer_bytes_max=1_000)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Word: yes\r\n\r\n"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(behave: Behaviour) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    made = HttpTransport(QUICK)
    yield made
    await made.aclose()


async def test_an_answer_comes_as_its_raw_bytes(transport: HttpTransport) -> None:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\xff{")
        await writer.drain()

    async with listening(behave) as url:
        reply = await transport.send("POST", url, body=b"x")
    assert isinstance(reply, Reply)
    assert (reply.status, reply.headers["x-word"], reply.body) == (200, "yes", b"\xff{")


async def test_a_redirect_is_an_answer_and_is_not_followed(transport: HttpTransport) -> None:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with listening(behave) as url:
        reply = await transport.send("GET", url)
    assert isinstance(reply, Reply) and reply.status == 302


@pytest.mark.parametrize("url", ["", "http://no-such-host.invalid/"])
async def test_what_cannot_connect_provably_sent_nothing(transport: HttpTransport, url: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        assert await transport.send("POST", url or refused, body=b"x") == Lost(
            Outcome.NOT_SENT, "CONNECTION_REFUSED", Fault.CHANNEL
        )


async def test_a_tls_handshake_that_fails_provably_sent_nothing() -> None:
    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise ConnectionResetError

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"this is no TLS\r\n")
        writer.close()

    transport = HttpTransport(QUICK, tls=ssl.create_default_context())
    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        lost = await transport.send("POST", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", body=b"x")
    await transport.aclose()
    assert lost == Lost(Outcome.NOT_SENT, "CONNECTION_REFUSED", Fault.CHANNEL)


async def test_an_address_that_is_none_is_our_own_fault(transport: HttpTransport) -> None:
    for url in ("ftp://127.0.0.1/", "no address", "http://[::1"):
        assert await transport.send("GET", url) == Lost(Outcome.NOT_SENT, "URL_INVALID", Fault.CONFIG)


async def _drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _truncate(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"{")
    await writer.drain()


async def _garble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01 no HTTP at all\r\n\r\n")
    await writer.drain()


async def _hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def _drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    await writer.drain()


@pytest.mark.parametrize(
    ("behave", "reason"),
    [(_drop, "CONNECTION_LOST"), (_truncate, "CONNECTION_LOST"), (_garble, "CONNECTION_LOST"), (_hold, "TIMEOUT"),
     (_drip, "TIMEOUT"), (_flood, "ANSWER_TOO_BIG")],
)  # fmt: skip
async def test_whatever_breaks_after_the_request_left_is_maybe(
    transport: HttpTransport, behave: Behaviour, reason: str
) -> None:
    async with listening(behave) as url:
        began_s = time.monotonic()
        assert await transport.send("POST", url, body=b"x") == Lost(Outcome.MAYBE, reason, Fault.CHANNEL)
    assert time.monotonic() - began_s < 4, "sooner than the other side gives up"


class Keeping:
    """A server whose connections stay open; it plays its parts one after the other, whatever connection asks for them."""

    def __init__(self, *parts: Behaviour) -> None:
        self.parts = parts
        self.asked: list[bytes] = []
        self.connections = self.open = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                await self.parts[min(len(self.asked), len(self.parts)) - 1](reader, writer)
        self.open -= 1
        writer.close()


@asynccontextmanager
async def keeping(*parts: Behaviour) -> AsyncIterator[tuple[str, Keeping]]:
    serve = Keeping(*parts)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", serve


async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"ok")


async def _answer_and_go(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"ok")
    writer.close()


async def _answer_twice(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"ok")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(OK + b"no")


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])
async def test_a_request_is_sent_once_when_a_used_connection_breaks_on_it(transport: HttpTransport, method: str) -> None:
    """HTTP libraries send again what a server dropped with a connection that was kept. The money may be on its way."""
    async with keeping(_answer, _drop, _answer) as (url, server):
        assert isinstance(await transport.send("POST", url, body=b"1"), Reply)
        lost = await transport.send(method, url, body=b"2")
        assert lost == Lost(Outcome.MAYBE, "CONNECTION_LOST", Fault.CHANNEL)
        assert isinstance(await transport.send("POST", url, body=b"3"), Reply)
    assert (len(server.asked), server.connections) == (3, 2)


async def test_a_connection_that_the_other_side_has_closed_is_not_written_to(transport: HttpTransport) -> None:
    async with keeping(_answer_and_go) as (url, server):
        for _ in range(20):
            assert isinstance(await transport.send("POST", url, body=b"x"), Reply)
    assert (len(server.asked), server.connections) == (20, 20)


async def test_what_comes_unasked_is_no_answer_to_what_is_asked_next(transport: HttpTransport) -> None:
    async with keeping(_answer_twice, _answer) as (url, server):
        assert isinstance(await transport.send("POST", url), Reply)
        await asyncio.sleep(0.1)
        reply = await transport.send("POST", url)
    assert isinstance(reply, Reply) and reply.body == b"ok"
    assert server.connections == 2


async def test_connections_are_used_again_and_few_are_kept_wherever_they_lead(transport: HttpTransport) -> None:
    async with keeping(_answer) as (url, server), keeping(_answer) as (other_url, other):
        for place in (url, url, url, other_url):
            replies = await asyncio.gather(*(transport.send("POST", place) for _ in range(20)))
            assert all(isinstance(reply, Reply) for reply in replies)
        await asyncio.sleep(0.01)
        assert server.connections == other.connections == QUICK.connections_max
        assert (server.open, other.open) == (0, QUICK.connections_max)


async def test_what_is_unsent_when_time_is_up_is_never_sent() -> None:
    body, taken = b"x" * (32 << 20), 0

    async def read_late(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal taken
        await asyncio.sleep(0.3)
        while piece := await reader.read(1 << 20):
            taken += len(piece)

    transport = HttpTransport(QUICK._replace(total_s=0.1))
    async with listening(read_late) as url:
        assert await transport.send("POST", url, body=body) == Lost(Outcome.MAYBE, "TIMEOUT", Fault.CHANNEL)
        await asyncio.sleep(0.5)
    await transport.aclose()
    assert 0 < taken < len(body)


async def test_what_is_no_header_is_not_sent(transport: HttpTransport) -> None:
    async with keeping(_answer) as (url, server):
        for value in ("a\r\nb: c", "a\nb", "é"):
            lost = await transport.send("POST", url, headers={"x-word": value})
            assert lost == Lost(Outcome.NOT_SENT, "URL_INVALID", Fault.CONFIG)
    assert not server.connections


async def test_a_proxy_of_the_environment_is_not_asked(transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with keeping(_answer) as (url, _):
        assert isinstance(await transport.send("POST", url), Reply)


async def test_answers_come_in_lists_of_what_has_finished_and_few_are_asked_at_once() -> None:
    under_way = most = 0

    async def ask(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.1 if number == 0 else 0)
        under_way -= 1
        return number

    lists = [some async for some in side_by_side(range(20), ask, asyncio.Semaphore(3))]
    assert sorted(number for some in lists for number in some) == list(range(20))
    assert lists[-1] == [0], "the slow one held nobody up"
    assert most == 3


async def test_what_is_unfinished_when_nobody_listens_is_stopped() -> None:
    stopped: list[int] = []

    async def ask(number: int) -> int:
        try:
            await asyncio.sleep(60 * number)
        except asyncio.CancelledError:
            stopped.append(number)
            raise
        return number

    answers = side_by_side([0, 1, 2], ask, asyncio.Semaphore(9))
    assert await anext(answers) == [0]
    await answers.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert sorted(stopped) == [1, 2]


KEY = keys.generate_private_key(public_exponent=65_537, key_size=2048)


def _bare(pem: bytes) -> str:
    return "".join(pem.decode().splitlines()[1:-1])


def test_keys_are_read_as_channels_hand_them_out() -> None:
    formats = (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL)
    public_pem = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for form in formats:
        pem = KEY.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        for text in (pem.decode(), _bare(pem)):
            signature = rsa.sign(rsa.private_key(text), b"m")
            for public in (public_pem.decode(), _bare(public_pem)):
                assert rsa.verify(rsa.public_key(public), b"m", signature)
                assert not rsa.verify(rsa.public_key(public), b"n", signature)
                assert not rsa.verify(rsa.public_key(public), b"m", b"")
    for text in ("", "nonsense", public_pem.decode()):
        with pytest.raises(ValueError, match="not an RSA private key"):
            rsa.private_key(text)


async def test_a_batch_of_signatures_does_not_hold_up_the_loop() -> None:
    worst_s = 0.0

    async def watch() -> None:
        nonlocal worst_s
        while True:
            began_s = time.thread_time()  # of this thread, whoever else is busy
            await asyncio.sleep(0)
            worst_s = max(worst_s, time.thread_time() - began_s)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(rsa.off_loop(rsa.sign, KEY, b"%d" % n) for n in range(200)))
    watching.cancel()
    assert worst_s < 0.02, f"the loop was busy for {worst_s:.3f} s in one go"


def test_what_is_signed_is_what_is_sent() -> None:
    assert target_of("https://bank.example/v3/pay?mchid=1&name=a%20b") == "/v3/pay?mchid=1&name=a%20b"
    assert target_of("https://bank.example/v3/支付") == "/v3/%E6%94%AF%E4%BB%98"
