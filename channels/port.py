"""What Paydesk asks of any channel.

`Channel` is what every channel can do. What only some can is in protocols of its own below it, named by abilities, so
that a channel that cannot pay out has no method for it.

Every method takes a list and yields answers in batches of whatever has finished, in any order, exactly one answer per
request. A channel never raises for what the outside world does: a refused connection, a time-out, a wrong signature and
an unknown word are answers (see `domain.evidence.Outcome`). A request that was not answered when the caller stops
listening counts as MAYBE.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from domain.credentials import Learned
from domain.evidence import Evidence, Fault, Outcome


class Ability(StrEnum):
    """What a channel can do; a channel declares its set as data."""

    CHARGE = "CHARGE"
    QUERY = "QUERY"
    CLOSE = "CLOSE"
    REFUND = "REFUND"
    QUERY_REFUND = "QUERY_REFUND"
    PAYOUT = "PAYOUT"
    QUERY_PAYOUT = "QUERY_PAYOUT"
    SIGN = "SIGN"
    QUERY_MANDATE = "QUERY_MANDATE"
    UNSIGN = "UNSIGN"
    DEBIT = "DEBIT"
    SPLIT = "SPLIT"
    QUERY_SPLIT = "QUERY_SPLIT"
    VERIFY = "VERIFY"
    DOWNLOAD_BILL = "DOWNLOAD_BILL"


class Charge(NamedTuple):
    """Ask for the money of one attempt. `expire_time_ms` is in Unix milliseconds.

    `terminal` is where the payer is (H5, WECHAT_OA, PC, APP, API, "" unknown) and chooses among a channel's products.
    `payer_ref` is the payer's id at the channel where the channel needs one, such as an openid. `return_url` is where the
    payer's browser goes afterwards; coming back proves nothing.
    """

    attempt_no: str
    merchant_no: str
    amount_minor: int
    currency_code: str
    order_no: str
    subject: str
    payer_ref: str
    expire_time_ms: int
    notify_url: str
    terminal: str = ""
    return_url: str = ""
    payer_ip: str = ""

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.attempt_no


class Lookup(NamedTuple):
    """Name one attempt, to query or close it."""

    attempt_no: str
    merchant_no: str

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.attempt_no


class RefundRequest(NamedTuple):
    """Give back part of one attempt. `refund_no` is the same at every repeat.

    `paid_minor` is what the attempt took in all and `channel_txn_no` the channel's number of it; some channels ask for
    them. They are 0 and "" where they are not known.
    """

    refund_no: str
    attempt_no: str
    merchant_no: str
    amount_minor: int
    currency_code: str
    paid_minor: int = 0
    channel_txn_no: str = ""
    notify_url: str = ""

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.refund_no


class RefundLookup(NamedTuple):
    """Name one refund, to query it."""

    refund_no: str
    attempt_no: str
    merchant_no: str

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.refund_no


class PayeeKind(StrEnum):
    """How a payee is named."""

    USER = "USER"  # the channel's own user id
    LOGON = "LOGON"  # a phone number or mail address known to the channel
    BANK_CARD = "BANK_CARD"
    BANK_ACCOUNT = "BANK_ACCOUNT"  # of a company


class Payee(NamedTuple):
    """Who gets money. `bank_code` is the bank's own code (BIC, or the clearing number), "" where none is needed."""

    kind: PayeeKind
    account_no: str
    name: str
    bank_code: str = ""


class PayoutRequest(NamedTuple):
    """Pay out. `payout_no` is the same at every repeat. `scene` is the channel's word for what the money is for."""

    payout_no: str
    merchant_no: str
    amount_minor: int
    currency_code: str
    payee: Payee
    purpose: str
    scene: str = ""
    notify_url: str = ""

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.payout_no


class PayoutLookup(NamedTuple):
    """Name one payout, to query it."""

    payout_no: str
    merchant_no: str

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.payout_no


class SignRequest(NamedTuple):
    """Ask a payer for the permission to debit. `mandate_no` is our number, at most 32 letters and digits.

    `limit_minor` is the most that one debit may take, 0 for no limit; `period_days` how often it may, 0 where it is free.
    """

    mandate_no: str
    merchant_no: str
    payer_ref: str
    payer_name: str
    subject: str
    notify_url: str
    return_url: str = ""
    limit_minor: int = 0
    period_days: int = 0
    first_debit_date: str = ""  # YYYY-MM-DD

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.mandate_no


class MandateLookup(NamedTuple):
    """Name one mandate; `agreement_no` is the channel's number, "" before it is known."""

    mandate_no: str
    merchant_no: str
    agreement_no: str = ""

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.mandate_no


class DebitRequest(NamedTuple):
    """Take the money of one attempt under a mandate, without the payer. Queried, closed and refunded like a charge.

    `period_no` counts the debits of the mandate's plan from 1, for channels that announce each to the payer; 0 elsewhere.
    """

    attempt_no: str
    merchant_no: str
    amount_minor: int
    currency_code: str
    order_no: str
    subject: str
    agreement_no: str
    notify_url: str
    payee: Payee | None = None  # the payer's account, where the channel knows no agreements
    period_no: int = 0

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.attempt_no


class Share(NamedTuple):
    """What one receiver gets of a split."""

    payee: Payee
    amount_minor: int
    note: str


class SplitRequest(NamedTuple):
    """Split the money of a paid attempt. `is_last` unfreezes what is left to us."""

    split_no: str
    attempt_no: str
    channel_txn_no: str
    merchant_no: str
    currency_code: str
    shares: tuple[Share, ...]
    is_last: bool = True

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.split_no


class SplitLookup(NamedTuple):
    """Name one split, to query it."""

    split_no: str
    attempt_no: str
    channel_txn_no: str
    merchant_no: str

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.split_no


class Person(NamedTuple):
    """Whose identity is to be verified. Empty fields are not asked about. It never shows what it holds."""

    name: str
    id_no: str
    card_no: str = ""
    phone_no: str = ""

    def __repr__(self) -> str:
        """Show nothing: a representation ends up in logs."""
        return "Person(…)"


class VerifyRequest(NamedTuple):
    """Ask whether name, identity card, bank card and phone number belong together."""

    verify_no: str
    merchant_no: str
    person: Person

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return self.verify_no


class BillKind(StrEnum):
    """Which of a channel's statements."""

    TRADE = "TRADE"  # what was charged and refunded
    FUND = "FUND"  # what moved on the account


class BillRequest(NamedTuple):
    """Ask for the statement of one day, YYYY-MM-DD in China's time. Its number is `{merchant_no}/{kind}/{date}`."""

    merchant_no: str
    kind: BillKind
    date: str

    @property
    def number(self) -> str:
        """Return what the answer is known by."""
        return f"{self.merchant_no}/{self.kind}/{self.date}"


class Bill(NamedTuple):
    """A statement as it was downloaded, or why there is none.

    DONE: `content` holds the file's bytes. NOT_FOUND: the channel has none for that day. MAYBE: ask again later.
    """

    number: str
    outcome: Outcome
    content: bytes = b""
    reason: str = ""
    fault: Fault = Fault.NONE


class LineKind(StrEnum):
    """What a statement's line tells of."""

    CHARGE = "CHARGE"
    CHARGE_RETURN = "CHARGE_RETURN"  # a debit went back to the payer, because his bank or he took it back
    REFUND = "REFUND"
    PAYOUT = "PAYOUT"
    RETURN = "RETURN"  # a payout, or money that nobody fetched, came back
    FEE = "FEE"
    FEE_RETURN = "FEE_RETURN"  # a fee came back with a refund
    SPLIT = "SPLIT"
    OTHER = "OTHER"


class BillLine(NamedTuple):
    """One line of a statement. Amounts are positive: `kind` tells the direction. Times are Unix milliseconds.

    `number` is our own number of the attempt or payout, `refund_no` that of the refund; "" where the line names none.
    """

    kind: LineKind
    number: str
    refund_no: str
    channel_txn_no: str
    merchant_no: str
    amount_minor: int
    fee_minor: int
    currency_code: str
    time_ms: int


class BillDamaged(Exception):
    """A statement that cannot be trusted: truncated, of another merchant or day, or with totals that do not add up.

    `place` says where, such as `line 17`; `reason` is a constant such as TOTALS_DIFFER, TRUNCATED, MALFORMED.
    """

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason, place)
        self.reason = reason
        self.place = place


class Answer(NamedTuple):
    """What the channel said to one request; `number` is the request's own number (attempt_no, refund_no, payout_no, …).

    For a mandate, `channel_txn_no` is the agreement's number and DONE means that it is in force, CLOSED that it has ended.
    For a verification, DONE means that all belongs together and REJECTED that it does not.

    The amount, currency and merchant are the channel's own words: the core compares them with ours. `word` is what it said
    where nobody knows what that means (UNKNOWN_WORD).
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
    word: str = ""


Answers = AsyncIterator[list[Answer]]


class CallbackRefused(Exception):
    """A callback that proves nothing; `reason` is SIGNATURE_INVALID, STALE_TIMESTAMP or MALFORMED. Nothing was changed.

    `names_new_certificate` says that it names a certificate that we do not hold, as forgers do, and as the other side does
    when it has a new one. `word` is what the channel itself said where nobody knows what that means.
    """

    def __init__(self, reason: str, *, names_new_certificate: bool = False, word: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.names_new_certificate = names_new_certificate
        self.word = word


class Notice(NamedTuple):
    """A verified callback: its unique id at the channel, the evidence in it, and the channel's own word on which that rests.

    People are told of the word where nobody knows what it means (UNKNOWN_WORD).
    """

    notify_id: str
    evidence: Evidence
    word: str = ""


class Channel(Protocol):
    """What the connector needs of any channel: what it can do, a question that moves nothing, and an end."""

    abilities: frozenset[Ability]

    def query(self, requests: Sequence[Lookup]) -> Answers:
        """Ask what became of attempts."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class Charges(Channel, Protocol):
    """A channel with CHARGE, CLOSE, REFUND and QUERY_REFUND."""

    def charge(self, requests: Sequence[Charge]) -> Answers:
        """Ask for money. Repeating an attempt_no never charges twice."""
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


@runtime_checkable
class TakesOver(Protocol):
    """A channel whose answers come by a way of their own, and may so be fetched for the channel that it replaces."""

    def take_over(self, old: Channel) -> None:
        """Hear answers for those who wait for `old` too."""
        ...


@runtime_checkable
class Learns(Protocol):
    """A channel whose other side replaces its certificates, and offers for download what follows."""

    async def learn(self) -> None:
        """Fetch what is offered; however often this is asked, the other side is asked now and then."""
        ...

    def take_learned(self) -> list[Learned]:
        """Return what was learnt since this was asked last, also from answers that named a new certificate."""
        ...


class PaysOut(Protocol):
    """A channel with PAYOUT and QUERY_PAYOUT."""

    def payout(self, requests: Sequence[PayoutRequest]) -> Answers:
        """Pay out. Repeating a payout_no never pays twice; only DONE proves that the money left."""
        ...

    def query_payout(self, requests: Sequence[PayoutLookup]) -> Answers:
        """Ask what became of payouts. NOT_FOUND is no proof of failure while the channel may still be accepting."""
        ...


class Debits(Protocol):
    """A channel with SIGN, QUERY_MANDATE, UNSIGN and DEBIT. A channel without agreements has DEBIT alone."""

    def sign(self, requests: Sequence[SignRequest]) -> Answers:
        """Ask payers for mandates; ACCEPTED carries the action by which the payer agrees."""
        ...

    def query_mandate(self, requests: Sequence[MandateLookup]) -> Answers:
        """Ask how mandates stand."""
        ...

    def unsign(self, requests: Sequence[MandateLookup]) -> Answers:
        """End mandates: CLOSED means that no debit can come."""
        ...

    def debit(self, requests: Sequence[DebitRequest]) -> Answers:
        """Take money under mandates. Repeating an attempt_no never takes twice."""
        ...


class Splits(Protocol):
    """A channel with SPLIT and QUERY_SPLIT."""

    def split(self, requests: Sequence[SplitRequest]) -> Answers:
        """Split what was paid."""
        ...

    def query_split(self, requests: Sequence[SplitLookup]) -> Answers:
        """Ask what became of splits."""
        ...


class Verifies(Protocol):
    """A channel with VERIFY."""

    def verify(self, requests: Sequence[VerifyRequest]) -> Answers:
        """Ask whether identities are true."""
        ...


class Bills(Protocol):
    """A channel with DOWNLOAD_BILL."""

    def download_bill(self, requests: Sequence[BillRequest]) -> AsyncIterator[list[Bill]]:
        """Fetch statements."""
        ...


class BillReader(Protocol):
    """Reads a channel's statements; pure."""

    def read(self, content: bytes, *, merchant_no: str, kind: BillKind, date: str) -> Iterator[BillLine]:
        """Check a file as a whole, then yield its lines. Raise BillDamaged."""
        ...


class CallbackReader(Protocol):
    """Reads a channel's callbacks; pure, runs at the HTTP edge."""

    def read(self, *, headers: dict[str, str], body: bytes, now_ms: int) -> Notice:
        """Verify the signature over the raw bytes, then read. Raise CallbackRefused."""
        ...

    def acknowledgement(self) -> tuple[str, bytes]:
        """Return the content type and body with which this channel wants a callback acknowledged."""
        ...

    def refusal(self, reason: str) -> tuple[str, bytes]:
        """Return the content type and body with which it wants to be told that it was not: it comes again."""
        ...
