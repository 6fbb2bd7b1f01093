"""The bank's signatures: RSA-SHA256 over target, time and body, in base64."""

import asyncio
import base64
import binascii
import functools
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from simulator.codec import Flaw
from simulator.wire import forge
from simulator.wire.accounts import Account

SKEW_S = 300
STALE_S = 3_600
_KEYS = {Flaw.OTHER_CERTIFICATE: "stranger_key", Flaw.NEW_CERTIFICATE: "next_key"}


def is_signed(account: Account, headers: Mapping[str, str], target: str, body: bytes) -> bool:
    """Tell whether the customer signed this request."""
    try:
        signature = base64.b64decode(headers.get("bank-signature", ""), validate=True)
        message = _message(target, headers.get("bank-time", ""), body)
        _public(account.own["customer_public_key"]).verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def is_timely(headers: Mapping[str, str], *, real_ms: int) -> bool:
    """Tell whether a request was signed just now."""
    text = headers.get("bank-time", "")
    return text.isascii() and text.isdigit() and len(text) < 12 and abs(real_ms // 1_000 - int(text)) <= SKEW_S


async def seal(account: Account, target: str, body: bytes, flaw: Flaw, *, real_ms: int) -> dict[str, str]:
    """Return the headers that sign an answer, or fail to."""
    now_s = real_ms // 1_000 - (STALE_S if flaw is Flaw.STALE_TIME else 0)
    headers = {"bank-time": str(now_s)}
    if flaw is Flaw.NO_SIGNATURE:
        return headers
    key = account.own[_KEYS.get(flaw, "bank_key")]
    signature = await asyncio.to_thread(_sign, key, _message(target, headers["bank-time"], body))
    if flaw in (Flaw.BAD_SIGNATURE, Flaw.PROBE_SIGNATURE):
        signature = signature[::-1]
    return headers | {"bank-signature": base64.b64encode(signature).decode()}


def _message(target: str, time_text: str, body: bytes) -> bytes:
    return target.encode() + b"\n" + time_text.encode() + b"\n" + body


@functools.lru_cache(maxsize=256)
def _public(pem: str) -> RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey), "customers have RSA keys"
    return key


_key = functools.lru_cache(maxsize=256)(forge.load_key)


def _sign(key_pem: str, message: bytes) -> bytes:
    return _key(key_pem).sign(message, padding.PKCS1v15(), hashes.SHA256())
