"""The demo's insurers: they pay a day of orders through the public gRPC API, each at its time, whatever comes back."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ops.demo.day import WALLETS, Day, Moment
from ops.demo.payers import Payers
from ops.orders_file import Order
from protos.paydesk.v1 import common_pb2, payments_pb2, payments_pb2_grpc

CONNECTIONS = 4
# An insurer's own patience; a call that takes longer is repeated with the same request_id.
TIMEOUT_S = 10.0
TRIES_MAX = 6
RETRY_PAUSE_S = 0.3
# A queue that is longer than this would only measure itself.
UNDER_WAY_MAX = 2_000
_RETRYABLE = frozenset({
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
})  # fmt: skip


class Answered(NamedTuple):
    """The first answer to an order: after how long (from when it was due), in which state, by which channel."""

    latency_s: float
    state: str
    channel_id: str
    attempt_count: int


@dataclass(slots=True)
class Tally:
    """What the insurers saw."""

    sent: int = 0
    repeated: int = 0
    switched: int = 0
    closed: int = 0
    answers: list[Answered] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    gave_up: list[str] = field(default_factory=list)


class Callers:
    """Pays a day. One connection pool for all tenants; the key says who calls."""

    def __init__(self, target: str, keys: Mapping[str, str], day: Day, *, expire_s: int, payers: Payers | None = None) -> None:
        """Orders can be paid for `expire_s`. `payers` come to what a payment asks them for; without them the sandbox's own do."""
        self.tally = Tally()
        self._day = day
        self._expire_s = expire_s
        self._payers = payers
        self._metadata = {tenant: (("authorization", f"Bearer {key}"),) for tenant, key in keys.items()}
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(CONNECTIONS)]
        self._stubs: list[Any] = [payments_pb2_grpc.PaymentsStub(channel) for channel in self._channels]
        self._room = asyncio.Semaphore(UNDER_WAY_MAX)
        self._run = os.urandom(3).hex()

    async def pay_all(self) -> None:
        """Send every order when it is due, and return when all are answered."""
        begin_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for moment in self._day.moments:
                wait_s = begin_s + moment.due_s - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                await self._room.acquire()
                group.create_task(self._serve(moment, begin_s + moment.due_s))

    async def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            await channel.close()

    async def _serve(self, moment: Moment, due_s: float) -> None:
        order = moment.order
        self.tally.sent += 1
        try:
            if order.order_no in self._day.doubles:
                await asyncio.gather(*(self._pay(order, method, due_s) for method in WALLETS))
                return
            payment = await self._pay(order, order.method, due_s)
            if payment is not None and order.order_no in self._day.closers:
                await self._close(order, payment)
        finally:
            self._room.release()

    async def _pay(self, order: Order, method: str, due_s: float) -> payments_pb2.Payment | None:
        """Pay an order; when its method has no channel at this moment, offer the payer the others."""
        expire_ms = time.time_ns() // 1_000_000 + self._expire_s * 1_000
        expire = Timestamp(seconds=expire_ms // 1000, nanos=expire_ms % 1000 * 1_000_000)
        request = payments_pb2.CreatePaymentRequest(
            request_id=f"{self._run}-{order.tenant_id}-{order.row}-{method or 'ANY'}"[:64], order_no=order.order_no,
            product_code=order.product_code, method=f"METHOD_{method or 'UNSPECIFIED'}",
            terminal=f"TERMINAL_{order.terminal or 'UNSPECIFIED'}", source=order.source, subject=order.subject,
            amount=common_pb2.Money(amount_minor=order.amount_minor, currency_code="CNY"), payer_ref=order.payer_ref,
            expire_time=expire,
        )  # fmt: skip
        try:
            payment: payments_pb2.Payment = await self._call(order, self._stub(order).CreatePayment, request)
        except grpc.aio.AioRpcError as error:
            reason = reason_of(error)
            if reason == "NO_ROUTE" and method and order.order_no not in self._day.doubles:
                self.tally.switched += 1
                return await self._pay(order, "", due_s)
            self._refused(order, reason)
            return None
        state = payments_pb2.Payment.State.Name(payment.state).removeprefix("STATE_")
        latency_s = time.monotonic() - due_s
        self.tally.answers.append(Answered(latency_s, state, payment.channel_id, payment.attempt_count))
        if self._payers is not None:
            request_again = payments_pb2.GetPaymentRequest(payment_id=payment.payment_id)
            await self._payers.come(
                payment, lambda: self._call(order, self._stub(order).GetPayment, request_again), within_s=self._expire_s
            )
        return payment

    async def _close(self, order: Order, payment: payments_pb2.Payment) -> None:
        request = payments_pb2.ClosePaymentRequest(
            request_id=f"close-{order.order_no}"[:64], payment_id=payment.payment_id, reason="payer left the page"
        )
        try:
            await self._call(order, self._stub(order).ClosePayment, request)
            self.tally.closed += 1
        except grpc.aio.AioRpcError as error:
            self._refused(order, reason_of(error))

    def _refused(self, order: Order, reason: str) -> None:
        self.tally.refusals[reason] += 1
        if reason not in ("NO_ROUTE", "PAYMENT_FINAL", "ORDER_PAID", "PAYMENT_OPEN") and len(self.tally.gave_up) < 100:
            self.tally.gave_up.append(f"{order.order_no}: {reason}")

    def _stub(self, order: Order) -> Any:
        return self._stubs[order.row % CONNECTIONS]

    async def _call(self, order: Order, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        """Call, and call again with the same request_id when it may help."""
        for tries_left in range(TRIES_MAX, -1, -1):
            try:
                return await method(request, metadata=self._metadata[order.tenant_id], timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _RETRYABLE or not tries_left:
                    raise
                self.tally.repeated += 1
                await asyncio.sleep(RETRY_PAUSE_S * (TRIES_MAX - tries_left + 1))
        raise AssertionError("unreachable")


def reason_of(error: Any) -> str:
    """Return the named reason of a refusal, or its code."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return str(error.code().name)
