"""RSA2 over sorted parameters, and over the exact text of an answer's inner object."""

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

_CERTIFICATES = {Flaw.OTHER_CERTIFICATE: "stranger", Flaw.NEW_CERTIFICATE: "next"}


def text_of(params: Mapping[str, str], *, without: tuple[str, ...]) -> str:
    """Return what is signed: sorted k=v, joined with &, without empty values."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name not in without and params[name] != "")


def is_signed(public_key_pem: str, params: Mapping[str, str], charset: str) -> bool:
    """Tell whether a request's signature is right; sign_type is part of what is signed."""
    try:
        signature = base64.b64decode(params.get("sign", ""), validate=True)
        message = text_of(params, without=("sign",)).encode(charset)
        _public(public_key_pem).verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError, LookupError):
        return False
    return True


@functools.lru_cache(maxsize=256)
def _public(pem: str) -> RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey), "applications have RSA keys"
    return key


class Seal:
    """How an answer or a callback is to be signed: the key and the number of its certificate, or not at all."""

    def __init__(self, account: Account, flaw: Flaw) -> None:
        which = _CERTIFICATES.get(flaw, "alipay")
        self._key = account.own[f"{which}_key"]
        self._flaw = flaw
        self.certificate_sn = account.own[f"{which}_cert_sn"]

    async def sign(self, text: str, charset: str = "utf-8") -> str:
        """Return the signature in base64; "" where none is wanted."""
        if self._flaw is Flaw.NO_SIGNATURE:
            return ""
        signature = await asyncio.to_thread(_sign, self._key, text.encode(charset))
        if self._flaw not in (Flaw.NONE, *_CERTIFICATES):
            signature = signature[::-1]
        return base64.b64encode(signature).decode()


_key = functools.lru_cache(maxsize=256)(forge.load_key)


def _sign(key_pem: str, message: bytes) -> bytes:
    return _key(key_pem).sign(message, padding.PKCS1v15(), hashes.SHA256())


def signed(key_pem: str, fields: Mapping[str, str]) -> str:
    """Sign the fields of a callback, in base64."""
    text = text_of(fields, without=("sign", "sign_type"))
    return base64.b64encode(_sign(key_pem, text.encode())).decode()
