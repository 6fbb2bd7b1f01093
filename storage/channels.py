"""What is kept of channels: changes of health, windows, and operators' hands."""

from typing import NamedTuple

from sqlalchemy import Connection, text

from domain.health import HealthSnapshot


class HealthChange(NamedTuple):
    """A change of state, in Unix milliseconds."""

    time_ms: int
    state: str
    score: float
    reason: str


def note_change(connection: Connection, snapshot: HealthSnapshot) -> None:
    """Append a change of a channel's health."""
    connection.execute(
        text(
            """INSERT INTO channel_health_changes (channel_id, state, score, reason)
               VALUES (:channel_id, :state, :score, :reason)"""
        ),
        {"channel_id": snapshot.channel_id, "state": snapshot.state, "score": snapshot.score,
         "reason": snapshot.reason[:256]},
    )  # fmt: skip


def recent_changes(connection: Connection, *, channel_id: str, limit: int) -> list[HealthChange]:
    """Read the newest changes, newest first."""
    rows = connection.execute(
        text(
            """SELECT (extract(epoch FROM create_time) * 1000)::bigint, state, score, reason
               FROM channel_health_changes WHERE channel_id = :channel_id ORDER BY change_id DESC LIMIT :limit"""
        ),
        {"channel_id": channel_id, "limit": limit},
    )
    return [HealthChange(*row) for row in rows]


def add_window(
    connection: Connection, *, window_id: str, channel_id: str, start_ms: int, end_ms: int, reason: str
) -> None:
    """Announce a span in which a channel is not offered."""
    connection.execute(
        text(
            """INSERT INTO maintenance_windows (window_id, channel_id, start_time, end_time, reason) VALUES
               (:window_id, :channel_id, to_timestamp(:start_ms / 1000.0), to_timestamp(:end_ms / 1000.0), :reason)"""
        ),
        {"window_id": window_id, "channel_id": channel_id, "start_ms": start_ms, "end_ms": end_ms, "reason": reason},
    )


def force(
    connection: Connection, *, forced_id: str, channel_id: str, state: str, expire_ms: int, reason: str, principal: str
) -> None:
    """Record an operator's hand on a channel."""
    connection.execute(
        text(
            """INSERT INTO forced_states (forced_id, channel_id, state, expire_time, reason, principal)
               VALUES (:forced_id, :channel_id, :state, to_timestamp(:expire_ms / 1000.0), :reason, :principal)"""
        ),
        {"forced_id": forced_id, "channel_id": channel_id, "state": state, "expire_ms": expire_ms, "reason": reason,
         "principal": principal},
    )  # fmt: skip
