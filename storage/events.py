"""The outbox: events waiting for a webhook, and the stream of a tenant's events.

For the notifier: `claim_due`, `record`, `bury`. For the event stream: `read_stream`, `head_cursor`. For people:
`list_deliveries`, `resend`, `backlog`.

Invariants: an event is claimed only when no earlier event of its order is PENDING; a claim is a lease, so what a killed
notifier held comes back; a stream never skips an event, however transactions cross.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from domain.delivery import Fate, Happening, event_id, parse_event_id
from domain.payments import Payment, State
from domain.permissions import EVERYWHERE, Scope
from domain.refusals import Kind, Refusal, Refused
from storage import scopes
from storage.arrays import columns, number_array, text_array
from storage.audit import Entry
from storage.credentials import Owner, OwnerKind
from storage.payments import PAYMENT_COLUMNS, payment_of
from storage.requests import once
from storage.vault import Vault

_INT64_MAX = 2**63 - 1
_PAYMENT_WIDTH = len(Payment._fields)
_HAPPENING_COLUMNS = (
    "e.revision, e.event_type, e.state, e.reason, e.refund_id, (extract(epoch FROM e.create_time) * 1000)::bigint"
)
_HAPPENING_WIDTH = len(Happening._fields)
# One statement buries this many events of an endpoint that is gone; more would hold locks for long.
BURY_MAX = 5_000


class Claim(NamedTuple):
    """An event that is ours to deliver until the lease ends. `url` is "" when the tenant has no endpoint any more."""

    payment: Payment
    happening: Happening
    try_count: int
    url: str
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        """Name the event only: a representation ends up in logs."""
        return f"Claim({self.payment.payment_id}, revision={self.happening.revision}, try_count={self.try_count})"


class Result(NamedTuple):
    """What became of a claim. The order of the fields is that of RECORD's columns; `delay_ms` counts for RETRY."""

    payment_id: str
    revision: int
    try_count: int
    fate: Fate
    delay_ms: int
    error: str
    tenant_id: str
    url: str


_RESULT_KINDS = "tnntnttt"


class Told(NamedTuple):
    """An event of the stream, with the cursor that resumes after it."""

    cursor: str
    payment: Payment
    happening: Happening


class Delivery(NamedTuple):
    """How far an event got on its way to the webhook endpoint. Times are Unix milliseconds, 0 for never."""

    payment_id: str
    revision: int
    event_type: str
    order_no: str
    state: str
    try_count: int
    resend_count: int
    last_error: str
    create_ms: int
    next_try_ms: int
    deliver_ms: int

    @property
    def event_id(self) -> str:
        """The event's constant name."""
        return event_id(self.payment_id, self.revision)


class Page(NamedTuple):
    """Some deliveries, and the token of the next page, "" at the end."""

    deliveries: list[Delivery]
    next_page_token: str


class Backlog(NamedTuple):
    """A tenant's undelivered events and the age of the oldest."""

    tenant_id: str
    waiting: int
    oldest_s: float


# Looks at the due events of each tenant that has room, in turn by lot, so that no tenant starves another.
_LOCK_DUE = text(
    """
    WITH line AS MATERIALIZED (
        SELECT t.tenant_id, least(:limit, coalesce(g.room, :per_tenant)) AS room
        FROM tenants t LEFT JOIN unnest(CAST(:tenants AS text[]), CAST(:rooms AS int[])) AS g (tenant_id, room)
            ON g.tenant_id = t.tenant_id
        WHERE coalesce(g.room, 1) > 0 ORDER BY random()
    )
    SELECT e.payment_id, e.revision FROM line CROSS JOIN LATERAL (
        SELECT e.payment_id, e.revision FROM events e
        WHERE e.deliver_state = 'PENDING' AND e.next_try_time <= now() AND e.tenant_id = line.tenant_id
        ORDER BY e.next_try_time, e.position LIMIT line.room FOR UPDATE SKIP LOCKED) AS e
    LIMIT :limit
    """
)
# An event that waits behind an earlier one of its order is put off until that one is due, so that it isn't looked at
# again and again; `record` calls it back as soon as the earlier one is settled. This statement must see what was
# recorded before the locks were had, hence it is not one with _LOCK_DUE: what is recorded later waits for the locks.
_SIGNING = """credentials k WHERE k.tenant_id = e.tenant_id AND k.owner_kind = 'WEBHOOK' AND k.owner_id = e.tenant_id
    AND k.state = 'ACTIVE' ORDER BY k.version DESC"""
_CLAIM = f"""
    WITH judged AS MATERIALIZED (
        SELECT d.payment_id, d.revision, (
            SELECT b.next_try_time FROM events b
            WHERE b.deliver_state = 'PENDING' AND b.tenant_id = e.tenant_id AND b.order_no = e.order_no
                AND b.position < e.position ORDER BY b.position LIMIT 1) AS wait_time
        FROM unnest(%s::text[], %s::int[]) AS d (payment_id, revision) JOIN events e USING (payment_id, revision)
    ), claimed AS (
        UPDATE events e SET next_try_time = greatest(j.wait_time, now() + %s * interval '1 s')
        FROM judged j WHERE e.payment_id = j.payment_id AND e.revision = j.revision
        RETURNING e.*, j.wait_time IS NULL AS free
    )
    SELECT {PAYMENT_COLUMNS}, {_HAPPENING_COLUMNS}, e.try_count, coalesce(w.url, ''),
        ARRAY(SELECT k.version FROM {_SIGNING}), ARRAY(SELECT k.sealed FROM {_SIGNING})
    FROM claimed e
        JOIN payments p ON p.tenant_id = e.tenant_id AND p.payment_id = e.payment_id
        LEFT JOIN webhook_endpoints w ON w.tenant_id = e.tenant_id AND w.disable_time IS NULL
    WHERE e.free ORDER BY e.position
"""


def claim_due(
    connection: Connection, vault: Vault, *, limit: int, lease_s: float, per_tenant: int, rooms: Mapping[str, int] | None = None
) -> list[Claim]:
    """Take up to `limit` events whose time has come, the first of each order, and hide them for `lease_s` seconds.

    A tenant gets at most `per_tenant` of them, or what `rooms` says for it; 0 leaves the tenant out.
    """
    rooms = rooms or {}
    due = connection.execute(
        _LOCK_DUE,
        {
            "limit": limit,
            "per_tenant": per_tenant,
            "tenants": text_array(list(rooms)),
            "rooms": number_array(rooms.values()),
        },
    ).all()
    if not due:
        return []
    opened: dict[tuple[str, int], str] = {}
    rows = connection.exec_driver_sql(_CLAIM, (*columns(due, "tn"), lease_s)).all()
    return [_claim_of(row, lambda *sealed: _opened(connection, vault, opened, *sealed)) for row in rows]


def _claim_of(row: Row[Any], secret_of: Callable[[str, int, bytes], str]) -> Claim:
    try_count, url, versions, sealed = row[_PAYMENT_WIDTH + _HAPPENING_WIDTH :]
    payment = payment_of(row)
    signing = zip(versions, sealed, strict=True) if url else ()
    secrets = tuple(secret_of(payment.tenant_id, *item) for item in signing)
    return Claim(payment, _happening_of(row), try_count, url, secrets)


def _opened(
    connection: Connection, vault: Vault, opened: dict[tuple[str, int], str], tenant_id: str, version: int, sealed: bytes
) -> str:
    """Open a webhook's secret once per claim, not once per event."""
    if (tenant_id, version) not in opened:
        place = Owner(tenant_id, OwnerKind.WEBHOOK, tenant_id).place(version)
        opened[tenant_id, version] = json.loads(vault.open(connection, place, bytes(sealed)))["secret"]
    return opened[tenant_id, version]


def _happening_of(row: Row[Any]) -> Happening:
    """Read _HAPPENING_COLUMNS, which stand behind PAYMENT_COLUMNS."""
    revision, event_type, state, reason, refund_id, create_ms = row[_PAYMENT_WIDTH : _PAYMENT_WIDTH + _HAPPENING_WIDTH]
    return Happening(revision, event_type, State(state), reason, refund_id, create_ms)


# A 2xx is a fact and is always written; any other result only if nobody has recorded that try since (the lease may have
# ended meanwhile). What waited behind the event in its order gets the event's next time, or now.
_RECORD = """
    WITH input AS (
        SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[], %s::bigint[], %s::text[], %s::text[],
                             %s::text[])
        AS t (payment_id, revision, try_count, fate, delay_ms, error, tenant_id, url)
    ), marked AS (
        UPDATE events e SET
            deliver_state = CASE i.fate WHEN 'DELIVERED' THEN 'DELIVERED' WHEN 'RETRY' THEN 'PENDING' ELSE 'DEAD' END,
            next_try_time = CASE i.fate WHEN 'RETRY' THEN now() + i.delay_ms * interval '1 ms' END,
            deliver_time = CASE i.fate WHEN 'DELIVERED' THEN now() ELSE e.deliver_time END,
            try_count = least(e.try_count + 1, 32767), last_error = left(i.error, 256)
        FROM input i
        WHERE e.payment_id = i.payment_id AND e.revision = i.revision AND e.deliver_state = 'PENDING'
            AND (i.fate = 'DELIVERED' OR e.try_count = i.try_count)
        RETURNING e.tenant_id, e.order_no, e.position, e.next_try_time
    ), called_back AS (
        UPDATE events f SET next_try_time = coalesce(m.next_try_time, now())
        FROM marked m
        WHERE f.deliver_state = 'PENDING' AND f.tenant_id = m.tenant_id AND f.order_no = m.order_no
            AND f.position > m.position
            AND NOT EXISTS (SELECT 1 FROM input i WHERE i.payment_id = f.payment_id AND i.revision = f.revision)
    )
    UPDATE webhook_endpoints w SET disable_time = now()
    FROM input i
    WHERE i.fate = 'GONE' AND w.tenant_id = i.tenant_id AND w.url = i.url AND w.disable_time IS NULL
"""


def record(connection: Connection, results: Sequence[Result]) -> None:
    """Write what became of claims. GONE disables the endpoint, if it is still the one that was asked: then `bury`."""
    connection.exec_driver_sql(_RECORD, tuple(columns(results, _RESULT_KINDS)))


def bury(connection: Connection, *, tenant_id: str) -> int:
    """Mark up to BURY_MAX pending events DEAD if the tenant has no endpoint; return how many. Repeat until 0."""
    done = connection.execute(
        text(
            """
            UPDATE events e SET deliver_state = 'DEAD', next_try_time = NULL, last_error = 'ENDPOINT_GONE'
            FROM (SELECT b.payment_id, b.revision FROM events b
                  WHERE b.deliver_state = 'PENDING' AND b.tenant_id = :tenant_id
                      AND NOT EXISTS (SELECT 1 FROM webhook_endpoints w
                                      WHERE w.tenant_id = :tenant_id AND w.disable_time IS NULL)
                  LIMIT :limit FOR UPDATE SKIP LOCKED) AS lost
            WHERE e.payment_id = lost.payment_id AND e.revision = lost.revision
            """
        ),
        {"tenant_id": tenant_id, "limit": BURY_MAX},
    )
    return done.rowcount


def parse_cursor(cursor: str) -> tuple[int, int]:
    """Read a cursor or page token. Raise ValueError for anything that we did not write."""
    parts = cursor.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) <= 19 for part in parts):
        raise ValueError("is not a cursor of this service")
    tx, position = int(parts[0]), int(parts[1])
    if max(tx, position) > _INT64_MAX:
        raise ValueError("is not a cursor of this service")
    return tx, position


def read_stream(connection: Connection, *, tenant_id: str, cursor: str, limit: int) -> list[Told]:
    """Read the tenant's next events after `cursor` ("" is the beginning), in the order of the stream.

    Positions are given before commit, so events of transactions that still run may turn up below ones that are already
    visible: only what lies below the oldest running transaction is read. Raise ValueError for a wrong cursor.
    """
    tx, position = parse_cursor(cursor) if cursor else (0, 0)
    rows = connection.execute(
        text(
            f"""
            SELECT {PAYMENT_COLUMNS}, {_HAPPENING_COLUMNS}, e.tx::text || '.' || e.position
            FROM (SELECT * FROM events
                  WHERE tenant_id = :tenant_id AND (tx, position) > (CAST(:tx AS xid8), CAST(:position AS bigint))
                      AND tx < pg_snapshot_xmin(pg_current_snapshot())
                  ORDER BY tx, position LIMIT :limit) AS e
                JOIN payments p ON p.tenant_id = e.tenant_id AND p.payment_id = e.payment_id
            ORDER BY e.tx, e.position
            """
        ),
        {"tenant_id": tenant_id, "tx": str(tx), "position": position, "limit": limit},
    )
    return [Told(row[-1], payment_of(row), _happening_of(row)) for row in rows]


def head_cursor(connection: Connection) -> str:
    """Return the cursor after which everything that is committed from now on will come."""
    xmin = connection.execute(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")).scalar_one()
    return f"{int(xmin) - 1}.{_INT64_MAX}"


_DELIVERY_COLUMNS = """e.payment_id, e.revision, e.event_type, e.order_no, e.deliver_state, e.try_count, e.resend_count,
    e.last_error, (extract(epoch FROM e.create_time) * 1000)::bigint,
    coalesce((extract(epoch FROM e.next_try_time) * 1000)::bigint, 0),
    coalesce((extract(epoch FROM e.deliver_time) * 1000)::bigint, 0)"""
_DELIVERY_WIDTH = len(Delivery._fields)


def list_deliveries(
    connection: Connection,
    *,
    tenant_id: str,
    page_size: int,
    page_token: str = "",
    state: str = "",
    order_no: str = "",
    scope: Scope = EVERYWHERE,
) -> Page:
    """List deliveries, newest first; "" filters nothing. Raise ValueError for a wrong page token."""
    tx, position = parse_cursor(page_token) if page_token else (_INT64_MAX, _INT64_MAX)
    # An order is found through its payments: events have no index of their own for orders that are long settled.
    by_order = "AND e.payment_id IN (SELECT payment_ids_of_order(:tenant_id, :order_no))"
    within, reached = scopes.condition(scope)
    by_scope = f"""AND EXISTS (SELECT FROM payments p
                   WHERE p.tenant_id = e.tenant_id AND p.payment_id = e.payment_id AND {within})"""
    rows = connection.execute(
        text(
            f"""
            SELECT {_DELIVERY_COLUMNS}, e.tx::text || '.' || e.position FROM events e
            WHERE e.tenant_id = :tenant_id AND (e.tx, e.position) < (CAST(:tx AS xid8), CAST(:position AS bigint))
                {"AND e.deliver_state = :state" if state else ""} {by_order if order_no else ""}
                {by_scope if reached else ""}
            ORDER BY e.tx DESC, e.position DESC LIMIT :limit
            """
        ),
        {
            "tenant_id": tenant_id,
            "tx": str(tx),
            "position": position,
            "state": state,
            "order_no": order_no,
            "limit": page_size + 1,
            **reached,
        },
    ).all()
    token = rows[page_size - 1][-1] if len(rows) > page_size else ""
    return Page([Delivery(*row[:_DELIVERY_WIDTH]) for row in rows[:page_size]], token)


def resend(
    connection: Connection,
    *,
    tenant_id: str,
    event_id: str,
    request_id: str,
    principal: str = "",
    address: str = "",
    scope: Scope = EVERYWHERE,
) -> Delivery | None:
    """Send an event again, with the same id and the whole schedule; None if the tenant has no such event.

    Repeating a request_id sends nothing more. An event that is still PENDING stays as it is. Raise Refused REUSED for a
    request_id used with another event, FORBIDDEN_BY_STATE for a tenant without an endpoint.
    """
    key = parse_event_id(event_id)
    found = _delivery(connection, tenant_id, key, scope) if key else None
    if key is None or found is None:
        return None
    entry = Entry(
        tenant_id, principal, "Events.ResendEvent", "event", event_id, {"state": found.state}, request_id=request_id,
        address=address,
    )  # fmt: skip
    content_hash = hashlib.blake2b(event_id.encode(), digest_size=16).hexdigest()
    claim = once(connection, entry, content_hash)
    if claim.content_hash != content_hash:
        raise Refused(
            Refusal(Kind.REUSED, "REQUEST_ID_REUSED", "this request_id was used to resend another event",
                    metadata=(("request_id", request_id),))
        )  # fmt: skip
    if not claim.is_first:
        return found
    if not _has_endpoint(connection, tenant_id):
        raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "NO_ENDPOINT", "no webhook endpoint is configured and enabled"))
    connection.execute(
        text(
            """
            UPDATE events SET deliver_state = 'PENDING', next_try_time = now(), try_count = 0,
                resend_count = least(resend_count + 1, 32767)
            WHERE payment_id = :payment_id AND revision = :revision AND deliver_state <> 'PENDING'
            """
        ),
        {"payment_id": key[0], "revision": key[1]},
    )
    return _delivery(connection, tenant_id, key)


def _delivery(
    connection: Connection, tenant_id: str, key: tuple[str, int], scope: Scope = EVERYWHERE
) -> Delivery | None:
    within, reached = scopes.condition(scope)
    row = connection.execute(
        text(
            f"""SELECT {_DELIVERY_COLUMNS} FROM events e JOIN payments p USING (tenant_id, payment_id)
                WHERE e.payment_id = :payment_id AND e.revision = :revision AND e.tenant_id = :tenant_id AND {within}"""
        ),
        {"payment_id": key[0], "revision": key[1], "tenant_id": tenant_id, **reached},
    ).first()
    return None if row is None else Delivery(*row)


def _has_endpoint(connection: Connection, tenant_id: str) -> bool:
    found = connection.execute(
        text("SELECT 1 FROM webhook_endpoints WHERE tenant_id = :tenant_id AND disable_time IS NULL"),
        {"tenant_id": tenant_id},
    ).first()
    return found is not None


def backlog(connection: Connection) -> list[Backlog]:
    """Count what waits to be delivered, for gauges: only tenants for which something waits."""
    rows = connection.execute(
        text(
            """SELECT tenant_id, count(*), extract(epoch FROM now() - min(create_time))::float FROM events
               WHERE deliver_state = 'PENDING' GROUP BY tenant_id ORDER BY tenant_id"""
        )
    )
    return [Backlog(*row) for row in rows]
