"""The wall inside PostgreSQL: whatever a statement forgets to say, a transaction of one tenant meets only its own rows."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection

from protos.paydesk.v1 import payments_pb2, payments_pb2_grpc
from storage import migrate, row_security
from storage.database import make_engine
from tests.integration.office import opened_office

TENANTS = ("life", "pnc")
APPEND_ONLY = frozenset({
    "audit_entries", "audit_chain", "approval_decisions", "approval_policies", "payment_history", "journal",
})  # fmt: skip
_VALUES = {
    "text": "'v_{n}'", "integer": "{n}", "bigint": "{n}", "smallint": "{n}", "boolean": "true", "jsonb": "'{{}}'",
    "json": "'{{}}'", "bytea": "decode(repeat('0{n}', 32), 'hex')", "ARRAY": "'{{}}'", "real": "{n}", "date": "'2026-11-1{n}'",
    "timestamp with time zone": "now()", "xid8": "'{n}'", "numeric": "{n}", "double precision": "{n}",
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(postgres_url: str, _postgres_desk: sqlalchemy.Engine) -> Iterator[sqlalchemy.Engine]:
    """A database in which every table holds a row of each tenant, whatever its rules say of rows."""
    url = sqlalchemy.make_url(postgres_url)
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE walled TEMPLATE "{url.database}"')
    made = make_engine(url.set(database="walled").render_as_string(hide_password=False), pool_size=1)
    with made.begin() as connection:
        for table, name in connection.exec_driver_sql(
            """SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype IN ('c', 'f')
               AND connamespace = 'public'::regnamespace ORDER BY contype DESC"""
        ).all():
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for table in [table for table, condition in row_security.conditions(connection).items() if condition]:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            for number, tenant_id in enumerate(TENANTS, start=1):
                _fill(connection, table, tenant_id, number)
    yield made
    made.dispose()
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE walled WITH (FORCE)")


def _fill(connection: Connection, table: str, tenant_id: str, number: int) -> None:
    columns = connection.exec_driver_sql(
        """SELECT column_name, data_type FROM information_schema.columns
           WHERE table_schema = 'public' AND table_name = %s AND is_identity = 'NO' AND is_generated = 'NEVER'""", (table,)
    ).all()  # fmt: skip
    values = [f"'{tenant_id}'" if name == "tenant_id" else _VALUES[kind].format(n=number) for name, kind in columns]
    names = ", ".join(name for name, _ in columns)
    connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({', '.join(values)})")


def tables(engine: sqlalchemy.Engine) -> list[str]:
    with engine.connect() as connection:
        return [table for table, condition in row_security.conditions(connection).items() if condition]


def as_pnc(engine: sqlalchemy.Engine, statement: str) -> Any:
    """Run a statement as a transaction of pnc and take it back."""
    with engine.connect() as connection:
        row_security.enter(connection, "pnc")
        return connection.exec_driver_sql(statement)


def test_the_wall_stands_around_every_table_that_has_to_do_with_a_tenant(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as connection:
        assert row_security.standing(connection) == ""
        every = {row[0] for row in connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        known = row_security.conditions(connection).keys() | row_security.CLOSED
        assert every == known, "name the table in storage/row_security.py: SHARED for all tenants, or CLOSED to the edge"
        walled = {row[0] for row in connection.exec_driver_sql(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'tenant_id'")}  # fmt: skip
        invoker = {row[0] for row in connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relkind = 'v' AND 'security_invoker=true' = ANY (reloptions)")}  # fmt: skip
    assert walled - row_security.VIEWS <= set(tables(engine)) and len(walled) > 20
    assert invoker >= row_security.VIEWS, "a view that looks as its owner looks over the wall"


def test_a_forgotten_where_meets_only_the_rows_of_the_tenant(engine: sqlalchemy.Engine) -> None:
    for table in tables(engine):
        with engine.connect() as connection:
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 2, table
        with engine.connect() as connection:
            row_security.enter(connection, "pnc")
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").mappings().all()
            assert len(rows) == 1 and rows[0].get("tenant_id", "pnc") == "pnc", table
            if table in APPEND_ONLY:
                continue
            column = next(iter(rows[0]))
            changed = connection.exec_driver_sql(f"UPDATE {table} SET {column} = {column}") if column != "entry_id" else None
            assert changed is None or changed.rowcount == 1, table
            assert connection.exec_driver_sql(f"DELETE FROM {table}").rowcount == 1, table


def test_what_is_only_added_to_may_not_even_be_tried_to_change(engine: sqlalchemy.Engine) -> None:
    for table in APPEND_ONLY:
        with engine.connect() as connection:
            column = next(iter(connection.exec_driver_sql(f"SELECT * FROM {table}").keys()))
        for statement in (f"UPDATE {table} SET {column} = DEFAULT", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"):
                as_pnc(engine, statement)


def test_no_row_is_written_for_another_tenant(engine: sqlalchemy.Engine) -> None:
    for table in tables(engine):
        with engine.connect() as connection:
            row_security.enter(connection, "pnc")
            with pytest.raises(sqlalchemy.exc.ProgrammingError, match="row-level security"):
                _fill(connection, table, "life", 3)


def test_without_a_tenant_there_is_nothing(engine: sqlalchemy.Engine) -> None:
    for table in tables(engine):
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SET LOCAL ROLE {row_security.ROLE}")
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0, table


def test_what_the_edge_has_no_business_with_is_closed(engine: sqlalchemy.Engine) -> None:
    for table in row_security.CLOSED:
        with pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"):
            as_pnc(engine, f"SELECT * FROM {table}")


def test_the_next_transaction_of_a_connection_is_the_owners_again(engine: sqlalchemy.Engine) -> None:
    as_pnc(engine, "SELECT 1")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_setting('role'), current_setting('paydesk.tenant', true)").one() in (
            ("none", ""), ("none", None))  # fmt: skip


def test_an_order_is_found_behind_the_wall_by_its_index_and_only_in_its_tenant(engine: sqlalchemy.Engine) -> None:
    mine = as_pnc(engine, "SELECT payment_ids_of_order('pnc', 'v_2')").all()
    assert mine == [("v_2",)]
    assert as_pnc(engine, "SELECT payment_ids_of_order('life', 'v_1')").all() == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT payment_ids_of_order('life', 'v_1')").all() == [("v_1",)]


@pytest.fixture
def owned(postgres_url: str, _postgres_desk: sqlalchemy.Engine) -> Iterator[sqlalchemy.Engine]:
    """A database whose owner may make roles and is no superuser, on a server where nobody has made ours."""
    url = sqlalchemy.make_url(postgres_url).set(database="owned", username="owner", password="o")
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql(f"ALTER ROLE {row_security.ROLE} RENAME TO paydesk_elsewhere")
        connection.exec_driver_sql("CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'o'")
        connection.exec_driver_sql("CREATE DATABASE owned OWNER owner")
    made = make_engine(url.render_as_string(hide_password=False), pool_size=1)
    yield made
    made.dispose()
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE owned WITH (FORCE)")
        connection.exec_driver_sql(f"DROP ROLE IF EXISTS {row_security.ROLE}")
        connection.exec_driver_sql("DROP ROLE owner")
        connection.exec_driver_sql(f"ALTER ROLE paydesk_elsewhere RENAME TO {row_security.ROLE}")


def test_an_owner_that_is_no_superuser_stands_behind_the_wall_that_it_builds(owned: sqlalchemy.Engine) -> None:
    migrate.upgrade(owned)
    with owned.connect() as connection:
        assert row_security.standing(connection) == ""
        row_security.enter(connection, "pnc")
        assert connection.exec_driver_sql("SELECT current_user").scalar() == row_security.ROLE


async def test_services_work_behind_the_wall(emptied_database_url: str) -> None:
    async with opened_office(emptied_database_url) as office:
        viewer = await office.stub(payments_pb2_grpc.PaymentsStub, "VIEWER")
        assert not (await viewer.ListPayments(payments_pb2.ListPaymentsRequest(order_no="A-1"))).payments
