"""What the tests of the sandbox share: a world with frozen time, a client that signs, and a tiny HTTP server."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from simulator.profiles import Profile
from simulator.world import World

MERCHANTS = {"m1": "secret-one", "m2": "secret-two"}
START_MS = 1_760_000_000_000


class FrozenTime:
    """Real time that moves only when told."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


def sign(secret: str, message: bytes) -> str:
    """Sign as the hub does, independently of the sandbox's own code."""
    return hmac.new(secret.encode(), message, "sha256").hexdigest()


class Client:
    """Speaks to one channel as one merchant. Answers carry an extra field `signed`."""

    def __init__(self, world: World, *, channel_id: str = "c1", merchant_no: str = "m1") -> None:
        self.world = world
        self.channel_id = channel_id
        self.merchant_no = merchant_no

    async def ask(self, operation: str, *items: Any) -> list[dict[str, Any]]:
        body = json.dumps(items).encode()
        signature = sign(MERCHANTS[self.merchant_no], body)
        return self.open(await self.world.exchange(self.channel_id, operation, body, self.merchant_no, signature))

    def open(self, envelopes: list[tuple[bytes, str]]) -> list[dict[str, Any]]:
        secret = MERCHANTS[self.merchant_no]
        return [
            answer | {"signed": signature == sign(secret, body)}
            for body, signature in envelopes
            for answer in json.loads(body)
        ]

    async def late(self, wait_s: float = 0) -> list[dict[str, Any]]:
        return self.open(await self.world.collect(self.channel_id, wait_s))

    async def charge(self, number: str, **changes: Any) -> dict[str, Any] | None:
        """Charge once; return the answer that came at once, or None."""
        return _only(await self.ask("charge", charge(number, **changes)))

    async def query(self, number: str) -> dict[str, Any] | None:
        return _only(await self.ask("query", {"attempt_no": number}))

    async def close(self, number: str) -> dict[str, Any] | None:
        return _only(await self.ask("close", {"attempt_no": number}))

    async def refund(
        self, refund_no: str, number: str, amount_minor: int, currency: str = "CNY"
    ) -> dict[str, Any] | None:
        item = {"refund_no": refund_no, "attempt_no": number, "amount_minor": amount_minor, "currency": currency}
        return _only(await self.ask("refund", item))

    async def query_refund(self, refund_no: str, number: str) -> dict[str, Any] | None:
        return _only(await self.ask("query_refund", {"refund_no": refund_no, "attempt_no": number}))

    async def inject(self, kind: str, **changes: Any) -> dict[str, Any]:
        return await self.world.inject({"channel_id": self.channel_id, "kind": kind, "share": 1.0} | changes)

    async def truth(self) -> list[dict[str, Any]]:
        return await self.world.truth(self.channel_id, 0, 1_000)


def charge(number: str, **changes: Any) -> dict[str, Any]:
    """Make a charge of 100.00 yuan for an order named after the attempt."""
    usual = {
        "attempt_no": number,
        "amount_minor": 10_000,
        "currency": "CNY",
        "order_no": f"order-{number}",
        "subject": "车险保费",
        "payer_ref": "payer",
        "expire_time_ms": START_MS + 900_000,
        "notify_url": "",
    }
    return usual | changes


def _only(answers: list[dict[str, Any]]) -> dict[str, Any] | None:
    assert len(answers) <= 1
    return answers[0] if answers else None


@asynccontextmanager
async def opened(
    directory: Path, *profiles: Profile, seed: int = 7, time: FrozenTime | None = None
) -> AsyncIterator[World]:
    """Open a world with frozen time, by default with one synchronous channel `c1`."""
    channels = list(profiles) or [Profile("c1")]
    world = World(directory, seed=seed, channels=channels, merchants=MERCHANTS, real_time_ms=time or FrozenTime())
    await world.start()
    try:
        yield world
    finally:
        await world.aclose()


class Heard(NamedTuple):
    """One HTTP request as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def notice(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def is_signed(self) -> bool:
        secret = MERCHANTS.get(self.headers["sandbox-merchant"], "")
        message = f"{self.headers['sandbox-timestamp']}.{self.headers['sandbox-nonce']}.".encode() + self.body
        return self.headers.get("sandbox-signature") == sign(secret, message)


class Hook:
    """A tiny HTTP server that keeps what it hears and answers `reply` with `status`."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.status = 200
        self.reply = b"success"
        self.believes: Callable[[Heard], bool] | None = None  # whoever is not believed gets 401
        self.url = ""

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [heard.notice for heard in self.heard]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.heard.append(Heard(headers, body))
            length = len(self.reply)
            status = 401 if self.believes is not None and not self.believes(self.heard[-1]) else self.status
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n".encode())
            writer.write(self.reply)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def hooked() -> AsyncIterator[Hook]:
    """Run a Hook on a free port."""
    hook = Hook()
    server = await asyncio.start_server(hook._serve, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callbacks/c1"
    try:
        yield hook
    finally:
        server.close()
        await server.wait_closed()
