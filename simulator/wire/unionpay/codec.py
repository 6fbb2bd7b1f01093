"""UnionPay's wire as UnionPay writes and reads it: forms in, bare pairs out, RSA over the digest of the sorted pairs."""

import base64
import binascii
import hashlib
import urllib.parse
import zlib
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from simulator.wire.unionpay.certificates import Identity

FIELDS_MAX = 200
FILE_BYTES_MAX = 64 << 20

Fields = dict[str, str]


class Unreadable(Exception):
    """A message that no merchant's software would send."""


def read_form(body: bytes) -> Fields:
    """Read a request. Raise Unreadable."""
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError as error:
        raise Unreadable(str(error)) from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Unreadable("a field is there twice")
    return fields


def write_answer(fields: Mapping[str, str]) -> bytes:
    """Write an answer: as it is, without any encoding of its characters."""
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode()


def signed(fields: Mapping[str, str], signer: Identity) -> Fields:
    """Return fields with the signer's certificate and signature."""
    whole = {**fields, "signMethod": "01", "signPubKeyCert": signer.certificate_pem.strip()}
    signature = signer.key.sign(_digest(whole), padding.PKCS1v15(), hashes.SHA256())
    return whole | {"signature": base64.b64encode(signature).decode()}


def is_signed(fields: Mapping[str, str], key: RSAPublicKey) -> bool:
    """Tell whether a merchant has signed fields."""
    try:
        signature = base64.b64decode(fields.get("signature", ""), validate=True)
        key.verify(signature, _digest(fields), padding.PKCS1v15(), hashes.SHA256())
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def decrypt(text: str, key: RSAPrivateKey) -> str:
    """Read what a merchant has encrypted. Raise Unreadable."""
    try:
        return key.decrypt(base64.b64decode(text, validate=True), padding.PKCS1v15()).decode()
    except (binascii.Error, ValueError) as error:
        raise Unreadable("not encrypted for us") from error


def pack(content: bytes) -> str:
    """Return a file as it travels in fileContent."""
    return base64.b64encode(zlib.compress(content)).decode()


def unpack(text: str) -> bytes:
    """Read a file out of fileContent. Raise Unreadable."""
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(text, validate=True), FILE_BYTES_MAX)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise Unreadable("no packed file") from error
    if not unpacker.eof:
        raise Unreadable("no packed file")
    return content


def read_customer(text: str, key: RSAPrivateKey) -> Fields:
    """Read customerInfo, and what is encrypted in it. Raise Unreadable."""
    try:
        plain = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Unreadable("customerInfo is no base64") from error
    if not (plain.startswith("{") and plain.endswith("}")):
        raise Unreadable("customerInfo has no braces")
    fields = _pairs(plain[1:-1])
    hidden = fields.pop("encryptedInfo", "")
    return fields | (_pairs(decrypt(hidden, key)) if hidden else {})


def _pairs(text: str) -> Fields:
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split("&")) if name}


def _digest(fields: Mapping[str, str]) -> bytes:
    kept = sorted((name, value) for name, value in fields.items() if name != "signature" and value)
    return hashlib.sha256("&".join("=".join(pair) for pair in kept).encode()).hexdigest().encode()
