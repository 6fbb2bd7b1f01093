"""What Paydesk asks of any channel.

Every method takes a list and yields answers in batches of whatever has finished, in any order, exactly one answer per
request. A channel never raises for what the outside world does: a refused connection, a time-out, a wrong signature and
an unknown word are answers (see `domain.evidence.Outcome`). A request that was not answered when the caller stops
listening counts as MAYBE.
"""

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from domain.evidence import Evidence, Fault, Outcome


class Ability(StrEnum):
    """What a channel can do; a channel declares its set as data."""

    CHARGE = "CHARGE"
    QUERY = "QUERY"
    CLOSE = "CLOSE"
    REFUND = "REFUND"
    QUERY_REFUND = "QUERY_REFUND"


class Charge(NamedTuple):
    """Ask for the money of one attempt. `expire_time_ms` is in Unix milliseconds."""

    attempt_no: str
    merchant_no: str
    amount_minor: int
    currency_code: str
    order_no: str
    subject: str
    payer_ref: str
    expire_time_ms: int
    notify_url: str


class Lookup(NamedTuple):
    """Name one attempt, to query or close it."""

    attempt_no: str
    merchant_no: str


class RefundRequest(NamedTuple):
    """Give back part of one attempt. `refund_no` is the same at every repeat."""

    refund_no: str
    attempt_no: str
    merchant_no: str
    amount_minor: int
    currency_code: str


class RefundLookup(NamedTuple):
    """Name one refund, to query it."""

    refund_no: str
    attempt_no: str
    merchant_no: str


class Answer(NamedTuple):
    """What the channel said to one request; `number` is its attempt_no, or refund_no for refunds.

    The amount, currency and merchant are the channel's own words: the core compares them with ours.
    """

    number: str
    outcome: Outcome
    reason: str = ""
    fault: Fault = Fault.NONE
    amount_minor: int = 0
    currency_code: str = ""
    merchant_no: str = ""
    channel_txn_no: str = ""
    success_time_ms: int = 0
    action_kind: str = ""
    action_value: str = ""


Answers = AsyncIterator[list[Answer]]


class CallbackRefused(Exception):
    """A callback that proves nothing; `reason` is SIGNATURE_INVALID, STALE_TIMESTAMP or MALFORMED. Nothing was changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Notice(NamedTuple):
    """A verified callback: its unique id at the channel, and the evidence in it."""

    notify_id: str
    evidence: Evidence


class Channel(Protocol):
    """A channel, as the connector sees it."""

    abilities: frozenset[Ability]

    def charge(self, requests: Sequence[Charge]) -> Answers:
        """Ask for money. Repeating an attempt_no never charges twice."""
        ...

    def query(self, requests: Sequence[Lookup]) -> Answers:
        """Ask what became of attempts."""
        ...

    def close(self, requests: Sequence[Lookup]) -> Answers:
        """Close attempts: CLOSED means no money can come; DONE means that it came already."""
        ...

    def refund(self, requests: Sequence[RefundRequest]) -> Answers:
        """Ask to give money back; a good answer is ACCEPTED, never DONE: only `query_refund` proves a refund."""
        ...

    def query_refund(self, requests: Sequence[RefundLookup]) -> Answers:
        """Ask what became of refunds."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class CallbackReader(Protocol):
    """Reads a channel's callbacks; pure, runs at the HTTP edge."""

    def read(self, *, headers: dict[str, str], body: bytes, now_ms: int) -> Notice:
        """Verify the signature over the raw bytes, then read. Raise CallbackRefused."""
        ...

    def acknowledgement(self) -> tuple[str, bytes]:
        """Return the content type and body with which this channel wants a callback acknowledged."""
        ...
