"""Personal data of payers at the edge: checked, sealed at once, shown masked."""

import json
from typing import Any, NamedTuple

from stdnum import luhn
from stdnum.cn import ric

from domain import privacy
from domain.refusals import Refused, Violation, invalid
from protos.paydesk.v1 import payments_pb2
from storage import payers as store
from storage.database import Database
from storage.payers import SealedPayer
from storage.vault import TenantKeys, Vault

NAME_LENGTH_MAX = 64
CARD_LENGTHS = range(13, 20)


class Details(NamedTuple):
    """What a caller said of a payer, in the form in which it is compared."""

    name: str
    id_no: str
    card_no: str
    phone_no: str

    def __repr__(self) -> str:
        """Show nothing."""
        return "Details(…)"


def read(payer: payments_pb2.Payer, prefix: str = "payer.") -> tuple[Details, list[str]]:
    """Read details; return warnings with them. Raise Refused by the names of fields, whose values are never quoted."""
    details = Details(
        payer.name.strip(), payer.id_no.strip().upper(), bare(payer.card_no), bare(payer.phone_no).removeprefix("+86")
    )
    violations, warnings = [], []
    if len(details.name) > NAME_LENGTH_MAX or not (details.name + "-").isprintable():
        violations.append(Violation(f"{prefix}name", f"must be at most {NAME_LENGTH_MAX} printable characters"))
    if details.id_no and not ric.is_valid(details.id_no):
        violations.append(Violation(f"{prefix}id_no", "is no identity number of 18 characters, or its check digit is wrong"))
    if details.card_no and not is_card_form(details.card_no):
        violations.append(Violation(f"{prefix}card_no", "must be 13 to 19 digits"))
    elif details.card_no and not luhn.is_valid(details.card_no):
        warnings.append(f"{prefix}card_no: the check digit is wrong; some banks' older cards have none")
    if details.phone_no and not privacy.is_phone(details.phone_no):
        violations.append(Violation(f"{prefix}phone_no", "is no mobile number of 11 digits"))
    if violations:
        raise Refused(invalid(*violations))
    return details, warnings


def is_card_form(digits: str) -> bool:
    """Tell whether a text could be a card, whatever its check digit."""
    return digits.isascii() and digits.isdecimal() and len(digits) in CARD_LENGTHS


def bare(number: str) -> str:
    """Return a number as it is compared: without spaces and dashes."""
    return number.replace(" ", "").replace("-", "")


def masked(details: Details) -> payments_pb2.Payer:
    """Return what may be shown to everybody who sees the payment."""
    return payments_pb2.Payer(
        name=privacy.mask_name(details.name), id_no=privacy.mask_id(details.id_no),
        card_no=privacy.mask_card(details.card_no), phone_no=privacy.mask_phone(details.phone_no),
    )  # fmt: skip


class PayerVault:
    """Seals details before they go anywhere, and opens them for those who may see them."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def seal(self, tenant_id: str, request_id: str, details: Details) -> SealedPayer:
        """Seal details for the request that brings them."""
        keys = await self._keys(tenant_id)
        return SealedPayer(
            keys.seal(store.place_of(tenant_id, request_id), json.dumps(details, ensure_ascii=False).encode()),
            keys.digest("card", details.card_no) if details.card_no else b"",
            keys.digest("phone", details.phone_no) if details.phone_no else b"",
        )

    async def mark(self, tenant_id: str, details: Details) -> str:
        """Return a keyed mark of details, by which a repeated request is known."""
        keys = await self._keys(tenant_id)
        return keys.digest("payer", json.dumps(details, ensure_ascii=False)).hex()

    async def digest(self, tenant_id: str, what: str, number: str) -> bytes:
        """Return by which digest a number is found."""
        keys = await self._keys(tenant_id)
        return keys.digest(what, number)

    async def _keys(self, tenant_id: str) -> TenantKeys:
        """Return a tenant's keys; the database is asked once a minute and tenant."""
        ready = self._vault.ready(tenant_id)
        return ready if ready is not None else await self._database.run(self._vault.keys, tenant_id)

    async def open(self, tenant_id: str, payment_id: str) -> Details | None:
        """Open the details of a payment's payer, None where nothing is known. Raise SealBroken."""
        return await self._database.run(self._open, tenant_id, payment_id)

    def _open(self, connection: Any, tenant_id: str, payment_id: str) -> Details | None:
        found = store.read(connection, tenant_id=tenant_id, payment_id=payment_id)
        if found is None:
            return None
        request_id, sealed = found
        return Details(*json.loads(self._vault.open(connection, store.place_of(tenant_id, request_id), sealed)))
