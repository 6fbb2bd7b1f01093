"""HMAC-SHA256 over raw bytes, with a secret per merchant."""

import hmac


def sign(secret: str, body: bytes) -> str:
    """Return the signature of a body, in hexadecimal."""
    return hmac.digest(secret.encode(), body, "sha256").hex()


def verify(secret: str, body: bytes, signature: str) -> bool:
    """Compare in constant time; a signature may be any text."""
    return hmac.compare_digest(sign(secret, body).encode(), signature.encode("utf-8", "replace"))
