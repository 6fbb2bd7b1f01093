"""Delivers the outbox to the tenants' webhook endpoints."""

import asyncio
import contextlib
import random
import time
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any

import prometheus_client
import structlog

from actors.webhooks import WebhookSender
from domain.delivery import Fate, Reply, event_id, judge, payload
from storage import events
from storage.database import Database, DatabaseUnavailable
from storage.vault import Vault

_log = structlog.get_logger("paydesk.notifier")

# Under load, claims are gathered for this long: a claim costs the database as much for one event as for twenty.
GATHER_S = 0.02
# Results are gathered for this long: nobody waits for them but what follows in the same order.
GATHER_RESULTS_S = 0.01
# An endpoint's claims beyond those being sent: enough that it never waits for the next claim.
CLAIMS_PER_PLACE = 4
# All that is claimed at a time, waiting included.
CLAIMS_MAX = 1_000
# The database is away: try again after this long.
OUTAGE_S = 1.0
# What is left of a lease when the last post that may begin has timed out: for recording its result.
RECORD_S = 5.0


class Notifier:
    """Tells tenants what happened to their payments: at least once, in order per order, each event under one id.

    Owns nothing that must survive. What is claimed comes back when its lease ends, so a notifier that is killed between
    an endpoint's 2xx and our mark sends that event again under the same id; several notifiers may run at once. An event
    is sent only after every earlier event of its order is delivered or dead. An endpoint that hangs holds its own places
    only: after a time-out it is tried one notice at a time until it answers.

    `lease_s` must exceed twice the sender's time-out. `schedule_factor` shrinks the schedule of retries for a demo. Where
    there is nothing to do it looks for work every `rest_s`, and when it is woken.
    """

    def __init__(
        self,
        database: Database,
        sender: WebhookSender,
        vault: Vault,
        *,
        lease_s: float = 60.0,
        batch_max: int = 100,
        poll_s: float = 0.2,
        rest_s: float = 0.5,
        schedule_factor: float = 1.0,
        registry: prometheus_client.CollectorRegistry | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        assert lease_s > 2 * sender.timeout_s, "a lease must outlive a post and its record"
        self._database = database
        self._sender = sender
        self._vault = vault
        self._lease_s = lease_s
        self._batch_max = batch_max
        self._poll_s = poll_s
        self._rest_s = max(rest_s, poll_s)
        self._schedule_factor = schedule_factor
        self._draw = draw
        self._per_tenant = sender.per_endpoint * CLAIMS_PER_PLACE
        self._held: Tally[str] = Tally()  # tenant -> claims whose result is not recorded yet
        self._places: dict[str, asyncio.Semaphore] = {}
        self._hanging: set[str] = set()  # tenants whose endpoint timed out last time
        self._finished: list[events.Result] = []
        self._wake_claims = asyncio.Event()
        self._wake_records = asyncio.Event()
        self._draining = False
        self._failure = ""
        self._ended = asyncio.Event()
        self._ended.set()
        self._claim_time = time.monotonic()
        self._meters = _Meters(registry or prometheus_client.CollectorRegistry())

    async def run(self) -> None:
        """Deliver until `drain` is called. Raises only for bugs: an absent database is waited for."""
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as group:
                recorder = group.create_task(self._record_finished())
                await self._claim_due(group)
                while self._held:
                    await asyncio.sleep(0.01)
                recorder.cancel()
        except Exception as error:
            self._failure = repr(error)[:256]
            _log.exception("the notifier has stopped")
            raise
        finally:
            self._ended.set()

    def wake(self) -> None:
        """Look for work now."""
        self._wake_claims.set()

    async def drain(self) -> None:
        """Claim nothing more, and return when everything claimed has been recorded; `run` ends too."""
        self._draining = True
        self._wake_claims.set()
        await self._ended.wait()

    async def ping(self) -> dict[str, Any]:
        """Tell how it goes: claims held, hanging endpoints, and seconds since the last look for work.

        Raise RuntimeError if `run` has failed, so that whoever watches replaces this notifier.
        """
        if self._failure:
            raise RuntimeError(self._failure)
        return {
            "held": self._held.total(),
            "hanging": sorted(self._hanging),
            "claim_age_s": round(time.monotonic() - self._claim_time, 3),
            "draining": self._draining,
        }

    async def _claim_due(self, group: asyncio.TaskGroup) -> None:
        pause_s = self._poll_s
        while not self._draining:
            claims = await self._claim()
            for claim in claims:
                self._begin(claim, group)
            pause_s = self._poll_s if claims or self._held else min(pause_s * 1.5, self._rest_s)
            await asyncio.sleep(GATHER_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake_claims.wait()
            self._wake_claims.clear()

    async def _claim(self) -> list[events.Claim]:
        limit = min(self._batch_max, CLAIMS_MAX - self._held.total())
        if limit <= 0:
            return []
        claim_time = time.monotonic()  # before the database's own clock begins the lease
        try:
            claims = await self._database.run(
                events.claim_due,
                self._vault,
                limit=limit,
                lease_s=self._lease_s,
                per_tenant=self._per_tenant,
                rooms=self._rooms(),
            )
        except DatabaseUnavailable as error:
            _log.warning("the database is away", error=str(error))
            await asyncio.sleep(OUTAGE_S)
            return []
        self._claim_time = claim_time
        return claims

    def _rooms(self) -> dict[str, int]:
        """Return how many claims more a tenant may have, for those who have not all of theirs."""
        rooms = {tenant_id: max(self._per_tenant - held, 0) for tenant_id, held in self._held.items()}
        return rooms | {tenant_id: 0 if self._held[tenant_id] else 1 for tenant_id in self._hanging}

    def _begin(self, claim: events.Claim, group: asyncio.TaskGroup) -> None:
        tenant_id = claim.payment.tenant_id
        self._held[tenant_id] += 1
        if not claim.url:
            self._finish(claim, Fate.DEAD, error="NO_ENDPOINT")
            return
        begin_before = self._claim_time + self._lease_s - self._sender.timeout_s - RECORD_S
        group.create_task(self._deliver(claim, begin_before))

    async def _deliver(self, claim: events.Claim, begin_before: float) -> None:
        tenant_id = claim.payment.tenant_id
        was_hanging = tenant_id in self._hanging
        async with self._places.setdefault(tenant_id, asyncio.Semaphore(self._sender.per_endpoint)):
            # What could not begin in time is let go: its lease ends, and it comes back as if it had never been claimed.
            turned_to_hang = tenant_id in self._hanging and not was_hanging
            if turned_to_hang or time.monotonic() > begin_before:
                self._let_go(tenant_id)
                return
            start = time.monotonic()
            reply = await self._sender.send(
                url=claim.url,
                secrets=claim.secrets,
                event_id=event_id(claim.payment.payment_id, claim.happening.revision),
                payload=payload(claim.payment, claim.happening),
                now_ms=time.time_ns() // 1_000_000,
            )
            self._meters.post_seconds.observe(time.monotonic() - start)
        self._note_hanging(tenant_id, reply)
        self._rule(claim, reply)

    def _note_hanging(self, tenant_id: str, reply: Reply) -> None:
        if reply.error == "TIMEOUT":
            self._hanging.add(tenant_id)
        else:
            self._hanging.discard(tenant_id)

    def _rule(self, claim: events.Claim, reply: Reply) -> None:
        now_ms = time.time_ns() // 1_000_000
        ruling = judge(
            reply,
            try_count=claim.try_count,
            now_ms=now_ms,
            draw=self._draw(),
            schedule_factor=self._schedule_factor,
        )
        if ruling.fate is Fate.DELIVERED:
            self._meters.lag_seconds.observe(max(now_ms - claim.happening.create_ms, 0) / 1000)
        if ruling.fate in (Fate.DEAD, Fate.GONE):
            name = event_id(claim.payment.payment_id, claim.happening.revision)
            _log.error("a notice is given up", event_id=name, tenant_id=claim.payment.tenant_id, error=ruling.error)
        self._finish(claim, ruling.fate, delay_s=ruling.delay_s, error=ruling.error)

    def _finish(self, claim: events.Claim, fate: Fate, *, delay_s: float = 0.0, error: str = "") -> None:
        payment = claim.payment
        self._meters.notices.labels(fate.value.lower()).inc()
        self._finished.append(
            events.Result(
                payment_id=payment.payment_id,
                revision=claim.happening.revision,
                try_count=claim.try_count,
                fate=fate,
                delay_ms=round(delay_s * 1000),
                error=error,
                tenant_id=payment.tenant_id,
                url=claim.url,
            )
        )
        self._wake_records.set()

    def _let_go(self, tenant_id: str) -> None:
        self._held[tenant_id] -= 1
        if self._held[tenant_id] <= 0:
            del self._held[tenant_id]
            self._places.pop(tenant_id, None)

    async def _record_finished(self) -> None:
        """Record whatever has finished, one batch at a time."""
        while True:
            await self._wake_records.wait()
            await asyncio.sleep(GATHER_RESULTS_S)
            batch, self._finished = self._finished[: self._batch_max], self._finished[self._batch_max :]
            if not self._finished:
                self._wake_records.clear()
            await self._record(batch)
            for result in batch:
                self._let_go(result.tenant_id)
            self._wake_claims.set()

    async def _record(self, batch: list[events.Result]) -> None:
        """Write a batch, however long the database is away: results are facts, and their claims bound what piles up."""
        while True:
            try:
                await self._database.run(events.record, batch)
                for tenant_id in {result.tenant_id for result in batch if result.fate is Fate.GONE}:
                    while await self._database.run(events.bury, tenant_id=tenant_id):
                        pass
                return
            except DatabaseUnavailable as error:
                _log.warning("the database is away", error=str(error))
                await asyncio.sleep(OUTAGE_S)


class _Meters:
    """What the notifier counts."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self.notices = prometheus_client.Counter(
            "notices_total", "Tries to deliver an event, by what became of it", ["result"], registry=registry
        )
        self.post_seconds = prometheus_client.Histogram(
            "notice_post_seconds",
            "Time of one webhook post",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=registry,
        )
        self.lag_seconds = prometheus_client.Histogram(
            "notice_lag_seconds",
            "Time from an event to its delivery",
            buckets=(0.1, 0.3, 1, 3, 10, 60, 600, 3600, 86_400),
            registry=registry,
        )
