"""The sweeper: owns every row whose time has come, and asks the channel about it under the same number."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter

from actors.lookout import REST_S, Rest
from actors.mailbox import Mailbox
from actors.messages import Operation, Task
from channels.port import Lookup, RefundLookup, RefundRequest
from domain import payments as life
from domain import refunds as refund_life
from domain.payments import Payment
from domain.refunds import Refund
from storage import approvals as approval_store
from storage import payments as store
from storage import refunds as refund_store
from storage.database import Database, DatabaseUnavailable

log = structlog.get_logger()

# Rows claimed at once. More would only wait in the connectors' mailboxes.
BATCH_MAX = 500
# Proposals that nobody decided about are looked for so often; a decision that comes too late is refused by itself.
EXPIRE_S = 30.0


class Sweeper:
    """Asks about payments and refunds that are due. Any number may run: a claim moves the row's time in the same commit.

    Holds nothing. A claim that a dying sweeper did not act on is due again at its next step.
    """

    def __init__(
        self,
        *,
        database: Database,
        connector: Callable[[str], Mailbox[Task, None]],
        clock_ms: Callable[[], int],
        registry: CollectorRegistry,
    ) -> None:
        self._database = database
        self._connector = connector
        self._clock_ms = clock_ms
        self._claims = Counter("sweeper_claims", "Due rows taken", ["kind"], registry=registry)
        self._expire_due_s = 0.0
        self.rest = Rest()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sweep once, then keep sweeping."""
        await self.sweep()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ping(self) -> dict[str, Any]:
        """Tell that the event loop turns. Raise RuntimeError when the loop of sweeps has ended, to be replaced."""
        if self._task is None or self._task.done():
            raise RuntimeError("the sweeper has stopped sweeping")
        return {"running": True}

    async def _run(self) -> None:
        while True:
            try:
                claimed = await self.sweep()
            except DatabaseUnavailable as error:
                log.warning("sweep_waits_for_database", error=str(error))
                claimed = 0
            except Exception:
                log.exception("sweep_failed")  # the next may go well, and nobody else does this work
                claimed = 0
            if claimed < BATCH_MAX:
                await self.rest.take(REST_S)

    async def sweep(self) -> int:
        """Claim what is due and ask about it; return how many rows were claimed."""
        payments = await self._database.run(store.claim_due, limit=BATCH_MAX)
        refunds = await self._database.run(refund_store.claim_due, limit=BATCH_MAX)
        now_ms = self._clock_ms()
        for payment in payments:
            self._ask(payment.channel_id, payment_task(payment, now_ms=now_ms))
        for refund, original in refunds:
            self._ask(refund.channel_id, refund_task(refund, original))
        if (now_s := time.monotonic()) >= self._expire_due_s:
            expired_count = await self._database.run(approval_store.expire, now_ms=now_ms)
            if expired_count < approval_store.EXPIRE_BATCH:
                self._expire_due_s = now_s + EXPIRE_S
        self._claims.labels("payment").inc(len(payments))
        self._claims.labels("refund").inc(len(refunds))
        return len(payments) + len(refunds)

    def _ask(self, channel_id: str, task: Task) -> None:
        """Put a question on its way. A lost one is asked again when its row is due again."""
        if not self._connector(channel_id).tell(task):
            log.warning("connector_mailbox_full", channel_id=channel_id)


def payment_task(payment: Payment, *, now_ms: int) -> Task:
    """Return what to ask about an open payment: to close it when it is given up or expired, else how it is."""
    operation = Operation.CLOSE if life.wants_close(payment, now_ms=now_ms) else Operation.QUERY
    return Task(operation, payment.tenant_id, Lookup(payment.attempt_no, payment.merchant_no))


def refund_task(refund: Refund, original: refund_store.Original) -> Task:
    """Return what to do about an unfinished refund: send it (again, same number), or ask about it."""
    number = refund_store.refund_number(refund.attempt_no)
    if refund_life.is_to_send(refund):
        return Task(
            Operation.REFUND,
            refund.tenant_id,
            RefundRequest(
                number, refund.attempt_no, refund.merchant_no, refund.amount_minor, refund.currency_code, *original
            ),
        )
    return Task(Operation.QUERY_REFUND, refund.tenant_id, RefundLookup(number, refund.attempt_no, refund.merchant_no))
