"""The platform's side of WeChat Pay for tests: keys, signed answers, callbacks and statements, written apart from our code."""

import base64
import datetime
import functools
import json
import time
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from channels.http import Lost, Reply
from channels.wechatpay.config import WechatpayConfig
from domain.credentials import Credentials

MCHID, OTHER = "1900000109", "1900000110"
API_KEY, OTHER_API_KEY = "a" * 32, "b" * 32
KEY_ID = "PUB_KEY_ID_0119000001092024120300"
NOW_MS = 1_735_700_000_000


@functools.cache
def key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def private_pem(name: str) -> str:
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key(name).private_bytes(serialization.Encoding.PEM, form, secret).decode()


def public_pem(name: str) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key(name).public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@functools.cache
def certificate(name: str, *, begins: int = 2024, ends: int = 2029) -> tuple[str, str]:
    """Return the serial number of a platform certificate, and its PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key(name).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(begins, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(ends, 1, 1, tzinfo=datetime.UTC))
        .sign(key(name), hashes.SHA256())
    )
    return f"{made.serial_number:X}", made.public_bytes(serialization.Encoding.PEM).decode()


class Account:
    """A merchant account as the desk has it."""

    def __init__(self, merchant_no: str = MCHID, *versions: dict[str, str], **terms: Any) -> None:
        self.merchant_no = merchant_no
        self.terms = {"appid": "wxd678efh567hg6787", "plan_id": 12_535} | terms
        made = versions or (key_mode(merchant_no),)
        self.credentials = [Credentials(len(made) - place, values) for place, values in enumerate(made)]


def key_mode(merchant_no: str = MCHID) -> dict[str, str]:
    return {
        "mch_private_key": private_pem("merchant"), "mch_serial_no": "5157F09EFDC096DE15EBE81A47057A7232F1B8E1",
        "apiv3_key": API_KEY if merchant_no == MCHID else OTHER_API_KEY,
        "platform_public_key": public_pem("platform"), "platform_public_key_id": KEY_ID,
    }  # fmt: skip


def certificate_mode(*names: str) -> dict[str, str]:
    return {
        "mch_private_key": private_pem("merchant"), "mch_serial_no": "5157F09EFDC096DE15EBE81A47057A7232F1B8E1",
        "apiv3_key": API_KEY, "platform_certs": "".join(certificate(name)[1] for name in names),
    }  # fmt: skip


def config(*accounts: Account, **settings: Any) -> WechatpayConfig:
    return WechatpayConfig.of(channel_id="wx", settings=settings, accounts=accounts or (Account(),))


def signed(
    body: bytes, *, name: str = "platform", serial: str = KEY_ID, time_s: int = NOW_MS // 1000, nonce: str = "n" * 32
) -> dict[str, str]:
    message = f"{time_s}\n{nonce}\n".encode() + body + b"\n"
    signature = key(name).sign(message, padding.PKCS1v15(), hashes.SHA256())
    return {
        "wechatpay-timestamp": str(time_s), "wechatpay-nonce": nonce, "wechatpay-serial": serial,
        "wechatpay-signature": base64.b64encode(signature).decode(),
        "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
    }  # fmt: skip


def sealed(plain: bytes, *, api_key: str = API_KEY, associated_data: str = "transaction") -> dict[str, str]:
    nonce = "fdasfjihihih"
    ciphertext = AESGCM(api_key.encode()).encrypt(nonce.encode(), plain, associated_data.encode())
    return {"algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": associated_data,
            "ciphertext": base64.b64encode(ciphertext).decode()}  # fmt: skip


def callback(plain: dict[str, Any], *, event_type: str = "TRANSACTION.SUCCESS", kind: str = "transaction",
             api_key: str = API_KEY) -> bytes:  # fmt: skip
    resource = sealed(json.dumps(plain).encode(), api_key=api_key) | {"original_type": kind}
    return json.dumps({"id": "EV-2018022511223320873", "create_time": "2015-05-20T13:29:35+08:00",
                       "resource_type": "encrypt-resource", "event_type": event_type, "summary": "支付成功",
                       "resource": resource}).encode()  # fmt: skip


def trade(**changes: Any) -> dict[str, Any]:
    return {
        "appid": "wxd678efh567hg6787", "mchid": MCHID, "out_trade_no": "n1000001", "transaction_id": "T1",
        "trade_type": "NATIVE", "trade_state": "SUCCESS", "trade_state_desc": "支付成功", "bank_type": "OTHERS",
        "success_time": "2025-01-01T10:00:00+08:00", "payer": {"openid": "o1"},
        "amount": {"total": 10_000, "payer_total": 10_000, "currency": "CNY", "payer_currency": "CNY"},
    } | changes  # fmt: skip


class Platform:
    """A transport that answers from a list, and remembers what it was sent."""

    def __init__(self, *replies: Reply | Lost) -> None:
        self.replies = list(replies)
        self.sent: list[tuple[str, str, dict[str, str], bytes]] = []

    async def send(self, method: str, url: str, *, headers: dict[str, str], body: bytes = b"", **_: Any) -> Reply | Lost:
        self.sent.append((method, url, headers, body))
        return self.replies.pop(0)

    async def aclose(self) -> None:
        pass


def reply(item: Any, status: int = 200, **signing: Any) -> Reply:
    body = b"" if item is None else json.dumps(item).encode()
    return Reply(status, signed(body, **signing), body)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
