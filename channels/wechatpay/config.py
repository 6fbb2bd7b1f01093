"""What WeChat Pay must be told: where it is, who we are there, and the keys of both sides.

A merchant account's credentials hold, by name: `mch_private_key` and `mch_serial_no` (ours, the newest version signs),
`apiv3_key` (32 characters, opens callbacks and certificates), and for the platform's side either `platform_public_key`
with `platform_public_key_id`, or `platform_certs`, a bundle of certificates in PEM. Keys and certificates of all
versions verify, so that both sides can replace theirs while messages are under way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels import rsa
from channels.port import Ability
from domain.credentials import Credentials, Material, Needs

log = structlog.get_logger()

ABILITIES = frozenset(
    {
        Ability.CHARGE, Ability.QUERY, Ability.CLOSE, Ability.REFUND, Ability.QUERY_REFUND, Ability.PAYOUT,
        Ability.QUERY_PAYOUT, Ability.SIGN, Ability.QUERY_MANDATE, Ability.UNSIGN, Ability.DEBIT, Ability.SPLIT,
        Ability.QUERY_SPLIT, Ability.DOWNLOAD_BILL,
    }
)  # fmt: skip

_OWN = frozenset({"mch_private_key", "mch_serial_no", "apiv3_key"})
CREDENTIALS = Needs(
    {
        "mch_private_key": Material.PRIVATE_KEY,
        "mch_serial_no": Material.TEXT,
        "apiv3_key": Material.TEXT,
        "platform_public_key": Material.PUBLIC_KEY,
        "platform_public_key_id": Material.TEXT,
        "platform_certs": Material.CERTIFICATES,
    },
    (_OWN | {"platform_public_key", "platform_public_key_id"}, _OWN | {"platform_certs"}),
)

BASE_URL = "https://api.mch.weixin.qq.com"
API_KEY_BYTES = 32
# Claims: the scene that an insurer pays out under.
CLAIMS_SCENE = "1004"


class PlatformKey(NamedTuple):
    """What one of the platform's signatures is verified with. `not_after_ms` is 0 for a bare key, which never ends."""

    serial: str
    key: RSAPublicKey
    not_after_ms: int = 0


class Account(Protocol):
    """What is read of a merchant account."""

    @property
    def merchant_no(self) -> str:
        """The mchid."""
        ...

    @property
    def terms(self) -> Mapping[str, Any]:
        """The contract as data."""
        ...

    @property
    def credentials(self) -> Sequence[Credentials]:
        """Keys and certificates, newest version first."""
        ...


@dataclass(frozen=True, slots=True)
class Merchant:
    """One merchant: its contract, its keys, and the keys of the platform by which it verifies.

    `platform` goes by serial number, `seal` is the newest of it, which seals names and identity numbers.
    `scenes` says for each scene of payouts which texts the platform wants reported: `{payout_no}`, `{purpose}` and
    `{name}` in them are filled in.
    """

    mchid: str
    appid: str
    serial_no: str
    private_key: RSAPrivateKey = field(repr=False)
    api_keys: tuple[bytes, ...] = field(repr=False)
    platform: Mapping[str, PlatformKey] = field(repr=False)
    seal: PlatformKey = field(repr=False)
    plan_id: int = 0
    profit_sharing: bool = False
    scenes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, account: Account, settings: Mapping[str, Any]) -> "Merchant":
        """Read an account. Raise ValueError for keys that are no keys, and KeyError for a name that is missing."""
        own = next(c.values for c in account.credentials if {"mch_private_key", "mch_serial_no"} <= c.values.keys())
        api_keys = tuple(c.values["apiv3_key"].encode() for c in account.credentials if "apiv3_key" in c.values)
        if not api_keys or any(len(key) != API_KEY_BYTES for key in api_keys):
            raise ValueError(f"apiv3_key must have {API_KEY_BYTES} characters")
        known = [key for credentials in account.credentials for key in _platform(credentials.values)]
        if not known:
            raise KeyError("platform_public_key")
        return cls(
            mchid=account.merchant_no,
            appid=str(account.terms.get("appid") or settings["appid"]),
            serial_no=own["mch_serial_no"],
            private_key=rsa.private_key(own["mch_private_key"]),
            api_keys=api_keys,
            platform={key.serial: key for key in reversed(known)},
            seal=known[0],
            plan_id=int(account.terms.get("plan_id", 0)),
            profit_sharing=bool(account.terms.get("profit_sharing", False)),
            scenes=account.terms.get("transfer_scenes", {}),
        )


@dataclass(frozen=True, slots=True)
class WechatpayConfig:
    """One channel: its address, and its merchants by mchid. An account without usable keys is not among them."""

    channel_id: str
    base_url: str
    merchants: Mapping[str, Merchant]
    payer_ip: str = "127.0.0.1"
    connections_max: int = 100

    @classmethod
    def of(cls, *, channel_id: str, settings: Mapping[str, Any], accounts: Sequence[Account]) -> "WechatpayConfig":
        """Read a channel's settings. One account with a broken key must not stop the others: it is left out, and seen."""
        merchants: dict[str, Merchant] = {}
        for account in accounts:
            try:
                merchants[account.merchant_no] = Merchant.of(account, settings)
            except (KeyError, StopIteration, *rsa.UNREADABLE) as error:
                log.error(
                    "account_unusable", channel_id=channel_id, merchant_no=account.merchant_no,
                    missing=str(error) or "mch_private_key",
                )  # fmt: skip
        return cls(
            channel_id,
            str(settings.get("base_url", BASE_URL)).rstrip("/"),
            merchants,
            str(settings.get("payer_ip", "127.0.0.1")),
            int(settings.get("connections_max", 100)),
        )


def platform_keys(bundle: str) -> list[PlatformKey]:
    """Read certificates in PEM, the newest first. Raise ValueError for anything else."""
    certificates = x509.load_pem_x509_certificates(bundle.encode())
    certificates.sort(key=lambda certificate: certificate.not_valid_before_utc, reverse=True)
    keys = []
    for certificate in certificates:
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("platform_certs must hold RSA keys")
        ends_ms = int(certificate.not_valid_after_utc.timestamp()) * 1000
        keys.append(PlatformKey(f"{certificate.serial_number:X}", key, ends_ms))
    return keys


def _platform(values: Mapping[str, str]) -> list[PlatformKey]:
    keys = []
    if "platform_public_key" in values:
        keys.append(PlatformKey(values["platform_public_key_id"], rsa.public_key(values["platform_public_key"])))
    if "platform_certs" in values:
        keys += platform_keys(values["platform_certs"])
    return keys
