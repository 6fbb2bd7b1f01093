"""The audit trail: one row per change and per privileged read, written in the transaction of what it tells of.

Sealing hangs entries on their tenant's chain later, in the order of their transactions: an entry is sealed only when no
transaction that is older than its own can still commit.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.audit import GENESIS, Damage, Finding, Head, Link, Record, Verifier, hash_of
from storage.arrays import columns

SEAL_BATCH = 1_000
VERIFY_PAGE = 2_000
_RECORD = """e.entry_id, e.tenant_id, e.principal, e.operation, e.object_kind, e.object_id, e.before, e.after, e.reason,
             e.request_id, e.address, (extract(epoch FROM e.create_time) * 1000000)::bigint"""


class Entry(NamedTuple):
    """One act of one person or system. `before` and `after` hold plain values, secrets and personal data masked.

    Of a reading, `after` has what was `asked`.
    """

    tenant_id: str
    principal: str
    operation: str  # the method or command, such as "Tenants.UpdateMerchantAccount"
    object_kind: str  # such as "merchant_account"
    object_id: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reason: str = ""
    request_id: str = ""
    address: str = ""


def append(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write entries; they count when the transaction commits."""
    connection.execute(
        text(
            """INSERT INTO audit_entries (tenant_id, principal, operation, object_kind, object_id, before, after, reason,
                                          request_id, address)
               VALUES (:tenant_id, :principal, :operation, :object_kind, :object_id, :before, :after, :reason,
                       :request_id, :address)"""
        ),
        [
            entry._asdict() | {"before": _json(entry.before), "after": _json(entry.after), "address": entry.address[:64]}
            for entry in entries
        ],
    )


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


# --- sealing --------------------------------------------------------------------------------------------------------


def seal(connection: Connection, *, limit: int = SEAL_BATCH) -> int:
    """Hang up to `limit` entries on their chains; return how many. Any number may try at once: one does it."""
    held = connection.execute(
        text("SELECT tx::text, entry_id FROM audit_sealed FOR UPDATE SKIP LOCKED")
    ).one_or_none()
    if held is None:
        return 0
    rows = connection.execute(
        text(
            f"""SELECT {_RECORD}, e.tx::text FROM audit_entries e
                WHERE (e.tx, e.entry_id) > (CAST(:tx AS xid8), :entry_id)
                  AND e.tx < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY e.tx, e.entry_id LIMIT :limit"""
        ),
        {"tx": held[0], "entry_id": held[1], "limit": limit},
    ).all()
    if not rows:
        return 0
    records = [Record(*row[:-1]) for row in rows]
    ends = {head.tenant_id: (head.place, head.hash) for head in heads(connection)}
    links = []
    for record in records:
        index, prev_hash = ends.get(record.tenant_id, (0, GENESIS))
        made = hash_of(prev_hash, index + 1, record)
        links.append((record.tenant_id, index + 1, record.entry_id, prev_hash.hex(), made.hex()))
        ends[record.tenant_id] = index + 1, made
    connection.exec_driver_sql(
        """INSERT INTO audit_chain (tenant_id, index, entry_id, prev_hash, hash)
           SELECT tenant_id, index, entry_id, decode(prev_hash, 'hex'), decode(hash, 'hex')
           FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::text[])
           AS t (tenant_id, index, entry_id, prev_hash, hash)""",
        tuple(columns(links, "tnntt")),
    )
    connection.execute(
        text(
            """INSERT INTO audit_heads (tenant_id, index, hash) VALUES (:tenant_id, :index, :hash)
               ON CONFLICT (tenant_id) DO UPDATE SET index = excluded.index, hash = excluded.hash"""
        ),
        [
            {"tenant_id": tenant_id, "index": ends[tenant_id][0], "hash": ends[tenant_id][1]}
            for tenant_id in {record.tenant_id for record in records}
        ],
    )
    connection.execute(
        text("UPDATE audit_sealed SET tx = CAST(:tx AS xid8), entry_id = :entry_id"),
        {"tx": rows[-1][-1], "entry_id": records[-1].entry_id},
    )
    return len(records)


def heads(connection: Connection) -> list[Head]:
    """Read the end of every chain; `time_us` is now."""
    rows = connection.exec_driver_sql(
        "SELECT tenant_id, index, hash, (extract(epoch FROM now()) * 1000000)::bigint FROM audit_heads ORDER BY tenant_id"
    )
    return [Head(row[0], row[1], bytes(row[2]), row[3]) for row in rows]


def seal_lag_s(connection: Connection) -> float:
    """Return how long the oldest entry that is not sealed has waited, 0 when there is none."""
    row = connection.exec_driver_sql(
        """SELECT coalesce(extract(epoch FROM now() - min(e.create_time)), 0) FROM audit_entries e, audit_sealed s
           WHERE (e.tx, e.entry_id) > (s.tx, s.entry_id)"""
    ).one()
    return float(row[0])


# --- verifying ------------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """What came of a verification: how many entries are sound, up to where, and the first finding if there is one."""

    checked_count: int
    last_index: int
    last_hash: bytes
    finding: Finding | None


def verify(
    connection: Connection, *, tenant_id: str, signed: Sequence[Head] = (), first_index: int = 1, last_index: int = 0
) -> Verdict:
    """Walk along a tenant's chain, whole or from `first_index` to `last_index`, in pages; compare with signed heads.

    A walk that does not begin at 1 takes the hash before its beginning as the chain has it.
    """
    verifier = Verifier(first_index=first_index, prev_hash=_hash_at(connection, tenant_id, first_index - 1))
    wanted = {head.place: head for head in signed if head.tenant_id == tenant_id}
    for link in _links(connection, tenant_id, first_index, last_index):
        finding = verifier.check(link)
        head = wanted.get(verifier.index)
        if finding is None and head is not None and head.hash != verifier.hash:
            finding = Finding(verifier.index, Damage.HEAD_MISMATCH, "a head signed earlier has another hash for this place")
        if finding is not None:
            return Verdict(verifier.checked_count, verifier.index, verifier.hash, finding)
    whole = not last_index
    finding = _end_finding(connection, tenant_id, verifier, signed) if whole else None
    finding = finding or (_stranger(connection, tenant_id) if whole and first_index == 1 else None)
    return Verdict(verifier.checked_count, verifier.index, verifier.hash, finding)


def _hash_at(connection: Connection, tenant_id: str, index: int) -> bytes:
    if index < 1:
        return GENESIS
    row = connection.execute(
        text("SELECT hash FROM audit_chain WHERE tenant_id = :tenant_id AND index = :index"),
        {"tenant_id": tenant_id, "index": index},
    ).one_or_none()
    return bytes(row[0]) if row else GENESIS


def _links(connection: Connection, tenant_id: str, first_index: int, last_index: int) -> Iterator[Link]:
    after = first_index - 1
    while True:
        rows = connection.execute(
            text(
                f"""SELECT c.index, c.prev_hash, c.hash, {_RECORD}
                    FROM audit_chain c LEFT JOIN audit_entries e ON e.entry_id = c.entry_id
                    WHERE c.tenant_id = :tenant_id AND c.index > :after AND (:last = 0 OR c.index <= :last)
                    ORDER BY c.index LIMIT :page"""
            ),
            {"tenant_id": tenant_id, "after": after, "last": last_index, "page": VERIFY_PAGE},
        ).all()
        for row in rows:
            record = Record(*row[3:]) if row[3] is not None else None
            yield Link(row[0], bytes(row[1]), bytes(row[2]), record)
        if len(rows) < VERIFY_PAGE:
            return
        after = rows[-1][0]


def _end_finding(connection: Connection, tenant_id: str, verifier: Verifier, signed: Sequence[Head]) -> Finding | None:
    """Compare the end of the walk with what the end should be, here and as it was signed."""
    known = [head for head in heads(connection) if head.tenant_id == tenant_id]
    known += [head for head in signed if head.tenant_id == tenant_id]
    if any(head.place > verifier.index for head in known):
        return Finding(verifier.index + 1, Damage.DELETED, f"the chain ends at place {verifier.index}, and was longer")
    return None


def _stranger(connection: Connection, tenant_id: str) -> Finding | None:
    """Find an entry among the sealed ones that was never sealed: somebody put it there."""
    row = connection.execute(
        text(
            """SELECT e.entry_id, 1 + coalesce((SELECT max(c.index) FROM audit_chain c
                                                 WHERE c.tenant_id = e.tenant_id AND c.entry_id < e.entry_id), 0)
               FROM audit_entries e CROSS JOIN audit_sealed s
               WHERE e.tenant_id = :tenant_id AND (e.tx, e.entry_id) <= (s.tx, s.entry_id)
                 AND NOT EXISTS (SELECT 1 FROM audit_chain c WHERE c.entry_id = e.entry_id)
               ORDER BY e.entry_id LIMIT 1"""
        ),
        {"tenant_id": tenant_id},
    ).one_or_none()
    if row is None:
        return None
    return Finding(row[1], Damage.INSERTED, f"entry {row[0]} was never sealed")


# --- reading --------------------------------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """A filter; empty texts and zeros mean all. Times are Unix milliseconds, the upper one excluded."""

    principal: str = ""
    operation: str = ""
    object_kind: str = ""
    object_id: str = ""
    min_ms: int = 0
    max_ms: int = 0
    changes_only: bool = False


class Found(NamedTuple):
    """An entry as it is shown; `place` is 0 as long as it is not sealed."""

    record: Record
    place: int
    hash: bytes


def search(
    connection: Connection, *, tenant_id: str, wanted: Wanted, before_id: int = 0, limit: int, entry_id: int = 0
) -> list[Found]:
    """Read entries of a tenant, newest first, those before `before_id`; or the one that `entry_id` names."""
    rows = connection.execute(
        text(
            f"""SELECT {_RECORD}, coalesce(c.index, 0), coalesce(c.hash, '')
                FROM audit_entries e LEFT JOIN audit_chain c ON c.entry_id = e.entry_id
                WHERE e.tenant_id = :tenant_id AND (:before_id = 0 OR e.entry_id < :before_id)
                  AND (:entry_id = 0 OR e.entry_id = :entry_id)
                  AND (:principal = '' OR e.principal = :principal) AND (:operation = '' OR e.operation = :operation)
                  AND (:object_kind = '' OR e.object_kind = :object_kind)
                  AND (:object_id = '' OR e.object_id = :object_id)
                  AND (:min_ms = 0 OR e.create_time >= to_timestamp(:min_ms / 1000.0))
                  AND (:max_ms = 0 OR e.create_time < to_timestamp(:max_ms / 1000.0))
                  AND (NOT :changes_only OR NOT coalesce(jsonb_exists(e.after, 'asked'), false))
                ORDER BY e.entry_id DESC LIMIT :limit"""
        ),
        {"tenant_id": tenant_id, "before_id": before_id, "limit": limit, "entry_id": entry_id, **wanted._asdict()},
    )
    return [Found(Record(*row[:-2]), row[-2], bytes(row[-1])) for row in rows]
