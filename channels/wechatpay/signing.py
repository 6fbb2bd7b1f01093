"""How WeChat Pay and we prove who speaks: SHA256withRSA over lines, AES-256-GCM around what only we may read.

Verification is over the raw bytes, with the key that the message names by serial number and that we hold already; the
algorithm is never the message's choice. A signature that begins with WECHATPAY/SIGNTEST/ is the platform testing
whether we look: it is no base64, and fails like any other wrong one.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels import rsa
from channels.wechatpay.config import PlatformKey

SCHEME = "WECHATPAY2-SHA256-RSA2048"
# How far a signed time may be from ours.
WINDOW_S = 300
# RSA-OAEP as the platform wants it, SHA-1 within; it hides texts, and proves nothing.
_OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303


def sign_lines(key: RSAPrivateKey, *lines: str) -> str:
    """Sign lines, each ended by a line feed; return base64."""
    return base64.b64encode(rsa.sign(key, "".join(f"{line}\n" for line in lines).encode())).decode()


def authorization(
    key: RSAPrivateKey, *, mchid: str, serial_no: str, method: str, target: str, body: str, time_s: int, nonce: str
) -> str:
    """Return the header that signs one request. `target` is path and query exactly as sent."""
    signature = sign_lines(key, method, target, str(time_s), nonce, body)
    return (
        f'{SCHEME} mchid="{mchid}",nonce_str="{nonce}",timestamp="{time_s}",'
        f'serial_no="{serial_no}",signature="{signature}"'
    )


def verified(headers: Mapping[str, str], body: bytes, key: PlatformKey, *, now_ms: int) -> bool:
    """Tell whether the headers (names in lower case) sign the body with this key."""
    if headers.get("wechatpay-signature-type", SCHEME) != SCHEME or 0 < key.not_after_ms <= now_ms:
        return False
    signature = from_base64(headers.get("wechatpay-signature", ""))
    if signature is None:
        return False
    begin = f"{headers.get('wechatpay-timestamp', '')}\n{headers.get('wechatpay-nonce', '')}\n"
    return rsa.verify(key.key, begin.encode("utf-8", "replace") + body + b"\n", signature)


def is_timely(headers: Mapping[str, str], *, now_ms: int) -> bool:
    """Tell whether the signed time is near ours: a message from long ago is a replay."""
    text = headers.get("wechatpay-timestamp", "")
    return text.isascii() and text.isdecimal() and len(text) <= 12 and abs(now_ms // 1000 - int(text)) <= WINDOW_S


def unseal(keys: Sequence[bytes], *, nonce: str, associated_data: str, ciphertext: str) -> bytes | None:
    """Open what was encrypted for us with one of our API keys; None where it was not."""
    sealed = from_base64(ciphertext)
    number, beside = (text.encode("utf-8", "replace") for text in (nonce, associated_data))
    if sealed is None or not 8 <= len(number) <= 128:
        return None
    for key in keys:
        try:
            return AESGCM(key).decrypt(number, sealed, beside)
        except InvalidTag:
            continue
    return None


def seal(key: RSAPublicKey, text: str) -> str:
    """Encrypt a name or a number so that only the platform can read it."""
    return base64.b64encode(key.encrypt(text.encode(), _OAEP)).decode()


def from_base64(text: str) -> bytes | None:
    """Decode strictly; None for anything that is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
