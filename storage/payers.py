"""Who pays: personal data, sealed where it comes in, and found again by keyed digests."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from storage.arrays import columns
from storage.vault import Place

# Details that are looked at in one transaction when old ones are let go of.
ERASE_PAGE = 2_000


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


class Erased(NamedTuple):
    """How many details were let go of, and the payment after which to go on; "" at the end."""

    erased_count: int
    after_id: str


def erase(
    connection: Connection, *, tenant_id: str, before_ms: int, states: Collection[str], after_id: str = "",
    limit: int = ERASE_PAGE,
) -> Erased:
    """Let go of the details that came before a moment, of payments in given states; look at `limit` after a payment."""
    row = connection.execute(
        text(
            """WITH page AS (
                   SELECT payment_id, create_time FROM payer_details
                   WHERE tenant_id = :tenant_id AND payment_id > :after_id ORDER BY payment_id LIMIT :limit
               ), gone AS (
                   DELETE FROM payer_details d USING page, payments p
                   WHERE d.tenant_id = :tenant_id AND d.payment_id = page.payment_id AND p.payment_id = page.payment_id
                     AND page.create_time < to_timestamp(:before_ms / 1000.0) AND p.state = ANY(:states)
                   RETURNING d.payment_id
               )
               SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM page), (SELECT max(payment_id) FROM page)"""
        ),
        {"tenant_id": tenant_id, "before_ms": before_ms, "states": sorted(map(str, states)), "after_id": after_id, "limit": limit},
    ).one()
    return Erased(row[0], row[2] if row[1] == limit else "")
