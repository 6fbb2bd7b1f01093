"""The audit trail: one row per change and per privileged read, written in the transaction of what it tells of."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text


class Entry(NamedTuple):
    """One act of one person or system. `before` and `after` hold plain values, secrets and personal data masked."""

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
        [entry._asdict() | {"before": _json(entry.before), "after": _json(entry.after)} for entry in entries],
    )


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
