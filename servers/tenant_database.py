"""The database as services see it: each transaction behind the wall of the caller's tenant."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from domain.permissions import PLATFORM
from servers.identity import caller
from storage import row_security
from storage.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class TenantDatabase(Database):
    """Another way into a database, on its connections and threads.

    Whoever administers the platform stands outside every wall: its methods make tenants and touch no tenant's money.
    """

    def __init__(self, database: Database, *, walled: bool) -> None:
        self.engine, self.size = database.engine, database.size
        self._threads = database._threads  # noqa: SLF001 - the same pool, seen from behind the wall
        self._walled = walled

    async def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)` as one transaction of the caller's tenant in a thread."""
        tenant_id = caller().tenant_id
        if not self._walled or tenant_id == PLATFORM:
            return await super().run(work, *args, **kwargs)

        def walled(connection: Connection) -> T:
            row_security.enter(connection, tenant_id)
            return work(connection, *args, **kwargs)

        return await super().run(walled)

    async def ask(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(connection, …)` like any other: the wall stands for a transaction."""
        return await self.run(work, *args, **kwargs)
