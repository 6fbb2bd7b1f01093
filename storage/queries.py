"""What people and callers look up: pages of payments, and everything that happened to one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.payments import Payment
from domain.permissions import EVERYWHERE, Scope
from storage import scopes
from storage.payments import PAYMENT_COLUMNS, payment_of

PAGE_SIZE = 100
PAGE_SIZE_MAX = 1_000
# A history is short by nature; a broken caller that closes and syncs for ever does not make the answer endless.
STEPS_MAX = 1_000


class Filter(NamedTuple):
    """Which payments a list holds; empty and 0 mean all. Times are Unix milliseconds, the later one excluded."""

    order_no: str = ""
    state: str = ""
    channel_id: str = ""
    min_create_ms: int = 0
    max_create_ms: int = 0
    card_digest: bytes = b""
    phone_digest: bytes = b""


class Timeline(NamedTuple):
    """Everything that happened to a payment, as rows in their natural order."""

    payment: Payment
    attempts: list[Sequence[Any]]
    steps: list[Sequence[Any]]
    notices: list[Sequence[Any]]
    refunds: list[Sequence[Any]]
    cases: list[Sequence[Any]]


def list_payments(
    connection: Connection, *, tenant_id: str, wanted: Filter, before_id: str, limit: int, scope: Scope = EVERYWHERE
) -> list[Payment]:
    """Read a page of a tenant's payments, newest first, those with ids before `before_id` ("" starts at the newest)."""
    within, reached = scopes.condition(scope)
    conditions = ["p.tenant_id = :tenant_id", within]
    if before_id:
        conditions.append("p.payment_id < :before_id")
    if wanted.order_no:
        conditions.append("p.payment_id IN (SELECT payment_ids_of_order(:tenant_id, :order_no))")
    if wanted.state:
        conditions.append("p.state = :state")
    if wanted.channel_id:
        conditions.append("p.channel_id = :channel_id")
    if wanted.min_create_ms:
        conditions.append("p.create_time >= to_timestamp(:min_create_ms / 1000.0)")
    if wanted.max_create_ms:
        conditions.append("p.create_time < to_timestamp(:max_create_ms / 1000.0)")
    conditions += [
        f"p.payment_id IN (SELECT payment_id FROM payer_details WHERE tenant_id = :tenant_id AND {digest} = :{digest})"
        for digest in ("card_digest", "phone_digest")
        if getattr(wanted, digest)
    ]
    rows = connection.execute(
        text(
            f"SELECT {PAYMENT_COLUMNS} FROM payments p WHERE {' AND '.join(conditions)} "
            "ORDER BY p.payment_id DESC LIMIT :limit"
        ),
        {"tenant_id": tenant_id, "before_id": before_id, "limit": limit, **wanted._asdict(), **reached},
    )
    return [payment_of(row) for row in rows]


_MS = "coalesce((extract(epoch FROM {}) * 1000)::bigint, 0)"


def timeline(connection: Connection, *, tenant_id: str, payment_id: str) -> Timeline | None:
    """Read everything about a payment of a tenant; None if there is none."""
    keys = {"tenant_id": tenant_id, "payment_id": payment_id, "limit": STEPS_MAX}
    row = connection.execute(
        text(f"SELECT {PAYMENT_COLUMNS} FROM payments p WHERE tenant_id = :tenant_id AND payment_id = :payment_id"), keys
    ).first()
    if row is None:
        return None

    def rows(statement: str) -> list[Sequence[Any]]:
        return list(connection.execute(text(statement), keys))

    made, moved = _MS.format("create_time"), _MS.format("update_time")
    return Timeline(
        payment=payment_of(row),
        attempts=rows(
            f"""SELECT attempt_no, attempt_index, channel_id, account_id, state, reason, {made}, {moved}
                FROM attempts WHERE payment_id = :payment_id ORDER BY attempt_index"""
        ),
        steps=rows(
            f"""SELECT revision, event, state, source, reason, attempt_no, {made} FROM payment_history
                WHERE payment_id = :payment_id ORDER BY revision LIMIT :limit"""
        ),
        notices=rows(
            f"""SELECT revision, event_type, deliver_state, try_count, {made}, {_MS.format("deliver_time")} FROM events
                WHERE payment_id = :payment_id ORDER BY revision LIMIT :limit"""
        ),
        refunds=rows(
            f"""SELECT refund_id, amount_minor, currency_code, state, cause, {made} FROM refunds
                WHERE payment_id = :payment_id ORDER BY create_time"""
        ),
        cases=rows(
            f"SELECT kind, detail, {made} FROM cases WHERE payment_id = :payment_id ORDER BY create_time, kind"
        ),
    )
