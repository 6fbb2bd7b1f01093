"""A UnionPay of our own for tests: its certificates, and whatever they sign."""

import base64
import datetime
import functools
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

from channels.unionpay.config import UnionPayConfig
from domain.credentials import Credentials
from domain.identifiers import attempt_number
from simulator.wire import forge
from simulator.wire.forge import Identity
from simulator.wire.unionpay.credentials import PLATFORM_NAME
from simulator.wire.unionpay.signing import sign

MERCHANT = "777290058110048"
NOW = datetime.datetime(2026, 11, 24, 4, 0, tzinfo=datetime.UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
NUMBER = attempt_number(shard=7, now_ms=NOW_MS, random=b"12345")
TXN_TIME = "20261124120000"


class Account(NamedTuple):
    merchant_no: str
    credentials: tuple[Credentials, ...]
    terms: Mapping[str, Any] = {}


class Platform(NamedTuple):
    root: Identity
    middle: Identity
    sign: Identity
    encrypt: Identity


def issued(name: str, by: Identity, **options: Any) -> Identity:
    return forge.issued(name, organisation="Test", by=by, **options)


def make() -> Platform:
    root = forge.authority("Root", organisation="Test")
    middle = issued("OCA1", root, is_authority=True)
    return Platform(root, middle, issued(PLATFORM_NAME, middle), issued("041@SIM@encrypt@1", middle))


@functools.cache
def platform() -> Platform:
    return make()


@functools.cache
def stranger() -> Platform:
    return make()


@functools.cache
def identity() -> Identity:
    return issued(f"041@{MERCHANT}@Test@1", platform().middle)


def credentials(side: Platform, own: Identity, *, version: int = 1) -> Credentials:
    return Credentials(
        version,
        {
            "sign_private_key": own.key_pem,
            "sign_cert": own.certificate_pem,
            "root_cert": side.root.certificate_pem,
            "middle_cert": side.middle.certificate_pem,
            "encrypt_cert": side.encrypt.certificate_pem,
        },
    )


def config(**settings: Any) -> UnionPayConfig:
    account = Account(MERCHANT, (credentials(platform(), identity()),))
    return UnionPayConfig.of(channel_id="union", settings=settings, accounts=[account])


def signed(fields: Mapping[str, str], signer: Identity) -> dict[str, str]:
    """Sign as the platform does, with the certificate inside."""
    whole = {**fields, "signMethod": "01", "signPubKeyCert": signer.certificate_pem.strip()}
    return whole | {"signature": sign(whole, signer.key)}  # type: ignore[arg-type]


def shuffled(signature: str) -> str:
    """Return a signature that is none."""
    return base64.b64encode(base64.b64decode(signature)[::-1]).decode()


def notice(signer: Identity | None = None, **changes: str) -> bytes:
    said = {
        "version": "5.1.0", "encoding": "UTF-8", "txnType": "01", "txnSubType": "01", "bizType": "000201",
        "accessType": "0", "merId": MERCHANT, "orderId": NUMBER, "txnTime": TXN_TIME, "txnAmt": "10000",
        "currencyCode": "156", "respCode": "00", "respMsg": "成功[0000000]", "queryId": "202611241200000000001",
        "traceTime": "1124120001", "settleAmt": "10000", "settleCurrencyCode": "156",
    }  # fmt: skip
    return urllib.parse.urlencode(signed(said | changes, signer or platform().sign)).encode()
