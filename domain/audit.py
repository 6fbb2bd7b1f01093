"""The audit chain: each entry's hash covers the hash before it, so that every later hand shows, and where.

A chain alone can be rewritten whole by whoever owns the database; heads that were signed and kept elsewhere show that too.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

GENESIS = bytes(32)


class Record(NamedTuple):
    """What is sealed: everything that an entry says. `time_us` is in Unix microseconds."""

    entry_id: int
    tenant_id: str
    principal: str
    operation: str
    object_kind: str
    object_id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    reason: str
    request_id: str
    address: str
    time_us: int


class Link(NamedTuple):
    """A place in the chain, with what stands there; `record` is None where the entry is gone."""

    place: int
    prev_hash: bytes
    hash: bytes
    record: Record | None


class Damage(StrEnum):
    """What is wrong with a chain."""

    EDITED = "EDITED"  # or moved: another entry stands where this one was sealed
    DELETED = "DELETED"
    INSERTED = "INSERTED"
    HEAD_MISMATCH = "HEAD_MISMATCH"  # it hangs together, but a head that was signed earlier says otherwise


class Finding(NamedTuple):
    """The first broken place."""

    place: int
    damage: Damage
    detail: str


def hash_of(prev_hash: bytes, index: int, record: Record) -> bytes:
    """Return the hash of an entry at a place: SHA-256 over the hash before it and the canonical JSON of all it says."""
    content = json.dumps([index, *record], ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(prev_hash + content.encode()).digest()


class Verifier:
    """Walks along a chain and stops at the first broken place. It remembers two links, however long the chain is."""

    def __init__(self, *, first_index: int = 1, prev_hash: bytes = GENESIS) -> None:
        """Begin before `first_index`, where the chain's hash is `prev_hash`."""
        self._index = first_index - 1
        self._hash = prev_hash
        self._hash_before = b""
        self.checked_count = 0

    @property
    def index(self) -> int:
        """Return the last place that is sound."""
        return self._index

    @property
    def hash(self) -> bytes:
        """Return the hash of the last place that is sound."""
        return self._hash

    def check(self, link: Link) -> Finding | None:
        """Check the next link; return what is wrong with it, or with the one before it."""
        expected = self._index + 1
        if link.place != expected:
            return Finding(expected, Damage.DELETED, f"place {expected} is missing")
        if link.record is None:
            return Finding(expected, Damage.DELETED, f"the entry of place {expected} is gone")
        if link.prev_hash != self._hash:
            return self._wrong_link(link, expected)
        if hash_of(link.prev_hash, link.place, link.record) != link.hash:
            return Finding(expected, Damage.EDITED, f"the entry of place {expected} is not what was sealed there")
        self._hash_before, self._hash, self._index = self._hash, link.hash, expected
        self.checked_count += 1
        return None

    def _wrong_link(self, link: Link, expected: int) -> Finding:
        """Tell an insertion, after which the chain goes on from the hash before it, from a loss."""
        if self._hash_before and link.prev_hash == self._hash_before:
            return Finding(expected - 1, Damage.INSERTED, f"place {expected} follows the entry before place {expected - 1}")
        return Finding(expected, Damage.DELETED, f"place {expected} does not follow the entry before it: something is missing")


class Head(NamedTuple):
    """The end of a chain at a moment, as it was signed. `time_us` is in Unix microseconds."""

    tenant_id: str
    place: int
    hash: bytes
    time_us: int

    def message(self) -> bytes:
        """Return what is signed."""
        return f"paydesk-audit-head|{self.tenant_id}|{self.place}|{self.hash.hex()}|{self.time_us}".encode()
