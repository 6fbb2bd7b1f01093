"""What the background has to do, asked in one question for all of it."""

from typing import NamedTuple

from sqlalchemy import Connection


class Due(NamedTuple):
    """For which errands there is work now."""

    questions: bool  # payments and refunds whose time has come
    notices: bool
    entries: bool  # of the audit that are not sealed


_DUE = """
    SELECT EXISTS (SELECT FROM payments WHERE next_action_time <= now())
            OR EXISTS (SELECT FROM refunds WHERE next_action_time <= now()),
        EXISTS (SELECT FROM tenants t CROSS JOIN LATERAL (
            SELECT FROM events e WHERE e.deliver_state = 'PENDING' AND e.next_try_time <= now() AND e.tenant_id = t.tenant_id
            LIMIT 1) first),
        EXISTS (SELECT FROM audit_sealed s CROSS JOIN LATERAL (
            SELECT FROM audit_entries e WHERE (e.tx, e.entry_id) > (s.tx, s.entry_id) LIMIT 1) first)
"""


def due(connection: Connection) -> Due:
    """Tell for which errands there is work."""
    return Due(*connection.exec_driver_sql(_DUE).one())
