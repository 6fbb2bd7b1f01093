"""What a bank must be told, and what it can do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels import rsa
from channels.port import Ability
from domain.credentials import Credentials, Material, Needs

log = structlog.get_logger()

ABILITIES = frozenset({Ability.PAYOUT, Ability.QUERY_PAYOUT, Ability.DEBIT, Ability.QUERY, Ability.DOWNLOAD_BILL})
# The messages of banks differ by version; these are the ones that are written and read unless a bank asks for others.
PAIN_001, PAIN_008 = "pain.001.001.09", "pain.008.001.08"
CREDENTIALS = Needs(
    {"sign_private_key": Material.PRIVATE_KEY, "bank_public_key": Material.PUBLIC_KEY},
    (frozenset({"sign_private_key", "bank_public_key"}),),
)


class Carrier(StrEnum):
    """How files travel."""

    HTTP = "http"
    FILE = "file"


class AccountLike(Protocol):
    """What a bank needs to know of a merchant account."""

    @property
    def merchant_no(self) -> str:
        """Our customer number at the bank."""
        ...

    @property
    def terms(self) -> Mapping[str, Any]:
        """`account_name`, `account_no` and `bank_code` of our account."""
        ...

    @property
    def credentials(self) -> Iterable[Credentials]:
        """`sign_private_key` and `bank_public_key`, newest version first."""
        ...


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Our account at the bank, the key that signs for it and the keys by which the bank is believed."""

    merchant_no: str
    name: str
    account_no: str
    bank_code: str
    private_key: RSAPrivateKey | None
    bank_keys: tuple[RSAPublicKey, ...]


@dataclass(frozen=True, slots=True)
class Iso20022Config:
    """One bank. `outbox` and `inbox` are folders that the bank's front machine empties and fills (carrier `file`)."""

    channel_id: str
    carrier: Carrier
    base_url: str
    outbox: str
    inbox: str
    accounts: Mapping[str, BankAccount]
    credit_version: str = PAIN_001
    debit_version: str = PAIN_008
    clearing_system: str = "CNAPS"
    timeout_s: float = 30.0  # a file of thousands of payouts is checked before it is answered

    @classmethod
    def of(cls, *, channel_id: str, settings: Mapping[str, Any], accounts: Iterable[AccountLike]) -> "Iso20022Config":
        """Read a channel's settings. Raise ValueError for a carrier that is none.

        An account whose keys cannot be used is left out, and that is logged.
        """
        return cls(
            channel_id=channel_id,
            carrier=Carrier(settings.get("carrier", Carrier.HTTP)),
            base_url=str(settings.get("base_url", "https://bank.example")).rstrip("/"),
            outbox=settings.get("outbox", ""),
            inbox=settings.get("inbox", ""),
            accounts=_accounts(channel_id, accounts),
            credit_version=settings.get("credit_version", PAIN_001),
            debit_version=settings.get("debit_version", PAIN_008),
            clearing_system=settings.get("clearing_system", "CNAPS"),
            timeout_s=float(settings.get("timeout_s", 30.0)),
        )


def _accounts(channel_id: str, accounts: Iterable[AccountLike]) -> dict[str, BankAccount]:
    found = {}
    for account in accounts:
        try:
            found[account.merchant_no] = _account(account)
        except rsa.UNREADABLE as error:
            log.error("account_unusable", channel_id=channel_id, merchant_no=account.merchant_no, reason=str(error))
    return found


def _account(account: AccountLike) -> BankAccount:
    versions = [dict(item.values) for item in account.credentials]
    signs = [values["sign_private_key"] for values in versions if "sign_private_key" in values]
    believed = [values["bank_public_key"] for values in versions if "bank_public_key" in values]
    terms = account.terms
    return BankAccount(
        account.merchant_no, terms.get("account_name", ""), terms.get("account_no", ""), terms.get("bank_code", ""),
        rsa.private_key(signs[0]) if signs else None, tuple(map(rsa.public_key, believed)),
    )  # fmt: skip
