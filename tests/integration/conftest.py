"""A database that is emptied rather than made anew: two milliseconds a test instead of half a second."""

from collections.abc import Iterator

import pytest
import sqlalchemy

_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE 'DELETE FROM ' || name;
    END LOOP;
END $$"""


@pytest.fixture(scope="session")
def _kept_database(postgres_url: str, _postgres_desk: sqlalchemy.Engine) -> Iterator[sqlalchemy.Engine]:
    template = sqlalchemy.make_url(postgres_url)
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE kept TEMPLATE "{template.database}" STRATEGY = FILE_COPY')
    engine = sqlalchemy.create_engine(template.set(database="kept"), pool_size=1, pool_pre_ping=True)
    yield engine
    engine.dispose()
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE kept WITH (FORCE)")


@pytest.fixture
def emptied_database_url(_kept_database: sqlalchemy.Engine) -> str:
    """URL of a migrated database without any rows. Do not change its tables."""
    with _kept_database.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(_EMPTY)
        connection.exec_driver_sql("INSERT INTO audit_sealed (tx, entry_id) VALUES ('0', 0)")
    return _kept_database.url.render_as_string(hide_password=False)
