"""RSA as the channels use it: SHA-256 with PKCS#1 v1.5, over bytes, with keys in PEM or as bare base64.

A signature takes about a millisecond of a core. `off_loop` gives such work to a few threads (the library lets go of the
interpreter meanwhile), so that a batch of signatures never stands in an event loop's way.
"""

import asyncio
import functools
import os
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

# What the library says to keys and certificates that are none, or none that it knows; some of it is no ValueError.
UNREADABLE = (
    ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)  # fmt: skip

THREADS = max(2, os.cpu_count() or 2)
# Keys of our own that are remembered: those of every merchant account of a group, with the versions that come and go.
KEYS_MAX = 1_024

Result = TypeVar("Result")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="channel-crypto")


async def off_loop(work: Callable[..., Result], *arguments: object) -> Result:
    """Run something that only computes in the threads for it."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work, *arguments)


@functools.lru_cache(maxsize=KEYS_MAX)
def private_key(text: str) -> RSAPrivateKey:
    """Read a private key, once.

    Its numbers are tested where people put it in (`storage.materials`), not here: that takes 40 ms, in which the library
    lets no other thread of the process do anything. Raise ValueError for anything but RSA; the message never shows the key.
    """
    try:
        key = _load(_pem(text, "PRIVATE KEY"))
    except UNREADABLE:
        # PKCS#1 is what some channels' own tools write, and bare base64 does not say which of the two it is.
        try:
            key = _load(_pem(text, "RSA PRIVATE KEY"))
        except UNREADABLE:
            raise ValueError("not an RSA private key") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA private key")
    return key


_load = functools.partial(serialization.load_pem_private_key, password=None, unsafe_skip_rsa_key_validation=True)


def public_key(text: str) -> RSAPublicKey:
    """Read a public key. Raise ValueError for anything but RSA."""
    try:
        key = serialization.load_pem_public_key(_pem(text, "PUBLIC KEY"))
    except UNREADABLE:
        raise ValueError("not an RSA public key") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("not an RSA public key")
    return key


def sign(key: RSAPrivateKey, message: bytes) -> bytes:
    """Return the signature of a message."""
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def verify(key: RSAPublicKey, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature is right."""
    try:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _pem(text: str, label: str) -> bytes:
    text = text.strip()
    if text.startswith("-----"):
        return text.encode()
    lines = "\n".join(textwrap.wrap("".join(text.split()), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()
