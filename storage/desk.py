"""What the desk is set up with: tenants, channels, merchant accounts, windows. Small, read whole, held in memory."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from domain import terms
from domain.credentials import Credentials
from domain.refusals import Refused, Violation, invalid
from domain.settings import Level, Setting, Settings, value_violation
from domain.tenancy import Institution, Product, lineage
from domain.windows import Window
from storage import approval_policies, windows


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
    ends_ms: int = 0  # when the credentials that sign end, 0 for never


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
    windows: list[Window]
    forced: dict[str, ForcedRow]
    settings: Sequence[Setting] = ()
    # Versions of accounts and settings whose moment is still to come, the first to come first.
    later_accounts: Sequence[AccountRow] = ()
    later_settings: Sequence[Setting] = ()

    @property
    def next_ms(self) -> int:
        """When something that is known already comes into force, in Unix milliseconds; 0 for nothing."""
        moments = [item.valid_from_ms for item in self.later_accounts[:1]]
        moments += [item.valid_from_ms for item in self.later_settings[:1]]
        return min(moments, default=0)

    def users_of(self, channel_id: str) -> set[str]:
        """Return the tenants that have an account on a channel."""
        return {account.tenant_id for account in self.accounts if account.channel_id == channel_id}

    def closing(self, channel_id: str) -> list[Window]:
        """Return the windows in which nobody is offered a channel: those for all, and those of the only one who uses it."""
        users = self.users_of(channel_id)
        mine = (window for window in self.windows if window.channel_id == channel_id and window.is_whole)
        return [window for window in mine if not window.tenant_id or users == {window.tenant_id}]

    def settings_of(self, tenant_id: str) -> Settings:
        """Return what is set for a tenant."""
        tenant = self.tenants.get(tenant_id)
        branches = tenant.institutions if tenant else {}
        return Settings(tenant_id, self.settings, {name: tuple(lineage(branches, name)) for name in branches})

    def at(self, now_ms: int) -> "Desk":
        """Return the desk with everything in force whose moment has come."""
        if not (self.later_accounts or self.later_settings) or now_ms < self.next_ms:
            return self
        accounts = {account.account_id: account for account in self.accounts}
        settings = {(setting.key, setting.level): setting for setting in self.settings}
        for account in self.later_accounts:
            if account.valid_from_ms <= now_ms:
                accounts[account.account_id] = account
        for setting in self.later_settings:
            if setting.valid_from_ms <= now_ms:
                settings[setting.key, setting.level] = setting
        return self._replace(
            accounts=[accounts[account_id] for account_id in sorted(accounts)],
            settings=[setting for setting in settings.values() if setting.value is not None],
            later_accounts=[item for item in self.later_accounts if item.valid_from_ms > now_ms],
            later_settings=[item for item in self.later_settings if item.valid_from_ms > now_ms],
        )


def version(connection: Connection) -> int:
    """Return a number that moves whenever anything read here changes."""
    row = connection.exec_driver_sql("SELECT last_value + is_called::int FROM configuration_version").one()
    return int(row[0])


def load(connection: Connection) -> Desk:
    """Read the whole desk. The version is read first, so a change that lands meanwhile is read again later.

    A change takes its number before it commits. One that is under way keeps this reading from being taken for the last.
    """
    seen = version(connection)
    if connection.exec_driver_sql(_CHANGING).one()[0]:
        seen -= 1
    query = connection.exec_driver_sql
    channels = query("SELECT channel_id, display_name, kind, settings FROM channels ORDER BY channel_id")
    accounts = query(_IN_FORCE)
    later_accounts = query(_LATER)
    settings, later_settings = _load_settings(connection)
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
        windows=windows.in_sight(connection),
        forced={row[0]: ForcedRow(*row) for row in forced},
        settings=settings,
        later_accounts=[_account_of(row) for row in later_accounts],
        later_settings=later_settings,
    )


# The lock that `note_configuration_change` takes.
_CHANGING = """SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 7001 AND objid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND granted)"""
_ACCOUNT_COLUMNS = """a.account_id, a.tenant_id, a.channel_id, a.merchant_no, v.terms, v.version,
    CASE WHEN isfinite(v.valid_from) THEN (extract(epoch FROM v.valid_from) * 1000)::bigint ELSE 0 END,
    coalesce((SELECT (extract(epoch FROM k.not_after) * 1000)::bigint FROM credentials k
        WHERE k.tenant_id = a.tenant_id AND k.owner_kind = 'ACCOUNT' AND k.owner_id = a.account_id AND k.state = 'ACTIVE'
        ORDER BY k.version DESC LIMIT 1), 0)"""
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
    account_id, tenant_id, channel_id, merchant_no, terms, version_no, valid_from_ms, ends_ms = row
    return AccountRow(account_id, tenant_id, channel_id, merchant_no, terms, (), version_no, valid_from_ms, ends_ms)


def _load_settings(connection: Connection) -> tuple[list[Setting], list[Setting]]:
    """Read what is in force, and what will be: of a level's versions, one that is made later outdoes those before it."""
    rows = connection.exec_driver_sql(
        """SELECT key, tenant_id, institution_id, product_code, source, terminal, method, value, version,
                  CASE WHEN isfinite(valid_from) THEN (extract(epoch FROM valid_from) * 1000)::bigint ELSE 0 END,
                  valid_from <= now()
           FROM settings s WHERE NOT EXISTS (SELECT 1 FROM settings n
               WHERE (n.tenant_id, n.key, n.institution_id, n.product_code, n.source, n.terminal, n.method)
                   = (s.tenant_id, s.key, s.institution_id, s.product_code, s.source, s.terminal, s.method)
               AND n.version > s.version AND n.valid_from <= greatest(s.valid_from, now()))
           ORDER BY valid_from, version"""
    )
    settings: list[Setting] = []
    later: list[Setting] = []
    for row in rows:
        setting = Setting(row[0], Level(*row[1:7]), row[7], row[8], row[9])
        if not row[10]:
            later.append(setting)
        elif setting.value is not None:
            settings.append(setting)
    return settings, later


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
            """SELECT t.tenant_id, t.display_name, t.routing || coalesce(
                          r.content || jsonb_build_object('rule_set_version', r.version), '{}'), t.state, t.version
               FROM tenants t LEFT JOIN rule_sets r ON r.tenant_id = t.tenant_id AND r.state = 'IN_FORCE'"""
        )
    }  # fmt: skip


def install(connection: Connection, document: Mapping[str, Any]) -> None:
    """Bring the desk to what a document says; what it does not name stays. Raise Refused for what breaks a rule.

    Its secrets are passed over: `storage/credentials.py` installs a document with them.
    """
    for tenant in document.get("tenants", ()):
        _install_tenant(connection, tenant)
    for channel in document.get("channels", ()):
        _upsert(connection, "channels", ("channel_id",), {
            "channel_id": channel["channel_id"], "display_name": channel["display_name"], "kind": channel["kind"],
            "settings": json.dumps(channel.get("settings", {}))})  # fmt: skip
    for account in document.get("accounts", ()):
        _install_account(connection, account)
    for setting in document.get("settings", ()):
        _install_setting(connection, setting)


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
    known = with_moments({name: term for name, term in account.get("terms", {}).items() if name != "secret"})
    if found := terms.violations(known):
        raise Refused(invalid(*(Violation(f"{account['account_id']}: {name}", rule) for name, rule in found)))
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
        {"account_id": account["account_id"], "terms": json.dumps(known)},
    )


def with_moments(value: Any) -> Any:
    """Return a value of a document with its times as milliseconds: `valid_from` becomes `valid_from_ms`."""
    if isinstance(value, Mapping):
        return {
            f"{name}_ms" if isinstance(item, datetime) else name: with_moments(item) for name, item in value.items()
        }
    if isinstance(value, list):
        return [with_moments(item) for item in value]
    return int(value.timestamp() * 1_000) if isinstance(value, datetime) else value


def _install_setting(connection: Connection, setting: Mapping[str, Any]) -> None:
    """Give a setting a value at a level; another value than that given last is a version of its own."""
    if violation := value_violation(setting["key"], setting["value"]):
        raise Refused(invalid(violation._replace(field=f"{setting['key']}: {violation.field}")))
    level = Level(**{name: setting[name] for name in Level._fields if name in setting})
    connection.execute(
        text(
            """INSERT INTO settings (key, tenant_id, institution_id, product_code, source, terminal, method, version,
                                     value, valid_from, principal)
               SELECT :key, :tenant_id, :institution_id, :product_code, :source, :terminal, :method,
                      coalesce(max(version), 0) + 1, :value, now(), 'desk document'
               FROM settings WHERE (key, tenant_id, institution_id, product_code, source, terminal, method)
                   = (:key, :tenant_id, :institution_id, :product_code, :source, :terminal, :method)
               HAVING (array_agg(value ORDER BY version DESC))[1] IS DISTINCT FROM CAST(:value AS jsonb)"""
        ),
        {"key": setting["key"], "value": json.dumps(setting["value"]), **level._asdict()},
    )


def _upsert(connection: Connection, table: str, key: Sequence[str], values: dict[str, Any]) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name not in key)
    connection.execute(
        text(f"INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"),
        values,
    )
