"""API keys, for `paydesk keys`: made and revoked in the database itself, so that the first one can be made at all."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from domain.permissions import PLATFORM, PLATFORM_ROLES, TENANT_ROLES
from ops import shell
from ops.deployment import make_key
from ops.mistakes import CannotStart
from ops.settings import Settings
from storage import audit, identity
from storage import desk as desk_store
from storage.database import make_engine, transact

T = TypeVar("T")


def add(
    url: str, settings: Settings, *, tenant: str, principal: str, roles: Sequence[str], expire_ms: int = 0
) -> tuple[str, str]:
    """Make a key; return (key_id, key). Raise CannotStart for an unknown tenant or role, and for an expiry that is past."""
    possible = PLATFORM_ROLES if tenant == PLATFORM else TENANT_ROLES
    unknown = sorted(set(roles) - possible)
    if unknown:
        raise CannotStart(f"there is no role {unknown[0]!r} in {tenant}; there are {', '.join(sorted(possible))}")
    if not (0 < len(principal) <= shell.PRINCIPAL_LENGTH_MAX and principal.isprintable()):
        raise CannotStart(f"a principal is 1 to {shell.PRINCIPAL_LENGTH_MAX} printable characters")
    if expire_ms and expire_ms <= time.time_ns() // 1_000_000:
        raise CannotStart("the expiry is in the past")

    def work(connection: Connection) -> tuple[str, str]:
        tenants = desk_store.load(connection).tenants
        if tenant not in tenants and tenant != PLATFORM:
            raise CannotStart(f"there is no tenant {tenant!r}; there are {', '.join(sorted(tenants)) or 'none'}")
        made = make_key(
            connection, settings.directory(), tenant_id=tenant, principal=principal, roles=frozenset(roles),
            expire_ms=expire_ms,
        )  # fmt: skip
        after = {"principal": principal, "roles": sorted(roles), "expire_ms": expire_ms}
        audit.append(connection, [_entry(tenant, "add", made[0], after)])
        return made

    return _transact(url, work)


def revoke(url: str, key_id: str) -> bool:
    """Revoke a key; tell whether there was one that counted."""

    def work(connection: Connection) -> bool:
        row = connection.exec_driver_sql("SELECT tenant_id FROM api_keys WHERE key_id = %s", (key_id,)).one_or_none()
        if row is None or not identity.revoke_key(connection, tenant_id=row[0], key_id=key_id):
            return False
        audit.append(connection, [_entry(row[0], "revoke", key_id, None)])
        return True

    return _transact(url, work)


def _entry(tenant_id: str, verb: str, key_id: str, after: dict[str, object] | None) -> audit.Entry:
    return audit.Entry(
        tenant_id, shell.principal(), f"paydesk keys {verb}", "api_key", key_id, None, after, address=shell.ADDRESS
    )


def show(url: str, console: Console) -> None:
    """List the keys that ever were."""
    rows = _transact(
        url,
        lambda connection: connection.exec_driver_sql(
            """SELECT k.key_id, k.tenant_id, k.principal, coalesce(array_to_string(k.roles, ' '), 'all of its principal'),
                      to_char(k.create_time, 'YYYY-MM-DD HH24:MI'), coalesce(to_char(u.last_use_time, 'YYYY-MM-DD HH24:MI'), '-'),
                      CASE WHEN k.revoke_time IS NOT NULL THEN 'revoked ' || to_char(k.revoke_time, 'YYYY-MM-DD HH24:MI')
                           WHEN k.expire_time < now() THEN 'expired'
                           WHEN k.expire_time IS NOT NULL THEN 'counts until ' || to_char(k.expire_time, 'YYYY-MM-DD HH24:MI')
                           ELSE 'counts' END
               FROM api_keys k LEFT JOIN api_key_uses u USING (key_id) ORDER BY k.create_time, k.key_id"""
        ).all(),
    )
    table = Table(
        "key", "tenant", "principal", "roles", "made", "last used", "state", box=None, header_style="dim", padding=(0, 2)
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _transact(url: str, work: Callable[[Connection], T]) -> T:
    engine = make_engine(url, pool_size=1)
    try:
        return transact(engine, work)
    finally:
        engine.dispose()
