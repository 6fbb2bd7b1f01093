"""What the desk is set up with: tenants, channels, merchant accounts, windows. Small, read whole, held in memory."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain.credentials import Credentials
from domain.tenancy import Institution, Product
from storage import approval_policies


class Tenant(NamedTuple):
    """A company of the group. `routing` holds weights and rules as data."""

    tenant_id: str
    display_name: str
    products: Mapping[str, Product]
    routing: Mapping[str, Any]
    institutions: Mapping[str, Institution] = MappingProxyType({})
    state: str = "ACTIVE"
    version: int = 1


class ChannelRow(NamedTuple):
    """A channel; `kind` names the folder below `channels/` that speaks to it."""

    channel_id: str
    display_name: str
    kind: str
    settings: Mapping[str, Any]


class AccountRow(NamedTuple):
    """A tenant's contract on a channel, in one version; `terms` holds methods, fees, limits and visibility as data."""

    account_id: str
    tenant_id: str
    channel_id: str
    merchant_no: str
    terms: Mapping[str, Any]
    credentials: tuple[Credentials, ...] = ()
    version: int = 1
    valid_from_ms: int = 0


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
    later: Sequence[AccountRow] = ()  # versions of accounts whose moment is still to come, the first to come first


def version(connection: Connection) -> int:
    """Return a number that moves whenever anything read here changes."""
    row = connection.exec_driver_sql("SELECT last_value + is_called::int FROM configuration_version").one()
    return int(row[0])


def load(connection: Connection) -> Desk:
    """Read the whole desk. The version is read first, so a change that lands meanwhile is read again later."""
    seen = version(connection)
    query = connection.exec_driver_sql
    channels = query("SELECT channel_id, display_name, kind, settings FROM channels ORDER BY channel_id")
    accounts = query(_IN_FORCE)
    later = query(_LATER)
    windows = query(
        """SELECT window_id, channel_id, (extract(epoch FROM start_time) * 1000)::bigint,
                  (extract(epoch FROM end_time) * 1000)::bigint, reason
           FROM maintenance_windows WHERE end_time > now() - interval '1 hour' ORDER BY start_time"""
    )
    forced = query(
        # The newest hand counts alone: one that has been ended does not come back when its end has expired.
        """SELECT channel_id, state, (extract(epoch FROM expire_time) * 1000)::bigint, reason FROM (
               SELECT DISTINCT ON (channel_id) * FROM forced_states ORDER BY channel_id, create_time DESC) newest
           WHERE expire_time > now()"""
    )
    return Desk(
        version=seen,
        tenants=_load_tenants(connection),
        channels={row[0]: ChannelRow(*row) for row in channels},
        accounts=[_account_of(row) for row in accounts],
        windows=[WindowRow(*row) for row in windows],
        forced={row[0]: ForcedRow(*row) for row in forced},
        later=[_account_of(row) for row in later],
    )


_ACCOUNT_COLUMNS = """a.account_id, a.tenant_id, a.channel_id, a.merchant_no, v.terms, v.version,
    CASE WHEN isfinite(v.valid_from) THEN (extract(epoch FROM v.valid_from) * 1000)::bigint ELSE 0 END"""
_IN_FORCE = f"""
    SELECT DISTINCT ON (a.account_id) {_ACCOUNT_COLUMNS}
    FROM merchant_accounts a JOIN merchant_account_versions v USING (account_id)
    WHERE v.valid_from <= now() ORDER BY a.account_id, v.version DESC
"""
_LATER = f"""
    SELECT {_ACCOUNT_COLUMNS}
    FROM merchant_accounts a JOIN merchant_account_versions v USING (account_id)
    WHERE v.valid_from > now() AND NOT EXISTS (SELECT 1 FROM merchant_account_versions n
        WHERE n.account_id = v.account_id AND n.version > v.version AND n.valid_from <= v.valid_from)
    ORDER BY v.valid_from, v.version
"""


def _account_of(row: Sequence[Any]) -> AccountRow:
    account_id, tenant_id, channel_id, merchant_no, terms, version_no, valid_from_ms = row
    return AccountRow(account_id, tenant_id, channel_id, merchant_no, terms, (), version_no, valid_from_ms)


def _load_tenants(connection: Connection) -> dict[str, Tenant]:
    query = connection.exec_driver_sql
    institutions: dict[str, dict[str, Institution]] = {}
    for tenant_id, *fields in query(
        "SELECT tenant_id, institution_id, coalesce(parent_id, ''), display_name, state, version FROM institutions"
    ):
        institutions.setdefault(tenant_id, {})[fields[0]] = Institution(*fields)
    products: dict[str, dict[str, Product]] = {}
    for tenant_id, code, name, sellers, state, version_no in query(
        "SELECT tenant_id, product_code, display_name, institutions, state, version FROM products"
    ):
        products.setdefault(tenant_id, {})[code] = Product(code, name, frozenset(sellers), state, version_no)
    return {
        tenant_id: Tenant(
            tenant_id, display_name, products.get(tenant_id, {}), routing, institutions.get(tenant_id, {}), state,
            version_no,
        )
        for tenant_id, display_name, routing, state, version_no in query(
            "SELECT tenant_id, display_name, routing, state, version FROM tenants"
        )
    }  # fmt: skip


def install(connection: Connection, document: Mapping[str, Any]) -> None:
    """Bring tenants, channels, accounts and endpoints to what a desk document says; what it does not name stays.

    Its secrets are passed over: `storage/credentials.py` installs a document with them. Raise Refused for a policy of
    approvals that is none.
    """
    for tenant in document.get("tenants", ()):
        _install_tenant(connection, tenant)
    for channel in document.get("channels", ()):
        _upsert(connection, "channels", ("channel_id",), {
            "channel_id": channel["channel_id"], "display_name": channel["display_name"], "kind": channel["kind"],
            "settings": json.dumps(channel.get("settings", {}))})  # fmt: skip
    for account in document.get("accounts", ()):
        _install_account(connection, account)


def _install_tenant(connection: Connection, tenant: Mapping[str, Any]) -> None:
    tenant_id = tenant["tenant_id"]
    routing = {"routing": json.dumps(tenant["routing"])} if "routing" in tenant else {}
    _upsert(
        connection, "tenants", ("tenant_id",),
        {"tenant_id": tenant_id, "display_name": tenant["display_name"], **routing},
    )  # fmt: skip
    for institution in tenant.get("institutions", ()):
        _upsert(connection, "institutions", ("tenant_id", "institution_id"), {
            "tenant_id": tenant_id, "institution_id": institution["institution_id"],
            "parent_id": institution.get("parent_id") or None,
            "display_name": institution.get("display_name", institution["institution_id"])})  # fmt: skip
    for product in tenant.get("products", ()):
        known = product if isinstance(product, Mapping) else {"product_code": product}
        _upsert(connection, "products", ("tenant_id", "product_code"), {
            "tenant_id": tenant_id, "product_code": known["product_code"],
            "display_name": known.get("display_name", known["product_code"]),
            "institutions": list(known.get("institutions", ()))})  # fmt: skip
    if "webhook" in tenant:
        _upsert(connection, "webhook_endpoints", ("tenant_id",), {"tenant_id": tenant_id, "url": tenant["webhook"]["url"]})
    if "approvals" in tenant:
        approval_policies.install(connection, tenant_id=tenant_id, document=tenant["approvals"])


def _install_account(connection: Connection, account: Mapping[str, Any]) -> None:
    """Make or change an account; other terms than those made last are a version of their own, in force at once."""
    _upsert(connection, "merchant_accounts", ("account_id",), {
        "account_id": account["account_id"], "tenant_id": account["tenant_id"], "channel_id": account["channel_id"],
        "merchant_no": account["merchant_no"]})  # fmt: skip
    connection.execute(
        text(
            """INSERT INTO merchant_account_versions (account_id, version, terms, valid_from, principal)
               SELECT :account_id, coalesce(max(version), 0) + 1, :terms, CASE WHEN count(*) = 0 THEN
                      '-infinity' ELSE now() END, 'desk document'
               FROM merchant_account_versions WHERE account_id = :account_id
               HAVING (array_agg(terms ORDER BY version DESC))[1] IS DISTINCT FROM CAST(:terms AS jsonb)"""
        ),
        {"account_id": account["account_id"],
         "terms": json.dumps({name: term for name, term in account.get("terms", {}).items() if name != "secret"})},
    )  # fmt: skip


def _upsert(connection: Connection, table: str, key: Sequence[str], values: dict[str, Any]) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name not in key)
    connection.execute(
        text(f"INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"),
        values,
    )
