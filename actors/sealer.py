"""The sealer: hangs audit entries on their chains, signs the chains' ends, and walks along what it has sealed."""

import asyncio
import time
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from actors.lookout import REST_S, Rest
from storage import audit as store
from storage.database import Database, DatabaseUnavailable
from storage.signed_heads import HeadsDamaged, SignedHeads

log = structlog.get_logger()

# Ends of chains are signed so often, if they have moved.
SIGN_S = 600.0
# And at the latest after so many entries.
SIGN_EVERY = 1_000
# All chains are walked along so often.
VERIFY_S = 3_600.0


class Sealer:
    """Seals for ever. Any number may run; one of them seals at a time. A crash loses nothing: sealing is one transaction."""

    def __init__(self, database: Database, heads: SignedHeads, *, registry: CollectorRegistry) -> None:
        self._database = database
        self._heads = heads
        self._signed: dict[str, int] = {}
        self._unsigned_count = 0
        self.rest = Rest()
        self._sign_due_s = time.monotonic()
        self._verify_due_s = time.monotonic() + VERIFY_S
        self._sealed = Counter("audit_entries_sealed", "Audit entries hung on their chains", registry=registry)
        self._lag = Gauge("audit_seal_lag_seconds", "Age of the oldest audit entry that is not sealed", registry=registry)
        self._broken = Gauge("audit_chain_broken", "1 where a tenant's audit chain is broken", ["tenant"], registry=registry)

    async def ping(self) -> dict[str, Any]:
        """Tell that the event loop turns."""
        return {"unsigned": self._unsigned_count}

    async def run(self) -> None:
        """Seal, sign and verify, for ever."""
        while True:
            try:
                count = await self.step()
            except DatabaseUnavailable as error:
                log.warning("audit_not_sealed", error=str(error))
                count = 0
            except Exception:
                log.exception("audit_not_sealed")
                count = 0
            if count < store.SEAL_BATCH:
                await self.rest.take(REST_S)

    async def step(self) -> int:
        """Seal one batch, and do what else is due; return how many entries were sealed."""
        count = await self._database.run(store.seal)
        self._unsigned_count += count
        self._sealed.inc(count)
        self._lag.set(round(await self._database.run(store.seal_lag_s), 1) if count < store.SEAL_BATCH else 0)
        now_s = time.monotonic()
        if now_s >= self._sign_due_s or self._unsigned_count >= SIGN_EVERY:
            self._sign_due_s = now_s + SIGN_S
            await self.sign()
        if now_s >= self._verify_due_s:
            self._verify_due_s = now_s + VERIFY_S
            await self.verify()
        return count

    async def sign(self) -> None:
        """Sign the ends that have moved since they were last signed."""
        moved = [h for h in await self._database.run(store.heads) if h.place != self._signed.get(h.tenant_id)]
        if moved:
            await asyncio.to_thread(self._heads.add, moved)
        self._signed |= {head.tenant_id: head.place for head in moved}
        self._unsigned_count = 0

    async def verify(self) -> None:
        """Walk along every chain that there is, or that somebody has signed an end of."""
        tenant_ids = {head.tenant_id for head in await self._database.run(store.heads)}
        try:
            signed = await asyncio.to_thread(self._heads.read)
        except HeadsDamaged as error:
            log.error("audit_heads_damaged", error=str(error))
            for tenant_id in tenant_ids:
                self._broken.labels(tenant_id).set(1)
            return
        for tenant_id in sorted(tenant_ids | signed.keys()):
            verdict = await self._database.run(store.verify, tenant_id=tenant_id, signed=signed.get(tenant_id, ()))
            self._broken.labels(tenant_id).set(0 if verdict.finding is None else 1)
            if verdict.finding is not None:
                log.error("audit_chain_broken", tenant_id=tenant_id, place=verdict.finding.place,
                          damage=verdict.finding.damage, detail=verdict.finding.detail)  # fmt: skip
