"""Seals what must not be read in the database, and opens it again: envelope encryption with AES-256-GCM.

Each tenant has data keys in versions, wrapped by a master key (`storage/master_keys.py`). A sealed value names the
version that sealed it and is bound to its tenant, object and field: put anywhere else, it does not open. Both kinds of
keys can be replaced while everything runs: `rewrap` wraps data keys anew, `reseal` seals values anew, page by page.
"""

import hmac
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, text

from storage.arrays import columns
from storage.master_keys import KEY_BYTES, MasterKey, MasterKeys

_FORMAT = b"\x01"
_NONCE_BYTES = 12
_PREFIX_BYTES = 3
# A new version of a data key is used by every process after this long; until then the one before seals as well.
KEYS_FRESH_S = 60.0
RESEAL_BATCH = 1_000


class Place(NamedTuple):
    """Where a sealed value belongs."""

    tenant_id: str
    object_id: str
    field: str


class SealBroken(Exception):
    """A sealed value was changed, moved from its place, or sealed with a key that is gone; names the place."""


class TenantKeys:
    """The data keys of one tenant, in memory only."""

    def __init__(self, tenant_id: str, data: dict[int, bytes], index: bytes) -> None:
        self.tenant_id = tenant_id
        self.newest = max(data)
        self.read_s = time.monotonic()
        self._data = {version: AESGCM(key) for version, key in data.items()}
        self._index = index

    def __repr__(self) -> str:
        """Name the tenant and the version only."""
        return f"TenantKeys({self.tenant_id}, newest={self.newest})"

    def seal(self, place: Place, plain: bytes) -> bytes:
        """Seal a value for its place, with the newest key."""
        prefix = prefix_of(self.newest)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return prefix + nonce + self._data[self.newest].encrypt(nonce, plain, _bound(prefix, place))

    def knows(self, sealed: bytes) -> bool:
        """Tell whether the key that sealed a value is here."""
        return sealed[:1] == _FORMAT and int.from_bytes(sealed[1:_PREFIX_BYTES]) in self._data

    def open(self, place: Place, sealed: bytes) -> bytes:
        """Open a value of a place. Raise SealBroken."""
        prefix, nonce = sealed[:_PREFIX_BYTES], sealed[_PREFIX_BYTES : _PREFIX_BYTES + _NONCE_BYTES]
        if not self.knows(sealed):
            raise SealBroken(f"{place}: the key that sealed it is not there")
        key = self._data[int.from_bytes(prefix[1:])]
        try:
            return key.decrypt(nonce, sealed[_PREFIX_BYTES + _NONCE_BYTES :], _bound(prefix, place))
        except InvalidTag:
            raise SealBroken(f"{place}: it was changed, or belongs elsewhere") from None

    def digest(self, what: str, value: str) -> bytes:
        """Return a keyed digest: equal values of one kind have equal digests, and nobody without the key can guess."""
        return hmac.digest(self._index, f"{what}\0{value}".encode(), "sha256")


def prefix_of(version: int) -> bytes:
    """Return what values begin with that a version of the data key has sealed."""
    return _FORMAT + version.to_bytes(2)


def _bound(prefix: bytes, place: Place) -> bytes:
    return b"\0".join([prefix, *(part.encode() for part in place)])


class Vault:
    """Holds the tenants' keys of this process. Its methods run in the thread and transaction of their connection."""

    def __init__(self, masters: MasterKeys) -> None:
        self._masters = masters
        self._keys: dict[str, TenantKeys] = {}

    def ready(self, tenant_id: str) -> TenantKeys | None:
        """Return a tenant's keys if they are here and fresh."""
        keys = self._keys.get(tenant_id)
        return keys if keys is not None and time.monotonic() - keys.read_s < KEYS_FRESH_S else None

    def keys(self, connection: Connection, tenant_id: str) -> TenantKeys:
        """Return a tenant's keys, made at first use. Raise MasterKeyMissing."""
        return self.ready(tenant_id) or self._load(connection, tenant_id)

    def seal(self, connection: Connection, place: Place, plain: bytes) -> bytes:
        """Seal a value for its place. Raise MasterKeyMissing."""
        return self.keys(connection, place.tenant_id).seal(place, plain)

    def open(self, connection: Connection, place: Place, sealed: bytes) -> bytes:
        """Open a value of a place. Raise SealBroken or MasterKeyMissing."""
        keys = self.keys(connection, place.tenant_id)
        if not keys.knows(sealed):  # sealed by somebody who has heard of a newer key
            keys = self._load(connection, place.tenant_id)
        return keys.open(place, sealed)

    def _load(self, connection: Connection, tenant_id: str) -> TenantKeys:
        found = self._read(connection, tenant_id)
        for purpose in ("DATA", "INDEX"):
            if not any(kind == purpose for kind, _ in found):
                self._make(connection, tenant_id, purpose, 1)
                found = self._read(connection, tenant_id)
        data = {version: key for (purpose, version), key in found.items() if purpose == "DATA"}
        made = self._keys[tenant_id] = TenantKeys(tenant_id, data, found["INDEX", 1])
        return made

    def _read(self, connection: Connection, tenant_id: str) -> dict[tuple[str, int], bytes]:
        rows = connection.execute(
            text("SELECT purpose, version, master_key_id, wrapped FROM data_keys WHERE tenant_id = :tenant_id"),
            {"tenant_id": tenant_id},
        )
        return {(row[0], row[1]): self._unwrap(tenant_id, *row) for row in rows}

    def _unwrap(self, tenant_id: str, purpose: str, version: int, master_key_id: str, wrapped: bytes) -> bytes:
        master, blob = self._masters.find(master_key_id), bytes(wrapped)
        bound = _wrapping(tenant_id, purpose, version)
        try:
            return AESGCM(master.key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], bound)
        except InvalidTag:
            raise SealBroken(f"data key {version} of {tenant_id}: it was changed, or {master_key_id} is another") from None

    def _make(self, connection: Connection, tenant_id: str, purpose: str, version: int) -> None:
        """Make a key, unless somebody else does at this moment."""
        master = self._newest_master(connection)
        connection.execute(
            text(
                """INSERT INTO data_keys (tenant_id, purpose, version, master_key_id, wrapped)
                   VALUES (:tenant_id, :purpose, :version, :master_key_id, :wrapped) ON CONFLICT DO NOTHING"""
            ),
            {"tenant_id": tenant_id, "purpose": purpose, "version": version, "master_key_id": master.key_id,
             "wrapped": _wrapped(master, tenant_id, purpose, version, secrets.token_bytes(KEY_BYTES))},
        )  # fmt: skip

    def _newest_master(self, connection: Connection) -> MasterKey:
        """Return the master key that wraps from now on, and have nobody forget it before this transaction ends."""
        connection.execute(text("LOCK TABLE data_keys IN ROW EXCLUSIVE MODE"))
        return self._masters.newest()

    # --- replacing keys -----------------------------------------------------------------------------------------------

    def rewrap(self, connection: Connection) -> tuple[str, int]:
        """Wrap with the newest master key every data key that another one wraps; return its name, and how many.

        What is sealed stays as it is.
        """
        master = self._newest_master(connection)
        rows = connection.execute(
            text(
                """SELECT tenant_id, purpose, version, master_key_id, wrapped FROM data_keys
                   WHERE master_key_id <> :key_id ORDER BY 1, 2, 3 FOR UPDATE"""
            ),
            {"key_id": master.key_id},
        ).all()
        for tenant_id, purpose, version, key_id, wrapped in rows:
            key = self._unwrap(tenant_id, purpose, version, key_id, wrapped)
            connection.execute(
                text(
                    """UPDATE data_keys SET master_key_id = :key_id, wrapped = :wrapped
                       WHERE tenant_id = :tenant_id AND purpose = :purpose AND version = :version"""
                ),
                {"key_id": master.key_id, "wrapped": _wrapped(master, tenant_id, purpose, version, key),
                 "tenant_id": tenant_id, "purpose": purpose, "version": version},
            )  # fmt: skip
        return master.key_id, len(rows)

    def forget_masters(self, connection: Connection) -> list[str]:
        """Forget the master keys that wrap nothing, while nobody wraps; return their names. Raise MasterKeyMissing."""
        connection.execute(text("LOCK TABLE data_keys IN SHARE MODE"))
        used = connection.execute(text("SELECT DISTINCT master_key_id FROM data_keys")).scalars()
        return self._masters.keep_only(frozenset(used))

    def begin_data_key(self, connection: Connection, tenant_id: str) -> int:
        """Make the next version of a tenant's data key, unless values wait still for the last one; return the newest."""
        newest = self._load(connection, tenant_id).newest
        if stale(connection, tenant_id, newest):
            return newest
        self._make(connection, tenant_id, "DATA", newest + 1)
        return self._load(connection, tenant_id).newest

    def reseal(
        self, connection: Connection, tenant_id: str, table: "SealedTable", *, after: Sequence[object] = (), limit: int = RESEAL_BATCH
    ) -> "Resealed":
        """Look at `limit` values of a table that follow the key `after`; seal with the newest key what an older one has sealed.

        What somebody else writes in between stays as they wrote it.
        """
        keys, names = self._load(connection, tenant_id), [name for name, _ in table.key]
        follows = f"AND ({', '.join(names)}) > ({', '.join(f':{name}' for name in names)})" if after else ""
        rows = connection.execute(
            text(
                f"""SELECT {", ".join(names)}, {table.object_id},
                           CASE WHEN substring({table.column} FOR {_PREFIX_BYTES}) <> :prefix THEN {table.column} END
                    FROM {table.name} WHERE tenant_id = :tenant_id {follows} ORDER BY {", ".join(names)} LIMIT :limit"""
            ),
            {"tenant_id": tenant_id, "prefix": prefix_of(keys.newest), "limit": limit,
             **dict(zip(names, after, strict=False))},
        ).all()  # fmt: skip
        fresh = []
        for *key, object_id, sealed in rows:
            if sealed is not None:
                place = Place(tenant_id, object_id, table.column)
                fresh.append((*key, bytes(sealed).hex(), keys.seal(place, keys.open(place, bytes(sealed))).hex()))
        types = {"t": "text[]", "n": "bigint[]"}
        arrays = ", ".join(f"%s::{types[kind]}" for _, kind in table.key)
        sealed_count = connection.exec_driver_sql(
            f"""UPDATE {table.name} t SET {table.column} = decode(d.fresh, 'hex')
                FROM unnest({arrays}, %s::text[], %s::text[]) AS d ({", ".join(names)}, was, fresh)
                WHERE t.tenant_id = %s AND {" AND ".join(f"t.{name} = d.{name}" for name in names)}
                  AND t.{table.column} = decode(d.was, 'hex')""",
            (*columns(fresh, "".join(kind for _, kind in table.key) + "tt"), tenant_id),
        ).rowcount
        return Resealed(len(rows), sealed_count, tuple(rows[-1][:-2]) if len(rows) == limit else ())


class Resealed(NamedTuple):
    """How many values were looked at and sealed anew, and the key after which to go on; () at the end of the table."""

    seen_count: int
    sealed_count: int
    after: tuple[object, ...]


class SealedTable(NamedTuple):
    """A table with a sealed column: its key beside tenant_id, texts (t) and numbers (n), and a row's object id in SQL."""

    name: str
    column: str
    key: tuple[tuple[str, str], ...]
    object_id: str


# Whoever adds a sealed column adds it here, and it is sealed anew with the others. The field of its place is the column.
SEALED: tuple[SealedTable, ...] = (
    SealedTable(
        "credentials", "sealed", (("owner_kind", "t"), ("owner_id", "t"), ("version", "n")),
        "owner_kind || '/' || owner_id || '/' || version",
    ),
    SealedTable("payer_details", "sealed", (("payment_id", "t"),), "'payer/' || request_id"),
    SealedTable("contact_targets", "sealed", (("target_id", "t"),), "target_id"),
)  # fmt: skip


def stale(connection: Connection, tenant_id: str, newest: int) -> int:
    """Count a tenant's values that an older version of its data key has sealed."""
    return sum(
        connection.execute(
            text(
                f"""SELECT count(*) FROM {table.name}
                    WHERE tenant_id = :tenant_id AND substring({table.column} FOR {_PREFIX_BYTES}) <> :prefix"""
            ),
            {"tenant_id": tenant_id, "prefix": prefix_of(newest)},
        ).scalar_one()
        for table in SEALED
    )


def _wrapping(tenant_id: str, purpose: str, version: int) -> bytes:
    return f"{tenant_id}\0{purpose}\0{version}".encode()


def _wrapped(master: MasterKey, tenant_id: str, purpose: str, version: int, key: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(master.key).encrypt(nonce, key, _wrapping(tenant_id, purpose, version))
