"""UnionPay's messages as UnionPay reads and writes them: forms in, bare pairs out, times of China, packed files."""

import base64
import binascii
import datetime
import re
import urllib.parse
import zlib
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from simulator.codec import Flaw
from simulator.wire.front import Told

CHINA = datetime.timezone(datetime.timedelta(hours=8))
FIELDS_MAX = 200
FILE_BYTES_MAX = 64 << 20
ORDER_NO = re.compile(r"[0-9A-Za-z]{8,40}")
_AMOUNT = re.compile(r"[1-9][0-9]{0,11}")

NOTHING_TOLD = Told({}, Flaw.NONE, 0)

Fields = dict[str, str]


class Invalid(Exception):
    """A request that is refused; `code` is the respCode, `told` has the weather around a refusal by the world."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.told = NOTHING_TOLD


def read_form(body: bytes) -> Fields:
    """Read a request. Raise Invalid."""
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError:
        raise Invalid("10") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid("10")
    return fields


def write_answer(fields: Mapping[str, str]) -> bytes:
    """Write an answer: as it is, without any encoding of its characters."""
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode()


def amount_of(fields: Mapping[str, str]) -> int:
    """Read txnAmt, in fen. Raise Invalid."""
    text = fields.get("txnAmt", "")
    if not _AMOUNT.fullmatch(text):
        raise Invalid("10", "txnAmt")
    return int(text)


def time_text(time_ms: int) -> str:
    """Write a time of China, YYYYMMDDHHMMSS."""
    return datetime.datetime.fromtimestamp(time_ms / 1_000, CHINA).strftime("%Y%m%d%H%M%S")


def time_of(text: str) -> int:
    """Read YYYYMMDDHHMMSS into Unix milliseconds. Raise Invalid."""
    try:
        if len(text) != 14 or not text.isascii():
            raise ValueError
        return int(datetime.datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=CHINA).timestamp() * 1_000)
    except ValueError:
        raise Invalid("10", "txnTime") from None


def decrypt(text: str, key: RSAPrivateKey) -> str:
    """Read what a merchant has encrypted. Raise Invalid."""
    try:
        return key.decrypt(base64.b64decode(text, validate=True), padding.PKCS1v15()).decode()
    except (binascii.Error, ValueError):
        raise Invalid("10", "not encrypted for us") from None


def read_customer(text: str, key: RSAPrivateKey) -> Fields:
    """Read customerInfo, and what is encrypted in it. Raise Invalid."""
    try:
        plain = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Invalid("10", "customerInfo") from None
    if not (plain.startswith("{") and plain.endswith("}")):
        raise Invalid("10", "customerInfo")
    fields = _pairs(plain[1:-1])
    hidden = fields.pop("encryptedInfo", "")
    return fields | (_pairs(decrypt(hidden, key)) if hidden else {})


def pack(content: bytes) -> str:
    """Return a file as it travels in fileContent."""
    return base64.b64encode(zlib.compress(content)).decode()


def unpack(text: str) -> bytes:
    """Read a file out of fileContent. Raise Invalid."""
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(text, validate=True), FILE_BYTES_MAX)
    except (binascii.Error, ValueError, zlib.error):
        raise Invalid("14") from None
    if not unpacker.eof:
        raise Invalid("14")
    return content


def _pairs(text: str) -> Fields:
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split("&")) if name}
