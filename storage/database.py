"""The way to PostgreSQL: a bounded pool of connections, each used from a bounded pool of threads.

psycopg2 blocks, so nothing here runs on an event loop: `Database.run` hands a function of a connection to a thread and
awaits it. The function is one transaction: it commits when the function returns and rolls back when it raises.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg2
import psycopg2.errors
import sqlalchemy
from sqlalchemy import Connection, Engine, event

P = ParamSpec("P")
T = TypeVar("T")

# A statement that takes longer is stuck behind a lock or a dead disk; better an error that the sweeper repairs.
STATEMENT_TIMEOUT_S = 20
LOCK_TIMEOUT_S = 5
# Serialization failures, deadlocks and lost races of unique keys: the same work again, on fresh data.
RETRIES_MAX = 3


class DatabaseUnavailable(Exception):
    """PostgreSQL did not answer, or the connection broke: the work may or may not have been committed."""


def make_engine(url: str, *, pool_size: int, prepare: tuple[str, ...] = (), timeout_s: float = STATEMENT_TIMEOUT_S) -> Engine:
    """Return an engine of at most `pool_size` connections; `prepare` holds PREPARE statements run on each new one."""
    engine = sqlalchemy.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # what a failed statement held does not belong into a log
        pool_timeout=5,
        pool_recycle=1800,
        connect_args={"connect_timeout": 5, "application_name": "paydesk"},
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            # Planned once for whatever comes later: on an empty, never analysed table the planner would choose a scan
            # of the whole table and keep it while the table grows.
            cursor.execute(
                "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;"
                "SET plan_cache_mode = force_generic_plan;"
                f"SET statement_timeout = '{timeout_s}s'; SET lock_timeout = '{LOCK_TIMEOUT_S}s';"
                "SET idle_in_transaction_session_timeout = '30s'"
                if prepare
                else f"SET statement_timeout = '{timeout_s}s'; SET jit = off"
            )
            for statement in prepare:
                cursor.execute(statement)
        connection.commit()

    return engine


def connect_plainly(url: sqlalchemy.URL) -> psycopg2.extensions.connection:
    """Return a connection without pool and transactions, for what waits or asks for ever. Raise DatabaseUnavailable."""
    ours: dict[str, Any] = {
        "application_name": "paydesk", "connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5,
        "keepalives_count": 2,
    }  # fmt: skip
    words, named = url.get_dialect()().create_connect_args(url)  # as an engine reads it, several hosts included
    try:
        connection: psycopg2.extensions.connection = psycopg2.connect(*words, **{**ours, **named})
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
    except psycopg2.Error as error:
        raise DatabaseUnavailable(str(error).strip().split("\n")[0]) from error
    return connection


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(
        error,
        psycopg2.errors.SerializationFailure | psycopg2.errors.DeadlockDetected | psycopg2.errors.UniqueViolation,
    )


def transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` as one transaction. Raise DatabaseUnavailable when the outcome of the commit is not known."""
    for tries_left in range(RETRIES_MAX, -1, -1):
        try:
            with engine.begin() as connection:
                return work(connection)
        except sqlalchemy.exc.DBAPIError as error:
            if tries_left and _is_worth_another_try(error.orig) if error.orig else False:
                continue
            # A connection that is cut in the middle of an answer is a plain DatabaseError to psycopg2.
            if error.connection_invalidated or isinstance(error.orig, psycopg2.OperationalError | psycopg2.InterfaceError):
                engine.dispose()
                raise DatabaseUnavailable(next(iter(str(error.orig).split("\n")), "").strip() or "no answer") from error
            raise
        except sqlalchemy.exc.TimeoutError as error:
            raise DatabaseUnavailable("all database connections are busy") from error
    raise AssertionError("unreachable")


class Database:
    """A pool of `pool_size` connections and as many threads."""

    def __init__(self, url: str, *, pool_size: int, prepare: tuple[str, ...] = ()) -> None:
        self.size = pool_size
        self.engine = make_engine(url, pool_size=pool_size, prepare=prepare)
        self._alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="database")

    async def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)` as one transaction in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, transact, self.engine, lambda connection: work(connection, *args, **kwargs)
        )

    async def ask(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)`, whose single statement is a transaction by itself, in a thread.

        Without BEGIN and COMMIT it is one way to the server and back instead of three, and as many waits for the interpreter.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, transact, self._alone, lambda connection: work(connection, *args, **kwargs)
        )

    def close(self) -> None:
        """Let go of connections and threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.engine.dispose()
