"""Heads of audit chains, signed and kept in a file outside the database: whoever rewrites a whole chain can't rewrite these.

The file holds one JSON object per line and is only ever appended to. It belongs on another host or a write-once volume; the
default in the data directory guards against a change in the database alone.
"""

import json
import os
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.audit import Head
from storage import private_files

KEY_FILE = "audit-heads.key"
HEADS_FILE = "audit-heads.jsonl"


class HeadsDamaged(Exception):
    """The file of signed heads holds a line that nobody signed; takes one text."""


class SignedHeads:
    """The file, and the key with which its lines are signed, made at first use with mode 0600."""

    def __init__(self, directory: Path, *, file: Path | None = None) -> None:
        self._key_path = directory / KEY_FILE
        self._path = file or directory / HEADS_FILE

    def add(self, heads: list[Head]) -> None:
        """Sign and append heads; they are on the disk when this returns."""
        key = self._key()
        lines = [
            json.dumps({
                "tenant_id": head.tenant_id, "place": head.place, "hash": head.hash.hex(), "time_us": head.time_us,
                "signature": b64encode(key.sign(head.message())).decode(),
            })
            for head in heads
        ]  # fmt: skip
        with self._path.open("a+b") as file:
            if file.tell():  # whoever wrote last may have died, or found the disk full, in the middle of a line
                file.seek(-1, os.SEEK_END)
                file.write(b"" if file.read() == b"\n" else b"\n")
            file.write("".join(line + "\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> dict[str, list[Head]]:
        """Return the heads by tenant. Raise HeadsDamaged for a line that is not signed, unless a crash has cut it off."""
        if not self._path.exists():
            return {}
        public = self._key().public_key()
        found: dict[str, list[Head]] = {}
        for number, line in enumerate(self._path.read_text(encoding="utf-8").split("\n"), 1):
            if line.endswith("}"):
                head = _read(line, number, public)
                found.setdefault(head.tenant_id, []).append(head)
        return found

    def public_pem(self) -> str:
        """Return the public key, for auditors who check the file themselves."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key().public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(
            private_files.made_once(self._key_path, lambda: Ed25519PrivateKey.generate().private_bytes_raw())
        )


def _read(line: str, number: int, public: Ed25519PublicKey) -> Head:
    try:
        row = json.loads(line)
        head = Head(row["tenant_id"], row["place"], bytes.fromhex(row["hash"]), row["time_us"])
        public.verify(b64decode(row["signature"]), head.message())
    except (ValueError, KeyError, TypeError, InvalidSignature) as error:
        raise HeadsDamaged(f"line {number} of the signed audit heads is not what was signed") from error
    return head
