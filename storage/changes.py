"""Whether what the desk is set up with has changed: the database tells, so that nobody has to ask it all the time."""

import asyncio
import contextlib
import time

import psycopg2
import structlog

from storage import desk
from storage.database import Database, DatabaseUnavailable, connect_plainly

log = structlog.get_logger()

# What `note_configuration_change` tells at the commit of a change.
CHANNEL = "paydesk_desk"
# Who has heard nothing asks all the same so often, since a connection may be dead without our knowing, and tries as often
# to listen where nothing can be heard. Until then it asks whenever it is asked itself.
ASK_S = 5.0


class Changes:
    """Knows the newest version of the desk, for all who follow it in one process. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version = -1
        self._asking = asyncio.Lock()
        self._told = False
        self._ask_due_s = self._listen_due_s = 0.0
        self._ear: psycopg2.extensions.connection | None = None

    async def version(self) -> int:
        """Return what `desk.version` returns, and know of a change as soon as it is committed. Raise DatabaseUnavailable."""
        async with self._asking:
            if self._ear is None and time.monotonic() >= self._listen_due_s:
                self._listen_due_s = time.monotonic() + ASK_S
                await self._listen()
            if self._told or self._ear is None or time.monotonic() >= self._ask_due_s:
                self._told = False  # what is told from here on is a reason to ask again
                self._ask_due_s = 0.0
                self._version = await self._database.run(desk.version)
                self._ask_due_s = time.monotonic() + ASK_S
            return self._version

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            ear = await loop.run_in_executor(None, self._connect)
        except (DatabaseUnavailable, psycopg2.Error) as error:
            log.warning("changes_not_told", error=str(error).strip()[:200])
            return
        self._ear, self._told = ear, True  # what changed before was told to nobody
        loop.add_reader(ear.fileno(), self._hear, ear, ear.fileno())

    def _connect(self) -> "psycopg2.extensions.connection":
        connection = connect_plainly(self._database.engine.url)
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        return connection

    def _hear(self, ear: "psycopg2.extensions.connection", file: int) -> None:
        self._told = True
        try:
            ear.poll()
            ear.notifies.clear()
        except psycopg2.Error:
            asyncio.get_running_loop().remove_reader(file)
            self._ear = None
            with contextlib.suppress(psycopg2.Error):
                ear.close()
