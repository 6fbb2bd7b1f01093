"""The inbox of verified callbacks: raw bytes kept, each notice of a channel applied once."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from storage.arrays import text_array

# Before this comes everything: Unix microseconds, and a place among what came at one time.
NEWEST = (2**62, "")


class Received(NamedTuple):
    """A verified callback."""

    channel_id: str
    notify_id: str
    attempt_no: str
    raw: bytes


class Known(NamedTuple):
    """Whether a callback was applied before, and whose attempt it speaks of, "" where it is nobody's."""

    is_applied: bool
    tenant_id: str


class Parked(NamedTuple):
    """A callback that nothing could use yet. The time is Unix microseconds; `place` tells apart what came at one time."""

    channel_id: str
    merchant_no: str
    notify_id: str
    attempt_no: str
    size_bytes: int
    receive_us: int
    place: str


def parked(
    connection: Connection,
    *,
    channel_id: str = "",
    accounts: Sequence[tuple[str, str]] | None = None,
    before: tuple[int, str] = NEWEST,
    limit: int,
) -> list[Parked]:
    """Read callbacks that are parked, newest first, of a channel or of all: those before a time and place.

    `accounts` are the (channel_id, merchant_no) whose callbacks are read; None reads everybody's.
    """
    rows = connection.exec_driver_sql(
        """SELECT channel_id, merchant_no, notify_id, attempt_no, size_bytes, receive_us, place
           FROM (SELECT *, (extract(epoch FROM receive_time) * 1000000)::bigint AS receive_us FROM parked_callbacks) p
           WHERE (%(channel_id)s = '' OR channel_id = %(channel_id)s) AND (receive_us, place) < (%(us)s, %(place)s)
             AND (%(all)s OR (channel_id, merchant_no) IN (SELECT * FROM unnest(%(channels)s::text[], %(merchants)s::text[])))
           ORDER BY receive_us DESC, place DESC LIMIT %(limit)s""",
        {
            "channel_id": channel_id, "us": before[0], "place": before[1], "limit": limit, "all": accounts is None,
            "channels": text_array([channel for channel, _ in accounts or ()]),
            "merchants": text_array([merchant_no for _, merchant_no in accounts or ()]),
        },
    )
    return [Parked(*row) for row in rows]


def known(connection: Connection, callbacks: Sequence[Received]) -> list[Known]:
    """Return what is known of each callback, in one statement.

    An attempt counts only for callbacks of its own channel: a channel has nothing to say about another's numbers.
    """
    rows = connection.exec_driver_sql(
        """SELECT coalesce(c.state = 'APPLIED', false), coalesce(a.tenant_id, '')
           FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS t (channel_id, notify_id, attempt_no, place)
           LEFT JOIN callbacks c ON c.channel_id = t.channel_id AND c.notify_id = t.notify_id
           LEFT JOIN attempts a ON a.attempt_no = t.attempt_no AND a.channel_id = t.channel_id
           ORDER BY t.place""",
        (
            text_array([callback.channel_id for callback in callbacks]),
            text_array([callback.notify_id for callback in callbacks]),
            text_array([callback.attempt_no for callback in callbacks]),
        ),
    )
    return [Known(*row) for row in rows]


def keep(connection: Connection, callbacks: Sequence[tuple[Received, str]]) -> None:
    """Keep callbacks and what became of them, APPLIED or PARKED, in one statement; what was applied once stays so."""
    # Of two with one number in a batch the one that was applied counts, as it does of two that come one after the other.
    applied_last = sorted(callbacks, key=lambda each: each[1] == "APPLIED")
    rows = {(callback.channel_id, callback.notify_id): (callback, state) for callback, state in applied_last}.values()
    connection.exec_driver_sql(
        """INSERT INTO callbacks AS c (channel_id, notify_id, attempt_no, state, raw)
           SELECT channel_id, notify_id, attempt_no, state, decode(raw, 'hex')
           FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
                AS t (channel_id, notify_id, attempt_no, state, raw)
           ORDER BY channel_id, notify_id
           ON CONFLICT (channel_id, notify_id) DO UPDATE SET state = EXCLUDED.state WHERE c.state <> 'APPLIED'""",
        (
            text_array([callback.channel_id for callback, _ in rows]),
            text_array([callback.notify_id for callback, _ in rows]),
            text_array([callback.attempt_no for callback, _ in rows]),
            text_array([state for _, state in rows]),
            text_array([callback.raw.hex() for callback, _ in rows]),
        ),
    )
