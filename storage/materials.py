"""Reads keys and certificates far enough to know that they are such, until when, and by which mark to know them again."""

import base64
import binascii
import textwrap
from collections.abc import Callable, Mapping
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from domain.credentials import Material
from domain.refusals import Violation

# Half of a SHA-256: what people compare, and what no two values share by chance.
FINGERPRINT_BYTES = 16


class Shown(NamedTuple):
    """What may be seen of a value. `not_after_ms` is 0 where nothing says when it ends."""

    name: str
    material: str
    fingerprint: str
    not_after_ms: int = 0


def read(
    values: Mapping[str, str],
    materials: Mapping[str, Material],
    *,
    now_ms: int,
    digest: Callable[[str, str], bytes],
) -> tuple[list[Shown], list[Violation]]:
    """Read values by their names; return what may be shown, and why some cannot be what they should be.

    `digest` makes the fingerprint of a text, keyed, because a text can be guessed. That of a key pair is the hash of its
    public half, that of a certificate its usual one. No violation ever quotes a value.
    """
    shown, violations = [], []
    for name, value in sorted(values.items()):
        material = materials.get(name, Material.TEXT)
        try:
            fingerprint, not_after_ms = _READERS[material](value) if material in _READERS else (digest(name, value), 0)
        except ValueError as error:
            violations.append(Violation(f"values.{name}", str(error)))
            continue
        if not_after_ms and not_after_ms <= now_ms:
            violations.append(Violation(f"values.{name}", "has expired"))
        shown.append(Shown(name, material, fingerprint[:FINGERPRINT_BYTES].hex(), not_after_ms))
    return shown, violations


def bundled(held: str, offered: str, *, now_ms: int) -> str:
    """Return certificates in PEM with those that are offered beside them, still count, and are not there yet."""
    if not held:
        return held
    known = {found.fingerprint(hashes.SHA256()) for found in x509.load_pem_x509_certificates(_pem(held, "CERTIFICATE"))}
    fresh = [
        found.public_bytes(serialization.Encoding.PEM).decode()
        for found in x509.load_pem_x509_certificates(offered.encode())
        if found.fingerprint(hashes.SHA256()) not in known and found.not_valid_after_utc.timestamp() * 1_000 > now_ms
    ]
    return "".join([held if held.endswith("\n") or not fresh else f"{held}\n", *fresh])


def guess(value: str) -> Material:
    """Tell by its frame what a value is, where nobody has declared it."""
    if "BEGIN CERTIFICATE" in value:
        return Material.CERTIFICATES
    if "PRIVATE KEY-----" in value:
        return Material.PRIVATE_KEY
    return Material.PUBLIC_KEY if "BEGIN PUBLIC KEY" in value else Material.TEXT


def _private_key(text: str) -> tuple[bytes, int]:
    for label in ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"):  # bare base64 does not say which it is
        try:
            key = serialization.load_pem_private_key(_pem(text, label), password=None)
        except TypeError:
            raise ValueError("is a private key behind a password: give it without") from None
        except UnsupportedAlgorithm:
            raise ValueError("is a private key of an algorithm that is not known here") from None
        except ValueError:
            continue
        return _public_mark(key.public_key()), 0
    raise ValueError("is not a private key in PEM")


def _public_key(text: str) -> tuple[bytes, int]:
    try:
        return _public_mark(serialization.load_pem_public_key(_pem(text, "PUBLIC KEY"))), 0
    except UnsupportedAlgorithm:
        raise ValueError("is a public key of an algorithm that is not known here") from None
    except ValueError:
        raise ValueError("is not a public key in PEM") from None


def _public_mark(key: PublicKeyTypes) -> bytes:
    public = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    made = hashes.Hash(hashes.SHA256())
    made.update(public)
    return made.finalize()


def _certificates(text: str) -> tuple[bytes, int]:
    """Several count for as long as one of them does: a channel's platform has an old and a new one for a while."""
    try:
        found = x509.load_pem_x509_certificates(_pem(text, "CERTIFICATE"))
    except (ValueError, x509.InvalidVersion):
        raise ValueError("is not a certificate in PEM") from None
    newest = max(found, key=lambda certificate: certificate.not_valid_after_utc)
    return newest.fingerprint(hashes.SHA256()), int(newest.not_valid_after_utc.timestamp()) * 1000


def _certificate(text: str) -> tuple[bytes, int]:
    if text.count("BEGIN CERTIFICATE") > 1:
        raise ValueError("holds several certificates; one is wanted")
    return _certificates(text)


_READERS: dict[str, Callable[[str], tuple[bytes, int]]] = {
    Material.PRIVATE_KEY: _private_key,
    Material.PUBLIC_KEY: _public_key,
    Material.CERTIFICATE: _certificate,
    Material.CERTIFICATES: _certificates,
}


def _pem(text: str, label: str) -> bytes:
    """Return PEM as it is, and bare base64 with the frame of its label."""
    if "-----BEGIN" in text:
        return text.encode()
    bare = "".join(text.split())
    try:
        base64.b64decode(bare, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("neither PEM nor base64") from None
    lines = "\n".join(textwrap.wrap(bare, 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()
