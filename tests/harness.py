"""The payment core in one process: the sandbox, its channels, connectors, a router and a sweeper on real PostgreSQL.

No Ray and no waiting: mailboxes carry messages between plain objects, `due` makes rows due, `skip` moves all clocks, and
`settle` waits until nothing is under way. Callbacks come over real HTTP to a small door that verifies and applies them.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, text

from actors.connector import Connector, Limits
from actors.mailbox import Mailbox
from actors.messages import Accepted, CloseWish, NewPayment, Task, TenantEvidence
from actors.router import Router
from actors.sweeper import Sweeper
from channels.port import Answer, CallbackRefused
from channels.sandbox.client import SandboxCallbacks, SandboxChannel
from channels.sandbox.config import SandboxConfig
from domain.evidence import Evidence
from domain.health import ChannelHealth, HealthPolicy, HealthSnapshot
from domain.payments import Payment
from simulator.profiles import Profile
from simulator.world import World
from storage import desk
from storage import payments as payment_store
from storage.database import Database, transact
from tests import invariants

TENANTS = ("pnc", "life")
GATEWAY = "gateway-1"
AMOUNT_MINOR = 680_000


def merchant_no(tenant_id: str, channel_id: str) -> str:
    """Return a tenant's merchant number on a channel."""
    return f"{tenant_id}-{channel_id}"


def desk_document(channel_ids: Sequence[str], *, methods: Sequence[str] = ("QR", "CARD")) -> dict[str, Any]:
    """Two tenants, each with an account on every channel; the first channel is the cheapest."""
    return {
        "tenants": [{"tenant_id": t, "display_name": t, "products": ["AUTO", "TRAVEL"]} for t in TENANTS],
        "channels": [{"channel_id": c, "display_name": c, "kind": "sandbox"} for c in channel_ids],
        "accounts": [
            {"account_id": f"{t}_{c}", "tenant_id": t, "channel_id": c, "merchant_no": merchant_no(t, c),
             "terms": {"methods": list(methods), "fee_bps": 10 + 200 * place, "secret": f"secret-{t}-{c}"}}
            for t in TENANTS for place, c in enumerate(channel_ids)
        ],
    }  # fmt: skip


def new_payment(order_no: str, **changes: Any) -> NewPayment:
    """A wish to collect an order; `content_hash` is that of the content, as the edge would have it."""
    usual = NewPayment(
        tenant_id="pnc", request_id=f"req-{order_no}", content_hash="", order_no=order_no, product_code="AUTO",
        amount_minor=AMOUNT_MINOR, currency_code="CNY", method="QR", terminal="WEB", source="OWN", subject="车险保费",
        payer_ref="payer", expire_ms=time.time_ns() // 1_000_000 + 900_000,
    )  # fmt: skip
    wish = usual._replace(**changes)
    content = repr(wish._replace(request_id="", expire_ms=0))
    return wish._replace(content_hash=hashlib.blake2b(content.encode(), digest_size=16).hexdigest())


class Sent(NamedTuple):
    """One request that left for a channel."""

    channel_id: str
    operation: str
    number: str


class WatchedChannel(SandboxChannel):
    """Keeps what it was asked, and looks whether the intent was committed before."""

    def __init__(self, config: SandboxConfig, house: "House") -> None:
        super().__init__(config, house.world)
        self._channel_id = config.channel_id
        self._house = house

    def _ask(self, operation: str, requests: Sequence[Any], *rest: Any, **more: Any) -> AsyncIterator[list[Answer]]:
        for request in requests:
            self._house.sent.append(
                Sent(self._channel_id, operation, getattr(request, "refund_no", request.attempt_no))
            )
        return super()._ask(operation, requests, *rest, **more)


class House:
    """Everything of one deployment that has to do with money."""

    def __init__(self, database_url: str, world: World, limits: Limits) -> None:
        self.world = world
        self.url = database_url
        self.database = Database(database_url, pool_size=4, prepare=payment_store.PREPARED)
        self.registry = CollectorRegistry()
        self.limits = limits
        self.sent: list[Sent] = []
        self.offset_ms = 0
        self.channel_ids: list[str] = []
        self.connectors: dict[str, Connector] = {}
        self.readers: dict[str, SandboxCallbacks] = {}
        self.refused_callbacks: list[str] = []
        self.results: list[str] = []
        self.notify_url = ""
        self._task_boxes: dict[str, Mailbox[Task, None]] = {}
        self._evidence_box: Mailbox[TenantEvidence, str] = Mailbox(self._to_router, depth_max=20_000)
        self.router: Router
        self.sweeper = Sweeper(
            database=self.database, connector=self._box, clock_ms=self.now_ms, registry=CollectorRegistry()
        )

    def now_ms(self) -> int:
        """Return the time as this house has it."""
        return time.time_ns() // 1_000_000 + self.offset_ms

    async def open(self, channel_ids: Sequence[str], door_url: str) -> None:
        """Set up the desk, the connectors and the router."""
        self.channel_ids = list(channel_ids)
        self.notify_url = door_url
        await self.database.run(desk.install, desk_document(channel_ids))
        for channel_id in channel_ids:
            secrets = {merchant_no(t, channel_id): (f"secret-{t}-{channel_id}",) for t in TENANTS}
            config = SandboxConfig(channel_id, secrets)
            self.readers[channel_id] = SandboxCallbacks(config)
            self.replace_connector(channel_id, config)
        await self.replace_router()

    def replace_connector(self, channel_id: str, config: SandboxConfig | None = None) -> Connector:
        """Put a new connector, which remembers only what is stored, in the place of the old one."""
        if config is None:
            secrets = {merchant_no(t, channel_id): (f"secret-{t}-{channel_id}",) for t in TENANTS}
            config = SandboxConfig(channel_id, secrets)
        made = self.connectors[channel_id] = Connector(
            channel_id=channel_id, channel=WatchedChannel(config, self),
            health=ChannelHealth(HealthPolicy(), now_ms=self.now_ms(), channel_id=channel_id), limits=self.limits,
            report=lambda *_: self._evidence_box, publish=self._publish, note_change=self._publish, keep_certificates=self._learn_nothing, tell_of_words=self._learn_nothing,
            probe_merchant_no="", registry=CollectorRegistry(), clock_ms=self.now_ms,
        )  # fmt: skip
        return made

    async def replace_router(self) -> Router:
        """Put a new router, which remembers nothing, in the place of the old one."""
        self.router = await self.make_router()
        return self.router

    async def make_router(self) -> Router:
        """Make one more router on the same tables."""
        made = Router(
            shard=0, database=self.database, connector=lambda channel_id, _: self._box(channel_id), notify_url=self.notify_url,
            registry=CollectorRegistry(), clock_ms=self.now_ms,
        )  # fmt: skip
        await made._read_desk()
        await made._recall()
        return made

    async def _publish(self, snapshot: HealthSnapshot) -> None:
        await self.router.health([snapshot])

    async def _learn_nothing(self, _: object) -> None:
        raise AssertionError("the sandbox has no certificates")

    async def _to_router(self, batch: list[TenantEvidence]) -> list[str]:
        answers = await self.router.evidence(batch)
        self.results += answers
        return answers

    def _box(self, channel_id: str) -> Mailbox[Task, None]:
        if channel_id not in self._task_boxes:

            async def send(tasks: list[Task]) -> list[None]:
                return await self.connectors[channel_id].dispatch(tasks)

            self._task_boxes[channel_id] = Mailbox(send, depth_max=20_000)
        return self._task_boxes[channel_id]

    # --- what a test does ---------------------------------------------------------------------------------------------

    async def submit(self, *wishes: NewPayment) -> list[Accepted]:
        """Hand wishes to the router as one batch."""
        return await self.router.submit(GATEWAY, list(wishes))

    async def pay(self, order_no: str, **changes: Any) -> Payment:
        """Submit one payment, wait until nothing is under way, and return it as it then is."""
        (accepted,) = await self.submit(new_payment(order_no, **changes))
        assert accepted.refusal is None, accepted.refusal
        await self.settle()
        return self.payment(order_no)

    async def close(self, payment: Payment, reason: str = "ORDER_CANCELLED") -> Accepted:
        """Give up on a payment; the sweeper then has it due."""
        (answer,) = await self.router.ask_close([CloseWish(payment.tenant_id, payment.payment_id, reason)])
        return answer

    async def hear(self, *items: Evidence, tenant_id: str = "pnc") -> list[str]:
        """Apply evidence as one batch."""
        return await self.router.evidence([TenantEvidence(tenant_id, item) for item in items])

    async def settle(self, within_s: float = 10.0) -> None:
        """Wait until no message is on its way and no channel is being asked."""
        end_s = time.monotonic() + within_s
        calm = 0
        while calm < 3:
            await asyncio.sleep(0.003)
            calm = 0 if self._busy() else calm + 1
            if time.monotonic() > end_s:
                raise AssertionError("the house does not come to rest")

    def _busy(self) -> bool:
        boxes: list[Mailbox[Any, Any]] = [*self._task_boxes.values(), self._evidence_box]
        asking = any(connector._tasks or connector._queue for connector in self.connectors.values())
        return asking or any(box.depth or box._tasks for box in boxes)

    def due(self) -> None:
        """Make everything due that has a next step."""
        for table in ("payments", "refunds"):
            self.sql(f"UPDATE {table} SET next_action_time = now() WHERE next_action_time IS NOT NULL")

    async def sweep(self, rounds: int = 1) -> None:
        """Make everything due and let the sweeper ask, so many times."""
        for _ in range(rounds):
            self.due()
            await self.sweeper.sweep()
            await self.settle()

    async def skip(self, seconds: float) -> None:
        """Move the clocks of the house and of the sandbox."""
        self.offset_ms += round(seconds * 1000)
        await self.world.advance(seconds)
        await self.settle()

    async def fault(self, kind: str, channel_id: str = "c1", **changes: Any) -> None:
        """Switch a fault of the sandbox on, for all requests."""
        await self.world.inject({"channel_id": channel_id, "kind": kind, "share": 1.0, **changes})

    async def heal(self, kind: str, channel_id: str = "c1") -> None:
        """Switch a fault off."""
        await self.world.inject({"channel_id": channel_id, "kind": kind, "share": 0.0})

    # --- what a test looks at -----------------------------------------------------------------------------------------

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """Run one statement in a transaction of its own; return its rows."""

        def work(connection: Connection) -> list[Any]:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

        return transact(self.database.engine, work)

    def payments(self, order_no: str) -> list[Payment]:
        """Return all payments of an order, oldest first."""

        def work(connection: Connection) -> list[Payment]:
            rows = connection.exec_driver_sql(
                f"SELECT {payment_store.PAYMENT_COLUMNS} FROM payments p WHERE order_no = %s ORDER BY payment_id",
                (order_no,),
            )
            return [payment_store.payment_of(row) for row in rows]

        return transact(self.database.engine, work)

    def payment(self, order_no: str) -> Payment:
        """Return the only payment of an order."""
        (found,) = self.payments(order_no)
        return found

    def history(self, payment: Payment) -> list[str]:
        """Return the events of a payment in order."""
        rows = self.sql(
            "SELECT event FROM payment_history WHERE payment_id = :id ORDER BY revision", id=payment.payment_id
        )
        return [row[0] for row in rows]

    def events(self, payment: Payment) -> list[str]:
        """Return what the world was told of a payment, in order."""
        rows = self.sql("SELECT event_type FROM events WHERE payment_id = :id ORDER BY revision", id=payment.payment_id)
        return [row[0] for row in rows]

    def cases(self, payment: Payment) -> set[str]:
        """Return the kinds of cases of a payment."""
        return {row[0] for row in self.sql("SELECT kind FROM cases WHERE payment_id = :id", id=payment.payment_id)}

    def refunds(self, payment: Payment) -> list[tuple[str, str, int]]:
        """Return (cause, state, amount_minor) of a payment's refunds."""
        rows = self.sql("SELECT cause, state, amount_minor FROM refunds WHERE payment_id = :id", id=payment.payment_id)
        return [tuple(row) for row in rows]

    def charges(self, number: str) -> list[Sent]:
        """Return how often a number left as a charge."""
        return [sent for sent in self.sent if (sent.operation, sent.number) == ("charge", number)]

    async def truth(self) -> list[dict[str, Any]]:
        """Return every movement of money at the channels."""
        return await self.world.truth("", 0, 100_000)

    async def check(self, *, at_rest: bool = True) -> None:
        """Fail if any invariant is broken; at rest, also if the channels hold other money than we keep."""
        found = transact(self.database.engine, invariants.broken)
        if at_rest:
            truth = await self.truth()
            found += transact(self.database.engine, lambda c: invariants.broken_against_truth(c, truth))
        assert not found, "\n".join(found)


class _Door:
    """Takes callbacks over HTTP: verifies, applies, and acknowledges after the commit."""

    def __init__(self) -> None:
        self.house: House

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            status, reply = await self._take(head[0].split(" ")[1].rsplit("/", 1)[-1], headers, body)
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(reply)}\r\nconnection: close\r\n\r\n".encode())
            writer.write(reply)
            await writer.drain()
        finally:
            writer.close()

    async def _take(self, channel_id: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        house = self.house
        reader = house.readers[channel_id]
        try:
            # The callback's time is the sandbox's real one; only what the house does lives in moved time.
            notice = reader.read(headers=headers, body=body, now_ms=time.time_ns() // 1_000_000)
        except CallbackRefused as refused:
            house.refused_callbacks.append(refused.reason)
            return 401, b""
        rows = house.sql("SELECT tenant_id FROM attempts WHERE attempt_no = :number", number=notice.evidence.attempt_no)
        if not rows:
            return 404, b""
        try:
            (result,) = await house._to_router([TenantEvidence(rows[0][0], notice.evidence)])
        except Exception:
            return 503, b""
        return (404, b"") if result in ("UNKNOWN_ATTEMPT", "ASKED") else (200, reader.acknowledgement()[1])


@asynccontextmanager
async def opened_house(
    database_url: str, directory: Path, *profiles: Profile, limits: Limits | None = None, seed: int = 7
) -> AsyncIterator[House]:
    """Open a house; without profiles it has two synchronous channels, `c1` (cheaper) and `c2`."""
    channels = list(profiles) or [Profile("c1"), Profile("c2")]
    names = [profile.channel_id for profile in channels]
    merchants = {merchant_no(t, c): f"secret-{t}-{c}" for t in TENANTS for c in names}
    world = World(directory, seed=seed, channels=channels, merchants=merchants)
    await world.start()
    door = _Door()
    server = await asyncio.start_server(door.serve, "127.0.0.1", 0)
    house = door.house = House(database_url, world, limits or Limits(timeout_s=0.25))
    try:
        await house.open(names, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callbacks")
        yield house
    finally:
        server.close()
        await world.aclose()
        for connector in house.connectors.values():
            await connector._channel.aclose()
        house.database.close()
