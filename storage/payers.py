"""Who pays: personal data, sealed where it comes in, and found again by keyed digests."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from storage.arrays import columns
from storage.vault import Place


class SealedPayer(NamedTuple):
    """A payer's details as they travel and rest; a digest is b"" where the number is not known."""

    sealed: bytes
    card_digest: bytes = b""
    phone_digest: bytes = b""


def place_of(tenant_id: str, request_id: str) -> Place:
    """Return what a payer's details are bound to: the request comes before the payment has a number."""
    return Place(tenant_id, f"payer/{request_id}", "sealed")


def write(connection: Connection, rows: Sequence[tuple[str, str, str, SealedPayer]]) -> None:
    """Write details of new payments: (tenant_id, payment_id, request_id, payer)."""
    if not rows:
        return
    written = [
        (tenant_id, payment_id, request_id, payer.sealed.hex(), payer.card_digest.hex(), payer.phone_digest.hex())
        for tenant_id, payment_id, request_id, payer in rows
    ]
    connection.exec_driver_sql(
        """INSERT INTO payer_details (tenant_id, payment_id, request_id, sealed, card_digest, phone_digest)
           SELECT tenant_id, payment_id, request_id, decode(sealed, 'hex'), decode(nullif(card, ''), 'hex'),
                  decode(nullif(phone, ''), 'hex')
           FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
           AS t (tenant_id, payment_id, request_id, sealed, card, phone)""",
        tuple(columns(written, "tttttt")),
    )


def read(connection: Connection, *, tenant_id: str, payment_id: str) -> tuple[str, bytes] | None:
    """Read (request_id, sealed) of a payment's payer, None where nothing is known."""
    row = connection.execute(
        text("SELECT request_id, sealed FROM payer_details WHERE tenant_id = :tenant_id AND payment_id = :payment_id"),
        {"tenant_id": tenant_id, "payment_id": payment_id},
    ).one_or_none()
    return (row[0], bytes(row[1])) if row else None
