"""API keys, for `paydesk keys`."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ops.deployment import CannotStart, make_key
from ops.settings import Settings
from servers.identity import ROLES
from storage import desk as desk_store
from storage.database import make_engine, transact

PRINCIPAL_LENGTH_MAX = 64


def add(url: str, settings: Settings, *, tenant: str, principal: str, roles: Sequence[str]) -> tuple[str, str]:
    """Make a key; return (key_id, key). Raise CannotStart for an unknown tenant or role."""
    unknown = sorted(set(roles) - ROLES)
    if unknown:
        raise CannotStart(f"there is no role {unknown[0]!r}; there are {', '.join(sorted(ROLES))}")
    if not (0 < len(principal) <= PRINCIPAL_LENGTH_MAX and principal.isprintable()):
        raise CannotStart(f"a principal is 1 to {PRINCIPAL_LENGTH_MAX} printable characters")
    engine = make_engine(url, pool_size=1)
    try:
        tenants = transact(engine, desk_store.load).tenants
        if tenant not in tenants:
            raise CannotStart(f"there is no tenant {tenant!r}; there are {', '.join(sorted(tenants)) or 'none'}")
        return transact(
            engine,
            lambda connection: make_key(
                connection, settings.directory(), tenant_id=tenant, principal=principal, roles=frozenset(roles)
            ),
        )
    finally:
        engine.dispose()


def revoke(url: str, key_id: str) -> bool:
    """Revoke a key; tell whether there was one that counted."""
    engine = make_engine(url, pool_size=1)
    try:
        return transact(engine, lambda connection: desk_store.revoke_key(connection, key_id=key_id))
    finally:
        engine.dispose()


def show(url: str, console: Console) -> None:
    """List the keys that ever were."""
    engine = make_engine(url, pool_size=1)
    try:
        rows = transact(
            engine,
            lambda connection: connection.exec_driver_sql(
                """SELECT key_id, tenant_id, principal, array_to_string(roles, ' '), to_char(create_time, 'YYYY-MM-DD HH24:MI'),
                          CASE WHEN revoke_time IS NOT NULL THEN 'revoked ' || to_char(revoke_time, 'YYYY-MM-DD HH24:MI')
                               WHEN expire_time < now() THEN 'expired' ELSE 'counts' END
                   FROM api_keys ORDER BY create_time, key_id"""
            ).all(),
        )
    finally:
        engine.dispose()
    table = Table("key", "tenant", "principal", "roles", "made", "state", box=None, header_style="dim", padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    console.print(table)
