"""What the UnionPay channel must be told: addresses, products, and each merchant number's keys and certificates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels import rsa
from channels.port import Ability
from channels.rsa import UNREADABLE
from channels.unionpay.batches import Layout
from channels.unionpay.signing import Trust
from domain.credentials import Credentials, Material, Needs

log = structlog.get_logger()

# CLOSE is not among them: UnionPay has no way to close an order on demand, see `client.UnionPayChannel.close`.
ABILITIES = frozenset(
    {
        Ability.CHARGE, Ability.QUERY, Ability.REFUND, Ability.QUERY_REFUND, Ability.PAYOUT, Ability.QUERY_PAYOUT,
        Ability.SIGN, Ability.QUERY_MANDATE, Ability.UNSIGN, Ability.DEBIT, Ability.VERIFY, Ability.DOWNLOAD_BILL,
    }
)  # fmt: skip

_OWN = frozenset({"sign_private_key", "sign_cert", "root_cert", "middle_cert"})
CREDENTIALS = Needs(
    {"sign_private_key": Material.PRIVATE_KEY, "encrypt_cert": Material.CERTIFICATE}
    | dict.fromkeys(sorted(_OWN - {"sign_private_key"}), Material.CERTIFICATE),
    (_OWN,),
)

BASE_URL = "https://gateway.95516.com"
FILE_URL = "https://filedownload.95516.com"
# Whom the certificates of answers and notices must name; the test environment also signs as `00040000:SIGN`.
PLATFORM_NAMES = ("中国银联股份有限公司",)
# How long a payer may take. UnionPay refuses an order after its payTimeout, which is what makes its end provable.
PAY_WINDOW_S = 900
# How long after the end of its pay window an order may still become known at UnionPay.
CLOSE_PATIENCE_S = 60
CONCURRENCY_MAX = 100
# Shorter than a connector's patience, so that an answer that never comes is told as one.
TIMEOUT_S = 2.8


class Product(StrEnum):
    """How a charge reaches the payer."""

    FRONT = "FRONT"  # the payer's browser posts a signed form to UnionPay's page
    APP = "APP"  # an app passes a number (tn) to UnionPay's own software
    BACK = "BACK"  # a bound card is charged without the payer


PRODUCTS = {
    "": Product.FRONT, "PC": Product.FRONT, "H5": Product.FRONT, "WECHAT_OA": Product.FRONT, "APP": Product.APP,
    "API": Product.BACK,
}  # fmt: skip


def missing(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what a channel's settings lack: UnionPay's page refuses a form that does not say where the payer goes then."""
    if settings.get("front_url") or Product.FRONT not in _products(settings).values():
        return {}
    return {"front_url": "must be the address to which UnionPay's page sends payers back: it refuses them without one"}


def _products(settings: Mapping[str, Any]) -> dict[str, Product]:
    return {**PRODUCTS, **{where: Product(word) for where, word in settings.get("products", {}).items()}}


class AccountLike(Protocol):
    """What is read of a merchant account."""

    @property
    def merchant_no(self) -> str:
        """The merchant number (merId)."""
        ...

    @property
    def credentials(self) -> Sequence[Credentials]:
        """Versions of `sign_private_key`, `sign_cert`, `root_cert`, `middle_cert` and `encrypt_cert`, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Merchant:
    """One merchant number: what it signs with, whom it believes, and for whom it encrypts what is told of cards."""

    number: str
    key: RSAPrivateKey = field(repr=False)
    cert_id: str
    trust: Trust = field(repr=False)
    encrypt_key: RSAPublicKey | None = field(default=None, repr=False)
    encrypt_cert_id: str = ""


@dataclass(frozen=True, slots=True)
class UnionPayConfig:
    """One channel."""

    channel_id: str
    merchants: Mapping[str, Merchant]
    base_url: str = BASE_URL
    file_url: str = FILE_URL
    products: Mapping[str, Product] = field(default_factory=lambda: dict(PRODUCTS))
    front_url: str = ""  # where payers come back to whose charge does not say: UnionPay's page wants an address
    pay_window_s: int = PAY_WINDOW_S
    close_patience_s: int = CLOSE_PATIENCE_S
    concurrency_max: int = CONCURRENCY_MAX
    timeout_s: float = TIMEOUT_S
    batch_layout: Layout = field(default_factory=Layout)

    @classmethod
    def of(cls, *, channel_id: str, settings: Mapping[str, Any], accounts: Sequence[AccountLike]) -> "UnionPayConfig":
        """Read the settings of the channel's row. An account whose keys cannot be used is left out, and that is logged.

        Raise ValueError for a setting that cannot be understood.
        """
        names = tuple(settings.get("platform_names", PLATFORM_NAMES))
        return cls(
            channel_id,
            _merchants(channel_id, accounts, names),
            settings.get("base_url", BASE_URL).rstrip("/"),
            settings.get("file_url", FILE_URL).rstrip("/"),
            _products(settings),
            settings.get("front_url", ""),
            settings.get("pay_window_s", PAY_WINDOW_S),
            settings.get("close_patience_s", CLOSE_PATIENCE_S),
            settings.get("concurrency_max", CONCURRENCY_MAX),
            settings.get("timeout_s", TIMEOUT_S),
            Layout.of(settings.get("batch_layout", {})),
        )


def _merchants(channel_id: str, accounts: Sequence[AccountLike], names: Sequence[str]) -> dict[str, Merchant]:
    merchants = {}
    for account in accounts:
        try:
            merchant = _merchant(account, names)
        except UNREADABLE as error:
            log.error("credentials_unusable", channel_id=channel_id, merchant_no=account.merchant_no, reason=str(error))
        else:
            if merchant is not None:
                merchants[account.merchant_no] = merchant
    return merchants


def _merchant(account: AccountLike, names: Sequence[str]) -> Merchant | None:
    """Read an account's versions: the newest signs and encrypts, all of them are believed."""
    if not account.credentials:
        return None
    newest = account.credentials[0].values
    missing = _OWN - newest.keys()
    if missing:
        raise ValueError(f"{min(missing)} is missing")
    key = rsa.private_key(newest["sign_private_key"])
    cert = _certificate(newest, "sign_cert")
    if _public_key(cert, "sign_cert").public_numbers() != key.public_key().public_numbers():
        raise ValueError("sign_cert and sign_private_key do not belong together")
    encrypts = _certificate(newest, "encrypt_cert") if newest.get("encrypt_cert") else None
    trust = Trust(
        roots=[_certificate(version.values, "root_cert") for version in account.credentials],
        middles=[_certificate(version.values, "middle_cert") for version in account.credentials],
        names=names,
    )
    return Merchant(
        account.merchant_no,
        key,
        str(cert.serial_number),
        trust,
        _public_key(encrypts, "encrypt_cert") if encrypts else None,
        str(encrypts.serial_number) if encrypts else "",
    )


def _certificate(values: Mapping[str, str], name: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(values[name].strip().encode())
    except (KeyError, *UNREADABLE):
        raise ValueError(f"{name} is no certificate in PEM") from None


def _public_key(certificate: x509.Certificate, name: str) -> RSAPublicKey:
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError(f"{name} is not for RSA")
    return key
