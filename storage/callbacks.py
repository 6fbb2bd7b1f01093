"""The inbox of verified callbacks: raw bytes kept, each notice of a channel applied once."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from storage.arrays import text_array


class Received(NamedTuple):
    """A verified callback."""

    channel_id: str
    notify_id: str
    attempt_no: str
    raw: bytes


class Parked(NamedTuple):
    """A callback that nothing could use yet. `notify_id` begins with the merchant's number. The time is Unix milliseconds."""

    channel_id: str
    notify_id: str
    attempt_no: str
    length: int
    receive_ms: int


def parked(connection: Connection, *, channel_id: str = "", limit: int) -> list[Parked]:
    """Read callbacks that are parked, newest first: of a channel, or of all."""
    rows = connection.exec_driver_sql(
        """SELECT channel_id, notify_id, attempt_no, octet_length(raw), (extract(epoch FROM receive_time) * 1000)::bigint
           FROM callbacks WHERE state = 'PARKED' AND (%(channel_id)s = '' OR channel_id = %(channel_id)s)
           ORDER BY receive_time DESC LIMIT %(limit)s""",
        {"channel_id": channel_id, "limit": limit},
    )
    return [Parked(*row) for row in rows]


def receive(
    connection: Connection, callbacks: Sequence[Received]
) -> tuple[set[tuple[str, str]], dict[tuple[str, str], str]]:
    """Keep callbacks; return the (channel_id, notify_id) applied before, and (channel_id, attempt_no) -> tenant_id.

    An attempt counts only for callbacks of its own channel: a channel has nothing to say about another's numbers.
    """
    arguments = (
        text_array([callback.channel_id for callback in callbacks]),
        text_array([callback.notify_id for callback in callbacks]),
        text_array([callback.attempt_no for callback in callbacks]),
        text_array([callback.raw.hex() for callback in callbacks]),
    )
    connection.exec_driver_sql(
        """INSERT INTO callbacks (channel_id, notify_id, attempt_no, state, raw)
           SELECT channel_id, notify_id, attempt_no, 'RECEIVED', decode(raw, 'hex')
           FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS t (channel_id, notify_id, attempt_no, raw)
           ON CONFLICT DO NOTHING""",
        arguments,
    )
    applied = connection.exec_driver_sql(
        """SELECT c.channel_id, c.notify_id FROM unnest(%s::text[], %s::text[]) AS t (channel_id, notify_id)
           JOIN callbacks c USING (channel_id, notify_id) WHERE c.state = 'APPLIED'""",
        arguments[:2],
    )
    owners = connection.exec_driver_sql(
        """SELECT a.channel_id, a.attempt_no, a.tenant_id FROM unnest(%s::text[], %s::text[]) AS t (channel_id, attempt_no)
           JOIN attempts a ON a.attempt_no = t.attempt_no AND a.channel_id = t.channel_id""",
        (arguments[0], arguments[2]),
    )
    return {(row[0], row[1]) for row in applied}, {(row[0], row[1]): row[2] for row in owners}


def mark(connection: Connection, results: Sequence[tuple[str, str, str]]) -> None:
    """Set the state of callbacks: (channel_id, notify_id, APPLIED or PARKED)."""
    connection.exec_driver_sql(
        """UPDATE callbacks c SET state = t.state
           FROM unnest(%s::text[], %s::text[], %s::text[]) AS t (channel_id, notify_id, state)
           WHERE c.channel_id = t.channel_id AND c.notify_id = t.notify_id AND c.state <> 'APPLIED'""",
        tuple(text_array([result[place] for result in results]) for place in range(3)),
    )
