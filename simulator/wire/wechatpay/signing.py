"""Lines that are signed with RSA, the platform's headers around an answer, and AES-256-GCM around what is secret."""

import asyncio
import base64
import binascii
import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from simulator.codec import Flaw
from simulator.wire import forge
from simulator.wire.accounts import Account

SCHEME = "WECHATPAY2-SHA256-RSA2048"
SKEW_S = 300
# Of a certificate that is never offered for download.
STRANGER_SERIAL = "5A5A" * 10
_PAIR = re.compile(r'\s*(\w+)="([^"]*)"\s*(?:,|$)')
_FIELDS = frozenset({"mchid", "nonce_str", "timestamp", "serial_no", "signature"})
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303 - the platform's choice


class Authorization(NamedTuple):
    """Who a request says that it is from."""

    mchid: str
    nonce_str: str
    timestamp: str
    serial_no: str
    signature: str


def read_authorization(header: str) -> Authorization | None:
    """Read the header, whose parts may stand in any order; None for what is none."""
    scheme, _, rest = header.partition(" ")
    if scheme != SCHEME:
        return None
    pairs: dict[str, str] = {}
    place = 0
    while place < len(rest):
        match = _PAIR.match(rest, place)
        if match is None or match[1] in pairs:
            return None
        pairs[match[1]] = match[2]
        place = match.end()
    return Authorization(**pairs) if pairs.keys() == _FIELDS else None


def message_of(method: str, target: str, claimed: Authorization, body: bytes) -> bytes:
    """Return what a request signs; `target` is path and query as sent."""
    return f"{method}\n{target}\n{claimed.timestamp}\n{claimed.nonce_str}\n".encode() + body + b"\n"


def is_signed(public_key_pem: str, message: bytes, signature: str) -> bool:
    """Tell whether a signature in base64 is right."""
    try:
        raw = base64.b64decode(signature, validate=True)
        _public(public_key_pem).verify(raw, message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


async def sealed_headers(
    account: Account, body: bytes, *, real_ms: int, nonce: str, flaw: Flaw, wanted: str
) -> dict[str, str]:
    """Return the platform's headers around an answer or a callback.

    A merchant says by `Wechatpay-Serial` which of the platform's keys he wants to verify with (`wanted`). Who says
    nothing is from the time when there were only certificates.
    """
    serial, key = account.own["cert_serial"], account.own["cert_key"]
    if flaw is Flaw.NEW_CERTIFICATE:
        serial, key = account.own["next_serial"], account.own["next_key"]
    elif flaw is Flaw.OTHER_CERTIFICATE:
        serial, key = STRANGER_SERIAL, account.own["public_key"]
    elif wanted == account.hub["platform_public_key_id"]:
        serial, key = wanted, account.own["public_key"]
    time_s = real_ms // 1_000
    raw = await asyncio.to_thread(_sign, key, f"{time_s}\n{nonce}\n".encode() + body + b"\n")
    signature = base64.b64encode(raw[::-1] if flaw is Flaw.BAD_SIGNATURE else raw).decode()
    if flaw is Flaw.PROBE_SIGNATURE:
        signature = f"WECHATPAY/SIGNTEST/{signature}"
    headers = {
        "Wechatpay-Timestamp": str(time_s),
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature": signature,
        "Wechatpay-Signature-Type": SCHEME,
    }
    if flaw is Flaw.NO_SIGNATURE:
        del headers["Wechatpay-Signature"]
    return headers


def encrypted(api_key: str, plain: bytes, *, associated_data: str, nonce: str) -> Mapping[str, str]:
    """Encrypt for a merchant; the nonce has twelve characters."""
    ciphertext = AESGCM(api_key.encode()).encrypt(nonce.encode(), plain, associated_data.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": nonce,
        "associated_data": associated_data,
        "ciphertext": base64.b64encode(ciphertext).decode(),
    }


def unsealed(account: Account, serial: str, text: str) -> str | None:
    """Read a name that a merchant has sealed with the key that he names; None for what cannot be read."""
    keys = {
        account.hub["platform_public_key_id"]: account.own["public_key"],
        account.own["cert_serial"]: account.own["cert_key"],
        account.own["next_serial"]: account.own["next_key"],
    }
    try:
        return _key(keys[serial]).decrypt(base64.b64decode(text, validate=True), _OAEP).decode()
    except (KeyError, ValueError):
        return None


@functools.lru_cache(maxsize=256)
def _public(pem: str) -> RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey), "merchants have RSA keys"
    return key


_key = functools.lru_cache(maxsize=256)(forge.load_key)


def _sign(key_pem: str, message: bytes) -> bytes:
    return _key(key_pem).sign(message, padding.PKCS1v15(), hashes.SHA256())
