"""Maintenance windows: announced, listed, cut short."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.moments import moment_text
from domain.refusals import Kind, Refusal, Refused
from domain.windows import FOREVER_MS, Window, overlap, weekly_spans

# A window that is cut short ends so much later, when every router and connector has read of its end.
CUT_MS = 4_000
# More than this on one channel nobody has an overview of.
WINDOWS_MAX = 100
_COLUMNS = """window_id, channel_id, (extract(epoch FROM start_time) * 1000)::bigint,
              coalesce((extract(epoch FROM end_time) * 1000)::bigint, 253402300800000), reason, account_id, method, weekly,
              tenant_id, principal, coalesce((extract(epoch FROM cancel_time) * 1000)::bigint, 0)"""
# One that was taken back before it began never was.
_ALIVE = "(cancel_time IS NULL OR start_time <= cancel_time)"


class Row(NamedTuple):
    """A window with what people are told of it; `hours` are the days and minutes that it comes again on, as stored."""

    window: Window
    hours: Mapping[str, Any]
    principal: str
    cancel_ms: int


def _row(row: Sequence[Any]) -> Row:
    hours, tenant_id, principal, cancel_ms = row[7:]
    spans = weekly_spans(hours["days"], hours["begin"], hours["end"]) if hours else ()
    return Row(Window(*row[:7])._replace(weekly=spans, tenant_id=tenant_id), hours, principal, cancel_ms)


def in_sight(connection: Connection) -> list[Window]:
    """Read what is or will be in force, and what ended within the hour."""
    rows = connection.exec_driver_sql(
        f"""SELECT {_COLUMNS} FROM maintenance_windows
            WHERE (end_time IS NULL OR end_time > now() - interval '1 hour') AND {_ALIVE} ORDER BY start_time, window_id"""
    )
    return [_row(row).window for row in rows]


def page(
    connection: Connection, *, channel_ids: Sequence[str], tenant_id: str, past: bool, after: str, limit: int
) -> list[Row]:
    """Read windows of channels that stand for a tenant's orders, or "" for those of all, by id; `past` ones where asked for."""
    rows = connection.execute(
        text(
            f"""SELECT {_COLUMNS} FROM maintenance_windows
                WHERE channel_id = ANY(:channel_ids) AND tenant_id IN ('', :tenant_id) AND window_id > :after
                  AND (:past OR ((end_time IS NULL OR end_time > now()) AND {_ALIVE})) ORDER BY window_id LIMIT :limit"""
        ),
        {"channel_ids": list(channel_ids), "tenant_id": tenant_id, "past": past, "after": after, "limit": limit},
    )
    return [_row(row) for row in rows]


def load(connection: Connection, *, window_id: str) -> Row | None:
    """Read one window."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM maintenance_windows WHERE window_id = :window_id"), {"window_id": window_id}
    ).one_or_none()
    return None if row is None else _row(row)


def add(
    connection: Connection, window: Window, hours: Mapping[str, Any], *, principal: str, may_overlap: bool
) -> None:
    """Announce a window. Raise Refused(RULE_CONFLICT) when another stands for the same at the same time."""
    # Two who announce at once are looked at one after the other.
    connection.execute(text("SELECT pg_advisory_xact_lock(7002, hashtext(:channel_id))"), window._asdict())
    others = [
        other for other in in_sight(connection)
        if other.channel_id == window.channel_id and other.tenant_id in ("", window.tenant_id)
    ]  # fmt: skip
    if len(others) >= WINDOWS_MAX:
        raise Refused(
            Refusal(Kind.FORBIDDEN_BY_STATE, "TOO_MANY_WINDOWS", f"there are {WINDOWS_MAX} windows on {window.channel_id}")
        )
    met = next((other for other in others if overlap(window, other)), None)
    if met is not None and not may_overlap:
        until = f" until {moment_text(met.end_ms)}" if met.end_ms < FOREVER_MS else ""
        message = f"overlaps {met.window_id} from {moment_text(met.start_ms)}{until}; say so if both shall stand"
        raise Refused(
            Refusal(Kind.FORBIDDEN_BY_STATE, "RULE_CONFLICT", message, metadata=(("window_id", met.window_id),))
        )
    connection.execute(
        text(
            """INSERT INTO maintenance_windows (window_id, channel_id, start_time, end_time, reason, account_id, method,
                                                weekly, tenant_id, principal)
               VALUES (:window_id, :channel_id, to_timestamp(:start_ms / 1000.0),
                       CASE WHEN :end_ms < 253402300800000 THEN to_timestamp(:end_ms / 1000.0) END, :reason, :account_id,
                       :method, CAST(:hours AS jsonb), :tenant_id, :principal)"""
        ),
        window._asdict() | {"hours": json.dumps(hours), "principal": principal},
    )


def cut(connection: Connection, *, window_id: str, end_ms: int, now_ms: int) -> None:
    """End a window at a moment, or take it back if it has not begun by then. Raise Refused when it is over."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM maintenance_windows WHERE window_id = :window_id FOR UPDATE"),
        {"window_id": window_id},
    ).one()
    window, _, _, cancel_ms = _row(row)
    if window.end_ms <= now_ms or (cancel_ms and window.start_ms > cancel_ms):
        raise Refused(Refusal(Kind.FORBIDDEN_BY_STATE, "WINDOW_OVER", f"window {window_id} is over"))
    if end_ms >= window.end_ms:
        raise Refused(
            Refusal(Kind.FORBIDDEN_BY_STATE, "WINDOW_NOT_CUT", "it ends before that by itself; announce another to prolong it")
        )
    connection.execute(
        text(
            """UPDATE maintenance_windows SET cancel_time = to_timestamp(:now_ms / 1000.0),
                   end_time = CASE WHEN start_time < to_timestamp(:end_ms / 1000.0) THEN to_timestamp(:end_ms / 1000.0)
                                   ELSE end_time END
               WHERE window_id = :window_id"""
        ),
        {"window_id": window_id, "end_ms": end_ms, "now_ms": now_ms},
    )
