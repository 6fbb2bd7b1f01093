"""Payments in PostgreSQL: one statement per phase, one commit per batch.

`accept` writes the intents of a batch, `settle` what evidence did to a batch; both are prepared once per connection and
take one array per column. Between the two lies the channel: what `accept` has not committed was never sent, and what
`settle` has not committed was told to nobody.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.payments import CLOSE_AFTER_S, QUERY_DELAYS_S, SUBMIT_PATIENCE_S, Payment, State
from domain.regulars import Visit
from storage import payers
from storage.arrays import columns, text_array
from storage.payers import SealedPayer

# A time-out of the first answer, in jittered query steps, is the business of the domain; SQL only indexes into them.
_DELAYS = "ARRAY[" + ",".join(map(str, QUERY_DELAYS_S)) + "]::int[]"

ACCEPT = f"""
PREPARE accept_payments (text[], text[], text[], text[], text[], text[], bigint[], text[], text[], text[], text[],
                         text[], text[], text[], text[], text[], text[], bigint[], text[]) AS
    INSERT INTO payments (tenant_id, payment_id, request_id, content_hash, order_no, product_code, amount_minor,
        currency_code, method, terminal, source, subject, payer_ref, state, channel_id, account_id, merchant_no,
        attempt_no, attempt_index, expire_time, next_action_time, institution_id)
    SELECT tenant_id, payment_id, request_id, content_hash, order_no, product_code, amount_minor, currency_code, method,
        terminal, source, subject, payer_ref, 'SUBMITTING', channel_id, account_id, merchant_no, attempt_no, 1,
        to_timestamp(expire_ms / 1000.0), now() + interval '{SUBMIT_PATIENCE_S} s',
        institution_id
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
    AS i (tenant_id, payment_id, request_id, content_hash, order_no, product_code, amount_minor, currency_code, method,
          terminal, source, subject, payer_ref, channel_id, account_id, merchant_no, attempt_no, expire_ms,
          institution_id)
    WHERE (SELECT p.kept FROM payments p
           WHERE p.tenant_id || ':' || p.order_no = i.tenant_id || ':' || i.order_no AND p.kept) IS NULL
    ON CONFLICT DO NOTHING
    RETURNING payment_id, (extract(epoch FROM now()) * 1000)::bigint
"""
_ACCEPT_KINDS = "ttttttnttttttttttnt"

ATTEMPT = """
PREPARE note_attempts (text[], text[], text[], text[], text[], text[], text[]) AS
WITH input AS (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)
    AS t (payment_id, attempt_no, tenant_id, channel_id, account_id, merchant_no, decision)
), noted AS (
    INSERT INTO payment_history (payment_id, revision, event, state, source, reason, attempt_no)
    SELECT payment_id, 1, 'SUBMIT', 'SUBMITTING', 'CALLER', '', attempt_no FROM input
)
INSERT INTO attempts (payment_id, attempt_index, attempt_no, tenant_id, channel_id, account_id, merchant_no, state,
                      decision)
SELECT payment_id, 1, attempt_no, tenant_id, channel_id, account_id, merchant_no, 'LIVE', decision::json FROM input
"""

SETTLE = """
PREPARE settle_payments (text[], text[], text[], integer[], text[], text[], text[], text[], smallint[], text[], text[],
                         text[], bigint[], boolean[], text[], text[], integer[], text[], text[], text[]) AS
WITH input AS (
    SELECT t.*, t.event = 'CONFIRM' AND coalesce((SELECT k.kept FROM payments k
        WHERE k.tenant_id || ':' || k.order_no = t.tenant_id || ':' || t.order_no AND k.kept), false) AS paid_before
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
    AS t (tenant_id, payment_id, order_no, old_revision, event, new_state, new_reason, proof, proof_rank, attempt_no,
          attempt_state, txn_no, success_ms, late, action_kind, action_value, next_action_s, event_type, debit, credit)
), moved AS (
    UPDATE payments p SET
        state = i.new_state, reason = i.new_reason, revision = p.revision + 1, proof_rank = i.proof_rank,
        channel_txn_no = CASE WHEN i.txn_no <> '' THEN i.txn_no ELSE p.channel_txn_no END,
        action_kind = i.action_kind, action_value = i.action_value,
        late = p.late OR i.late, duplicate = p.duplicate OR i.paid_before,
        kept = CASE WHEN i.event = 'CONFIRM' AND NOT i.paid_before AND p.close_reason = '' THEN true END,
        refund_reserved_minor = CASE WHEN i.event = 'CONFIRM' AND (i.paid_before OR p.close_reason <> '')
                                THEN p.amount_minor ELSE p.refund_reserved_minor END,
        success_time = CASE WHEN i.success_ms > 0 THEN to_timestamp(i.success_ms / 1000.0) ELSE p.success_time END,
        query_count = 0, next_action_time = now() + i.next_action_s * interval '1 s', update_time = now()
    FROM input i
    WHERE p.tenant_id = i.tenant_id AND p.payment_id = i.payment_id AND p.revision = i.old_revision
    RETURNING p.tenant_id, p.payment_id, p.order_no, p.revision, p.state, p.reason, p.attempt_no, p.channel_id,
              p.merchant_no, p.amount_minor, p.currency_code, p.duplicate, p.close_reason, i.event, i.proof,
              i.attempt_state, i.txn_no, i.event_type, i.debit, i.credit
), attempted AS (
    UPDATE attempts a SET state = m.attempt_state, reason = m.reason, update_time = now(),
        channel_txn_no = CASE WHEN m.txn_no <> '' THEN m.txn_no ELSE a.channel_txn_no END
    FROM moved m WHERE a.attempt_no = m.attempt_no AND m.attempt_state <> ''
), noted AS (
    INSERT INTO payment_history (payment_id, revision, event, state, source, reason, attempt_no)
    SELECT payment_id, revision, event, state, proof, reason, attempt_no FROM moved
), told AS (
    INSERT INTO events (payment_id, revision, tenant_id, order_no, event_type, state, reason, deliver_state,
                        next_try_time)
    SELECT payment_id, revision, tenant_id, order_no,
           CASE WHEN event = 'CONFIRM' AND duplicate THEN 'payment.duplicate' ELSE event_type END, state, reason,
           CASE WHEN wanted THEN 'PENDING' ELSE 'NONE' END, CASE WHEN wanted THEN now() END
    FROM (SELECT m.*, EXISTS (SELECT 1 FROM webhook_endpoints w WHERE w.tenant_id = m.tenant_id
                              AND w.disable_time IS NULL) AS wanted FROM moved m WHERE m.event_type <> '') AS n
), posted AS (
    INSERT INTO journal (payment_id, revision, tenant_id, debit_account, credit_account, amount_minor, currency_code)
    SELECT payment_id, revision, tenant_id, debit, credit, amount_minor, currency_code FROM moved WHERE debit <> ''
), returning_money AS (
    INSERT INTO refunds (refund_id, tenant_id, payment_id, attempt_no, channel_id, merchant_no, amount_minor,
                         currency_code, cause, state, next_action_time)
    SELECT 'rfd_' || attempt_no, tenant_id, payment_id, attempt_no, channel_id, merchant_no, amount_minor,
           currency_code, CASE WHEN duplicate THEN 'DUPLICATE' ELSE 'PAID_AFTER_CLOSE' END, 'APPROVED', now()
    FROM moved WHERE event = 'CONFIRM' AND (duplicate OR close_reason <> '')
    ON CONFLICT DO NOTHING
)
SELECT payment_id, duplicate, (extract(epoch FROM now()) * 1000)::bigint FROM moved
"""
_SETTLE_KINDS = "tttnttttntttnbttnttt"

PREPARED = (ACCEPT, ATTEMPT, SETTLE)


class Intent(NamedTuple):
    """A payment and its first attempt, before they exist. The order of the fields is that of ACCEPT's columns."""

    tenant_id: str
    payment_id: str
    request_id: str
    content_hash: str
    order_no: str
    product_code: str
    amount_minor: int
    currency_code: str
    method: str
    terminal: str
    source: str
    subject: str
    payer_ref: str
    channel_id: str
    account_id: str
    merchant_no: str
    attempt_no: str
    expire_ms: int
    institution_id: str
    decision: str
    payer: SealedPayer | None = None


class Change(NamedTuple):
    """What evidence does to one payment. The order of the fields is that of SETTLE's columns.

    `attempt_state`, `event_type` and `debit` are "" where nothing is to be written; `next_action_s` is None for a final
    state. `old_revision` is the lock: a payment that has moved since is left alone.
    """

    tenant_id: str
    payment_id: str
    order_no: str
    old_revision: int
    event: str
    new_state: str
    new_reason: str
    proof: str
    proof_rank: int
    attempt_no: str
    attempt_state: str
    channel_txn_no: str
    success_ms: int
    late: bool
    action_kind: str
    action_value: str
    next_action_s: int | None
    event_type: str
    debit: str
    credit: str


class Settled(NamedTuple):
    """A change that was made."""

    payment_id: str
    duplicate: bool
    update_ms: int


class Clash(NamedTuple):
    """An existing payment that stands in the way of an intent: the same request, an open payment, or a paid order."""

    payment: Payment
    content_hash: str
    kept: bool


def accept(connection: Connection, intents: Sequence[Intent]) -> dict[str, int]:
    """Write intents; return `payment_id -> create_ms` of those written. The others clash with what is there."""
    parameters = tuple(columns([intent[:-2] for intent in intents], _ACCEPT_KINDS))
    made: dict[str, int] = dict(connection.exec_driver_sql(_execute("accept_payments", parameters), parameters).all())
    rows = [(i.payment_id, i.attempt_no, i.tenant_id, i.channel_id, i.account_id, i.merchant_no, i.decision)
            for i in intents if i.payment_id in made]  # fmt: skip
    if rows:
        parameters = tuple(columns(rows, "ttttttt"))
        connection.exec_driver_sql(_execute("note_attempts", parameters), parameters)
        payers.write(connection, [(i.tenant_id, i.payment_id, i.request_id, i.payer)
                                  for i in intents if i.payer is not None and i.payment_id in made])  # fmt: skip
    return made


def _execute(name: str, parameters: Sequence[str]) -> str:
    return f"EXECUTE {name} (" + ",".join(["%s"] * len(parameters)) + ")"


def settle(connection: Connection, changes: Sequence[Change]) -> list[Settled]:
    """Make changes by compare-and-set; return those made. At most one change per payment, and one success per order."""
    parameters = tuple(columns(changes, _SETTLE_KINDS))
    return [Settled(*row) for row in connection.exec_driver_sql(_execute("settle_payments", parameters), parameters)]


_MS = "coalesce((extract(epoch FROM {}) * 1000)::bigint, 0)"
PAYMENT_COLUMNS = ", ".join(
    {
        "create_ms": _MS.format("p.create_time"),
        "update_ms": _MS.format("p.update_time"),
        "expire_ms": _MS.format("p.expire_time"),
        "success_ms": _MS.format("p.success_time"),
    }.get(field, f"p.{field}")
    for field in Payment._fields
)
_STATE_AT = Payment._fields.index("state")


def payment_of(row: Sequence[Any]) -> Payment:
    """Build a payment from a row of PAYMENT_COLUMNS."""
    values = list(row[: len(Payment._fields)])
    values[_STATE_AT] = State(values[_STATE_AT])
    return Payment(*values)


def find_clashes(connection: Connection, keys: Sequence[tuple[str, str, str, str]]) -> list[Clash]:
    """Find what kept (tenant_id, request_id, order_no, method) from being written: the request, an open or a paid order."""
    rows = connection.exec_driver_sql(
        f"""
        WITH input AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
                       AS t (tenant_id, request_id, order_no, method)),
        hit AS (
            SELECT p.tenant_id, p.payment_id FROM input i
                JOIN payments p ON p.tenant_id || ':' || p.request_id = i.tenant_id || ':' || i.request_id
            UNION SELECT p.tenant_id, p.payment_id FROM input i
                JOIN payments p ON p.tenant_id || ':' || p.order_no = i.tenant_id || ':' || i.order_no
                WHERE p.kept OR (p.method = i.method AND p.state IN ('SUBMITTING', 'PENDING', 'UNKNOWN')))
        SELECT {PAYMENT_COLUMNS}, p.content_hash, p.kept IS TRUE FROM hit JOIN payments p USING (tenant_id, payment_id)
        """,
        tuple(columns(keys, "tttt")),
    )
    return [Clash(payment_of(row), row[-2], row[-1]) for row in rows]


def load_by_attempt(connection: Connection, attempt_nos: Sequence[str]) -> dict[str, Payment]:
    """Load the payments to which attempts belong: `attempt_no -> payment`, whichever attempt is current."""
    rows = connection.exec_driver_sql(
        f"""SELECT {PAYMENT_COLUMNS}, a.attempt_no FROM attempts a JOIN payments p USING (tenant_id, payment_id)
            WHERE a.attempt_no = ANY (%s::text[])""",
        (text_array(attempt_nos),),
    )
    return {row[-1]: payment_of(row) for row in rows}


def load(connection: Connection, keys: Sequence[tuple[str, str]]) -> list[Payment]:
    """Load payments by (tenant_id, payment_id); what does not exist is left out."""
    rows = connection.exec_driver_sql(
        f"""SELECT {PAYMENT_COLUMNS} FROM unnest(%s::text[], %s::text[]) AS t (tenant_id, payment_id)
            JOIN payments p USING (tenant_id, payment_id)""",
        (text_array([key[0] for key in keys]), text_array([key[1] for key in keys])),
    )
    return [payment_of(row) for row in rows]


def visits(connection: Connection, *, since_id: str, limit: int) -> list[Visit]:
    """Read who has paid through which account, oldest first, among the newest payments with ids after `since_id`.

    Of all tenants together at most about `limit` payments are looked at: each has an equal share of it.
    """
    rows = connection.execute(
        text(
            """SELECT p.tenant_id, p.payer_ref, p.method, p.account_id, (extract(epoch FROM p.update_time) * 1000)::bigint
               FROM tenants t CROSS JOIN LATERAL (
                   SELECT tenant_id, payer_ref, method, account_id, update_time, state FROM payments
                   WHERE tenant_id = t.tenant_id AND payment_id > :since_id
                   ORDER BY payment_id DESC LIMIT (SELECT greatest(:limit / count(*), 1) FROM tenants)) p
               WHERE p.payer_ref <> '' AND p.state = 'SUCCEEDED' ORDER BY p.update_time"""
        ),
        {"since_id": since_id, "limit": limit},
    )
    return [Visit(*row) for row in rows]


def load_by_request(connection: Connection, keys: Sequence[tuple[str, str]]) -> list[Payment]:
    """Load payments by (tenant_id, request_id); what does not exist is left out."""
    rows = connection.exec_driver_sql(
        f"""SELECT {PAYMENT_COLUMNS} FROM unnest(%s::text[], %s::text[]) AS t (tenant_id, request_id)
            JOIN payments p ON p.tenant_id || ':' || p.request_id = t.tenant_id || ':' || t.request_id""",
        (text_array([key[0] for key in keys]), text_array([key[1] for key in keys])),
    )
    return [payment_of(row) for row in rows]


class Redirect(NamedTuple):
    """Another attempt (REROUTE), the same one again (RESEND), or a wish to close (ASK_CLOSE)."""

    tenant_id: str
    payment_id: str
    old_revision: int
    event: str
    proof: str
    reason: str
    old_attempt_no: str
    old_attempt_state: str  # "" leaves the attempt as it is
    channel_id: str
    account_id: str
    merchant_no: str
    attempt_no: str
    attempt_index: int
    send_count: int
    decision: str  # "" makes no new attempt
    close_reason: str
    next_action_s: int


_REDIRECT_KINDS = "ttnttttttttt" "nnttn"


def redirect(connection: Connection, redirects: Sequence[Redirect]) -> set[str]:
    """Make redirects by compare-and-set; return the payment ids that moved."""
    rows = connection.exec_driver_sql(
        """
        WITH input AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::text[],
                %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::smallint[], %s::smallint[],
                %s::text[], %s::text[], %s::int[])
            AS t (tenant_id, payment_id, old_revision, event, proof, why, old_attempt_no, old_attempt_state, channel_id,
                  account_id, merchant_no, attempt_no, attempt_index, send_count, decision, close_reason, next_action_s)
        ), moved AS (
            UPDATE payments p SET revision = p.revision + 1, channel_id = i.channel_id, account_id = i.account_id,
                merchant_no = i.merchant_no, attempt_no = i.attempt_no, attempt_index = i.attempt_index,
                send_count = i.send_count, close_reason = i.close_reason, update_time = now(), query_count = 0,
                next_action_time = now() + i.next_action_s * interval '1 s'
            FROM input i
            WHERE p.tenant_id = i.tenant_id AND p.payment_id = i.payment_id AND p.revision = i.old_revision
            RETURNING p.payment_id, p.revision, p.state, i.event, i.proof, i.why, i.attempt_no, i.old_attempt_no,
                      i.old_attempt_state
        ), left_behind AS (
            UPDATE attempts a SET state = m.old_attempt_state, reason = m.why, update_time = now()
            FROM moved m WHERE a.attempt_no = m.old_attempt_no AND m.old_attempt_state <> ''
        ), noted AS (
            INSERT INTO payment_history (payment_id, revision, event, state, source, reason, attempt_no)
            SELECT payment_id, revision, event, state, proof, why, attempt_no FROM moved
        )
        SELECT payment_id FROM moved
        """,
        tuple(columns(redirects, _REDIRECT_KINDS)),
    )
    moved = {row[0] for row in rows}
    # A statement of its own: the unique "one live attempt" must see the old attempt gone.
    fresh = [change for change in redirects if change.decision and change.payment_id in moved]
    if fresh:
        connection.exec_driver_sql(
            """INSERT INTO attempts (payment_id, attempt_index, attempt_no, tenant_id, channel_id, account_id, merchant_no,
                                     state, decision)
               SELECT payment_id, attempt_index, attempt_no, tenant_id, channel_id, account_id, merchant_no, 'LIVE',
                      decision::json
               FROM unnest(%s::text[], %s::smallint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
                           %s::text[])
               AS t (payment_id, attempt_index, attempt_no, tenant_id, channel_id, account_id, merchant_no, decision)""",
            tuple(
                columns(
                    [
                        (c.payment_id, c.attempt_index, c.attempt_no, c.tenant_id, c.channel_id, c.account_id,
                         c.merchant_no, c.decision)
                        for c in fresh
                    ],
                    "tntttttt",
                )
            ),
        )
    return moved


def open_cases(connection: Connection, cases: Sequence[tuple[str, str, str, str, str]]) -> None:
    """Open cases (payment_id, kind, tenant_id, attempt_no, detail); one that is open already stays as it is."""
    connection.exec_driver_sql(
        """INSERT INTO cases (payment_id, kind, tenant_id, attempt_no, detail)
           SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING""",
        tuple(columns(cases, "ttttt")),
    )


def claim_due(connection: Connection, *, limit: int) -> list[Payment]:
    """Take payments whose time has come and put each off to its next step; no two callers get the same one.

    The end of an order is a step too, whatever the schedule says: what has expired is closed then. From there on the
    schedule begins anew, so that one lost answer to a close is not followed by minutes of silence.
    """
    rows = connection.execute(
        text(
            f"""
            WITH due AS (SELECT tenant_id, payment_id, CASE WHEN next_action_time = expire_time + interval '{CLOSE_AFTER_S} s'
                             THEN 1 ELSE least(query_count + 1, 1000) END AS step
                         FROM payments WHERE next_action_time <= now()
                         ORDER BY next_action_time LIMIT :limit FOR UPDATE SKIP LOCKED)
            UPDATE payments p SET query_count = due.step, next_action_time = least(
                now() + ({_DELAYS})[least(due.step, {len(QUERY_DELAYS_S)})] * (0.8 + 0.4 * random()) * interval '1 s',
                CASE WHEN p.expire_time > now() THEN p.expire_time + interval '{CLOSE_AFTER_S} s' END)
            FROM due WHERE p.tenant_id = due.tenant_id AND p.payment_id = due.payment_id
            RETURNING {PAYMENT_COLUMNS}
            """
        ),
        {"limit": limit},
    )
    return [payment_of(row) for row in rows]


def decision_of(connection: Connection, *, tenant_id: str, payment_id: str, attempt_index: int) -> Any | None:
    """Read the stored decision of an attempt; index 0 means the latest. None if there is no such payment or attempt."""
    row = connection.execute(
        text(
            """SELECT decision, attempt_index, (extract(epoch FROM create_time) * 1000)::bigint FROM attempts
               WHERE tenant_id = :tenant_id AND payment_id = :payment_id
               AND (:attempt_index = 0 OR attempt_index = :attempt_index) ORDER BY attempt_index DESC LIMIT 1"""
        ),
        {"tenant_id": tenant_id, "payment_id": payment_id, "attempt_index": attempt_index},
    ).first()
    return None if row is None else (row[0] if not isinstance(row[0], str) else json.loads(row[0]), row[1], row[2])
