"""What happened in the demo, asked of the tables: plain data for `--json` and for the report."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

Row = tuple[Any, ...]

# What a channel was made of each attempt: per channel and second for the drawings, and in sum.
_ATTEMPTS = """
SELECT a.channel_id, count(*), count(*) FILTER (WHERE a.state = 'DONE'), count(*) FILTER (WHERE a.state = 'REJECTED'),
       count(*) FILTER (WHERE a.state = 'NOT_SENT'), count(*) FILTER (WHERE a.state = 'CLOSED'),
       coalesce(sum(p.amount_minor - p.refunded_minor) FILTER (WHERE p.kept AND p.attempt_no = a.attempt_no), 0)::bigint,
       count(*) FILTER (WHERE u.payment_id IS NOT NULL)
FROM attempts a JOIN payments p USING (tenant_id, payment_id)
LEFT JOIN (SELECT DISTINCT payment_id, attempt_no FROM payment_history WHERE event = 'LOSE_ANSWER') u
    ON u.attempt_no = a.attempt_no
GROUP BY 1 ORDER BY 2 DESC
"""
_PER_SECOND = """
SELECT channel_id, floor(extract(epoch FROM create_time - (SELECT min(create_time) FROM attempts)))::int, count(*)
FROM attempts GROUP BY 1, 2
"""
# A decision is stored as a document: "a" the approach, "k" the candidates as [channel, account, eliminated by, ...].
_APPROACHES = "SELECT decision->>'a', channel_id, count(*) FROM attempts GROUP BY 1, 2 ORDER BY 3 DESC"
_ELIMINATED = """
SELECT k->>2, k->>0, count(*) FROM attempts, json_array_elements(decision->'k') k
WHERE k->>2 <> '' GROUP BY 1, 2 ORDER BY 3 DESC
"""
# One payment for each interesting way of deciding.
_EXAMPLES = """
(SELECT 'avoided' AS kind, a.tenant_id, a.payment_id, a.attempt_index FROM attempts a,
     json_array_elements(a.decision->'k') k WHERE k->>2 = 'CIRCUIT_OPEN' ORDER BY a.create_time LIMIT 1)
UNION ALL (SELECT 'failed over', tenant_id, payment_id, attempt_index FROM attempts WHERE decision->>'a' = 'FAIL_OVER'
           ORDER BY create_time LIMIT 1)
UNION ALL (SELECT 'tried out', tenant_id, payment_id, attempt_index FROM attempts WHERE decision->>'a' = 'EXPLORE'
           ORDER BY create_time LIMIT 1)
UNION ALL (SELECT 'by score', tenant_id, payment_id, attempt_index FROM attempts WHERE decision->>'a' = 'SCORE'
           AND json_array_length(decision->'k') > 3 ORDER BY create_time LIMIT 1)
"""
# Every silence, and what ended it: the next change to another state.
_DOUBT = """
SELECT end_.source, end_.state, count(*),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY end_.seconds), max(end_.seconds)
FROM (SELECT DISTINCT ON (payment_id) payment_id, revision, create_time FROM payment_history
      WHERE event = 'LOSE_ANSWER' ORDER BY payment_id, revision) lost
CROSS JOIN LATERAL (
    SELECT h.source, h.state, extract(epoch FROM h.create_time - lost.create_time)::float8 AS seconds
    FROM payment_history h WHERE h.payment_id = lost.payment_id AND h.revision > lost.revision AND h.state <> 'UNKNOWN'
    ORDER BY h.revision LIMIT 1) end_
GROUP BY 1, 2 ORDER BY 3 DESC
"""
_DOUBT_COUNT = "SELECT count(DISTINCT payment_id), count(*) FROM payment_history WHERE event = 'LOSE_ANSWER'"
_RESENT = "SELECT count(*) FROM payment_history WHERE event = 'RESEND'"
_STATES = "SELECT state, count(*), sum(amount_minor)::bigint FROM payments GROUP BY 1 ORDER BY 2 DESC"
_KEPT = "SELECT count(*), coalesce(sum(amount_minor), 0)::bigint FROM payments WHERE kept"
_ENDS = """
SELECT state, CASE WHEN reason = '' THEN '-' ELSE reason END, count(*) FROM payments WHERE state IN ('FAILED', 'CLOSED')
GROUP BY 1, 2 ORDER BY 3 DESC
"""
_LATE = "SELECT count(*) FROM payments WHERE late"
_REFUNDS = """
SELECT cause, state, count(*), sum(amount_minor)::bigint,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM update_time - create_time))
FROM refunds GROUP BY 1, 2 ORDER BY 1, 2
"""
_CASES = "SELECT kind, count(*) FROM cases GROUP BY 1 ORDER BY 2 DESC"
_CALLBACKS = "SELECT channel_id, state, count(*) FROM callbacks GROUP BY 1, 2 ORDER BY 1, 2"
_EVENTS = """
SELECT deliver_state, count(*), coalesce(sum(try_count), 0)::bigint,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM deliver_time - create_time)),
       percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM deliver_time - create_time))
FROM events GROUP BY 1
"""
_CHANGES = """
SELECT channel_id, state, reason,
       extract(epoch FROM create_time - (SELECT min(create_time) FROM attempts))::float8
FROM channel_health_changes ORDER BY change_id
"""


def read(connection: Connection) -> dict[str, Any]:
    """Return everything that the report tells, as plain data."""

    def rows(statement: str) -> list[Row]:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]

    per_second: dict[str, dict[int, int]] = {}
    for channel_id, second, count in rows(_PER_SECOND):
        per_second.setdefault(channel_id, {})[second] = count
    kept = rows(_KEPT)[0]
    doubt = rows(_DOUBT_COUNT)[0]
    names = ("channel_id", "routed", "succeeded", "declined", "not_sent", "closed", "kept_minor", "doubted")
    return {
        "channels": [
            dict(zip(names, row, strict=True)) | {"per_second": _filled(per_second.get(row[0], {}))}
            for row in rows(_ATTEMPTS)
        ],
        "changes": [_named("channel_id state reason second", row) for row in rows(_CHANGES)],
        "approaches": [_named("approach channel_id count", row) for row in rows(_APPROACHES)],
        "eliminated": [_named("reason channel_id count", row) for row in rows(_ELIMINATED)],
        "examples": [_named("kind tenant_id payment_id attempt_index", row) for row in rows(_EXAMPLES)],
        "doubt": {
            "payments": doubt[0],
            "resent": rows(_RESENT)[0][0],
            "ends": [_named("source state count median_s max_s", row) for row in rows(_DOUBT)],
        },
        "states": [_named("state count amount_minor", row) for row in rows(_STATES)],
        "ends": [_named("state reason count", row) for row in rows(_ENDS)],
        "kept": {"count": kept[0], "amount_minor": kept[1]},
        "late": rows(_LATE)[0][0],
        "refunds": [_named("cause state count amount_minor median_s", row) for row in rows(_REFUNDS)],
        "cases": dict(rows(_CASES)),
        "callbacks": [_named("channel_id state count", row) for row in rows(_CALLBACKS)],
        "events": [_named("state count tries median_s p99_s", row) for row in rows(_EVENTS)],
    }


def _named(names: str, row: Row) -> dict[str, Any]:
    return {name: _plain(value) for name, value in zip(names.split(), row, strict=True)}


def _plain(value: Any) -> Any:
    """Turn what PostgreSQL computes as numeric into a float that JSON knows."""
    return value if value is None or isinstance(value, int | str | float) else round(float(value), 3)


def _filled(counts: Mapping[int, int]) -> list[int]:
    return [counts.get(second, 0) for second in range(max(counts, default=-1) + 1)]


# Small enough to ask every second while the day goes on.
_NOW = "SELECT channel_id, state, count(*) FROM payments GROUP BY 1, 2"
_REST = """
SELECT (SELECT count(*) FROM payments WHERE next_action_time IS NOT NULL),
       (SELECT count(*) FROM refunds WHERE next_action_time IS NOT NULL),
       (SELECT count(*) FROM events WHERE deliver_state = 'PENDING'),
       (SELECT count(*) FROM events WHERE deliver_state = 'DELIVERED'),
       (SELECT count(*) FROM payment_history)
"""


def counts_now(connection: Connection) -> tuple[dict[str, dict[str, int]], tuple[int, int, int, int, int]]:
    """Return payments by channel and state; and open payments, open refunds, notices waiting and delivered, changes."""
    by_channel: dict[str, dict[str, int]] = {}
    for channel_id, state, count in connection.exec_driver_sql(_NOW):
        by_channel.setdefault(channel_id, {})[state] = count
    rest = connection.exec_driver_sql(_REST).one()
    return by_channel, (rest[0], rest[1], rest[2], rest[3], rest[4])
