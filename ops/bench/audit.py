"""The audit chain: how fast it is verified, and whether every hand is found at its exact place."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, text

from domain.audit import Damage, hash_of
from storage import audit
from storage.database import make_engine, transact

TENANT = "bench"
APPEND_BATCH = 1_000
# Trials walk along a chain of their own, from its beginning every time.
TRIAL_ENTRIES = 1_000

Tamper = Callable[[Connection, str, int], Damage]


def run(url: str, *, entries: int, trials: int) -> dict[str, Any]:
    """Write, seal and verify `entries`; then tamper `trials` times in each way, each undone again."""
    engine = make_engine(url, pool_size=1, timeout_s=600)
    try:
        for tenant_id, count in ((TENANT, entries), ("trial", TRIAL_ENTRIES)):
            for low in range(0, count, APPEND_BATCH):
                batch = [_entry(tenant_id, number) for number in range(low, min(low + APPEND_BATCH, count))]
                transact(engine, partial(audit.append, entries=batch))
        started_s = time.perf_counter()
        while transact(engine, audit.seal):
            pass
        sealed_s = time.perf_counter() - started_s
        started_s = time.perf_counter()
        verdict = transact(engine, lambda connection: audit.verify(connection, tenant_id=TENANT))
        verified_s = time.perf_counter() - started_s
        assert verdict.finding is None and verdict.checked_count == entries
        found = {tamper.__name__: _trials(engine, tamper, trials) for tamper in TAMPERS}
    finally:
        engine.dispose()
    return {"entries": entries, "seal_per_s": round(entries / sealed_s), "verify_s": round(verified_s, 2), "trials": trials,
            **{f"found_{name}": count for name, count in found.items()}}  # fmt: skip


def _entry(tenant_id: str, number: int) -> audit.Entry:
    before, after = {"fee_bps": 60, "number": number}, {"fee_bps": 55, "number": number}
    return audit.Entry(
        tenant_id, f"clerk-{number % 7}", "Tenants.UpdateMerchantAccount", "merchant_account", f"account-{number}", before,
        after, "费率调整", f"request-{number}", "ipv4:10.0.0.1:5000",
    )  # fmt: skip


def _trials(engine: Any, tamper: Tamper, trials: int) -> int:
    chance, found = random.Random(tamper.__name__), 0
    with engine.connect() as connection:
        for _ in range(trials):
            place = chance.randrange(2, TRIAL_ENTRIES)
            with connection.begin() as trial:
                # A superuser's hand: no trigger runs, and no constraint is in the way.
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                connection.execute(text("ALTER TABLE audit_chain DROP CONSTRAINT audit_chain_index_check"))
                damage = tamper(connection, "trial", place)
                finding = audit.verify(connection, tenant_id="trial").finding
                found += finding is not None and (finding.place, finding.damage) == (place, damage)
                trial.rollback()
    return found


_AT = "SELECT entry_id FROM audit_chain WHERE tenant_id = :tenant_id AND index = :place"


def edit(connection: Connection, tenant_id: str, place: int) -> Damage:
    """Change one word of one entry."""
    statement = f"UPDATE audit_entries SET principal = 'nobody' WHERE entry_id = ({_AT})"
    connection.execute(text(statement), {"tenant_id": tenant_id, "place": place})
    return Damage.EDITED


def delete(connection: Connection, tenant_id: str, place: int) -> Damage:
    """Take one entry away, and close the gap."""
    where = {"tenant_id": tenant_id, "place": place}
    connection.execute(text(f"DELETE FROM audit_entries WHERE entry_id = ({_AT})"), where)
    connection.execute(text("DELETE FROM audit_chain WHERE tenant_id = :tenant_id AND index = :place"), where)
    _shift(connection, tenant_id, place, -1)
    return Damage.DELETED


def insert(connection: Connection, tenant_id: str, place: int) -> Damage:
    """Put an entry with a right hash between two others."""
    _shift(connection, tenant_id, place, +1)
    forged = text(
        """INSERT INTO audit_entries (entry_id, tx, tenant_id, principal, operation, object_kind, object_id)
           OVERRIDING SYSTEM VALUE VALUES (999999999999, '1', :tenant_id, 'nobody', 'x', 'x', 'x')"""
    )
    connection.execute(forged, {"tenant_id": tenant_id})
    before = connection.execute(
        text("SELECT hash FROM audit_chain WHERE tenant_id = :tenant_id AND index = :place"),
        {"tenant_id": tenant_id, "place": place - 1},
    ).scalar_one()
    found = audit.search(connection, tenant_id=tenant_id, wanted=audit.Wanted(), limit=1, entry_id=999999999999)
    connection.execute(
        text(
            """INSERT INTO audit_chain (tenant_id, index, entry_id, prev_hash, hash)
               VALUES (:tenant_id, :place, 999999999999, :before, :hash)"""
        ),
        {"tenant_id": tenant_id, "place": place, "before": before, "hash": hash_of(bytes(before), place, found[0].record)},
    )
    return Damage.INSERTED


def reorder(connection: Connection, tenant_id: str, place: int) -> Damage:
    """Have two neighbours change places."""
    update = text("UPDATE audit_chain SET entry_id = :entry_id WHERE tenant_id = :tenant_id AND index = :index")
    ids = [connection.execute(text(_AT), {"tenant_id": tenant_id, "place": at}).scalar_one() for at in (place, place + 1)]
    for index, entry_id in ((place, -1), (place + 1, ids[0]), (place, ids[1])):
        connection.execute(update, {"tenant_id": tenant_id, "index": index, "entry_id": entry_id})
    return Damage.EDITED


def _shift(connection: Connection, tenant_id: str, place: int, by: int) -> None:
    """Move the places behind one up or down; by way of negative numbers, for they must stay unique meanwhile."""
    values = {"tenant_id": tenant_id, "place": place, "by": by}
    connection.execute(
        text("UPDATE audit_chain SET index = -index WHERE tenant_id = :tenant_id AND index >= :place"), values
    )
    connection.execute(text("UPDATE audit_chain SET index = :by - index WHERE tenant_id = :tenant_id AND index < 0"), values)


TAMPERS: tuple[Tamper, ...] = (edit, delete, insert, reorder)
