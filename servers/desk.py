"""What a gateway holds of the desk in memory: accounts, channels, windows and keys, read again within a second of a change."""

import asyncio

import structlog

from servers.identity import KeyRing
from storage import desk as store
from storage.database import Database, DatabaseUnavailable

log = structlog.get_logger()

POLL_S = 1.0


class DeskView:
    """The newest desk; `start` reads it for the first time."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys
        self.desk: store.Desk = store.Desk(-1, {}, {}, [], [], {})

    async def start(self) -> None:
        """Read once."""
        await self._read()

    async def follow(self) -> None:
        """Read again whenever something changed, for ever."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                if await self._database.run(store.version) != self.desk.version:
                    await self._read()
            except DatabaseUnavailable as error:
                log.warning("desk_not_read", error=str(error))

    async def _read(self) -> None:
        desk = await self._database.run(store.load)
        self._keys.replace(await self._database.run(store.load_keys))
        self.desk = desk

    def accounts_of(self, tenant_id: str) -> list[store.AccountRow]:
        """Return a tenant's merchant accounts, by channel."""
        return sorted((a for a in self.desk.accounts if a.tenant_id == tenant_id), key=lambda a: a.channel_id)
