"""What travels between processes, besides payments, evidence and health snapshots themselves."""

from enum import StrEnum
from typing import NamedTuple

from channels.port import Charge, Lookup, RefundLookup, RefundRequest
from domain.evidence import Evidence
from domain.payments import Payment
from domain.refusals import Refusal
from storage.payers import SealedPayer


class NewPayment(NamedTuple):
    """A validated wish to collect an order. `expire_ms` is Unix milliseconds; `method` "" leaves the choice to us.

    `from_cashier` tells that a payer chose from what was offered: what is not offered any more is another refusal then.
    """

    tenant_id: str
    request_id: str
    content_hash: str
    order_no: str
    product_code: str
    amount_minor: int
    currency_code: str
    method: str
    terminal: str
    source: str
    subject: str
    payer_ref: str
    expire_ms: int
    institution_id: str = ""
    from_cashier: bool = False
    payer: SealedPayer | None = None


class Accepted(NamedTuple):
    """The answer to a NewPayment: committed now (`payment` None, its outcome will come), known already, or refused."""

    payment: Payment | None = None
    refusal: Refusal | None = None


class CloseWish(NamedTuple):
    """A caller gives up on a payment."""

    tenant_id: str
    payment_id: str
    reason: str


class Operation(StrEnum):
    """What a connector is asked to do; the names are those of the channel port's methods."""

    CHARGE = "charge"
    QUERY = "query"
    CLOSE = "close"
    REFUND = "refund"
    QUERY_REFUND = "query_refund"


class Task(NamedTuple):
    """One thing for one connector to do, and whose it is."""

    operation: Operation
    tenant_id: str
    request: Charge | Lookup | RefundRequest | RefundLookup
    bulk: bool = False  # of a batch: online payments go first


class CallbackHeard(NamedTuple):
    """What a genuine callback shows of its channel: how long it took, and what it said in a word of no manual."""

    delay_ms: int | None = None
    word: str = ""


class TenantEvidence(NamedTuple):
    """Evidence, and the tenant whose router applies it."""

    tenant_id: str
    evidence: Evidence
