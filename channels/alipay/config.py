"""What Alipay must be told: where its gateway is, who we are there, and the keys of both sides.

The merchant number is the seller's (PID). A merchant account's credentials hold, by name: `app_id`, `app_private_key`
(ours, the newest version signs), and for Alipay's side either `alipay_public_key` (key mode) or `app_cert`,
`alipay_cert` and `alipay_root_cert` (certificate mode, which payouts need in production). Keys and certificates of all
versions verify, so that both sides can replace theirs while messages are under way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels import rsa
from channels.alipay.signing import certificate_sn, root_sn
from channels.port import Ability
from domain.credentials import Credentials, Material, Needs

log = structlog.get_logger()

ABILITIES = frozenset(
    {
        Ability.CHARGE, Ability.QUERY, Ability.CLOSE, Ability.REFUND, Ability.QUERY_REFUND, Ability.PAYOUT,
        Ability.QUERY_PAYOUT, Ability.SIGN, Ability.QUERY_MANDATE, Ability.UNSIGN, Ability.DEBIT, Ability.SPLIT,
        Ability.QUERY_SPLIT, Ability.VERIFY, Ability.DOWNLOAD_BILL,
    }
)  # fmt: skip

_OWN = frozenset({"app_id", "app_private_key"})
CREDENTIALS = Needs(
    {
        "app_id": Material.TEXT,
        "app_private_key": Material.PRIVATE_KEY,
        "alipay_public_key": Material.PUBLIC_KEY,
        "app_cert": Material.CERTIFICATES,
        "alipay_cert": Material.CERTIFICATES,
        "alipay_root_cert": Material.CERTIFICATES,
    },
    (_OWN | {"alipay_public_key"}, _OWN | {"app_cert", "alipay_cert", "alipay_root_cert"}),
)

GATEWAY_URL = "https://openapi.alipay.com/gateway.do"
CONNECTIONS_MAX = 100
TOTAL_S = 15.0


class AlipayKey(NamedTuple):
    """What one of Alipay's signatures is verified with; a bare key has no number and never ends."""

    sn: str
    key: RSAPublicKey
    not_after_ms: int = 0


class AccountLike(Protocol):
    """What is read of a merchant account."""

    @property
    def merchant_no(self) -> str:
        """The seller's number."""
        ...

    @property
    def credentials(self) -> Sequence[Credentials]:
        """Keys and certificates, newest version first."""
        ...


@dataclass(frozen=True, slots=True)
class Merchant:
    """One seller: its application, what it signs with, and the keys by which it verifies.

    `app_cert_sn` is "" in key mode. Representations end up in logs, so the private key's text is kept out of them.
    """

    merchant_no: str
    app_id: str
    private_key: RSAPrivateKey
    app_cert_sn: str
    root_cert_sn: str
    keys: tuple[AlipayKey, ...]


@dataclass(frozen=True, slots=True)
class AlipayConfig:
    """One Alipay channel. `merchants` are by the seller's number."""

    channel_id: str
    gateway_url: str
    merchants: Mapping[str, Merchant]
    connections_max: int = CONNECTIONS_MAX
    total_s: float = TOTAL_S
    # What the contract of recurring payments names.
    sign_scene: str = "INDUSTRY|INSURANCE"
    personal_product_code: str = "GENERAL_WITHHOLDING_P"
    withholding_product_code: str = "GENERAL_WITHHOLDING"
    certify_biz_code: str = "FACE"

    @classmethod
    def of(cls, *, channel_id: str, settings: Mapping[str, Any], accounts: Sequence[AccountLike]) -> "AlipayConfig":
        """Read a channel's row and its accounts. An account whose keys cannot be used is left out, and that is logged."""
        merchants = {}
        for account in (account for account in accounts if account.credentials):
            try:
                merchants[account.merchant_no] = _merchant(account)
            except (KeyError, *rsa.UNREADABLE) as error:
                log.error("account_unusable", channel_id=channel_id, merchant_no=account.merchant_no, reason=str(error))
        names = ("connections_max", "total_s", "sign_scene", "personal_product_code", "withholding_product_code",
                 "certify_biz_code")  # fmt: skip
        chosen = {name: settings[name] for name in names if name in settings}
        return cls(channel_id, settings.get("base_url", GATEWAY_URL), merchants, **chosen)


def _merchant(account: AccountLike) -> Merchant:
    newest = account.credentials[0].values
    in_certificates = "app_cert" in newest
    keys = [key for version in account.credentials for key in _alipay_keys(version)]
    return Merchant(
        account.merchant_no,
        newest["app_id"],
        rsa.private_key(newest["app_private_key"]),
        certificate_sn(_first(newest["app_cert"])) if in_certificates else "",
        root_sn(_certificates(newest["alipay_root_cert"])) if in_certificates else "",
        tuple(keys),
    )


def _alipay_keys(version: Credentials) -> list[AlipayKey]:
    values = version.values
    found = []
    if "alipay_public_key" in values:
        found.append(AlipayKey("", rsa.public_key(values["alipay_public_key"]), version.not_after_ms))
    if "alipay_cert" in values:
        certificate = _first(values["alipay_cert"])
        _vouched(certificate, _certificates(values["alipay_root_cert"]), values["alipay_cert"])
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("alipay_cert holds no RSA key")
        ends_ms = round(certificate.not_valid_after_utc.timestamp() * 1_000)
        found.append(AlipayKey(certificate_sn(certificate), key, ends_ms))
    return found


def _vouched(certificate: x509.Certificate, roots: Sequence[x509.Certificate], text: str) -> None:
    """Raise ValueError unless the certificate leads to a root that we were given, perhaps by others in its own file."""
    between = _certificates(text)[1:]
    current = certificate
    for _ in range(len(between) + 1):
        for issuer in roots:
            if _issued(current, issuer):
                return
        following = next((one for one in between if _issued(current, one)), None)
        if following is None:
            break
        current = following
    raise ValueError("alipay_cert is not vouched for by alipay_root_cert")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *rsa.UNREADABLE):
        return False
    return True


def _certificates(text: str) -> list[x509.Certificate]:
    # Alipay's bundle has roots of algorithms that the library does not know; it reads those all the same.
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError("not a certificate") from None


def _first(text: str) -> x509.Certificate:
    return _certificates(text)[0]
