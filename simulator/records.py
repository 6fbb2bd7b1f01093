"""What a channel remembers: attempts and refunds, mandates, payouts, splits and verifications, and entries of truth.

All that can be told by a callback has `number`, `merchant_no`, `notify_url`, `txn_no`, `word`, `amount_minor` and
`done_ms`; what chance decides is keyed by `key`, and a fault's targets may name `names`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from simulator.draws import SEPARATOR
from simulator.words import Reason, SideWord, Word

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
        "refunded_minor", "seen", "split_minor", "tries", "txn_no", "word",
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
        self.split_minor = 0
        self.query_count = 0
        self.flipped = False
        self.seen = False
        self.made_ms = 0
        self.memo: Memo = NO_MEMO

    @property
    def done_ms(self) -> int:
        """When the money moved."""
        return self.paid_ms

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

    __slots__ = (
        "amount_minor", "attempt", "done_at_ms", "fails", "made_ms", "memo", "notify_url", "number", "query_count",
        "settled_ms", "txn_no", "word",
    )  # fmt: skip

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
        self.made_ms = 0
        self.notify_url = attempt.notify_url
        self.memo: Memo = NO_MEMO

    @property
    def merchant_no(self) -> str:
        """Whose refund it is."""
        return self.attempt.merchant_no

    @property
    def done_ms(self) -> int:
        """When it was settled."""
        return self.settled_ms


class Side:
    """What mandates, payouts, splits and verifications have in common. `fate` is what becomes of it at `act_at_ms`."""

    def __init__(self, number: str, merchant_no: str, txn_no: str, word: SideWord, made_ms: int, key: str) -> None:
        self.number = number
        self.merchant_no = merchant_no
        self.txn_no = txn_no
        self.word = word
        self.reason = Reason.NONE
        self.made_ms = made_ms
        self.done_ms = 0
        self.key = key
        self.amount_minor = 0
        self.payer_ref = ""
        self.notify_url = ""
        self.memo: Memo = NO_MEMO
        self.fate = ""
        self.fate_reason = Reason.NONE
        self.act_at_ms = 0
        self.asked_count = 0

    @property
    def names(self) -> tuple[str, str]:
        """Return what a fault's targets may name."""
        return (self.number, self.payer_ref)


class Mandate(Side):
    """A payer's permission. `txn_no` is the agreement's number; `amount_minor` the most that a debit may take, 0 for any."""

    ended_ms = 0


class Payout(Side):
    """Money paid out. `payer_ref` is the payee's account; `return_at_ms` is when it is going to come back."""

    order_no = ""
    payee_name = ""
    currency = ""
    return_at_ms = 0
    returned_ms = 0


class Split(Side):
    """The split of an attempt. `shares` are receivers with what each gets; `amount_minor` is their sum."""

    attempt: Attempt
    shares: tuple[tuple[str, int], ...] = ()
    is_last = True


class Verification(Side):
    """The answer to whether things belong together; who was asked about is not kept."""


Record = Attempt | Refund | Mandate | Payout | Split | Verification


def subject_of(record: Record) -> Attempt | Side:
    """Return what faults and chance are about: of a refund or a split, the attempt."""
    return record.attempt if isinstance(record, Refund | Split) else record


class Movement(StrEnum):
    """How money moved."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    PAYOUT = "PAYOUT"
    PAYOUT_RETURN = "PAYOUT_RETURN"
    SPLIT = "SPLIT"


class Entry(NamedTuple):
    """One movement of money."""

    channel_id: str
    movement: Movement
    record: Attempt | Refund | Payout | Split

    @property
    def time_ms(self) -> int:
        """When the money moved, in virtual Unix milliseconds."""
        if self.movement is Movement.PAYOUT_RETURN and isinstance(self.record, Payout):
            return self.record.returned_ms
        return self.record.done_ms

    def to_dict(self) -> dict[str, object]:
        """Return the fields of a truth entry."""
        record = self.record
        owner = record.attempt if isinstance(record, Refund | Split) else record
        return {
            "channel_id": self.channel_id,
            "kind": self.movement.value,
            "attempt_no": owner.number,
            "channel_txn_no": record.txn_no,
            "merchant_no": record.merchant_no,
            "amount_minor": record.amount_minor,
            "currency": owner.currency,
            "time_ms": self.time_ms,
            "order_no": owner.order_no,
            "refund_no": "" if record is owner else record.number,
        }
