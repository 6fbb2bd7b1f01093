"""What is kept of channels: changes of health, windows, and operators' hands."""

import secrets
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.health import Health, HealthSnapshot
from domain.identifiers import RANDOM_BYTES, identifier
from domain.permissions import PLATFORM
from storage import audit
from storage.acts import Act, Ask, register

FORCE = "channels.force_state"
# The end of a hand is kept in sight so long, for a connector that looks a moment later.
END_S = 60


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


def config_of(connection: Connection, *, channel_id: str) -> tuple[str, str, dict[str, Any], int] | None:
    """Read what a channel is set up with: name, kind, settings and version; None when there is no such channel."""
    row = connection.execute(
        text("SELECT display_name, kind, settings, version FROM channels WHERE channel_id = :channel_id"),
        {"channel_id": channel_id},
    ).one_or_none()
    return (row[0], row[1], row[2], row[3]) if row else None


# --- operators' hands -------------------------------------------------------------------------------------------------


def _show_force(connection: Connection, ask: Ask) -> dict[str, Any]:
    """Show what is wanted of a channel, and the hand that lies on it."""
    wanted = ask.arguments
    row = connection.execute(
        text(
            """SELECT state, (extract(epoch FROM expire_time) * 1000)::bigint, reason, principal FROM forced_states
               WHERE channel_id = :channel_id AND tenant_id IN ('', :tenant_id) ORDER BY create_time DESC LIMIT 1"""
        ),
        {"channel_id": wanted["channel_id"], "tenant_id": ask.tenant_id},
    ).one_or_none()
    last = {"state": row[0], "until_ms": row[1], "reason": row[2], "principal": row[3]} if row else None
    return {"channel_id": wanted["channel_id"], "state": wanted["state"], "ttl_s": wanted["ttl_s"], "last_hand": last}


def _force(connection: Connection, ask: Ask) -> str:
    channel_id, state, ttl_s = ask.arguments["channel_id"], ask.arguments["state"], ask.arguments["ttl_s"]
    forced_id = identifier("frc_", now_ms=ask.now_ms, random=secrets.token_bytes(RANDOM_BYTES))
    until_ms = ask.now_ms + (ttl_s or END_S) * 1000
    connection.execute(
        text(
            """INSERT INTO forced_states (forced_id, channel_id, state, expire_time, reason, tenant_id, principal)
               VALUES (:forced_id, :channel_id, :state, to_timestamp(:until_ms / 1000.0), :reason, :tenant_id, :principal)"""
        ),
        {"forced_id": forced_id, "channel_id": channel_id, "state": state, "until_ms": until_ms, "reason": ask.reason,
         "tenant_id": "" if ask.tenant_id == PLATFORM else ask.tenant_id, "principal": ask.proposer},
    )  # fmt: skip
    entry = audit.Entry(
        ask.tenant_id, ask.approver or ask.proposer, "Channels.ForceChannelState", "forced_state", forced_id, None,
        {"channel_id": channel_id, "state": state, "until_ms": until_ms}, ask.reason, ask.request_id, ask.address,
    )  # fmt: skip
    audit.append(connection, [entry])
    return forced_id


# Taking a channel out, or giving it back to its own health, can't wait; ignoring its health can.
register(
    Act(
        FORCE, "forced_state", _show_force, _force, waits=lambda shown: shown["state"] == Health.FORCED_CLOSED,
        checkers=frozenset({"CHANNEL_ADMIN", "SRE", "TENANT_ADMIN", "PLATFORM_ADMIN"}),
    )
)  # fmt: skip
