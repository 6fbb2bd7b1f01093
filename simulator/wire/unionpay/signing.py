"""RSA over the hexadecimal SHA-256 of the sorted fields; whoever answers sends its certificate along."""

import asyncio
import base64
import binascii
import functools
import hashlib
from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from simulator.codec import Flaw
from simulator.wire import forge
from simulator.wire.accounts import Account

_CERTIFICATES = {Flaw.STALE_TIME: "expired", Flaw.OTHER_CERTIFICATE: "stranger", Flaw.NEW_CERTIFICATE: "next"}

load_key = functools.lru_cache(maxsize=256)(forge.load_key)


def digest(fields: Mapping[str, str]) -> bytes:
    """Return what is signed."""
    kept = sorted((name, value) for name, value in fields.items() if name != "signature" and value)
    return hashlib.sha256("&".join("=".join(pair) for pair in kept).encode()).hexdigest().encode()


def sign(fields: Mapping[str, str], key: RSAPrivateKey) -> str:
    """Return the signature of fields."""
    return base64.b64encode(key.sign(digest(fields), padding.PKCS1v15(), hashes.SHA256())).decode()


def is_signed(fields: Mapping[str, str], account: Account) -> bool:
    """Tell whether the merchant has signed a request, with the certificate that it names."""
    try:
        signature = base64.b64decode(fields.get("signature", ""), validate=True)
        _public_key(account.hub["sign_cert"]).verify(signature, digest(fields), padding.PKCS1v15(), hashes.SHA256())
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return fields.get("certId") == account.own["merchant_cert_id"]


async def sealed(fields: Mapping[str, str], account: Account, flaw: Flaw = Flaw.NONE) -> dict[str, str]:
    """Return an answer or a notice with certificate and signature, as the flaw has them."""
    which = _CERTIFICATES.get(flaw, "sign")
    whole = {**fields, "signMethod": "01", "signPubKeyCert": account.own[f"{which}_cert"].strip()}
    if flaw is Flaw.NO_SIGNATURE:
        return whole
    signature = await asyncio.to_thread(sign, whole, load_key(account.own[f"{which}_key"]))
    if flaw in (Flaw.BAD_SIGNATURE, Flaw.PROBE_SIGNATURE):
        signature = signature[10:] + signature[:10]
    return whole | {"signature": signature}


@functools.lru_cache(maxsize=256)
def _public_key(certificate_pem: str) -> RSAPublicKey:
    key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
    assert isinstance(key, RSAPublicKey), "merchants have RSA keys"
    return key
