"""The database, for `paydesk db`."""

import subprocess
import time
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from domain.identifiers import CHINA
from domain.payments import FINAL
from ops import shell
from storage import audit, callbacks, migrate, payers, row_security
from storage.database import make_engine, transact
from storage.embedded import binary


def upgrade(url: str) -> None:
    """Bring the schema to the newest version."""
    engine = make_engine(url, pool_size=1)
    try:
        migrate.upgrade(engine)
    finally:
        engine.dispose()


def show_status(url: str, console: Console) -> None:
    """Show what the database is, its schema version, and how much is in it."""
    engine = make_engine(url, pool_size=1)
    try:
        with engine.connect() as connection:
            version, size, connections = connection.exec_driver_sql(
                """SELECT current_setting('server_version'), pg_size_pretty(pg_database_size(current_database())),
                          (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())"""
            ).one()
            missing = row_security.standing(connection)
            schema = MigrationContext.configure(connection).get_current_revision()
            tables = connection.exec_driver_sql(
                """SELECT relname, n_live_tup, pg_size_pretty(pg_total_relation_size(relid)) FROM pg_stat_user_tables
                   ORDER BY pg_total_relation_size(relid) DESC"""
            ).all()
    finally:
        engine.dispose()
    newest = ScriptDirectory.from_config(migrate.config()).get_current_head()
    state = "up to date" if schema == newest else f"the newest is {newest}: run `paydesk db upgrade`"
    console.print(f"PostgreSQL {version}, {size}, {connections} connections; schema {schema or 'none'}, {state}")
    console.print(f"The wall between tenants stands{f' not: {missing}' if missing else ' around every table'}")
    table = Table("table", box=None, header_style="dim", padding=(0, 2))
    table.add_column("rows (about)", justify="right")
    table.add_column("size", justify="right")
    for name, rows, table_size in tables:
        table.add_row(name, f"{rows:,}", table_size)
    console.print(table)


def show_parked(url: str, console: Console, *, channel_id: str, limit: int) -> None:
    """Show the callbacks that are genuine and that nothing could use yet, newest first."""
    engine = make_engine(url, pool_size=1)
    try:
        with engine.connect() as connection:
            found = callbacks.parked(connection, channel_id=channel_id, limit=limit)
    finally:
        engine.dispose()
    table = Table("channel", "merchant", "notice", "of", "bytes", "since", box=None, header_style="dim")
    for row in found:
        since = f"{datetime.fromtimestamp(row.receive_us // 1_000_000, CHINA):%Y-%m-%d %H:%M:%S}"
        table.add_row(row.channel_id, row.merchant_no, row.notify_id, row.attempt_no, f"{row.size_bytes:,}", since)
    console.print(table)
    console.print(f"{len(found)} are shown")


def psql(url: str, arguments: Sequence[str]) -> int:
    """Run psql on the database until it ends; return its exit code."""
    plain = sqlalchemy.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return subprocess.call([str(binary("psql")), plain, *arguments])


def erase_payers(url: str, *, tenant: str, days: int, reason: str) -> int:
    """Let go of what is known of payers for longer than `days`; return how many. Each page leaves an audit entry."""
    before_ms = time.time_ns() // 1_000_000 - days * 86_400_000
    engine = make_engine(url, pool_size=1)
    count, after_id = 0, ""

    def work(connection: Connection) -> payers.Erased:
        erased = payers.erase(connection, tenant_id=tenant, before_ms=before_ms, states=FINAL, after_id=after_id)
        if erased.erased_count:
            after = {"count": erased.erased_count, "older_than_days": days, "before_ms": before_ms}
            entry = audit.Entry(
                tenant, shell.principal(), "paydesk db erase-payers", "payer", "erased", None, after, reason,
                address=shell.ADDRESS,
            )  # fmt: skip
            audit.append(connection, [entry])
        return erased

    try:
        while True:
            erased = transact(engine, work)
            count, after_id = count + erased.erased_count, erased.after_id
            if not after_id:
                return count
    finally:
        engine.dispose()
