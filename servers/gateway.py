"""The gateway: between calls that wait and batches that travel.

A call puts its payment in the mailbox of its tenant's router and waits. Whether it was accepted comes back with the
batch, what became of it by the router's long poll; if both are lost with a router, the database knows.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from sqlalchemy import Connection

from actors.directory import Directory
from actors.mailbox import Mailbox
from actors.messages import Accepted, CloseWish, NewPayment, Operation, Task
from actors.peers import PeerLost
from actors.sweeper import payment_task
from channels.port import Lookup
from domain.payments import OPEN, Payment, State
from domain.refusals import Kind, Refusal, Refused
from domain.routing import Decision, OrderFacts
from domain.rule_sets import RuleSet
from servers.bulk import BulkLane, Shares
from storage import payments as store
from storage.database import Database, DatabaseUnavailable

log = structlog.get_logger()

# Calls that wait at once; the next is refused before anything is written.
WAITING_MAX = 5_000
# The answer needs this long to reach the caller before its deadline.
ANSWER_S = 0.1
# A channel that has not answered by then will not be waited for any longer: the payment goes on without its caller.
WAIT_S_MAX = 10.0
# After so long without an outcome the database is asked, in case the router was lost.
DOUBT_S = 1.5
SWEEP_S = 0.1
# A lost router is back soon; its batch is repeated, which changes nothing if it had been committed.
RETRY_S = 0.25
# Batches yield for so long after an online call.
ONLINE_S = 1.0
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one tenant may hold of a gateway, and the part of a router's time that batches take beside online calls."""

    tenant_calls_max: int = 2_500
    tenant_batch_items_max: int = 1_000
    bulk_share: float = 0.1


class _Wait:
    """One call that waits for its payment."""

    __slots__ = ("asked_s", "deadline_s", "future", "order")

    def __init__(self, order: NewPayment, deadline_s: float, future: "asyncio.Future[Payment]") -> None:
        self.order = order
        self.deadline_s = deadline_s
        self.asked_s = time.monotonic()
        self.future = future


class Reader(NamedTuple):
    """A key to read a payment by."""

    tenant_id: str
    payment_id: str
    request_id: str


class Gateway:
    """Carries calls to the routers and outcomes back. Owns nothing but the calls that wait."""

    def __init__(self, *, name: str, directory: Directory, database: Database, limits: Limits | None = None) -> None:
        self._name = name
        self._directory = directory
        self._database = database
        self._waits: dict[_Key, list[_Wait]] = {}
        self._waiting = 0
        self._begun = asyncio.Event()
        limits = limits or Limits()
        self._calls = Shares(
            limits.tenant_calls_max,
            Refusal(Kind.OVERLOADED, "TENANT_CALLS_FULL", "too many calls of this tenant are waiting; try again shortly"),
        )
        self._batches = Shares(
            limits.tenant_batch_items_max,
            Refusal(Kind.OVERLOADED, "TENANT_BATCHES_FULL", "too much of this tenant's batches waits; try again shortly"),
        )
        self._bulk_share = limits.bulk_share
        self._online_s = 0.0
        self._lanes = [self._bulk_lane(shard) for shard in range(directory.router_count)]
        self._orders = [self._order_mailbox(shard) for shard in range(directory.router_count)]
        self._closes = Mailbox(self._send_closes, depth_max=WAITING_MAX)
        self._dry_runs = Mailbox(self._send_dry_runs, depth_max=WAITING_MAX)
        self._reads: Mailbox[Reader, Payment | None] = Mailbox(self._read, depth_max=WAITING_MAX)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._waiting

    def depths(self) -> dict[str, int]:
        """Return how many messages wait in each mailbox of this gateway."""
        orders = {f"router/{shard} orders": box.depth for shard, box in enumerate(self._orders)}
        lanes = {f"router/{shard} batches": lane.depth for shard, lane in enumerate(self._lanes)}
        return orders | lanes | {"reads": self._reads.depth, "dry runs": self._dry_runs.depth, "closes": self._closes.depth}

    def start(self) -> None:
        """Begin to listen to the routers."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._listen(shard)) for shard in range(self._directory.router_count)]
        self._tasks.append(loop.create_task(self._sweep()))

    async def stop(self) -> None:
        """Stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- creating ---------------------------------------------------------------------------------------------------

    async def create(self, order: NewPayment, *, remaining_s: float) -> Payment:
        """Have a payment accepted and wait for its first outcome. Raise Refused."""
        if self._waiting >= WAITING_MAX:
            raise Refused(Refusal(Kind.OVERLOADED, "GATEWAY_FULL", "too many calls are waiting; try again shortly"))
        if remaining_s <= ANSWER_S:
            raise Refused(Refusal(Kind.TOO_LATE, "DEADLINE_TOO_SHORT", "the deadline leaves no time to ask a channel"))
        loop = asyncio.get_running_loop()
        self._online_s = loop.time()
        wait = _Wait(order, self._online_s + min(remaining_s - ANSWER_S, WAIT_S_MAX), loop.create_future())
        key = (order.tenant_id, order.request_id)
        self._calls.take(order.tenant_id)
        try:
            self._submit(wait)
            self._waits.setdefault(key, []).append(wait)
            self._waiting += 1
            self._begun.set()
            try:
                return await wait.future
            finally:
                self._forget(key, wait)
        finally:
            self._calls.give_back(order.tenant_id)

    async def create_many(self, orders: Sequence[NewPayment]) -> list[Payment | Refusal]:
        """Have many payments of one tenant accepted, slice by slice; does not wait for channels."""
        futures = self._lanes[self._directory.shard_of(orders[0].tenant_id)].put(orders) if orders else []
        answers = await asyncio.gather(*futures, return_exceptions=True)
        return [
            (answer.refusal or answer.payment or _LOST) if isinstance(answer, Accepted) else _LOST for answer in answers
        ]

    def batch_share(self, tenant_id: str, count: int) -> AbstractContextManager[None]:
        """Hold a batch's part of what may wait of a tenant's batches. Raise Refused(OVERLOADED) beyond that."""
        return self._batches.holding(tenant_id, count)

    def _bulk_lane(self, shard: int) -> BulkLane:
        peer = self._directory.peer(f"router/{shard}")

        async def send(orders: list[NewPayment]) -> list[Accepted]:
            answers = await peer.call("submit", self._name, orders, True, timeout_s=WAIT_S_MAX)
            keys = [(order.tenant_id, order.request_id) for order in orders]
            fresh = [key for key, answer in zip(keys, answers, strict=True) if answer == _MADE]
            read = await self._database.run(store.load_by_request, fresh) if fresh else ()
            made = {(payment.tenant_id, payment.request_id): payment for payment in read}
            return [Accepted(made.get(key)) if answer == _MADE else answer for key, answer in zip(keys, answers, strict=True)]

        def is_busy() -> bool:
            return asyncio.get_running_loop().time() - self._online_s < ONLINE_S

        return BulkLane(send, share=self._bulk_share, is_busy=is_busy, is_under_way=lambda: self._waiting > 0)

    def _order_mailbox(self, shard: int) -> Mailbox[NewPayment, Accepted]:
        peer = self._directory.peer(f"router/{shard}")

        async def send(orders: list[NewPayment]) -> list[Accepted]:
            return await peer.call("submit", self._name, orders, timeout_s=WAIT_S_MAX)  # type: ignore[no-any-return]

        return Mailbox(send, depth_max=WAITING_MAX)

    def _submit(self, wait: _Wait) -> None:
        box = self._orders[self._directory.shard_of(wait.order.tenant_id)]
        box.put(wait.order).add_done_callback(lambda future: self._accepted(wait, future))

    def _accepted(self, wait: _Wait, future: "asyncio.Future[Accepted]") -> None:
        if wait.future.done():
            return
        error = future.exception()
        if error is not None:
            self._retry(wait, error)
            return
        accepted = future.result()
        if accepted.refusal is not None:
            wait.future.set_exception(Refused(accepted.refusal))
        elif accepted.payment is not None and accepted.payment.state is not State.SUBMITTING:
            wait.future.set_result(accepted.payment)

    def _retry(self, wait: _Wait, error: BaseException) -> None:
        """Send again what a lost router may have committed: repeating it is safe either way."""
        loop = asyncio.get_running_loop()
        if isinstance(error, PeerLost) and loop.time() + RETRY_S < wait.deadline_s:
            loop.call_later(RETRY_S, self._submit_again, wait)
        elif isinstance(error, PeerLost):
            wait.future.set_exception(Refused(_LOST))
        else:
            wait.future.set_exception(error)

    def _submit_again(self, wait: _Wait) -> None:
        if not wait.future.done():
            try:
                self._submit(wait)
            except Refused as refused:
                wait.future.set_exception(refused)

    def _forget(self, key: _Key, wait: _Wait) -> None:
        self._waiting -= 1
        waits = self._waits[key]
        if len(waits) == 1:
            del self._waits[key]
        else:
            waits.remove(wait)

    # --- outcomes ---------------------------------------------------------------------------------------------------

    async def _listen(self, shard: int) -> None:
        peer = self._directory.peer(f"router/{shard}")
        while True:
            try:
                for payment in await peer.call("outcomes", self._name, timeout_s=15.0):
                    self._resolve(payment)
                await asyncio.sleep(0)  # who waited is answered before the next question is put together
            except PeerLost as error:
                log.info("router_lost", shard=shard, error=str(error))
                await asyncio.sleep(RETRY_S)

    def _resolve(self, payment: Payment) -> None:
        for wait in self._waits.get((payment.tenant_id, payment.request_id), ()):
            if not wait.future.done():
                wait.future.set_result(payment)

    async def _sweep(self) -> None:
        """Look after calls that have waited long: the database is asked, and at the deadline answered as it is."""
        loop = asyncio.get_running_loop()
        next_doubt_s = 0.0
        while True:
            if not self._waits:
                self._begun.clear()
                await self._begun.wait()
            await asyncio.sleep(SWEEP_S)
            now_s = loop.time()
            doubtful = now_s >= next_doubt_s
            due: dict[_Key, bool] = {}
            for key, waits in self._waits.items():
                for wait in waits:
                    if now_s >= wait.deadline_s:
                        due[key] = True
                    elif doubtful and now_s - wait.asked_s >= DOUBT_S:
                        due.setdefault(key, False)
            if doubtful:
                next_doubt_s = now_s + DOUBT_S
            if due:
                await self._look_up(due)

    async def _look_up(self, due: dict[_Key, bool]) -> None:
        found: list[Payment] = []
        try:
            found = await self._database.run(store.load_by_request, list(due))
        except DatabaseUnavailable:
            pass  # who waits is answered all the same
        except Exception:
            log.exception("payments_not_looked_up")  # nobody else answers calls whose outcome was lost
        seen = {(payment.tenant_id, payment.request_id): payment for payment in found}
        for key, final in due.items():
            payment = seen.get(key)
            for wait in list(self._waits.get(key, ())):
                if wait.future.done():
                    continue
                if payment is not None and (final or payment.state is not State.SUBMITTING):
                    wait.future.set_result(payment)
                elif final:
                    wait.future.set_exception(Refused(_LOST))

    # --- reading and other acts -------------------------------------------------------------------------------------

    async def get(self, *, tenant_id: str, payment_id: str = "", request_id: str = "") -> Payment | None:
        """Read a payment by one of its keys."""
        return await self._reads.put(Reader(tenant_id, payment_id, request_id))

    async def _read(self, keys: list[Reader]) -> list[Payment | None]:
        return await self._database.run(_read_many, keys)

    async def close(self, wish: CloseWish) -> Payment:
        """Ask for a payment to be closed, and ask the channel at once. Raise Refused."""
        accepted = await self._closes.put(wish)
        if accepted.refusal is not None:
            raise Refused(accepted.refusal)
        assert accepted.payment is not None
        return await self._ask_channel(accepted.payment)

    async def sync(self, payment: Payment) -> Payment:
        """Ask the channel about an open payment now, and answer with what has become of it."""
        return await self._ask_channel(payment)

    async def _ask_channel(self, payment: Payment) -> Payment:
        """Have the connector ask, and wait a moment for the evidence to be applied."""
        if payment.state in OPEN:
            task = payment_task(payment, now_ms=time.time_ns() // 1_000_000)
        else:
            task = Task(Operation.QUERY, payment.tenant_id, Lookup(payment.attempt_no, payment.merchant_no))
        await self._directory.connector_mailbox(payment.channel_id).put(task)
        newest = payment
        for _ in range(30):
            await asyncio.sleep(0.1)
            read = await self.get(tenant_id=payment.tenant_id, payment_id=payment.payment_id)
            newest = read or newest
            if newest.revision > payment.revision:
                break
        return newest

    async def _send_closes(self, wishes: list[CloseWish]) -> list[Accepted]:
        return await self._by_router("ask_close", wishes)

    async def dry_run(self, facts: OrderFacts) -> Decision:
        """Decide for an order that is not made. Raise Refused."""
        answer = await self._dry_runs.put(facts)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return answer

    async def dry_run_draft(self, facts: OrderFacts, rule_set: RuleSet) -> Decision:
        """Decide for an order that is not made, by rules that are not in force. Raise Refused."""
        peer = self._directory.peer(f"router/{self._directory.shard_of(facts.tenant_id)}")
        try:
            answer = await peer.call("dry_run_draft", facts, rule_set)
        except PeerLost as error:
            raise Refused(_LOST) from error
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return answer  # type: ignore[no-any-return]

    async def dry_run_many(self, facts: list[OrderFacts]) -> list[Decision]:
        """Decide for orders of one tenant that are not made, in one call. Raise Refused for the first that is refused."""
        decisions: list[Decision] = []
        for answer in await self._send_dry_runs(facts):
            if isinstance(answer, Refusal):
                raise Refused(answer)
            decisions.append(answer)
        return decisions

    async def _send_dry_runs(self, facts: list[OrderFacts]) -> list[Decision | Refusal]:
        return await self._by_router("dry_run", facts)

    async def _by_router(self, method: str, messages: list) -> list:  # type: ignore[type-arg]
        """Send messages to their tenants' routers, one call per router."""
        answers: list[object] = [None] * len(messages)
        groups: dict[int, list[int]] = {}
        for index, message in enumerate(messages):
            groups.setdefault(self._directory.shard_of(message.tenant_id), []).append(index)
        for shard, indices in groups.items():
            try:
                got = await self._directory.peer(f"router/{shard}").call(method, [messages[i] for i in indices])
            except PeerLost as error:
                raise Refused(_LOST) from error
            for index, answer in zip(indices, got, strict=True):
                answers[index] = answer
        return answers


_MADE = Accepted()
_LOST = Refusal(
    Kind.UNAVAILABLE, "MAY_HAVE_HAPPENED", "it is not known whether this was done; repeat it with the same request_id"
)


def _read_many(connection: Connection, keys: Sequence[Reader]) -> list[Payment | None]:
    by_id = [(key.tenant_id, key.payment_id) for key in keys if key.payment_id]
    by_request = [(key.tenant_id, key.request_id) for key in keys if not key.payment_id]
    found: dict[tuple[str, str, str], Payment] = {}
    for payment in store.load(connection, by_id) if by_id else ():
        found[payment.tenant_id, payment.payment_id, ""] = payment
    for payment in store.load_by_request(connection, by_request) if by_request else ():
        found[payment.tenant_id, "", payment.request_id] = payment
    return [found.get((key.tenant_id, key.payment_id, "" if key.payment_id else key.request_id)) for key in keys]
