"""Bring a database to the newest schema. Migrations expand first and contract later, so old code runs beside new."""

from pathlib import Path

import alembic.command
import alembic.config
from sqlalchemy import Engine, text

from storage import row_security
from storage.database import LOCK_TIMEOUT_S

# Two processes that start at once must not both migrate.
_MIGRATION_LOCK = 7_041_991


def config() -> alembic.config.Config:
    """Return alembic's configuration, pointing at the migrations beside this file."""
    settings = alembic.config.Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    settings.set_main_option("path_separator", "os")
    return settings


def upgrade(engine: Engine) -> None:
    """Run what has not run yet, one process at a time."""
    settings = config()
    with engine.connect() as connection:
        # A big table may take its time, and so may whoever migrates now; but whoever waits for a table holds up all others.
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
        connection.commit()
        settings.attributes["connection"] = connection
        try:
            alembic.command.upgrade(settings, "head")
            connection.commit()
            row_security.build(connection)
            connection.commit()
        finally:
            connection.invalidate()  # with it go its lock and its patience, whatever state it is in
