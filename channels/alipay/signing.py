"""RSA2 in Alipay's three forms: over sorted parameters, over an answer's exact text, and over a callback's fields.

The algorithm is ours to say, never the message's. The key is chosen by the number of the certificate that the message
names, among those that we hold; without a number all bare keys are tried.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

from channels import rsa

_RSA_SIGNATURES = "1.2.840.113549.1.1"
_NAMES = {
    NameOID.COMMON_NAME: "CN", NameOID.ORGANIZATIONAL_UNIT_NAME: "OU", NameOID.ORGANIZATION_NAME: "O",
    NameOID.COUNTRY_NAME: "C", NameOID.LOCALITY_NAME: "L", NameOID.STATE_OR_PROVINCE_NAME: "ST",
}  # fmt: skip


class KeyLike(Protocol):
    """A key that verifies."""

    @property
    def sn(self) -> str:
        """The number of its certificate, "" for a bare key."""
        ...

    @property
    def key(self) -> RSAPublicKey:
        """The key."""
        ...

    @property
    def not_after_ms(self) -> int:
        """When it ends, 0 for never."""
        ...


def joined(params: Mapping[str, str], *, without: Sequence[str]) -> str:
    """Return what is signed: k=v sorted by k and joined with &, without empty values."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name not in without and params[name])


def sign(key: RSAPrivateKey, params: Mapping[str, str]) -> str:
    """Sign a request; sign_type is part of it."""
    return base64.b64encode(rsa.sign(key, joined(params, without=("sign",)).encode())).decode()


def verified(message: bytes, signature: str, sn: str, keys: Sequence[KeyLike], *, now_ms: int) -> bool:
    """Tell whether one of the keys signed the message."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    alive = (key for key in keys if not 0 < key.not_after_ms <= now_ms)
    return any(rsa.verify(key.key, message, raw) for key in alive if not sn or key.sn == sn)


def notice_verified(fields: Mapping[str, str], keys: Sequence[KeyLike], *, now_ms: int) -> bool:
    """Tell whether a callback is signed; sign_type is no part of it."""
    try:
        message = joined(fields, without=("sign", "sign_type")).encode()
    except UnicodeEncodeError:
        return False
    return verified(message, fields.get("sign", ""), fields.get("alipay_cert_sn", ""), keys, now_ms=now_ms)


def certificate_sn(certificate: x509.Certificate) -> str:
    """Return a certificate's number as Alipay counts it: MD5 of the issuer, most specific first, and the serial."""
    parts = [
        f"{_NAMES.get(attribute.oid, attribute.oid.dotted_string)}={attribute.value!s}"
        for part in reversed(certificate.issuer.rdns)
        for attribute in part
    ]
    text = f"{','.join(parts)}{certificate.serial_number}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def root_sn(certificates: Sequence[x509.Certificate]) -> str:
    """Return the number of a bundle of roots: those whose signature is RSA, joined."""
    chosen = [one for one in certificates if one.signature_algorithm_oid.dotted_string.startswith(_RSA_SIGNATURES)]
    return "_".join(certificate_sn(one) for one in chosen)
