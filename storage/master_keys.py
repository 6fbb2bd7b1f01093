"""The master keys of a deployment: they wrap the tenants' data keys, and are never in the database.

They are lines `id base64` in a file that only its owner may read, the newest last, or the same in PAYDESK_MASTER_KEY,
parted by commas. The file is made at first use; with the variable, nothing is ever written.
"""

import base64
import binascii
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import filelock

from storage import private_files

VARIABLE = "PAYDESK_MASTER_KEY"
KEY_BYTES = 32


class MasterKeyMissing(Exception):
    """A master key is not there, or cannot be used; the text says what to do."""


class MasterKey(NamedTuple):
    """A key and its name."""

    key_id: str
    key: bytes

    def __repr__(self) -> str:
        """Name the key only."""
        return f"MasterKey({self.key_id})"


class MasterKeys:
    """Finds master keys. The file is read again when a key is wanted that it did not hold."""

    def __init__(self, file: Path, *, environment: Mapping[str, str] = os.environ) -> None:
        self._file = file
        self._environment = environment
        self._known: dict[str, MasterKey] = {}

    @property
    def is_given(self) -> bool:
        """Whether the keys come from the environment, which nobody here can change."""
        return VARIABLE in self._environment

    def newest(self) -> MasterKey:
        """Return the key that wraps from now on; the first one is made. Raise MasterKeyMissing."""
        if not self.is_given:
            private_files.made_once(self._file, lambda: _lines([_made()]))
        return self._read()[-1]

    def find(self, key_id: str) -> MasterKey:
        """Return the key of a name. Raise MasterKeyMissing."""
        if key_id not in self._known and (self.is_given or self._file.exists()):
            self._known = {key.key_id: key for key in self._read()}
        try:
            return self._known[key_id]
        except KeyError:
            where = VARIABLE if self.is_given else self._file
            raise MasterKeyMissing(f"master key {key_id} is not in {where}: bring it back from its safe copy") from None

    def add(self) -> MasterKey:
        """Make a key that comes after those there are, safely on disk before it is used. Raise MasterKeyMissing."""
        if self.is_given:
            raise MasterKeyMissing(f"the master keys are in {VARIABLE}: add the new one there, last, in every process")
        self.newest()
        made = _made()
        with self._alone():
            private_files.replace(self._file, _lines([*self._read(), made]))
        return made

    def keep_only(self, key_ids: frozenset[str]) -> list[str]:
        """Forget the keys that are neither named nor the newest; return their names. Raise MasterKeyMissing."""
        if self.is_given:
            raise MasterKeyMissing(f"the master keys are in {VARIABLE}: take the old ones out there, in every process")
        with self._alone():
            keys = self._read()
            kept = [key for key in keys if key.key_id in key_ids or key is keys[-1]]
            private_files.replace(self._file, _lines(kept))
        return [key.key_id for key in keys if key not in kept]

    def _alone(self) -> filelock.FileLock:
        """Keep others from writing the file: of two who add a key at once, neither may lose the other's."""
        return filelock.FileLock(f"{self._file}.lock")

    def _read(self) -> list[MasterKey]:
        if self.is_given:
            lines = self._environment[VARIABLE].split(",")
        else:
            mode = self._file.stat().st_mode
            if mode & 0o077:
                raise MasterKeyMissing(f"{self._file} can be read by others (mode {mode & 0o777:o}): chmod 600 it")
            lines = self._file.read_text(encoding="ascii").splitlines()
        keys = [_parsed(line) for line in lines if line.strip()]
        if not keys:
            raise MasterKeyMissing("there is no master key where one is expected")
        return keys


def _made() -> MasterKey:
    return MasterKey(f"mk_{secrets.token_hex(4)}", secrets.token_bytes(KEY_BYTES))


def _lines(keys: Iterable[MasterKey]) -> bytes:
    return "".join(f"{key.key_id} {base64.b64encode(key.key).decode()}\n" for key in keys).encode("ascii")


def _parsed(line: str) -> MasterKey:
    key_id, _, text = line.strip().partition(" ")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES or not key_id.isprintable() or not 0 < len(key_id) <= 32:
        raise MasterKeyMissing(f"a master key is `id base64`, with {KEY_BYTES} bytes; one line is not like that")
    return MasterKey(key_id, key)
