"""The callers of the drill: orders at a steady rate, each called again with the same request_id until it is answered.

The rate does not wait for answers (an open model). What each caller was told is kept, to be held against the tables.
"""

import asyncio
import contextlib
import random
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

import grpc

from ops.demo.payers import Payers
from protos.paydesk.v1 import common_pb2, payments_pb2, payments_pb2_grpc

# A caller waits so long for an answer, and so long before it calls again: at first, and at most.
CALL_TIMEOUT_S = 6.0
PAUSE_S = 0.25
PAUSE_S_MAX = 3.0
# Of the orders, so many are also paid by a second method, and so many are called off.
SECOND_PAYER_SHARE = 0.02
CALLED_OFF_SHARE = 0.01
_MAY_HAVE_HAPPENED = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL,
    }
)  # fmt: skip
# A caller must find the way back quickly: gRPC's own pause between connections grows to two minutes.
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_NUMBERS = re.compile(r"pay_\w+|\w+-\w+-\d{6}|\d\d:\d\d:\d\d|\(score \d+\)")


class Told(NamedTuple):
    """What a caller was told in the end: a payment, or a refusal (`payment_id` ""), or nothing (both "")."""

    request_id: str
    order_no: str
    amount_minor: int
    payment_id: str
    state: str
    refusal: str
    tries: int


def _said(error: grpc.aio.AioRpcError) -> str:
    """Return what a refusal says, without the numbers of payments and orders, so that it can be counted."""
    return _NUMBERS.sub("…", f"{error.code().name}: {error.details()}")[:160]


class Load:
    """Pays orders in a thread of its own until told to stop."""

    def __init__(
        self, *, target: str, key: str, rate_per_s: float, expire_s: int, seed: int, methods: Sequence[tuple[str, str]],
        terminals: Sequence[str], payers: Payers | None = None,
    ) -> None:  # fmt: skip
        """Orders that nobody has paid after `expire_s` are closed, so that a drill comes to rest.

        `methods` are those of an order's first and second payer. Without `payers` the sandbox's own do what is to be done.
        """
        self._expire_s = expire_s
        self._methods = methods
        self._terminals = terminals
        self._payers = payers
        self._target = target
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._rate_per_s = rate_per_s
        self._random = random.Random(seed)
        self._run = f"{seed:x}-{time.time_ns() // 1_000_000:x}"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="load", daemon=True)
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self.told: list[Told] = []
        self.errors: Counter[str] = Counter()
        # First calls that were answered: (when they were made, when they were answered), in monotonic seconds.
        self.fresh: deque[tuple[float, float]] = deque(maxlen=20_000)
        self.started = 0
        self._callers: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Make no more orders; wait until every caller has been told something, or the patience is used up."""
        self._stopping.set()
        self._thread.join(patience_s)
        self._giving_up.set()
        self._thread.join(CALL_TIMEOUT_S + PAUSE_S_MAX + 5)

    def serving_since(self, after_s: float, calm_s: float) -> float | None:
        """Return when, after a moment, fresh calls began to be answered without gaps for `calm_s`; None if not yet."""
        now_s = time.monotonic()
        # Newest first; what was made before the moment says nothing.
        answers = [(made, told) for made, told in tuple(self.fresh) if made >= after_s]
        since: float | None = None
        last = after_s
        for _, told in sorted(answers, key=lambda pair: pair[1]):
            if since is None or told - last > 1.0:
                since = told
            last = told
        return since if since is not None and now_s - last < 1.0 and now_s - since >= calm_s else None

    async def _main(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(self._target, options=OPTIONS))
            if self._payers is not None:
                await stack.enter_async_context(self._payers)
            stub = payments_pb2_grpc.PaymentsStub(channel)
            begin_s, number = time.monotonic(), 0
            while not self._stopping.is_set():
                number += 1
                due_s = begin_s + number / self._rate_per_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                for request in self._orders(number):
                    self.started += 1
                    self._spawn(self._pay(stub, request))
            while self._callers:
                await asyncio.gather(*tuple(self._callers))

    def _orders(self, number: int) -> Sequence[payments_pb2.CreatePaymentRequest]:
        order_no = f"{self._run}-{number:06d}"
        methods = self._random.choice(self._methods)
        terminal = self._random.choice(self._terminals)
        amount_minor = self._random.randint(100, 500_000)
        count = 2 if self._random.random() < SECOND_PAYER_SHARE else 1
        requests = []
        for index, method in enumerate(methods[:count]):
            request = payments_pb2.CreatePaymentRequest(
                request_id=f"{order_no}-{index}", order_no=order_no, product_code="TRAVEL_ACC",
                amount=common_pb2.Money(amount_minor=amount_minor, currency_code="CNY"), method=f"METHOD_{method}",
                terminal=f"TERMINAL_{terminal}", subject="旅行意外险 7 天", payer_ref=f"payer-{number % 97}",
            )  # fmt: skip
            request.expire_time.FromSeconds(int(time.time()) + self._expire_s)
            requests.append(request)
        return requests

    async def _pay(
        self, stub: payments_pb2_grpc.PaymentsStub, request: payments_pb2.CreatePaymentRequest
    ) -> None:
        pause_s, tries = PAUSE_S, 0
        payment_id = state = refusal = ""
        while not self._giving_up.is_set():
            tries += 1
            made_s = time.monotonic()
            try:
                payment = await stub.CreatePayment(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                self.errors[_said(error)] += 1
                if error.code() not in _MAY_HAVE_HAPPENED:
                    refusal = f"{error.code().name}: {error.details()}"[:160]
                    break
            else:
                if tries == 1:
                    self.fresh.append((made_s, time.monotonic()))
                if self._payers is not None:
                    self._spawn(self._come(self._payers, stub, payment))
                payment_id, state = payment.payment_id, payments_pb2.Payment.State.Name(payment.state)[6:]
                break
            await asyncio.sleep(pause_s * (0.5 + self._random.random()))
            pause_s = min(pause_s * 2, PAUSE_S_MAX)
        self.told.append(
            Told(request.request_id, request.order_no, request.amount.amount_minor, payment_id, state, refusal, tries)
        )
        if state in ("PENDING", "UNKNOWN") and self._random.random() < CALLED_OFF_SHARE * 4:
            await self._call_off(stub, payment_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        caller = asyncio.create_task(work)
        self._callers.add(caller)
        caller.add_done_callback(self._callers.discard)

    async def _come(
        self, payers: Payers, stub: payments_pb2_grpc.PaymentsStub, payment: payments_pb2.Payment
    ) -> None:
        """Let the payer come."""
        request = payments_pb2.GetPaymentRequest(payment_id=payment.payment_id)

        async def look() -> payments_pb2.Payment:
            payment: payments_pb2.Payment = await stub.GetPayment(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
            return payment

        await payers.come(payment, look, within_s=self._expire_s)

    async def _call_off(self, stub: payments_pb2_grpc.PaymentsStub, payment_id: str) -> None:
        """Give an order up; whether that was heard does not matter to the caller."""
        request = payments_pb2.ClosePaymentRequest(
            request_id=f"close-{payment_id}", payment_id=payment_id, reason="the payer went away"
        )
        try:
            await stub.ClosePayment(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            self.errors[f"close {_said(error)}"] += 1
