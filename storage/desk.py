"""What the desk is set up with: tenants, channels, merchant accounts, windows, keys. Small, read whole, held in memory."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.credentials import Credentials


class Tenant(NamedTuple):
    """A company of the group. `routing` holds weights and rules as data."""

    tenant_id: str
    display_name: str
    products: frozenset[str]
    routing: Mapping[str, Any]


class ChannelRow(NamedTuple):
    """A channel; `kind` names the folder below `channels/` that speaks to it."""

    channel_id: str
    display_name: str
    kind: str
    settings: Mapping[str, Any]


class AccountRow(NamedTuple):
    """A tenant's contract on a channel; `terms` holds methods, fees, limits and visibility as data."""

    account_id: str
    tenant_id: str
    channel_id: str
    merchant_no: str
    terms: Mapping[str, Any]
    credentials: tuple[Credentials, ...] = ()


class WindowRow(NamedTuple):
    """A span in which a channel is not offered, in Unix milliseconds, end excluded."""

    window_id: str
    channel_id: str
    start_ms: int
    end_ms: int
    reason: str


class ForcedRow(NamedTuple):
    """An operator's hand on a channel, until a moment in Unix milliseconds."""

    channel_id: str
    state: str
    expire_ms: int
    reason: str


class Desk(NamedTuple):
    """Everything, at one version."""

    version: int
    tenants: dict[str, Tenant]
    channels: dict[str, ChannelRow]
    accounts: list[AccountRow]
    windows: list[WindowRow]
    forced: dict[str, ForcedRow]


class KeyRow(NamedTuple):
    """An API key, by the HMAC of its text."""

    key_digest: bytes
    key_id: str
    tenant_id: str
    principal: str
    roles: frozenset[str]
    expire_ms: int


def version(connection: Connection) -> int:
    """Return a number that moves whenever anything read here changes."""
    row = connection.exec_driver_sql("SELECT last_value + is_called::int FROM configuration_version").one()
    return int(row[0])


def load(connection: Connection) -> Desk:
    """Read the whole desk. The version is read first, so a change that lands meanwhile is read again later."""
    seen = version(connection)
    query = connection.exec_driver_sql
    tenants = query("SELECT tenant_id, display_name, products, routing FROM tenants")
    channels = query("SELECT channel_id, display_name, kind, settings FROM channels ORDER BY channel_id")
    accounts = query("SELECT account_id, tenant_id, channel_id, merchant_no, terms FROM merchant_accounts ORDER BY 1")
    windows = query(
        """SELECT window_id, channel_id, (extract(epoch FROM start_time) * 1000)::bigint,
                  (extract(epoch FROM end_time) * 1000)::bigint, reason
           FROM maintenance_windows WHERE end_time > now() - interval '1 hour' ORDER BY start_time"""
    )
    forced = query(
        """SELECT DISTINCT ON (channel_id) channel_id, state, (extract(epoch FROM expire_time) * 1000)::bigint, reason
           FROM forced_states WHERE expire_time > now() ORDER BY channel_id, create_time DESC"""
    )
    return Desk(
        version=seen,
        tenants={row[0]: Tenant(row[0], row[1], frozenset(row[2]), row[3]) for row in tenants},
        channels={row[0]: ChannelRow(*row) for row in channels},
        accounts=[AccountRow(*row) for row in accounts],
        windows=[WindowRow(*row) for row in windows],
        forced={row[0]: ForcedRow(*row) for row in forced},
    )


def load_keys(connection: Connection) -> list[KeyRow]:
    """Read the API keys that are neither revoked nor expired."""
    rows = connection.exec_driver_sql(
        """SELECT key_digest, key_id, tenant_id, principal, roles,
                  coalesce((extract(epoch FROM expire_time) * 1000)::bigint, 0)
           FROM api_keys WHERE revoke_time IS NULL AND (expire_time IS NULL OR expire_time > now())"""
    )
    return [KeyRow(bytes(row[0]), row[1], row[2], row[3], frozenset(row[4]), row[5]) for row in rows]


def add_key(
    connection: Connection, *, key_digest: bytes, key_id: str, tenant_id: str, principal: str, roles: Sequence[str]
) -> None:
    """Store a key's digest."""
    connection.execute(
        text(
            """INSERT INTO api_keys (key_digest, key_id, tenant_id, principal, roles)
               VALUES (:key_digest, :key_id, :tenant_id, :principal, :roles)"""
        ),
        {"key_digest": key_digest, "key_id": key_id, "tenant_id": tenant_id, "principal": principal,
         "roles": list(roles)},
    )  # fmt: skip


def revoke_key(connection: Connection, *, key_id: str) -> bool:
    """Revoke a key; tell whether there was one to revoke."""
    statement = text("UPDATE api_keys SET revoke_time = now() WHERE key_id = :key_id AND revoke_time IS NULL")
    return connection.execute(statement, {"key_id": key_id}).rowcount == 1


def install(connection: Connection, document: Mapping[str, Any]) -> None:
    """Bring tenants, channels, accounts and endpoints to what a desk document says; what it does not name stays."""
    for tenant in document.get("tenants", ()):
        _upsert(connection, "tenants", "tenant_id", {
            "tenant_id": tenant["tenant_id"], "display_name": tenant["display_name"],
            "products": list(tenant["products"]), "routing": json.dumps(tenant.get("routing", {}))})  # fmt: skip
        if "webhook" in tenant:
            _upsert(connection, "webhook_endpoints", "tenant_id", {
                "tenant_id": tenant["tenant_id"], "url": tenant["webhook"]["url"],
                "secrets": list(tenant["webhook"]["secrets"])})  # fmt: skip
    for channel in document.get("channels", ()):
        _upsert(connection, "channels", "channel_id", {
            "channel_id": channel["channel_id"], "display_name": channel["display_name"], "kind": channel["kind"],
            "settings": json.dumps(channel.get("settings", {}))})  # fmt: skip
    for account in document.get("accounts", ()):
        _upsert(connection, "merchant_accounts", "account_id", {
            "account_id": account["account_id"], "tenant_id": account["tenant_id"],
            "channel_id": account["channel_id"], "merchant_no": account["merchant_no"],
            "terms": json.dumps(account.get("terms", {}))})  # fmt: skip


def _upsert(connection: Connection, table: str, key: str, values: dict[str, Any]) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name != key)
    connection.execute(
        text(f"INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT ({key}) DO UPDATE SET {changes}"), values
    )
