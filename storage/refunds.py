"""Refunds in PostgreSQL. The cap is the CHECK on the payment's row; the unique attempt makes an extra payment go back once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.evidence import Evidence
from domain.refunds import QUERY_DELAYS_S, TERMINAL, Refund, State
from storage.arrays import columns, text_array

_DELAYS = "ARRAY[" + ",".join(map(str, QUERY_DELAYS_S)) + "]::int[]"
_COLUMNS = ", ".join(f"r.{field}" for field in Refund._fields)
_STATE_AT = Refund._fields.index("state")

Apply = Callable[[Refund, Evidence], tuple[State, bool] | None]


class Original(NamedTuple):
    """What the attempt took that a refund gives back from, and the channel's number of it ("" if it never told)."""

    paid_minor: int = 0
    channel_txn_no: str = ""


def refund_number(attempt_no: str) -> str:
    """Return the number under which the channel knows the automatic refund of an attempt: the same at every repeat."""
    return "R" + attempt_no


def _refund_of(row: Sequence[Any]) -> Refund:
    values = list(row[: len(Refund._fields)])
    values[_STATE_AT] = State(values[_STATE_AT])
    return Refund(*values)


def refund_attempts(connection: Connection, extras: Sequence[tuple[str, int, str, str]]) -> None:
    """Owe back what left-behind attempts took: (attempt_no, amount_minor, currency_code, merchant_no or "").

    Said twice is owed once; what another merchant says it took is owed by nobody here.
    """
    connection.exec_driver_sql(
        """INSERT INTO refunds (refund_id, tenant_id, payment_id, attempt_no, channel_id, merchant_no, amount_minor,
                                currency_code, cause, state, next_action_time)
           SELECT 'rfd_' || a.attempt_no, a.tenant_id, a.payment_id, a.attempt_no, a.channel_id, a.merchant_no,
                  t.amount_minor, t.currency_code, 'EARLIER_ATTEMPT_PAID', 'APPROVED', now()
           FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[])
                AS t (attempt_no, amount_minor, currency_code, merchant_no)
           JOIN attempts a ON a.attempt_no = t.attempt_no AND t.merchant_no IN ('', a.merchant_no)
           ON CONFLICT DO NOTHING""",
        tuple(columns(extras, "tntt")),
    )


def claim_due(connection: Connection, *, limit: int) -> list[tuple[Refund, Original]]:
    """Take refunds whose time has come; one that is to be sent is SUBMITTED by this very commit, before it is sent."""
    rows = connection.execute(
        text(
            f"""
            WITH due AS (SELECT refund_id FROM refunds WHERE next_action_time <= now() ORDER BY next_action_time
                         LIMIT :limit FOR UPDATE SKIP LOCKED)
            UPDATE refunds r SET query_count = least(r.query_count + 1, 1000),
                next_action_time = now() + ({_DELAYS})[least(r.query_count + 1, {len(QUERY_DELAYS_S)})]
                    * (0.8 + 0.4 * random()) * interval '1 s',
                update_time = now(), state = CASE WHEN r.state = 'APPROVED' THEN 'SUBMITTED' ELSE r.state END
            FROM due JOIN refunds old USING (refund_id)
                 JOIN payments p ON p.tenant_id = old.tenant_id AND p.payment_id = old.payment_id
                 LEFT JOIN attempts a ON a.attempt_no = old.attempt_no
            WHERE r.refund_id = due.refund_id
            RETURNING {_COLUMNS.replace("r.state", "old.state")}, p.amount_minor, coalesce(a.channel_txn_no, '')
            """
        ),
        {"limit": limit},
    )
    return [(_refund_of(row), Original(*row[len(Refund._fields) :])) for row in rows]


def apply_evidence(connection: Connection, batch: Sequence[Evidence], apply: Apply) -> list[str]:
    """Apply evidence about refunds under row locks; answer per item APPLIED, SAME or UNKNOWN_ATTEMPT."""
    numbers = sorted({item.refund_no.removeprefix("R") for item in batch})
    rows = connection.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM refunds r WHERE r.attempt_no = ANY (%s::text[]) ORDER BY r.attempt_no FOR UPDATE",
        (text_array(numbers),),
    )
    refunds = {refund.attempt_no: refund for refund in map(_refund_of, rows)}
    changed: dict[str, tuple[Refund, str]] = {}
    results = []
    for item in batch:
        refund = refunds.get(item.refund_no.removeprefix("R"))
        if refund is None:
            results.append("UNKNOWN_ATTEMPT")
            continue
        step = apply(refund, item)
        results.append("APPLIED" if step else "SAME")
        if step:
            refund = refund._replace(state=step[0], missed=step[1], revision=refund.revision + 1)
            refunds[refund.attempt_no] = refund
            changed[refund.refund_id] = (refund, item.reason)
    if changed:
        _store(connection, list(changed.values()))
    return results


def _store(connection: Connection, changed: Sequence[tuple[Refund, str]]) -> None:
    rows = [
        (refund.refund_id, refund.state, refund.missed, reason[:128], refund.revision, refund.state in TERMINAL)
        for refund, reason in changed
    ]
    connection.exec_driver_sql(
        f"""UPDATE refunds r SET state = t.state, missed = t.missed, reason = t.reason, revision = t.revision,
                update_time = now(), next_action_time = CASE WHEN t.final THEN NULL
                    ELSE least(r.next_action_time, now() + interval '{QUERY_DELAYS_S[0]} s') END
            FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::text[], %s::int[], %s::boolean[])
                AS t (refund_id, state, missed, reason, revision, final)
            WHERE r.refund_id = t.refund_id""",
        tuple(columns(rows, "ttbtnb")),
    )
    by_payment: dict[str, list[str]] = {}
    for refund, _ in changed:
        if refund.state is State.SUCCEEDED:
            by_payment.setdefault(refund.payment_id, []).append(refund.refund_id)
    # Each refund is a revision of its payment, so two of one payment are two steps.
    while by_payment:
        _book(connection, [waiting.pop() for waiting in by_payment.values()])
        by_payment = {payment_id: waiting for payment_id, waiting in by_payment.items() if waiting}


def _book(connection: Connection, refund_ids: Sequence[str]) -> None:
    """Count proved refunds, of different payments: history, journal and notice in the same transaction.

    Money that a left-behind attempt took never was the payment's, so it is not counted against it.
    """
    connection.exec_driver_sql(
        """
        WITH done AS (SELECT * FROM refunds WHERE refund_id = ANY (%s::text[])),
        moved AS (
            UPDATE payments p SET revision = p.revision + 1, update_time = now(),
                refunded_minor = p.refunded_minor
                    + CASE WHEN done.cause = 'EARLIER_ATTEMPT_PAID' THEN 0 ELSE done.amount_minor END
            FROM done WHERE p.tenant_id = done.tenant_id AND p.payment_id = done.payment_id
            RETURNING p.tenant_id, p.payment_id, p.order_no, p.product_code, p.account_id, p.revision, p.state,
                      done.cause, done.attempt_no, done.refund_id, done.channel_id, done.amount_minor, done.currency_code
        ), noted AS (
            INSERT INTO payment_history (payment_id, revision, event, state, source, reason, attempt_no)
            SELECT payment_id, revision, 'REFUND', state, 'QUERY', cause, attempt_no FROM moved
        ), posted AS (
            INSERT INTO journal (payment_id, revision, tenant_id, debit_account, credit_account, amount_minor,
                                 currency_code)
            SELECT payment_id, revision, tenant_id, 'orders:' || product_code,
                   'channel:' || channel_id || ':' || account_id, amount_minor, currency_code
            FROM moved WHERE cause <> 'EARLIER_ATTEMPT_PAID'
        )
        INSERT INTO events (payment_id, revision, tenant_id, order_no, event_type, state, reason, refund_id,
                            deliver_state, next_try_time)
        SELECT payment_id, revision, tenant_id, order_no, 'refund.succeeded', state, cause, refund_id,
               CASE WHEN wanted THEN 'PENDING' ELSE 'NONE' END, CASE WHEN wanted THEN now() END
        FROM (SELECT m.*, EXISTS (SELECT 1 FROM webhook_endpoints w WHERE w.tenant_id = m.tenant_id
                                  AND w.disable_time IS NULL) AS wanted FROM moved m) AS n
        """,
        (text_array(refund_ids),),
    )
