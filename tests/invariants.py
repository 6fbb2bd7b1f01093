"""What must hold in the database at every moment, whatever happened before: each check returns what breaks it."""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection

from domain.payments import EDGES, START, Event
from domain.table import step

# Each query returns the rows that break the rule which names it.
RULES = {
    "an order is kept at most once": """
        SELECT tenant_id, order_no FROM payments WHERE kept GROUP BY 1, 2 HAVING count(*) > 1""",
    "a success that is not kept goes back": """
        SELECT p.payment_id FROM payments p LEFT JOIN refunds r ON r.attempt_no = p.attempt_no
        WHERE p.state = 'SUCCEEDED' AND p.kept IS NULL
        AND (r.refund_id IS NULL OR r.amount_minor <> p.amount_minor OR p.refund_reserved_minor <> p.amount_minor)""",
    "a success that is kept does not go back": """
        SELECT p.payment_id FROM payments p JOIN refunds r ON r.attempt_no = p.attempt_no WHERE p.kept""",
    "a success that is kept was not called off": """
        SELECT payment_id FROM payments WHERE kept AND (duplicate OR close_reason <> '')""",
    "money that an earlier attempt took goes back": """
        SELECT c.payment_id FROM cases c LEFT JOIN refunds r USING (attempt_no)
        WHERE c.kind = 'EARLIER_ATTEMPT_PAID' AND r.refund_id IS NULL""",
    "history has no gaps and its last row is the payment": """
        SELECT p.payment_id FROM payments p LEFT JOIN (
            SELECT payment_id, count(*) AS rows, max(revision) AS last,
                   (array_agg(state ORDER BY revision DESC))[1] AS state FROM payment_history GROUP BY 1) h
            USING (payment_id)
        WHERE h.rows IS DISTINCT FROM p.revision OR h.last IS DISTINCT FROM p.revision
        OR h.state IS DISTINCT FROM p.state""",
    "an open payment has a next step, a final one has none": """
        SELECT payment_id FROM payments
        WHERE (state IN ('SUBMITTING', 'PENDING', 'UNKNOWN')) <> (next_action_time IS NOT NULL)""",
    "every end is told exactly once": """
        SELECT h.payment_id, h.revision FROM payment_history h LEFT JOIN events e USING (payment_id, revision)
        WHERE (h.event IN ('CONFIRM', 'DECLINE', 'CONFIRM_CLOSE', 'RETURN_FUNDS', 'REFUND')) <>
              (e.payment_id IS NOT NULL)
        UNION ALL SELECT payment_id, revision FROM events e WHERE NOT EXISTS
            (SELECT 1 FROM payment_history h WHERE h.payment_id = e.payment_id AND h.revision = e.revision)""",
    "an event says what its history says": """
        SELECT payment_id, revision FROM events e JOIN payment_history h USING (payment_id, revision)
        WHERE e.state <> h.state OR (h.event = 'REFUND') <> (e.event_type = 'refund.succeeded')""",
    "every movement of money is booked once": """
        SELECT h.payment_id, h.revision FROM payment_history h LEFT JOIN journal j USING (payment_id, revision)
        WHERE (h.event = 'CONFIRM' OR (h.event = 'REFUND' AND h.reason <> 'EARLIER_ATTEMPT_PAID')) <>
              (j.payment_id IS NOT NULL)""",
    "the books hold what is kept": """
        SELECT p.payment_id FROM payments p LEFT JOIN (
            SELECT payment_id, sum(CASE WHEN debit_account LIKE 'channel:%' THEN amount_minor ELSE -amount_minor END)
                AS held FROM journal GROUP BY 1) j USING (payment_id)
        WHERE coalesce(j.held, 0) <>
              CASE WHEN p.state = 'SUCCEEDED' THEN p.amount_minor - p.refunded_minor ELSE 0 END""",
    "what was refunded is what refunds say": """
        SELECT p.payment_id FROM payments p LEFT JOIN (
            SELECT payment_id, sum(amount_minor) AS amount FROM refunds
            WHERE state = 'SUCCEEDED' AND cause <> 'EARLIER_ATTEMPT_PAID' GROUP BY 1) r USING (payment_id)
        WHERE coalesce(r.amount, 0) <> p.refunded_minor""",
    "the current attempt is the payment's": """
        SELECT p.payment_id FROM payments p LEFT JOIN attempts a USING (attempt_no)
        WHERE a.payment_id IS DISTINCT FROM p.payment_id OR a.attempt_index <> p.attempt_index
        OR a.channel_id <> p.channel_id OR a.merchant_no <> p.merchant_no""",
    "an open payment has one live attempt, a final one has none": """
        SELECT p.payment_id FROM payments p WHERE (SELECT count(*) FROM attempts a
            WHERE a.payment_id = p.payment_id AND a.state = 'LIVE')
        <> CASE WHEN p.state IN ('SUBMITTING', 'PENDING', 'UNKNOWN') THEN 1 ELSE 0 END""",
    "an unfinished refund has a next step": """
        SELECT refund_id FROM refunds
        WHERE (state NOT IN ('SUCCEEDED', 'FAILED')) <> (next_action_time IS NOT NULL)""",
}


# All in one, and prepared: planning them takes many times as long as running them, and they run after every step.
_SHOWN = 5
_ALL = "PREPARE invariants AS " + " UNION ALL ".join(
    f"SELECT {place}, (SELECT array_agg(row::text) FROM (SELECT * FROM ({query}) AS every LIMIT {_SHOWN}) AS row)"
    for place, query in enumerate(RULES.values())
)


def broken(connection: Connection) -> list[str]:
    """Return a line per rule that does not hold, with a few of the rows that break it."""
    if not connection.info.get("invariants"):
        connection.exec_driver_sql(_ALL.replace("%", "%%"))
        connection.info["invariants"] = True
    rules = list(RULES)
    rows = connection.exec_driver_sql("EXECUTE invariants")
    return [f"{rules[place]}: {found}" for place, found in rows if found] + _histories(connection)


def _histories(connection: Connection) -> list[str]:
    """Replay every history through the table."""
    rows = connection.exec_driver_sql(
        "SELECT payment_id, revision, event, state FROM payment_history ORDER BY payment_id, revision"
    )
    state: dict[str, Any] = {}
    found = []
    for payment_id, revision, event, reached in rows:
        if revision == 1:
            legal = (event, reached) == (Event.SUBMIT, START)
        elif event == "REFUND":
            legal = reached == state[payment_id]
        else:
            stepped = step(EDGES, state[payment_id], Event(event))
            legal = stepped is not None and stepped.state == reached
        if not legal:
            found.append(f"no such step: {payment_id} {state.get(payment_id)} --{event}--> {reached}")
        state[payment_id] = next(s for s in type(START) if s == reached)
    return found


def broken_against_truth(connection: Connection, truth: list[dict[str, Any]]) -> list[str]:
    """Compare with what the channels really moved, once everything has come to rest."""
    charged: dict[str, int] = defaultdict(int)
    returned: dict[str, int] = defaultdict(int)
    found = []
    for entry in truth:
        book = charged if entry["kind"] == "CHARGE" else returned
        if book[entry["attempt_no"]]:
            found.append(f"{entry['kind']} twice: {entry['attempt_no']}")
        book[entry["attempt_no"]] += int(entry["amount_minor"])
    rows = connection.exec_driver_sql(
        """SELECT a.attempt_no, a.attempt_no = p.attempt_no AND p.kept IS TRUE, p.amount_minor
           FROM attempts a JOIN payments p USING (tenant_id, payment_id)"""
    )
    ours = {row[0]: (row[1], row[2]) for row in rows}
    for attempt_no in charged.keys() - ours.keys():
        found.append(f"charged under a number that we never gave: {attempt_no}")
    for attempt_no, (kept, amount_minor) in ours.items():
        held = charged[attempt_no] - returned[attempt_no]
        if held != (amount_minor if kept else 0):
            found.append(f"attempt {attempt_no}: the channel holds {held}, we keep {amount_minor if kept else 0}")
    return found
