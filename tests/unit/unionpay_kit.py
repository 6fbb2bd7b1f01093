"""A UnionPay of our own for tests: its certificates, and whatever they sign."""

import datetime
import functools
import urllib.parse
from typing import Any, NamedTuple

from channels.unionpay.config import UnionPayConfig
from domain.credentials import Credentials
from domain.identifiers import attempt_number
from simulator.wire.unionpay.certificates import Identity, Platform, make
from simulator.wire.unionpay.codec import signed

MERCHANT = "777290058110048"
NOW = datetime.datetime(2026, 11, 24, 4, 0, tzinfo=datetime.UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
NUMBER = attempt_number(shard=7, now_ms=NOW_MS, random=b"12345")
TXN_TIME = "20261124120000"


class Account(NamedTuple):
    merchant_no: str
    credentials: tuple[Credentials, ...]
    terms: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it


@functools.cache
def platform() -> Platform:
    return make(NOW)


@functools.cache
def identity(merchant_no: str = MERCHANT) -> Identity:
    return platform().merchant(merchant_no, NOW)


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


def notice(signer: Identity | None = None, **changes: str) -> bytes:
    said = {
        "version": "5.1.0", "encoding": "UTF-8", "txnType": "01", "txnSubType": "01", "bizType": "000201",
        "accessType": "0", "merId": MERCHANT, "orderId": NUMBER, "txnTime": TXN_TIME, "txnAmt": "10000",
        "currencyCode": "156", "respCode": "00", "respMsg": "成功[0000000]", "queryId": "202611241200000000001",
        "traceTime": "1124120001", "settleAmt": "10000", "settleCurrencyCode": "156",
    }  # fmt: skip
    return urllib.parse.urlencode(signed(said | changes, signer or platform().sign)).encode()
