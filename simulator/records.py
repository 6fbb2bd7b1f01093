"""What a channel remembers: attempts, refunds, and entries of truth."""

from collections.abc import Mapping
from typing import NamedTuple

from simulator.draws import SEPARATOR
from simulator.words import Reason, Word

Memo = Mapping[str, str]
NO_MEMO: Memo = {}


class Attempt:
    """One attempt as the channel knows it. Times are virtual Unix milliseconds, 0 where there is none.

    `fate` is what the payer is going to do at `act_at_ms` on an asynchronous channel; `memo` is what the channel's wire
    has to repeat later, such as a subject or a return address; `merchant_no` alone is filled in
    for a number that was closed before it was ever charged.
    """

    __slots__ = (
        "act_at_ms", "amount_minor", "currency", "expire_ms", "fate", "fate_reason", "flipped", "made_ms", "memo",
        "merchant_no", "notify_url", "number", "order_no", "paid_ms", "payer_ref", "query_count", "reason", "refund_count",
        "refunded_minor", "tries", "txn_no", "word",
    )  # fmt: skip

    def __init__(self, number: str, merchant_no: str) -> None:
        self.number = number
        self.merchant_no = merchant_no
        self.order_no = ""
        self.amount_minor = 0
        self.currency = ""
        self.payer_ref = ""
        self.notify_url = ""
        self.tries = 0
        self.txn_no = ""
        self.word = Word.PAY_CLOSED
        self.reason = Reason.CLOSED
        self.fate = ""
        self.fate_reason = Reason.NONE
        self.act_at_ms = 0
        self.expire_ms = 0
        self.paid_ms = 0
        self.refunded_minor = 0
        self.refund_count = 0
        self.query_count = 0
        self.flipped = False
        self.made_ms = 0
        self.memo: Memo = NO_MEMO

    @property
    def key(self) -> str:
        """Return what chance is keyed with: nothing in it differs between two runs with the same orders."""
        return SEPARATOR.join((self.merchant_no, self.order_no, str(self.amount_minor), str(self.tries)))

    @property
    def names(self) -> tuple[str, str, str]:
        """Return what a fault's targets may name."""
        return (self.number, self.order_no, self.payer_ref)


class Refund:
    """One refund. `done_at_ms` is when it is going to be settled, 0 for a phantom; `settled_ms` when it was."""

    __slots__ = ("amount_minor", "attempt", "done_at_ms", "fails", "number", "query_count", "settled_ms", "txn_no",
                 "word")  # fmt: skip

    def __init__(
        self, number: str, attempt: Attempt, amount_minor: int, done_at_ms: int, fails: bool, txn_no: str
    ) -> None:
        self.number = number
        self.attempt = attempt
        self.amount_minor = amount_minor
        self.done_at_ms = done_at_ms
        self.fails = fails
        self.txn_no = txn_no
        self.word = Word.REFUND_ACCEPTED
        self.settled_ms = 0
        self.query_count = 0


class Entry(NamedTuple):
    """One movement of money: a charge, or a refund where `refund` is given."""

    channel_id: str
    attempt: Attempt
    refund: Refund | None

    def to_dict(self) -> dict[str, object]:
        """Return the fields of a truth entry; `time_ms` is when the money moved, in virtual Unix milliseconds."""
        attempt, refund = self.attempt, self.refund
        return {
            "channel_id": self.channel_id,
            "kind": "REFUND" if refund else "CHARGE",
            "attempt_no": attempt.number,
            "channel_txn_no": refund.txn_no if refund else attempt.txn_no,
            "merchant_no": attempt.merchant_no,
            "amount_minor": refund.amount_minor if refund else attempt.amount_minor,
            "currency": attempt.currency,
            "time_ms": refund.settled_ms if refund else attempt.paid_ms,
            "order_no": attempt.order_no,
            "refund_no": refund.number if refund else "",
        }
