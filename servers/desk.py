"""What a gateway holds of the desk in memory: accounts, channels, windows and keys, read again within a second of a change."""

import asyncio
import time

import structlog

from domain.permissions import Grant
from domain.settings import Settings
from domain.tenancy import with_all_below
from servers.identity import KeyRing
from storage import desk as store
from storage import identity as identity_store
from storage.changes import Changes
from storage.credentials import with_credentials
from storage.database import Database, DatabaseUnavailable
from storage.vault import Vault

log = structlog.get_logger()

# A revoked key is refused everywhere within a second: this, and the time that reading takes.
POLL_S = 0.5
# When a key was last used is for people who look for keys that nobody needs any more.
USES_S = 5.0


class DeskView:
    """The newest desk; `start` reads it for the first time. With a vault, its accounts have their credentials."""

    def __init__(self, database: Database, keys: KeyRing, vault: Vault | None = None) -> None:
        self._database = database
        self._keys = keys
        self._vault = vault
        self.desk: store.Desk = store.Desk(-1, {}, {}, [], [], {})
        self._settings: dict[str, Settings] = {}

    async def start(self) -> None:
        """Read once."""
        await self._read()

    async def follow(self) -> None:
        """Read again whenever something changed, for ever."""
        changes = Changes(self._database)
        while True:
            await asyncio.sleep(POLL_S)
            try:
                if await changes.version() != self.desk.version:
                    await self._read()
            except DatabaseUnavailable as error:
                log.warning("desk_not_read", error=str(error))
            except Exception:
                log.exception("desk_not_read")  # whoever stops looking here takes revoked keys for ever

    async def note_uses(self) -> None:
        """Write down which keys are used, now and then, for ever."""
        while True:
            await asyncio.sleep(USES_S)
            if uses := self._keys.take_uses():
                try:
                    await self._database.run(identity_store.note_uses, uses)
                except DatabaseUnavailable as error:
                    log.warning("uses_not_noted", error=str(error))

    async def _read(self) -> None:
        desk = await self._database.run(store.load)
        if self._vault is not None:
            desk = await self._database.run(with_credentials, desk, self._vault)
        self._keys.replace(_with_branches(await self._database.run(identity_store.load), desk))
        self.desk, self._settings = desk, {}

    def settings_of(self, tenant_id: str) -> Settings:
        """Return what is set for a tenant now."""
        now_ms = time.time_ns() // 1_000_000
        if (later := self.desk.at(now_ms)) is not self.desk:
            self.desk, self._settings = later, {}
        if tenant_id not in self._settings:
            self._settings[tenant_id] = self.desk.settings_of(tenant_id)
        return self._settings[tenant_id]

    def accounts_of(self, tenant_id: str) -> list[store.AccountRow]:
        """Return a tenant's merchant accounts, by channel."""
        return sorted((a for a in self.desk.accounts if a.tenant_id == tenant_id), key=lambda a: a.channel_id)


def _with_branches(access: identity_store.Access, desk: store.Desk) -> identity_store.Access:
    """Have every grant for some branches reach all that stand below them."""

    def wide(tenant_id: str, grant: Grant) -> Grant:
        tenant = desk.tenants.get(tenant_id)
        if tenant is None or not grant.reach.institutions:
            return grant
        chosen = with_all_below(tenant.institutions, grant.reach.institutions)
        return grant._replace(reach=grant.reach._replace(institutions=chosen))

    return access._replace(grants={key: [wide(key[0], grant) for grant in held] for key, held in access.grants.items()})
