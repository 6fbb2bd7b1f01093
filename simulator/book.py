"""The state of one channel. Only events change it, so that replaying the ledger's events gives the same state again.

An event is a tuple that starts with a `Tag`; its fields are those of the `_apply_...` function of the tag.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from simulator.records import (
    NO_MEMO,
    Attempt,
    Entry,
    Mandate,
    Memo,
    Movement,
    Payout,
    Refund,
    Split,
    Verification,
)
from simulator.words import Reason, SideWord, Word

# A sandbox that ran for weeks answers BUSY rather than eat the machine (about 1 kB an attempt).
ATTEMPTS_MAX = 5_000_000


class Tag(StrEnum):
    """What happened; short, because it is written for every attempt."""

    ACCEPTED = "a"
    PAID = "p"
    FAILED = "f"
    CLOSED = "c"
    CLOSED_UNKNOWN = "u"
    REFUND_ACCEPTED = "r"
    REFUND_SETTLED = "d"
    OWED = "w"  # a callback has to be told
    TOLD = "k"  # a callback was acknowledged, or given up
    FLIPPED = "l"
    TRIED = "t"  # a charge request that made no attempt
    LEFT = "b"  # the payer will do nothing more by himself
    SEEN = "y"  # the payer has looked at what he is asked for
    MANDATE = "m"
    PAYOUT = "o"
    SPLIT = "s"
    VERIFICATION = "v"
    BECAME = "e"  # a mandate, payout or split is something else now
    NOTED = "n"  # something more that a wire has to repeat about a mandate


class Accepted(NamedTuple):
    """A new attempt, as an event: what was asked, and what chance decided."""

    tag: str
    number: str
    merchant_no: str
    order_no: str
    amount_minor: int
    currency: str
    payer_ref: str
    notify_url: str
    tries: int
    txn_no: str
    word: str
    reason: str
    time_ms: int
    fate: str
    fate_reason: str
    act_at_ms: int
    expire_ms: int
    memo: Memo = NO_MEMO


class Counts:
    """What a channel did. Money and its ends survive a restart; requests and callbacks are counted since the start."""

    __slots__ = (
        "callbacks_acknowledged", "callbacks_sent", "charge_requests", "charged_minor", "charges_declined",
        "charges_done", "queries", "refunded_minor", "refunds_done",
    )  # fmt: skip

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    charge_requests: int
    charges_done: int
    charges_declined: int
    charged_minor: int
    refunds_done: int
    refunded_minor: int
    callbacks_sent: int
    callbacks_acknowledged: int
    queries: int

    def to_dict(self) -> dict[str, object]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class ChannelBook:
    """Attempts, refunds and truth of one channel. `truth` is shared by all channels, in the order of movements."""

    def __init__(self, *, channel_id: str, truth: list[Entry]) -> None:
        self.channel_id = channel_id
        self.attempts: dict[str, Attempt] = {}
        self.refunds: dict[str, Refund] = {}
        self.by_txn: dict[str, Attempt] = {}
        self.tries: dict[str, int] = {}
        self.entries: list[Entry] = []
        self.counts = Counts()
        self.mandates: dict[str, Mandate] = {}
        self.by_agreement: dict[str, Mandate] = {}
        self.payouts: dict[str, Payout] = {}
        self.splits: dict[str, Split] = {}
        self.verifications: dict[str, Verification] = {}
        # Callbacks that are neither acknowledged nor given up, as (number of the attempt, of the refund, kind of others).
        self.owed: set[tuple[str, str, str]] = set()
        self._truth = truth
        self._appliers: dict[str, Callable[..., None]] = {
            Tag.ACCEPTED.value: self._apply_accepted,
            Tag.PAID.value: self._apply_paid,
            Tag.FAILED.value: self._apply_failed,
            Tag.CLOSED.value: self._apply_closed,
            Tag.CLOSED_UNKNOWN.value: self._apply_closed_unknown,
            Tag.REFUND_ACCEPTED.value: self._apply_refund_accepted,
            Tag.REFUND_SETTLED.value: self._apply_refund_settled,
            Tag.OWED.value: self._apply_owed,
            Tag.TOLD.value: self._apply_told,
            Tag.FLIPPED.value: self._apply_flipped,
            Tag.TRIED.value: self._apply_tried,
            Tag.LEFT.value: self._apply_left,
            Tag.SEEN.value: self._apply_seen,
            Tag.MANDATE.value: self._apply_mandate,
            Tag.PAYOUT.value: self._apply_payout,
            Tag.SPLIT.value: self._apply_split,
            Tag.VERIFICATION.value: self._apply_verification,
            Tag.BECAME.value: self._apply_became,
            Tag.NOTED.value: self._apply_noted,
        }

    @property
    def is_full(self) -> bool:
        """Tell whether no further attempt can be remembered."""
        return len(self.attempts) >= ATTEMPTS_MAX or len(self.tries) >= ATTEMPTS_MAX

    def apply(self, event: Any) -> None:
        """Change the state as an event says; events come from this process or from its ledger."""
        self._appliers[event[0]](*event[1:])

    def find(self, number: str, merchant_no: str) -> Attempt | None:
        """Return the merchant's attempt; another merchant's number does not exist for it."""
        attempt = self.attempts.get(number)
        return attempt if attempt is not None and attempt.merchant_no == merchant_no else None

    def _apply_accepted(
        self, number: str, merchant_no: str, order_no: str, amount_minor: int, currency: str, payer_ref: str,
        notify_url: str, tries: int, txn_no: str, word: str, reason: str, time_ms: int, fate: str, fate_reason: str,
        act_at_ms: int, expire_ms: int, memo: Memo = NO_MEMO,
    ) -> None:  # fmt: skip
        attempt = Attempt(number, merchant_no)
        attempt.order_no = order_no
        attempt.amount_minor = amount_minor
        attempt.currency = currency
        attempt.payer_ref = payer_ref
        attempt.notify_url = notify_url
        attempt.tries = tries
        attempt.txn_no = txn_no
        attempt.word = Word(word)
        attempt.reason = Reason(reason)
        attempt.fate = fate
        attempt.fate_reason = Reason(fate_reason)
        attempt.act_at_ms = act_at_ms
        attempt.expire_ms = expire_ms
        attempt.made_ms = time_ms
        attempt.memo = memo or NO_MEMO
        self.attempts[number] = attempt
        self.by_txn[txn_no] = attempt
        self._apply_tried(order_key(merchant_no, order_no), tries)
        if word == Word.PAID:
            self._apply_paid(number, time_ms)
        elif word == Word.PAY_FAILED:
            self._apply_failed(number, reason)

    def _apply_paid(self, number: str, time_ms: int) -> None:
        attempt = self.attempts[number]
        attempt.word, attempt.reason, attempt.paid_ms = Word.PAID, Reason.NONE, time_ms
        attempt.fate = ""
        self.counts.charges_done += 1
        self.counts.charged_minor += attempt.amount_minor
        self._move(Movement.CHARGE, attempt)

    def _apply_failed(self, number: str, reason: str) -> None:
        attempt = self.attempts[number]
        attempt.word, attempt.reason, attempt.fate = Word.PAY_FAILED, Reason(reason), ""
        self.counts.charges_declined += 1

    def _apply_closed(self, number: str, reason: str, late_at_ms: int) -> None:
        attempt = self.attempts[number]
        attempt.word, attempt.reason = Word.PAY_CLOSED, Reason(reason)
        attempt.fate = Word.PAID if late_at_ms else ""
        attempt.act_at_ms = late_at_ms

    def _apply_closed_unknown(self, number: str, merchant_no: str) -> None:
        self.attempts[number] = Attempt(number, merchant_no)

    def _apply_refund_accepted(
        self, number: str, attempt_no: str, amount_minor: int, done_at_ms: int, fails: int, txn_no: str,
        made_ms: int = 0, notify_url: str = "", memo: Memo = NO_MEMO,
    ) -> None:  # fmt: skip
        attempt = self.attempts[attempt_no]
        attempt.refunded_minor += amount_minor
        attempt.refund_count += 1
        refund = Refund(number, attempt, amount_minor, done_at_ms, bool(fails), txn_no)
        refund.made_ms = made_ms
        refund.notify_url = notify_url or attempt.notify_url
        refund.memo = memo or NO_MEMO
        self.refunds[number] = refund

    def _apply_refund_settled(self, number: str, time_ms: int) -> None:
        refund = self.refunds[number]
        refund.done_at_ms, refund.settled_ms = 0, time_ms
        if refund.fails:
            refund.word = Word.REFUND_FAILED
            refund.attempt.refunded_minor -= refund.amount_minor
        else:
            refund.word = Word.REFUND_PAID
            self.counts.refunds_done += 1
            self.counts.refunded_minor += refund.amount_minor
            self._move(Movement.REFUND, refund)

    def _apply_owed(self, number: str, refund_no: str, kind: str = "") -> None:
        self.owed.add((number, refund_no, kind))

    def _apply_told(self, number: str, refund_no: str, kind: str = "") -> None:
        self.owed.discard((number, refund_no, kind))

    def _apply_flipped(self, number: str) -> None:
        self.attempts[number].flipped = True

    def _apply_tried(self, key: str, tries: int) -> None:
        if tries > self.tries.get(key, 0):
            self.tries[key] = tries

    def _apply_left(self, number: str) -> None:
        self.attempts[number].fate = ""

    def _apply_seen(self, number: str) -> None:
        self.attempts[number].seen = True

    def _apply_mandate(self, fields: dict[str, Any]) -> None:
        mandate = Mandate(**_common(fields))
        _fill(mandate, fields, "amount_minor", "payer_ref", "notify_url", "memo")
        self.mandates[mandate.number] = self.by_agreement[mandate.txn_no] = mandate

    def _apply_payout(self, fields: dict[str, Any]) -> None:
        payout = Payout(**_common(fields))
        _fill(payout, fields, "amount_minor", "payer_ref", "notify_url", "memo", "order_no", "payee_name", "currency")
        self.payouts[payout.number] = payout

    def _apply_split(self, fields: dict[str, Any]) -> None:
        split = Split(**_common(fields))
        _fill(split, fields, "amount_minor", "notify_url", "memo", "is_last")
        split.attempt = self.attempts[fields["attempt_no"]]
        split.shares = tuple((receiver, amount) for receiver, amount in fields["shares"])
        split.attempt.split_minor += split.amount_minor
        self.splits[split.number] = split

    def _apply_verification(self, fields: dict[str, Any]) -> None:
        verification = Verification(**_common(fields))
        _fill(verification, fields, "memo")
        verification.done_ms = verification.made_ms
        self.verifications[verification.number] = verification

    def _apply_became(
        self, kind: str, number: str, word: str, reason: str, time_ms: int, fate: str, fate_reason: str, act_at_ms: int
    ) -> None:
        """Let a mandate, payout or split be `word` since `time_ms`, and become `fate` at `act_at_ms`."""
        side = self.side(kind, number)
        before = side.word
        side.word, side.reason = SideWord(word), Reason(reason)
        side.fate, side.fate_reason, side.act_at_ms = fate, Reason(fate_reason), act_at_ms
        if side.word is before:
            return
        match side, side.word:
            case Mandate(), SideWord.MANDATE_ENDED:
                side.ended_ms = time_ms
            case Payout(), SideWord.PAYOUT_RETURNED:
                side.returned_ms = time_ms
                self._move(Movement.PAYOUT_RETURN, side)
            case Payout(), SideWord.PAYOUT_PAID:
                side.done_ms = time_ms
                self._move(Movement.PAYOUT, side)
            case Split(), SideWord.SPLIT_DONE:
                side.done_ms = time_ms
                self._move(Movement.SPLIT, side)
            case Split(), SideWord.SPLIT_FAILED:
                side.attempt.split_minor -= side.amount_minor
            case _:
                side.done_ms = time_ms

    def _apply_noted(self, number: str, name: str, text: str) -> None:
        mandate = self.mandates[number]
        mandate.memo = {**mandate.memo, name: text}

    def side(self, kind: str, number: str) -> Mandate | Payout | Split:
        """Return the mandate, payout or split of a number."""
        found: Mandate | Payout | Split
        match kind:
            case "mandate":
                found = self.mandates[number]
            case "payout":
                found = self.payouts[number]
            case _:
                found = self.splits[number]
        return found

    def sides(self) -> Iterator[Mandate | Payout | Split]:
        """Yield all of which something may still become."""
        yield from self.mandates.values()
        yield from self.payouts.values()
        yield from self.splits.values()

    def _move(self, movement: Movement, record: Attempt | Refund | Payout | Split) -> None:
        entry = Entry(self.channel_id, movement, record)
        self.entries.append(entry)
        self._truth.append(entry)


def kind_of(record: Mandate | Payout | Split) -> str:
    """Return the word for its kind in events."""
    return type(record).__name__.lower()


def _common(fields: dict[str, Any]) -> dict[str, Any]:
    names = ("number", "merchant_no", "txn_no", "made_ms", "key")
    return {name: fields[name] for name in names} | {"word": SideWord(fields["word"])}


def _fill(record: object, fields: dict[str, Any], *names: str) -> None:
    for name in names:
        if name in fields:
            setattr(record, name, fields[name])


def order_key(merchant_no: str, order_no: str) -> str:
    """Return what the tries of an order are counted by."""
    return f"{merchant_no}\x1f{order_no}"
