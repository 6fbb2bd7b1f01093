"""What the background has to do, asked in one question for all of it."""

import contextlib
from typing import NamedTuple

import psycopg2
import sqlalchemy

from storage.database import DatabaseUnavailable, connect_plainly


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


class Question:
    """The question, ready to be asked again and again on a connection of its own: a tenth of what a transaction costs."""

    def __init__(self, url: str) -> None:
        self._url = sqlalchemy.make_url(url)
        self._connection: psycopg2.extensions.connection | None = None

    def ask(self) -> Due:
        """Tell for which errands there is work. Raise DatabaseUnavailable."""
        try:
            if self._connection is None:
                self._connection = self._prepared()
            with self._connection.cursor() as cursor:
                cursor.execute("EXECUTE due")
                return Due(*cursor.fetchone())  # type: ignore[misc]  # it has one row, always
        except psycopg2.Error as error:
            self.close()
            raise DatabaseUnavailable(str(error).strip().split("\n")[0]) from error

    def _prepared(self) -> "psycopg2.extensions.connection":
        connection = connect_plainly(self._url)
        with connection.cursor() as cursor:
            # Planned once, see `storage.database.make_engine`.
            cursor.execute(f"SET enable_seqscan = off; SET jit = off; PREPARE due AS {_DUE}")
        return connection

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None
