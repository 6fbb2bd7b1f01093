"""Real PostgreSQL for every test that wants it: one embedded server per test process, one fresh database per test."""

import functools
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy
from xdist.scheduler import LoadScopeScheduling

from storage.embedded import EmbeddedPostgres
from storage.migrate import upgrade

# On a slow or busy machine a property takes longer; that says nothing about it. What hangs runs into pytest's own time-out.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

_numbers = itertools.count()
_GROUP = re.compile(r'xdist_group\("(\w+)"\)')
# Whose files belong together although no mark says so: they share one deployment, or what was read of every source.
_SHARING = {Path(__file__).parent / "end_to_end": "deployment", Path(__file__).parent / "architecture": "architecture"}


class _Groups(LoadScopeScheduling):
    """Keeps the tests of a file together with all others of its group.

    xdist's own `loadgroup` writes the group into an attribute that pytest 9.2 no longer has, and so groups nothing.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return _group_of(self.config.rootpath / file) or nodeid


@functools.cache
def _group_of(file: Path) -> str:
    """Return the group that a file's mark names, or else that of its folder."""
    found = _GROUP.search(file.read_text(encoding="utf-8")) if file.exists() else None
    return found[1] if found else _SHARING.get(file.parent, "")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Let one worker run all tests of a group: they share what is expensive to start."""
    return _Groups(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a migrated database that nobody connects to: the template of the others."""
    # Short and directly under the temporary folder: the path of a Unix socket may not exceed 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="paydesk-test-"))
    server = EmbeddedPostgres(directory)
    try:
        url = server.start()
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")  # nobody pulls this one's plug
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        upgrade(engine)
        engine.dispose()
        yield url
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def _postgres_desk(postgres_url: str) -> Iterator[sqlalchemy.Engine]:
    """Connections to the server's maintenance database, from which databases are made and dropped."""
    url = sqlalchemy.make_url(postgres_url).set(database="postgres")
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def database_url(postgres_url: str, _postgres_desk: sqlalchemy.Engine) -> Iterator[str]:
    """URL of a fresh, migrated, empty database; it is dropped after the test, with whoever still uses it."""
    template = sqlalchemy.make_url(postgres_url)
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE {name} TEMPLATE "{template.database}"')
    yield template.set(database=name).render_as_string(hide_password=False)
    with _postgres_desk.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
