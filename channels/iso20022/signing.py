"""How a bank and we prove who speaks: RSA-SHA256 over a file's raw bytes, detached, in base64.

Over HTTP the signature covers the target, the time and the body, each on a line of its own, so that what was signed for
one purpose serves no other and a replay is stale.
"""

import base64
import binascii
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels import rsa

# RSA-4096 in base64.
SIGNATURE_LENGTH_MAX = 684


def sign(key: RSAPrivateKey, content: bytes) -> str:
    """Return the signature of a file."""
    return base64.b64encode(rsa.sign(key, content)).decode()


def verify(keys: Iterable[RSAPublicKey], content: bytes, signature: str) -> bool:
    """Tell whether one of the keys has signed a file; a signature may be any text."""
    if len(signature) > SIGNATURE_LENGTH_MAX:
        return False
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return any(rsa.verify(key, content, raw) for key in keys)


def over_http(target: str, time_text: str, body: bytes) -> bytes:
    """Return what is signed of a request; of an answer with the target of its request."""
    return f"{target}\n{time_text}\n".encode() + body
