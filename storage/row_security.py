"""The second wall between tenants: PostgreSQL itself shows a transaction of the edge the rows of one tenant alone.

Such a transaction runs as ROLE, which owns nothing and can't log in, and names its tenant for itself alone. A policy on
every table with a tenant in it then hides all other rows, so a forgotten WHERE finds nothing of others. Actors, which
serve all tenants, stay the owner, and so does what takes payments: there the wall would cost time.

Conditions on a row of ROLE find an index only through operators that PostgreSQL calls leakproof, which `||` is not;
`payment_ids_of_order` is how a payment is found by its order.
"""

from typing import Any

import structlog
from sqlalchemy import Connection

log = structlog.get_logger()

ROLE = "paydesk_tenant"
# Tables without a tenant_id belong to the tenant of the row that they name.
THROUGH = {"payment_id": "payments", "account_id": "merchant_accounts", "approval_id": "approvals"}
# What all tenants may see, unless a row is somebody's.
SHARED = frozenset({"channels", "channel_health_changes", "maintenance_windows", "forced_states"})
# What all tenants may see and none may change.
READ_ONLY = frozenset({"audit_sealed"})
# Views that look with the rights of whoever looks, and so from behind the wall too.
VIEWS = frozenset({"expiries"})
# Views of a closed table, which show a tenant its own rows by their own condition.
OPENINGS = frozenset({"parked_callbacks"})
# What the edge has no business with as a tenant; it is not shown at all.
CLOSED = frozenset({"alembic_version", "callbacks", "peer_certificates", "process_meters"})

_TENANT = "current_setting('paydesk.tenant', true)"
# Whoever makes a role is a member of it, but since PostgreSQL 16 may not take it for that alone.
_MAY_TAKE = "pg_has_role(oid, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)"
_CREATE_ROLE = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {ROLE} NOLOGIN;
    END IF;
    IF NOT (SELECT {_MAY_TAKE} FROM pg_roles WHERE rolname = '{ROLE}') THEN
        EXECUTE 'GRANT {ROLE} TO ' || quote_ident(current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;  -- another process was quicker, or we may not; `standing` finds out which
END $$
"""


def build(connection: Connection) -> None:
    """Put the wall around every table that is not yet behind it. Only the owner of the tables can."""
    query = connection.exec_driver_sql
    query(_CREATE_ROLE)
    if not _usable(connection):
        return
    query(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {ROLE}")
    for view in sorted(VIEWS | OPENINGS):
        query(f"GRANT SELECT ON {view} TO {ROLE}")
    append_only = _append_only(connection)
    for table, condition in sorted(conditions(connection).items()):
        if table in append_only:
            query(f"REVOKE UPDATE, DELETE ON {table} FROM {ROLE}")
        rights = "SELECT" if table in READ_ONLY else "SELECT, INSERT" if table in append_only else "SELECT, INSERT, UPDATE, DELETE"
        query(f"GRANT {rights} ON {table} TO {ROLE}")
        if condition and not _is_walled(connection, table):
            query(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            own = condition.partition(" OR tenant_id = ''")[0]  # what is for all is not for a tenant to write
            query(f"CREATE POLICY tenants_apart ON {table} TO {ROLE} USING ({condition}) WITH CHECK ({own})")


def conditions(connection: Connection) -> dict[str, str]:
    """Return what ROLE may see of each table that is open to it; "" for all of it."""
    rows = connection.exec_driver_sql(
        """SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
             AND NOT a.attisdropped GROUP BY c.relname"""
    )
    found: dict[str, str] = {}
    for table, names in rows:
        through = next((key for key in THROUGH if key in names), "")
        if "tenant_id" in names:
            found[table] = f"tenant_id = {_TENANT}"
            if table in SHARED:
                found[table] += " OR tenant_id = ''"
        elif through:
            parent = THROUGH[through]
            found[table] = f"EXISTS (SELECT FROM {parent} p WHERE p.{through} = {table}.{through})"
            if table in SHARED:
                found[table] += f" OR {through} = ''"
        elif table in SHARED | READ_ONLY:
            found[table] = ""
    return {table: condition for table, condition in found.items() if table not in CLOSED}


def standing(connection: Connection) -> str:
    """Return "" when the wall stands around every table, or what is missing."""
    if not _usable(connection):
        return (
            f"the role {ROLE} is missing or may not be taken: have a superuser CREATE ROLE {ROLE} NOLOGIN and GRANT it to "
            "the user of PAYDESK_DATABASE_URL, then run `paydesk db upgrade`"
        )
    wanting = [t for t, condition in conditions(connection).items() if condition and not _is_walled(connection, t)]
    return f"not behind it: {', '.join(sorted(wanting))}; run `paydesk db upgrade`" if wanting else ""


def enter(connection: Connection, tenant_id: str) -> None:
    """Make the rest of this transaction one of a tenant."""
    connection.exec_driver_sql(
        f"SELECT set_config('paydesk.tenant', %s, true), set_config('role', '{ROLE}', true)", (tenant_id,)
    )


def _append_only(connection: Connection) -> frozenset[str]:
    """Return the tables whose triggers refuse every change: ROLE may not even try."""
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgfoid = to_regproc('refuse_change')"
    )
    return frozenset(rows.scalars())


def _usable(connection: Connection) -> bool:
    row = connection.exec_driver_sql(
        f"SELECT {_MAY_TAKE} AND NOT rolbypassrls AND NOT rolsuper FROM pg_roles WHERE rolname = '{ROLE}'"
    ).one_or_none()
    return bool(row and row[0])


def _is_walled(connection: Connection, table: str) -> bool:
    row: Any = connection.exec_driver_sql(
        """SELECT c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenants_apart')
           FROM pg_class c WHERE c.oid = %s::regclass""",
        (table,),
    ).one()
    return bool(row[0])
