"""Throws bytes at every port of a running deployment, whole and mutated, and looks what becomes of it.

An HTTP port has to refuse what is wrong and to let go of the connection; a 500 or a connection that is held is a find. A gRPC
port may say what it likes. All along both have to answer honest questions, and at the end slow connections are opened in
great number, which must cost nobody else his answer. What grows meanwhile is told: the memory of the deployment's
processes, where they are on this machine.
"""

import asyncio
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ops.call import methods
from ops.dialing import dial_aio
from ops.parser_fuzz import Find, mutated

AT_ONCE = 16
# So long an answer may take; then the client ends its side, and the server has to let go.
ANSWER_S, END_S = 0.5, 15.0
HONEST_EVERY, HONEST_S = 2_000, 5.0
SLOW_CONNECTIONS, SLOW_S = 300, 25.0
# Another address of this machine; elsewhere than on Linux it would have to be set up.
NEIGHBOUR = "127.0.0.2"
FINDS_MAX = 10
# 503 is said by a server that is full, which says so on purpose.
_HARMLESS = frozenset({200, 204, 302, 400, 401, 404, 405, 406, 408, 413, 414, 415, 431, 501, 503})
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Port(NamedTuple):
    """A port, what is thrown at it, and how to tell that what it answered is wrong ("" if it is not)."""

    name: str
    host: str
    number: int
    make: Callable[[random.Random], bytes]
    judge: Callable[[bytes, bool], str]


@dataclass(slots=True)
class Report:
    """What came of it. `memory_mb` are the megabytes of each process before and after."""

    inputs: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)
    slowest_s: float = 0.0
    memory_mb: dict[str, tuple[float, float]] = field(default_factory=dict)


# --- what is thrown ---------------------------------------------------------------------------------------------------


def _request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join((line, "Host: x", *headers, "", "")).encode("latin-1") + body


def http_seeds(paths: tuple[str, ...]) -> list[bytes]:
    """Return requests that are right in form, and the classics that are not."""
    form, sealed = b"a=1&sign=x&sign_type=RSA2&app_id=1", b'{"id":"EV-1","resource":{"ciphertext":"AA"}}'
    signed = ("Wechatpay-Serial: 5A5A", "Wechatpay-Signature: AAAA", "Wechatpay-Timestamp: 1", "Wechatpay-Nonce: n")
    seeds = []
    for path in paths:
        length = f"Content-Length: {len(form)}"
        seeds += [
            _request(f"GET {path} HTTP/1.1"),
            _request(f"POST {path} HTTP/1.1", length, "Content-Type: application/x-www-form-urlencoded", body=form),
            _request(f"POST {path}?%00=%ff&a=%zz HTTP/1.1", f"Content-Length: {len(sealed)}", *signed, body=sealed),
            _request(f"POST {path} HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
            _request(f"POST {path} HTTP/1.1", "Transfer-Encoding: chunked", body=b"ffffffffff\r\nhello"),
            _request(f"POST {path} HTTP/1.1", length, "Transfer-Encoding: chunked", body=form),
            _request(f"POST {path} HTTP/1.1", "Expect: 100-continue", "Content-Length: 999999999999"),
            _request(f"GET {path} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
            _request(f"GET http://other{path}/../%2e%2e/%c0%ae HTTP/1.1", "Content-Encoding: gzip"),
            _request(f"GET {path} HTTP/1.1", *(f"X-{place}: {'é' * 50}" for place in range(40))),
            _request(f"GET {path} HTTP/1.1") * 20,
        ]
    return [*seeds, _PREFACE, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(range(160)), b"QUIT\r\n", b"\0" * 64]


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return struct.pack(">I", len(content))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + content


def _header(name: bytes, value: bytes) -> bytes:
    """Return a header field as HPACK has it without its tables; longer ones than 127 bytes are cut."""
    return b"\x00" + bytes((len(name),)) + name + bytes((min(len(value), 127),)) + value[:127]


def grpc_call(path: bytes, message: bytes) -> bytes:
    """Return a whole call: preface, settings, head, and a message."""
    fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"), (b"te", b"trailers"),
              (b"content-type", b"application/grpc"), (b"authorization", b"Bearer pk_0123456789"), (b"grpc-timeout", b"1S"))  # fmt: skip
    head = _frame(1, 4, 1, b"".join(_header(*pair) for pair in fields))
    data = _frame(0, 1, 1, b"\x00" + struct.pack(">I", len(message)) + message)
    return _PREFACE + _frame(4, 0, 0, b"") + head + data


def grpc_seeds(method_names: tuple[str, ...]) -> list[bytes]:
    """Return HTTP/2 as gRPC speaks it: a call of each method, and frames that no client sends."""
    message = b"\x0a\x05hello\x12\x03\x08\x96\x01"
    seeds = [grpc_call(name.encode(), message) for name in method_names]
    seeds += [grpc_call(name, message) for name in (b"/a\xff", b"", b"/" * 200)]  # names that are none
    floods = [_frame(4, 0, 0, b"\0\1\0\0\0\0") * 50, _frame(6, 0, 0, b"12345678") * 200, _frame(3, 0, 1, b"\0\0\0\x08") * 50,
              _frame(9, 0, 1, b"\x00" * 1_000) * 20, _frame(8, 0, 0, b"\x7f\xff\xff\xff")]  # fmt: skip
    return seeds + [_PREFACE + flood for flood in floods] + [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xa5\x01"]


def throws(seeds: list[bytes]) -> Callable[[random.Random], bytes]:
    """Return what makes inputs: a seed, a seed with changes, two halves of two seeds, or noise."""

    def make(chance: random.Random) -> bytes:
        match chance.randrange(10):
            case 0:
                return chance.choice(seeds)
            case 1:
                one, two = chance.choice(seeds), chance.choice(seeds)
                return one[: chance.randrange(len(one) + 1)] + two[chance.randrange(len(two) + 1) :]
            case 2:
                return chance.randbytes(chance.choice((1, 10, 100, 2_000)))
            case _:
                return mutated(seeds, chance)

    return make


def judge_http(answer: bytes, is_held: bool) -> str:
    """Refuse an answer that is no refusal, and a connection that is not let go of."""
    if is_held:
        return "the connection is held"
    if not answer or answer.startswith(b"HTTP/1.1 100 "):
        return ""
    status = answer[9:12]
    if not answer.startswith(b"HTTP/1.") or not status.isdigit() or int(status) not in _HARMLESS:
        return f"answered {answer[:40]!r}"
    return ""


def judge_grpc(_answer: bytes, _is_held: bool) -> str:
    """Take anything: a connection of HTTP/2 may well stay open."""
    return ""


_PATHS = ("/callbacks/nobody", "/metrics", "/readyz", "/nothing")
_WIRE_PATHS = (
    "/alipay/gateway.do", "/wechatpay/v3/pay/transactions/native", "/wechatpay/v3/certificates", "/iso20022/files/1",
    "/iso20022/statuses?number=1", "/unionpay/gateway/api/backTransReq.do", "/unionpay/gateway/api/frontTransReq.do",
    "/wechatpay/pay/wechatpay/1", "/control/nothing",
)  # fmt: skip


def ports_of(http_url: str, target: str, wires: str, channels: Sequence[str]) -> tuple[list[Port], tuple[str, int]]:
    """Return the ports of a deployment, whose channels' callbacks are tried, and where it is asked honestly by HTTP."""
    url = urlsplit(http_url)
    http = (url.hostname or "127.0.0.1", url.port or 80)
    host, _, number = target.rpartition(":")
    names = tuple(method.path for method in methods())
    found = [
        Port("http", *http, throws(http_seeds((*_PATHS, *(f"/callbacks/{channel}" for channel in channels)))), judge_http),
        Port("grpc", host or "127.0.0.1", int(number), throws(grpc_seeds(names)), judge_grpc),
    ]
    if wires:
        host, _, number = wires.rpartition(":")
        found.append(Port("wires", host or "127.0.0.1", int(number), throws(http_seeds(_WIRE_PATHS)), judge_http))
    return found, http


# --- the drill --------------------------------------------------------------------------------------------------------


class Drill:
    """Throws at ports, and asks honestly between."""

    def __init__(self, ports: list[Port], *, http: tuple[str, int], target: str, pid: int, seed: int) -> None:
        """`pid` is the deployment's first process on this machine, 0 where it is not here."""
        self._ports = ports
        self._http, self._target, self._pid = http, target, pid
        # One address gets so many connections, and we take them all: the honest are somebody else.
        self._neighbour = NEIGHBOUR if http[0] == "127.0.0.1" and sys.platform == "linux" else None
        self._chance = random.Random(seed)
        self.report = Report()

    async def run(self, inputs: int, *, done: Callable[[int], None]) -> Report:
        """Throw so many inputs at all ports together."""
        begin_s = time.monotonic()
        await self._ask_honestly()
        before: dict[int, tuple[str, float]] = {}
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for number in range(inputs):
                if len(self.report.finds) >= FINDS_MAX:
                    break
                if number == inputs // 5:
                    before = memory_mb(self._pid)  # what a process fills once, it has filled by now
                port = self._ports[number % len(self._ports)]
                await room.acquire()
                group.create_task(self._throw(port, port.make(self._chance), room))
                if number % HONEST_EVERY == 0:
                    done(min(HONEST_EVERY, inputs - number))
                    group.create_task(self._ask_honestly())
        await self._be_slow()
        await self._ask_honestly()
        after = memory_mb(self._pid)
        self.report.memory_mb = {
            f"{name} {pid}": (mb, after[pid][1]) for pid, (name, mb) in before.items() if pid in after
        }
        self.report.seconds = time.monotonic() - begin_s
        return self.report

    async def _throw(self, port: Port, content: bytes, room: asyncio.Semaphore) -> None:
        try:
            answer, is_held = await exchange(port.host, port.number, content, end_s=END_S if port.judge is judge_http else 0.0)
            problem = port.judge(answer, is_held)
            self.report.answers[f"{port.name} {_shown(answer)}"] += 1
        except OSError as error:
            problem = f"not reached: {error}"
        finally:
            room.release()
        self.report.inputs += 1
        if problem:
            self.report.finds.append(Find(port.name, content, problem))

    async def _ask_honestly(self) -> None:
        """Ask both doors for their health."""
        begin_s = time.monotonic()
        try:
            async with asyncio.timeout(HONEST_S):
                question = _request("GET /healthz HTTP/1.1", "Connection: close")
                answer, _ = await exchange(*self._http, question, end_s=HONEST_S, own_host=self._neighbour)
                async with dial_aio(self._target) as channel:
                    said = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        except (TimeoutError, OSError, grpc.RpcError) as error:
            self.report.finds.append(Find("honest", b"", f"nobody answers: {error!r}"[:200]))
            return
        if b" 200 " not in answer[:16] or said.status != health_pb2.HealthCheckResponse.SERVING:
            self.report.finds.append(Find("honest", b"", f"answered {answer[:40]!r}, {said.status}"))
        self.report.slowest_s = max(self.report.slowest_s, time.monotonic() - begin_s)

    async def _be_slow(self) -> None:
        """Hold many connections open with requests that never end: others are answered, and these are cut."""
        ports = [port for port in self._ports if port.judge is judge_http]
        begins = (b"", b"POST /callbacks/x HT", _request("POST /callbacks/x HTTP/1.1", "Transfer-Encoding: chunked", body=b"1\r\na\r\n"))
        for port in ports[:1]:
            async with _connections(port, SLOW_CONNECTIONS) as pairs:
                for place, (_, writer) in enumerate(pairs):
                    writer.write(begins[place % len(begins)])
                await self._ask_honestly()
                waiting = [asyncio.ensure_future(_gone(reader)) for reader, _ in pairs]
                _, held = await asyncio.wait(waiting, timeout=SLOW_S)
                for task in held:
                    task.cancel()
                if held:
                    self.report.finds.append(Find(port.name, b"", f"{len(held)} slow connections are held for {SLOW_S:.0f} s"))


async def exchange(
    host: str, number: int, content: bytes, *, end_s: float, own_host: str | None = None
) -> tuple[bytes, bool]:
    """Send bytes; return the beginning of what is answered, and whether the connection is held when we have ended."""
    local = (own_host, 0) if own_host else None
    reader, writer = await asyncio.open_connection(host, number, local_addr=local)
    answer, is_held = b"", False
    try:
        with suppress(ConnectionError):
            writer.write(content)
            await writer.drain()
            with suppress(TimeoutError):
                answer = await asyncio.wait_for(reader.read(4_096), ANSWER_S if end_s else 0.02)
            if end_s:
                with suppress(OSError):
                    writer.write_eof()
                try:
                    await asyncio.wait_for(_gone(reader), end_s)
                except TimeoutError:
                    is_held = True
    finally:
        writer.close()
    return answer, is_held


async def _gone(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


@asynccontextmanager
async def _connections(port: Port, count: int) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    pairs = [await asyncio.open_connection(port.host, port.number) for _ in range(count)]
    try:
        yield pairs
    finally:
        for _, writer in pairs:
            writer.close()


def _shown(answer: bytes) -> str:
    return answer[9:12].decode("ascii", "replace") if answer.startswith(b"HTTP/1.") else "something" if answer else "nothing"


def memory_mb(pid: int) -> dict[int, tuple[str, float]]:
    """Return name and resident megabytes of a process and all that come from it; nothing for 0."""
    children: dict[int, list[int]] = {}
    for parent, child in _families():
        children.setdefault(parent, []).append(child)
    found: dict[int, tuple[str, float]] = {}
    waiting = [pid] if pid else []
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        with suppress(OSError, StopIteration, ValueError):
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
            found[one] = (lines[0].partition("\t")[2], kilobytes / 1_024)
    return found


def _families() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            yield int(path.read_text().rpartition(")")[2].split()[1]), int(path.parent.name)
