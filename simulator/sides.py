"""What a channel does beside taking payments: mandates, payouts, splits and verifications, as far as wires ask for them.

Each method reads one request and returns a `Job`: who asks, for the weather, and what to do if the weather lets it
through. None means that the request is malformed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from simulator.book import ChannelBook, Tag, kind_of
from simulator.clock import VirtualClock
from simulator.codec import (
    URL_LENGTH_MAX,
    AnswerFields,
    answer,
    is_memo,
    read_amount,
    read_name,
    read_text,
)
from simulator.draws import SEPARATOR, Draws, log_normal_ms
from simulator.faults import Kind
from simulator.profiles import PAYER_P99_FACTOR, Profile
from simulator.records import NO_MEMO, Attempt, Mandate, Payout, Side, Split
from simulator.triggers import BY_PAYEE, BY_PAYER, BY_PERSON, Whim
from simulator.words import Operation, Reason, SideWord, Word

# A payout that comes back does so when nobody thinks of it any more.
RETURN_AFTER_MS = 2 * 86_400_000
SHARES_MAX = 50

OneSide = TypeVar("OneSide", bound=Side)


class Ask(NamedTuple):
    """One request as the weather sees it: `key` for chance, `names` for the targets of faults."""

    operation: Operation
    number: str
    merchant_no: str
    key: str
    names: tuple[str, ...]
    trigger: object = None


class Job(NamedTuple):
    """One request that was read: what the weather has to know, and what to do if it lets it through."""

    ask: Ask
    work: Callable[[], AnswerFields]


class Tools(Protocol):
    """What sides need of their channel."""

    profile: Profile
    book: ChannelBook

    def describe(self, operation: Operation, number: str, merchant_no: str, side: Side | None) -> Ask:
        """Describe a request for the weather."""
        ...

    def strikes(self, kind: Kind, subject: Attempt | Side, mark: str = "") -> bool:
        """Tell whether a fault hits."""
        ...

    def record(self, event: Any) -> None:
        """Apply an event and write it down."""
        ...

    def tell(self, side: Mandate | Payout | Split) -> None:
        """Announce what became of something, if that is announced."""
        ...


class Sides:
    """Mandates, payouts, splits and verifications of one channel."""

    def __init__(self, tools: Tools, *, draws: Draws, clock: VirtualClock) -> None:
        self._tools = tools
        self._draws = draws
        self._clock = clock

    def resume(self) -> None:
        """Set the timers again that a restart has interrupted."""
        for side in self._tools.book.sides():
            self._arm(side)

    # Mandates

    def sign(self, item: Any, merchant_no: str) -> Job | None:
        """Ask a payer for a permission to debit."""
        number, payer_ref, notify_url = read_name(item, "mandate_no"), read_text(item, "payer_ref"), _url(item)
        limit_minor = 0 if not item.get("limit_minor") else read_amount(item, "limit_minor")
        if number is None or payer_ref is None or notify_url is None or limit_minor is None or not _memo_is_good(item):
            return None
        known = self._tools.book.mandates.get(number)

        def work() -> AnswerFields:
            if known is not None:
                same = (known.merchant_no, known.payer_ref) == (merchant_no, payer_ref)
                return self._said(known) if same else _refused(number, Reason.NUMBER_REUSED, merchant_no)
            key = SEPARATOR.join((merchant_no, "mandate", payer_ref, number))
            made = self._make(Tag.MANDATE, number, merchant_no, SideWord.MANDATE_WAITING, key) | {
                "amount_minor": limit_minor, "payer_ref": payer_ref, "notify_url": notify_url,
                "memo": item.get("memo", NO_MEMO),
            }  # fmt: skip
            self._tools.record((Tag.MANDATE.value, made))
            mandate = self._tools.book.mandates[number]
            if BY_PAYER.get(payer_ref) is not Whim.ABANDONS:
                self._plan(mandate, SideWord.MANDATE_SIGNED, Reason.NONE, self._payer_delay_ms(key))
            return self._said(mandate)

        return Job(self._tools.describe(Operation.SIGN, number, merchant_no, known), work)

    def query_mandate(self, item: Any, merchant_no: str) -> Job | None:
        """Tell how a mandate stands; it is named by its number or by the agreement's."""
        return self._about_mandate(Operation.QUERY_MANDATE, item, merchant_no)

    def unsign(self, item: Any, merchant_no: str) -> Job | None:
        """End a mandate."""
        return self._about_mandate(Operation.UNSIGN, item, merchant_no)

    def _about_mandate(self, operation: Operation, item: Any, merchant_no: str) -> Job | None:
        number, agreement_no = read_text(item, "mandate_no"), read_text(item, "agreement_no")
        if number is None or agreement_no is None or not number + agreement_no:
            return None
        book = self._tools.book
        mandate = book.by_agreement.get(agreement_no) if agreement_no else book.mandates.get(number)
        if mandate is not None and mandate.merchant_no != merchant_no:
            mandate = None

        def work() -> AnswerFields:
            if mandate is None:
                return answer(number or agreement_no, SideWord.NO_SUCH_MANDATE, merchant_no=merchant_no)
            if operation is Operation.UNSIGN and mandate.word is not SideWord.MANDATE_ENDED:
                self.become(mandate, SideWord.MANDATE_ENDED)
                self._tools.tell(mandate)
            return self._said(mandate)

        return Job(self._tools.describe(operation, number or agreement_no, merchant_no, mandate), work)

    def debit_problem(self, agreement_no: str, merchant_no: str, amount_minor: int) -> Reason:
        """Tell why a mandate does not cover a debit."""
        mandate = self._tools.book.by_agreement.get(agreement_no)
        if mandate is None or mandate.merchant_no != merchant_no:
            return Reason.NO_MANDATE
        if mandate.word is not SideWord.MANDATE_SIGNED:
            return Reason.MANDATE_NOT_IN_FORCE
        over = 0 < mandate.amount_minor < amount_minor
        return Reason.OVER_MANDATE_LIMIT if over else Reason.NONE

    # Payouts

    def payout(self, item: Any, merchant_no: str) -> Job | None:
        """Pay out. `waits` is true where the payee has to agree first."""
        number, amount_minor = read_name(item, "payout_no"), read_amount(item, "amount_minor")
        texts = [read_text(item, field) for field in ("payee", "payee_name", "order_no", "currency")]
        notify_url = _url(item)
        if number is None or amount_minor is None or None in texts or notify_url is None or not _memo_is_good(item):
            return None
        payee, payee_name, order_no, currency = texts
        known = self._tools.book.payouts.get(number)
        wish = (merchant_no, amount_minor, currency, payee, payee_name)

        def work() -> AnswerFields:
            if known is not None:
                had = (known.merchant_no, known.amount_minor, known.currency, known.payer_ref, known.payee_name)
                return self._said(known) if had == wish else _refused(number, Reason.NUMBER_REUSED, merchant_no)
            key = SEPARATOR.join((merchant_no, "payout", order_no or number, str(amount_minor), str(payee)))
            waits = bool(item.get("waits"))
            word = SideWord.PAYOUT_WAITING if waits else SideWord.PAYOUT_ACCEPTED
            made = self._make(Tag.PAYOUT, number, merchant_no, word, f"{key}{SEPARATOR}{number}") | {
                "amount_minor": amount_minor, "payer_ref": payee, "payee_name": payee_name, "order_no": order_no,
                "currency": currency, "notify_url": notify_url, "memo": item.get("memo", NO_MEMO),
            }  # fmt: skip
            self._tools.record((Tag.PAYOUT.value, made))
            made_payout = self._tools.book.payouts[number]
            self._begin(made_payout, self._payer_delay_ms(key) if waits else 0)
            return self._said(made_payout)

        return Job(self._tools.describe(Operation.PAYOUT, number, merchant_no, known), work)

    def query_payout(self, item: Any, merchant_no: str) -> Job | None:
        """Tell what became of a payout."""
        number = read_name(item, "payout_no")
        if number is None:
            return None
        payout = _own(self._tools.book.payouts.get(number), merchant_no)

        def work() -> AnswerFields:
            if payout is None:
                return answer(number, SideWord.NO_SUCH_PAYOUT, merchant_no=merchant_no)
            return self._said(payout)

        return Job(self._tools.describe(Operation.QUERY_PAYOUT, number, merchant_no, payout), work)

    def _begin(self, payout: Payout, wait_ms: int) -> None:
        reason = BY_PAYEE.get(payout.payer_ref) or BY_PAYEE.get(payout.payee_name) or Reason.NONE
        if not reason and self._tools.strikes(Kind.PAYOUT_FAILS, payout):
            reason = Reason.ACCOUNT_CLOSED
        if self._tools.strikes(Kind.PAYOUT_STUCK, payout):
            return
        fate = SideWord.PAYOUT_FAILED if reason else SideWord.PAYOUT_PAID
        delay_ms = wait_ms + self._tools.profile.payout_delay_ms
        if delay_ms:
            self._plan(payout, fate, reason, delay_ms)
        else:
            self.become(payout, fate, reason)
            self._after(payout)

    # Splits

    def split(self, item: Any, merchant_no: str) -> Job | None:
        """Split what an attempt took; `shares` are pairs of receiver and amount."""
        number, attempt_no, notify_url = read_name(item, "split_no"), read_name(item, "attempt_no"), _url(item)
        shares = _shares(item)
        if number is None or attempt_no is None or notify_url is None or shares is None or not _memo_is_good(item):
            return None
        book = self._tools.book
        attempt, known = book.find(attempt_no, merchant_no), book.splits.get(number)

        def work() -> AnswerFields:
            if known is not None:
                same = known.attempt is attempt and known.shares == shares
                return self._said(known) if same else _refused(number, Reason.NUMBER_REUSED, merchant_no)
            if attempt is None:
                return answer(number, Word.NO_SUCH_TRADE, merchant_no=merchant_no)
            if attempt.word is not Word.PAID:
                return _refused(number, Reason.NOT_PAID, merchant_no)
            amount_minor = sum(amount for _, amount in shares)
            if amount_minor > attempt.amount_minor - attempt.refunded_minor - attempt.split_minor:
                return _refused(number, Reason.OVER_REMAINING, merchant_no)
            key = SEPARATOR.join((attempt.key, "split", str(amount_minor), str(attempt.split_minor)))
            made = self._make(Tag.SPLIT, number, merchant_no, SideWord.SPLIT_ACCEPTED, key) | {
                "attempt_no": attempt_no, "amount_minor": amount_minor, "shares": [list(share) for share in shares],
                "is_last": bool(item.get("is_last", True)), "notify_url": notify_url, "memo": item.get("memo", NO_MEMO),
            }  # fmt: skip
            self._tools.record((Tag.SPLIT.value, made))
            split = book.splits[number]
            fails = self._tools.strikes(Kind.SPLIT_FAILS, split)
            fate, reason = (SideWord.SPLIT_FAILED, Reason.ACCOUNT_CLOSED) if fails else (SideWord.SPLIT_DONE, Reason.NONE)
            self._plan(split, fate, reason, max(1, self._tools.profile.payout_delay_ms))
            return self._said(split)

        return Job(self._tools.describe(Operation.SPLIT, number, merchant_no, known), work)

    def query_split(self, item: Any, merchant_no: str) -> Job | None:
        """Tell what became of a split."""
        number = read_name(item, "split_no")
        if number is None:
            return None
        split = _own(self._tools.book.splits.get(number), merchant_no)

        def work() -> AnswerFields:
            return self._said(split) if split else answer(number, SideWord.NO_SUCH_SPLIT, merchant_no=merchant_no)

        return Job(self._tools.describe(Operation.QUERY_SPLIT, number, merchant_no, split), work)

    # Verifications

    def verify(self, item: Any, merchant_no: str) -> Job | None:
        """Tell whether name and numbers belong together. Who it is about is not kept."""
        number, name, id_no = read_name(item, "verify_no"), read_text(item, "name"), read_text(item, "id_no")
        if number is None or not name or id_no is None or not _memo_is_good(item):
            return None
        known = _own(self._tools.book.verifications.get(number), merchant_no)

        def work() -> AnswerFields:
            if known is not None:
                return self._said(known)
            key = SEPARATOR.join((merchant_no, "verify", number))
            made = self._make(Tag.VERIFICATION, number, merchant_no, SideWord.VERIFIED, key)
            differs = name in BY_PERSON or self._tools.strikes(Kind.PERSON_DIFFERS, Side(**_fields(made)))
            made |= {"word": SideWord.NOT_VERIFIED if differs else SideWord.VERIFIED, "memo": item.get("memo", NO_MEMO)}
            self._tools.record((Tag.VERIFICATION.value, made))
            return self._said(self._tools.book.verifications[number])

        return Job(self._tools.describe(Operation.VERIFY, number, merchant_no, known), work)

    def query_verify(self, item: Any, merchant_no: str) -> Job | None:
        """Tell what a verification said."""
        number = read_name(item, "verify_no")
        if number is None:
            return None
        known = _own(self._tools.book.verifications.get(number), merchant_no)

        def work() -> AnswerFields:
            return self._said(known) if known else answer(number, SideWord.NO_SUCH_VERIFICATION, merchant_no=merchant_no)

        return Job(self._tools.describe(Operation.QUERY_VERIFY, number, merchant_no, known), work)

    # What becomes of them

    def become(self, side: Mandate | Payout | Split, word: SideWord, reason: Reason = Reason.NONE) -> None:
        """Let something be something else from now on, with nothing planned beyond."""
        self._tools.record(_became(side, word, reason, self._clock.now_ms(), "", Reason.NONE, 0))

    def person_acts(self, side: Mandate | Payout, *, agrees: bool) -> None:
        """Let a person agree in the payer's or payee's place, or leave it for good."""
        if side.word not in (SideWord.MANDATE_WAITING, SideWord.PAYOUT_WAITING):
            return
        fate, reason = side.fate, side.fate_reason
        self._tools.record(_became(side, side.word, side.reason, side.done_ms, "", Reason.NONE, 0))
        if agrees:
            agreed = SideWord.MANDATE_SIGNED if isinstance(side, Mandate) else SideWord(fate or SideWord.PAYOUT_PAID)
            self.become(side, agreed, reason)
            self._after(side)

    def _plan(self, side: Mandate | Payout | Split, fate: SideWord, reason: Reason, after_ms: int) -> None:
        act_at_ms = self._clock.now_ms() + max(1, after_ms)
        self._tools.record(_became(side, side.word, side.reason, side.done_ms, fate, reason, act_at_ms))
        self._arm(side)

    def _arm(self, side: Mandate | Payout | Split) -> None:
        if side.fate:
            self._clock.at(side.act_at_ms, self._act, side, side.act_at_ms)

    def _act(self, side: Mandate | Payout | Split, due_ms: int) -> None:
        if side.fate and side.act_at_ms == due_ms:
            self.become(side, SideWord(side.fate), side.fate_reason)
            self._after(side)

    def _after(self, side: Mandate | Payout | Split) -> None:
        """Tell what something has become, and let a payout come back later where that is its fate."""
        self._tools.tell(side)
        if side.word is SideWord.PAYOUT_PAID and self._tools.strikes(Kind.PAYOUT_RETURNED, side):
            self._plan(side, SideWord.PAYOUT_RETURNED, Reason.ACCOUNT_CLOSED, RETURN_AFTER_MS)

    def _make(self, tag: Tag, number: str, merchant_no: str, word: SideWord, key: str) -> dict[str, Any]:
        return {"number": number, "merchant_no": merchant_no, "txn_no": self._draws.name(key, tag.value), "word": word,
                "made_ms": self._clock.now_ms(), "key": key}  # fmt: skip

    def _payer_delay_ms(self, key: str) -> int:
        p50_ms = self._tools.profile.payer_delay_ms_p50
        draw = self._draws.share(key, "payer")
        return log_normal_ms(p50_ms=p50_ms, p99_ms=p50_ms * PAYER_P99_FACTOR, draw=draw)

    @staticmethod
    def _said(side: Side) -> AnswerFields:
        return answer(
            side.number, side.word, reason=side.reason, amount_minor=side.amount_minor, currency="CNY",
            merchant_no=side.merchant_no, channel_txn_no=side.txn_no, success_time_ms=side.done_ms,
        )  # fmt: skip


def _became(
    side: Mandate | Payout | Split,
    word: SideWord,
    reason: Reason,
    time_ms: int,
    fate: str,
    fate_reason: Reason,
    act_at_ms: int,
) -> tuple[Any, ...]:
    return (
        Tag.BECAME.value,
        kind_of(side),
        side.number,
        word.value,
        reason.value,
        time_ms,
        str(fate),
        fate_reason.value,
        act_at_ms,
    )


def _fields(made: dict[str, Any]) -> dict[str, Any]:
    return {name: made[name] for name in ("number", "merchant_no", "txn_no", "word", "made_ms", "key")}


def _own(side: OneSide | None, merchant_no: str) -> OneSide | None:
    return side if side is not None and side.merchant_no == merchant_no else None


def _refused(number: str, reason: Reason, merchant_no: str) -> AnswerFields:
    return answer(number, Word.REFUSED, reason=reason, merchant_no=merchant_no)


def _url(item: Any) -> str | None:
    return read_text(item, "notify_url", URL_LENGTH_MAX)


def _memo_is_good(item: Any) -> bool:
    return is_memo(item.get("memo", NO_MEMO))


def _shares(item: Any) -> tuple[tuple[str, int], ...] | None:
    raw = item.get("shares") if isinstance(item, dict) else None
    if not isinstance(raw, list | tuple) or not 0 < len(raw) <= SHARES_MAX:
        return None
    shares = [(read_name({"r": pair[0]}, "r"), read_amount({"a": pair[1]}, "a")) for pair in raw]
    good = [(receiver, amount) for receiver, amount in shares if receiver is not None and amount is not None]
    return tuple(good) if len(good) == len(raw) else None
