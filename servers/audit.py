"""The Audit service."""

import asyncio
import csv
import io
import json
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

from domain.audit import Damage
from domain.refusals import Kind, Refusal, Refused, Violation, invalid
from protos.paydesk.v1 import audit_pb2, audit_pb2_grpc
from servers import pages, translate
from servers.identity import caller, readmit
from storage import audit as store
from storage.database import Database
from storage.signed_heads import HeadsDamaged, SignedHeads

REASON_LENGTH_MAX = 256
EXPORT_PAGE = 1_000
_COLUMNS = ("index", "entry_id", "time", "principal", "operation", "object_kind", "object_id", "before", "after", "reason",
            "request_id", "address", "hash")  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0", "＝", "＋", "－", "＠")

_DAMAGES: dict[Damage, Any] = {damage: audit_pb2.VerifyAuditResponse.Damage.Value(f"DAMAGE_{damage}") for damage in Damage}


class AuditService(audit_pb2_grpc.AuditServicer):
    """Shows, exports and verifies the trail of the caller's tenant."""

    def __init__(self, database: Database, heads: SignedHeads) -> None:
        self._database = database
        self._heads = heads
        # A walk keeps a connection for seconds, and a gateway has few.
        self._one_walk = asyncio.Semaphore(1)

    async def SearchAudit(
        self, request: audit_pb2.SearchAuditRequest, context: Any
    ) -> audit_pb2.SearchAuditResponse:
        """List entries, newest first."""
        limit, wanted = pages.size(request.page_size), _wanted(request.filter)
        before_id = _entry_id(pages.key_of(request.page_token))
        found = await self._database.run(
            store.search, tenant_id=caller().tenant_id, wanted=wanted, before_id=before_id, limit=limit + 1
        )
        response = audit_pb2.SearchAuditResponse(entries=map(_message, found[:limit]))
        if len(found) > limit:
            response.next_page_token = pages.token(str(found[limit - 1].record.entry_id))
        return response

    async def GetAuditEntry(self, request: audit_pb2.GetAuditEntryRequest, context: Any) -> audit_pb2.AuditEntry:
        """Read one entry."""
        if request.entry_id < 1:
            raise Refused(invalid(Violation("entry_id", "must be the number of an entry")))
        found = await self._database.run(
            store.search, tenant_id=caller().tenant_id, wanted=store.Wanted(), limit=1, entry_id=request.entry_id
        )
        if not found:
            raise Refused(translate.not_found("AUDIT_ENTRY_NOT_FOUND", f"there is no audit entry {request.entry_id}"))
        return _message(found[0])

    async def ExportAudit(
        self, request: audit_pb2.ExportAuditRequest, context: Any
    ) -> AsyncIterator[audit_pb2.ExportAuditResponse]:
        """Write entries as CSV. That they were exported is committed before the first of them leaves."""
        if not 0 < len(request.reason) <= REASON_LENGTH_MAX or not request.reason.isprintable():
            raise Refused(invalid(Violation("reason", f"must be 1 to {REASON_LENGTH_MAX} printable characters")))
        wanted, who = _wanted(request.filter), caller()
        entry = store.Entry(
            who.tenant_id, who.principal, "Audit.ExportAudit", "audit", "export", None,
            {name: value for name, value in wanted._asdict().items() if value}, request.reason, "", who.address,
        )  # fmt: skip
        await self._database.run(store.append, [entry])
        mark = f"exported by {who.principal} of {who.tenant_id} at {_now_text()}: {request.reason}"
        yield _csv([(mark,), _COLUMNS])
        before_id = count = 0
        while True:
            readmit()
            found = await self._database.run(
                store.search, tenant_id=who.tenant_id, wanted=wanted, before_id=before_id, limit=EXPORT_PAGE
            )
            if not found:
                break
            count, before_id = count + len(found), found[-1].record.entry_id
            yield _csv(map(_row, found))
        yield _csv([(f"{mark}; {count} entries",)])

    async def VerifyAudit(
        self, request: audit_pb2.VerifyAuditRequest, context: Any
    ) -> audit_pb2.VerifyAuditResponse:
        """Walk along the chain."""
        first, last = request.first_index or 1, request.last_index
        if first < 1 or last < 0 or (last and last < first):
            raise Refused(invalid(Violation("last_index", "must be 0 or not before first_index, which is 1 or more")))
        tenant_id = caller().tenant_id
        try:
            signed = (await asyncio.to_thread(self._heads.read)).get(tenant_id, [])
        except HeadsDamaged as error:
            raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "AUDIT_HEADS_DAMAGED", str(error))) from error
        async with self._one_walk:
            verdict = await self._database.run(
                store.verify, tenant_id=tenant_id, signed=signed, first_index=first, last_index=last
            )
        if verdict.finding is None and first > 1 and not verdict.checked_count:
            raise Refused(invalid(Violation("first_index", "is behind the end of the chain: there is nothing to verify")))
        response = audit_pb2.VerifyAuditResponse(
            sound=verdict.finding is None, checked_count=verdict.checked_count, last_index=verdict.last_index,
            signed_heads_count=len(signed),
        )  # fmt: skip
        if verdict.finding is not None:
            response.broken_index, response.detail = verdict.finding.place, verdict.finding.detail
            response.damage = _DAMAGES[verdict.finding.damage]
        return response


def _wanted(chosen: audit_pb2.AuditFilter) -> store.Wanted:
    texts = {name: getattr(chosen, name) for name in ("principal", "operation", "object_kind", "object_id")}
    violations = [
        Violation(f"filter.{name}", "must be at most 96 printable characters")
        for name, value in texts.items()
        if len(value) > 96 or not (value + " ").isprintable()
    ]
    violations += [
        Violation(f"filter.{name}", "is no time of this calendar")
        for name in ("min_create_time", "max_create_time")
        if not translate.is_time(getattr(chosen, name))
    ]
    if violations:
        raise Refused(invalid(*violations))
    bounds = translate.milliseconds(chosen.min_create_time), translate.milliseconds(chosen.max_create_time)
    return store.Wanted(**texts, min_ms=bounds[0], max_ms=bounds[1], changes_only=chosen.changes_only)


def _entry_id(key: str) -> int:
    if key and not (key.isdecimal() and len(key) < 19):
        raise Refused(invalid(Violation("page_token", "is not one that we gave")))
    return int(key or 0)


def _message(found: store.Found) -> audit_pb2.AuditEntry:
    record = found.record
    message = audit_pb2.AuditEntry(
        entry_id=record.entry_id, index=found.place, principal=record.principal, operation=record.operation,
        object_kind=record.object_kind, object_id=record.object_id, before_json=_json(record.before),
        after_json=_json(record.after), reason=record.reason, request_id=record.request_id, address=record.address,
        hash=found.hash,
    )  # fmt: skip
    message.create_time.FromMicroseconds(record.time_us)
    return message


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _now_text() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")


def _row(found: store.Found) -> tuple[object, ...]:
    record = found.record
    at = datetime.fromtimestamp(record.time_us / 1_000_000, UTC).isoformat()
    return (
        found.place, record.entry_id, at, record.principal, record.operation, record.object_kind, record.object_id,
        _json(record.before), _json(record.after), record.reason, record.request_id, record.address, found.hash.hex(),
    )  # fmt: skip


def _csv(rows: Iterable[Iterable[object]]) -> audit_pb2.ExportAuditResponse:
    text = io.StringIO()
    csv.writer(text).writerows([_harmless(cell) for cell in row] for row in rows)
    return audit_pb2.ExportAuditResponse(content=text.getvalue().encode())


def _harmless(cell: object) -> object:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
