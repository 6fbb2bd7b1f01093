"""Figures about money and work that are asked of the tables, so that no restart loses them."""

from typing import NamedTuple

from sqlalchemy import Connection


class Gauge(NamedTuple):
    """One figure, by name and labels."""

    name: str
    labels: dict[str, str]
    value: float


class _Question(NamedTuple):
    """What a figure means, the labels that its first columns hold, and how it is asked."""

    text: str
    labels: tuple[str, ...]
    statement: str


QUESTIONS = {
    "unknown_payments": _Question(
        "Payments in UNKNOWN, by the time since they last moved", ("age_bucket",), """
        SELECT CASE WHEN now() - update_time < interval '1 minute' THEN 'under_1_min'
                    WHEN now() - update_time < interval '10 minutes' THEN 'under_10_min'
                    ELSE 'over_10_min' END, count(*)
        FROM payments WHERE state = 'UNKNOWN' AND next_action_time IS NOT NULL GROUP BY 1""",
    ),
    "money_in_doubt_minor": _Question(
        "Minor units of payments that are not final, by state", ("tenant", "kind"), """
        SELECT tenant_id, state, sum(amount_minor) FROM payments
        WHERE state IN ('UNKNOWN', 'SUBMITTING', 'PENDING') AND next_action_time IS NOT NULL GROUP BY 1, 2""",
    ),
    "overdue_payments": _Question(
        "Payments whose next step is more than a minute late", (),
        "SELECT count(*) FROM payments WHERE next_action_time < now() - interval '60 s'",
    ),
    "notify_backlog": _Question(
        "Events that wait for their delivery", (), "SELECT count(*) FROM events WHERE deliver_state = 'PENDING'",
    ),
    "notify_oldest_seconds": _Question(
        "Age of the oldest event that waits", (), """
        SELECT coalesce(extract(epoch FROM now() - min(create_time)), 0) FROM events
        WHERE deliver_state = 'PENDING'""",
    ),
    "notices_dead": _Question(
        "Events that were given up", (), "SELECT count(*) FROM events WHERE deliver_state = 'DEAD'",
    ),
    "refunds": _Question("Refunds by state", ("state",), "SELECT state, count(*) FROM refunds GROUP BY 1"),
    "approvals": _Question(
        "Sensitive acts that somebody had to be asked about, by state", ("state",),
        "SELECT state, count(*) FROM approvals WHERE approvers_needed > 0 GROUP BY 1",
    ),
    "approval_oldest_seconds": _Question(
        "Age of the oldest sensitive act that waits for somebody's approval", ("tenant",), """
        SELECT tenant_id, extract(epoch FROM now() - min(create_time)) FROM approvals
        WHERE state = 'PENDING' GROUP BY 1""",
    ),
    "cases_open": _Question(
        "Contradictions that need a person", ("kind",), "SELECT kind, count(*) FROM cases GROUP BY 1",
    ),
    "shell_acts_recent": _Question(
        "What a shell did in the database itself within an hour, such as making keys", ("tenant",), """
        SELECT tenant_id, count(*) FROM audit_entries
        WHERE address = 'shell' AND create_time > now() - interval '1 hour' GROUP BY 1""",
    ),
    "cert_days_left": _Question(
        "Days until something in use ends, for what ends within two months", ("tenant", "kind", "object", "channel"), """
        SELECT tenant_id, object_kind, object_id, channel_id, floor(extract(epoch FROM not_after - now()) / 86400)
        FROM expiries WHERE not_after BETWEEN now() - interval '60 days' AND now() + interval '60 days' ORDER BY not_after LIMIT 1000""",
    ),
    "reminders_open": _Question(
        "Messages to contacts that were not sent for certain", ("state",), """
        SELECT state, count(*) FROM reminders WHERE state IN ('DUE', 'FAILED', 'UNSURE') GROUP BY 1""",
    ),
    "callbacks_parked": _Question(
        "Verified callbacks that could not be used", ("channel",),
        "SELECT channel_id, count(*) FROM callbacks WHERE state = 'PARKED' GROUP BY 1",
    ),
}  # fmt: skip


def read(connection: Connection) -> list[Gauge]:
    """Ask for all of them."""
    gauges: list[Gauge] = []
    for name, question in QUESTIONS.items():
        for *labels, value in connection.exec_driver_sql(question.statement):
            gauges.append(Gauge(name, dict(zip(question.labels, map(str, labels), strict=True)), float(value)))
    return gauges
