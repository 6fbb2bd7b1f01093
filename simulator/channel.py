"""How one sandbox channel answers: the weather around a request, then the trade itself.

The weather is what networks and machines do (time-outs, errors, limits); it is the same for every operation. A request
that the weather lets through is executed, and its effect is an event in the ledger before anyone can hear the answer.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from simulator import triggers
from simulator.announcer import Announcer
from simulator.bills import Bills
from simulator.book import Accepted, ChannelBook, Tag, order_key
from simulator.callbacks import CallbackSender
from simulator.clock import VirtualClock
from simulator.codec import (
    AnswerFields,
    ChargeRequest,
    Flaw,
    Outgoing,
    RefundRequest,
    Said,
    answer,
    read_charge,
    read_name,
    read_refund,
)
from simulator.draws import SEPARATOR, Draws, Plan, log_normal_ms
from simulator.faults import FaultBook, Kind
from simulator.ledger import Ledger
from simulator.outbox import Outbox
from simulator.profiles import PAYER_P99_FACTOR, Profile
from simulator.records import Attempt, Entry, Mandate, Payout, Refund, Side, Split
from simulator.sides import Ask, Job, Sides
from simulator.triggers import Trigger, Whim
from simulator.voice import Voice
from simulator.words import PURPLE, Operation, Reason, Word

BROWN_OUT_FACTOR = 10
# A channel without latency has nothing to multiply, so a brown-out starts from an ordinary one.
BROWN_OUT_FLOOR_MS = 20
BROWN_OUT_ERROR_SHARE = 0.3
SLOW_DRIP_MS = 30_000
# An early callback needs a head start over the answer.
EARLY_HEAD_START_MS = 300
# Long enough for the hub to believe the close.
LATE_SUCCESS_MS = 3_000
# Of the requests answered with a system error, this share was executed all the same.
ERROR_HEARD_SHARE = 0.5
# Numbers that were asked for but never accepted; the oldest is forgotten first.
STRANGERS_MAX = 100_000

# What is worth losing the answer to; a refund has phantoms of its own.
_TAKING = frozenset({Operation.CHARGE, Operation.DEBIT, Operation.SIGN, Operation.PAYOUT, Operation.SPLIT, Operation.VERIFY})
_FLAWS = {
    Kind.ANSWER_BAD_SIGNATURE: Flaw.BAD_SIGNATURE,
    Kind.ANSWER_NO_SIGNATURE: Flaw.NO_SIGNATURE,
    Kind.ANSWER_PROBE_SIGNATURE: Flaw.PROBE_SIGNATURE,
    Kind.ANSWER_STALE: Flaw.STALE_TIME,
    Kind.ANSWER_OTHER_CERTIFICATE: Flaw.OTHER_CERTIFICATE,
    Kind.ANSWER_NEW_CERTIFICATE: Flaw.NEW_CERTIFICATE,
}
_DECLINES = (Reason.NO_FUNDS, Reason.NO_FUNDS, Reason.PAYER_LIMIT, Reason.CARD_EXPIRED, Reason.RISK_REFUSED)


class Weather(NamedTuple):
    """What happens to one request on its way. `word` answers in the channel's place."""

    heard: bool = True
    answered: bool = True
    transport: str = ""
    word: Word | None = None
    reason: Reason = Reason.NONE
    slow_factor: int = 1
    drip_ms: int = 0
    flaw: Flaw = Flaw.NONE


CLEAR = Weather()
_LOST = {
    Kind.CONNECTION_REFUSED: Weather(heard=False, transport="REFUSED"),
    Kind.BLACK_HOLE: Weather(heard=False, answered=False),
    Kind.CONNECTION_RESET: Weather(transport="RESET"),
}


class SandboxChannel:
    """One channel. Every change goes through `record`: applied to the book and added to the ledger."""

    def __init__(
        self, *, profile: Profile, seed: int, clock: VirtualClock, real_time_ms: Callable[[], int], ledger: Ledger,
        sender: CallbackSender, outbox: Outbox, voice: Voice, merchants: Collection[str], truth: list[Entry],
    ) -> None:  # fmt: skip
        self.profile = profile
        self.faults = FaultBook()
        self.outbox = outbox
        self.book = ChannelBook(channel_id=profile.channel_id, truth=truth)
        self._draws = Draws(seed=seed, channel_id=profile.channel_id)
        self._clock = clock
        self._real_time_ms = real_time_ms
        self._ledger = ledger
        self._strangers: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._tokens = 0.0
        self._tokens_ms = 0
        self._announcer = Announcer(
            profile=lambda: self.profile,
            book=self.book,
            draws=self._draws,
            clock=clock,
            sender=sender,
            voice=voice,
            merchants=merchants,
            strikes=self.strikes,
            record=self.record,
        )
        self._handlers: dict[Operation, Callable[[Any, str], Said]] = {
            Operation.CHARGE: self._charge,
            Operation.QUERY: self._query,
            Operation.CLOSE: self._close,
            Operation.REFUND: self._refund,
            Operation.QUERY_REFUND: self._query_refund,
            Operation.DEBIT: self._charge,
        }
        self.sides = Sides(self, draws=self._draws, clock=clock)
        self.bills = Bills(
            book=self.book, clock=clock, profile=lambda: self.profile, strikes=self.strikes, describe=self.describe
        )
        sides = self.sides
        self._jobs: dict[Operation, Callable[[Any, str], Job | None]] = {
            Operation.SIGN: sides.sign,
            Operation.QUERY_MANDATE: sides.query_mandate,
            Operation.UNSIGN: sides.unsign,
            Operation.PAYOUT: sides.payout,
            Operation.QUERY_PAYOUT: sides.query_payout,
            Operation.SPLIT: sides.split,
            Operation.QUERY_SPLIT: sides.query_split,
            Operation.VERIFY: sides.verify,
            Operation.QUERY_VERIFY: sides.query_verify,
            Operation.BILL: self.bills.bill,
        }

    def handle(self, operation: Operation, items: Iterable[Any], merchant_no: str) -> list[Outgoing]:
        """Execute requests of one merchant; return the answers that are ready now, the others come by the outbox."""
        ready: list[Outgoing] = []
        for item in items:
            outgoing, after_ms, drip_ms = self.ask(operation, item, merchant_no)
            if outgoing is not None and after_ms + drip_ms:
                self._clock.at(self._clock.now_ms() + after_ms + drip_ms, self.outbox.put, outgoing)
            elif outgoing is not None:
                ready.append(outgoing)
        return ready

    def ask(self, operation: Operation, item: Any, merchant_no: str) -> Said:
        """Execute one request of a merchant, now; how and when the answer gets to whoever asked is the caller's."""
        handler = self._handlers.get(operation)
        if handler is not None:
            return handler(item, merchant_no)
        job = self._jobs[operation](item, merchant_no) if isinstance(item, dict) else None
        if job is None:
            return _malformed(item, f"{operation.rpartition('_')[2]}_no", merchant_no)
        weather = self._weather(job.ask)
        return self._reply(job.ask, weather, job.work() if weather.heard else None)

    def resume(self) -> None:
        """Set the timers again, and send the callbacks again, that a restart has interrupted."""
        for attempt in self.book.attempts.values():
            if attempt.fate:
                self._clock.at(attempt.act_at_ms, self._act, attempt, attempt.act_at_ms)
        for refund in self.book.refunds.values():
            if refund.done_at_ms:
                self._clock.at(refund.done_at_ms, self._settle, refund)
        self.sides.resume()
        for number, refund_no, kind in sorted(self.book.owed):
            self._announcer.resume(number, refund_no, kind)

    # Charges

    def _charge(self, item: Any, merchant_no: str) -> Said:
        self.book.counts.charge_requests += 1
        request = read_charge(item)
        if request is None:
            return _malformed(item, "attempt_no", merchant_no)
        if self.book.is_full:
            return Said(Outgoing(answer(request.attempt_no, Word.BUSY, reason=Reason.SANDBOX_FULL), merchant_no))
        orders = order_key(merchant_no, request.order_no)
        tries = self.book.tries.get(orders, 0) + 1
        key = f"{orders}{SEPARATOR}{request.amount_minor}{SEPARATOR}{tries}"
        plan = self._draws.plan(key)
        attempt = self.book.attempts.get(request.attempt_no)
        trigger = None if attempt else self._trigger(request.amount_minor, request.payer_ref)
        names = (request.attempt_no, request.order_no, request.payer_ref)
        ask = Ask(Operation.CHARGE, request.attempt_no, merchant_no, key, names, trigger)
        weather = self._weather(ask)
        said, least_ms = None, 0
        problem = self._debit_problem(request, merchant_no) if weather.heard and attempt is None else Reason.NONE
        if problem:
            self.record((Tag.TRIED.value, orders, tries))
            said = answer(request.attempt_no, Word.REFUSED, reason=problem, merchant_no=merchant_no)
        elif weather.heard and attempt is None:
            said, least_ms = self._accept(request, ask, plan, tries)
        else:
            self.record((Tag.TRIED.value, orders, tries))
            if weather.heard and attempt is not None:
                said = self._repeat(request, attempt, merchant_no)
            elif attempt is None:
                self._remember(request.attempt_no, key)
        return self._reply(ask, weather, said, latency=plan.latency, least_ms=least_ms)

    def _debit_problem(self, request: ChargeRequest, merchant_no: str) -> Reason:
        if not request.agreement_no:
            return Reason.NONE
        return self.sides.debit_problem(request.agreement_no, merchant_no, request.amount_minor)

    def _accept(self, request: ChargeRequest, ask: Ask, plan: Plan, tries: int) -> tuple[AnswerFields, int]:
        """Make a new attempt; return its first answer, and how many milliseconds that must wait at least."""
        now_ms = self._clock.now_ms()
        # The hub lives in real time and this clock may be ahead, so an expiry is taken over as the time that is left.
        left_ms = request.expire_time_ms - self._real_time_ms()
        expire_ms = now_ms + left_ms if request.expire_time_ms else 0
        payer_acts = self.profile.asynchronous if not request.pays else request.pays == "LATER"
        word, reason, act_at_ms = self._outcome(ask, plan, now_ms, payer_acts=payer_acts)
        early = False
        if expire_ms and left_ms <= 0:
            state, why, fate = Word.PAY_CLOSED, Reason.EXPIRED, ""
        elif payer_acts:
            early = word is Word.PAID and self._strikes(Kind.CALLBACK_EARLY, ask)
            act_at_ms = now_ms if early else act_at_ms
            pays_in_time = word is not None and (not expire_ms or act_at_ms < expire_ms)
            state, why, fate = Word.WAITING_PAYER, Reason.NONE, word if word and pays_in_time else ""
        else:
            state, why, fate = word or Word.PAY_FAILED, reason, ""
        event = Accepted(
            Tag.ACCEPTED.value, request.attempt_no, ask.merchant_no, request.order_no, request.amount_minor,
            request.currency, request.payer_ref, request.notify_url, tries, plan.txn_no, state, why, now_ms, fate,
            reason, act_at_ms if fate else 0, expire_ms, request.memo,
        )  # fmt: skip
        self.record(event)
        attempt = self.book.attempts[request.attempt_no]
        said = self._state(attempt)
        if self.faults:
            self._announcer.forge(attempt)
            # An early callback is sent even where this channel would send none.
            told = state is Word.PAID and bool(attempt.notify_url)
            early = early or (told and self._strikes(Kind.CALLBACK_EARLY, ask))
        self._follow(attempt, early=early)
        return said, EARLY_HEAD_START_MS if early else 0

    def _follow(self, attempt: Attempt, *, early: bool) -> None:
        """Let happen what a new attempt leads to: the payer acts, or the callback of a synchronous channel goes out."""
        if attempt.fate and early:
            self._act(attempt, attempt.act_at_ms)
        elif attempt.fate:
            self._clock.at(attempt.act_at_ms, self._act, attempt, attempt.act_at_ms)
        elif attempt.word in (Word.PAID, Word.PAY_FAILED) and (early or self._announcer.tells(attempt)):
            self._announcer.announce(attempt)

    def _outcome(
        self, ask: Ask, plan: Plan, now_ms: int, *, payer_acts: bool
    ) -> tuple[Word | None, Reason, int]:
        """Decide whether the payer pays, fails, or (None) does nothing; and when, in virtual Unix milliseconds."""
        act_at_ms = now_ms
        if payer_acts:
            p50_ms = self.profile.payer_delay_ms_p50
            act_at_ms += log_normal_ms(p50_ms=p50_ms, p99_ms=p50_ms * PAYER_P99_FACTOR, draw=plan.payer)
        trigger = ask.trigger
        if isinstance(trigger, Reason):
            return Word.PAY_FAILED, trigger, act_at_ms
        if trigger is Whim.ABANDONS:
            return None, Reason.PAYER_ABANDONED, act_at_ms
        if self._strikes(Kind.DECLINE_NO_FUNDS, ask):
            return Word.PAY_FAILED, Reason.NO_FUNDS, act_at_ms
        if plan.success < self.profile.success_rate:
            return Word.PAID, Reason.NONE, act_at_ms
        if payer_acts and plan.decline < 0.5:
            return None, Reason.PAYER_ABANDONED, act_at_ms
        return Word.PAY_FAILED, _DECLINES[int(plan.decline * len(_DECLINES)) % len(_DECLINES)], act_at_ms

    def _repeat(self, request: ChargeRequest, attempt: Attempt, merchant_no: str) -> AnswerFields:
        """Answer a number that is known: the present state, if it asks for the same as before."""
        told = (request.order_no, request.amount_minor, request.currency, request.payer_ref)
        known = (attempt.order_no, attempt.amount_minor, attempt.currency, attempt.payer_ref)
        closed_unseen = not attempt.order_no and attempt.merchant_no == merchant_no
        if attempt.merchant_no != merchant_no or (told != known and not closed_unseen):
            return answer(attempt.number, Word.REFUSED, reason=Reason.NUMBER_REUSED, merchant_no=merchant_no)
        return self._state(attempt)

    def _act(self, attempt: Attempt, due_ms: int) -> None:
        """Let the payer do what was decided, unless the attempt was closed or decided otherwise meanwhile."""
        if not attempt.fate or attempt.act_at_ms != due_ms:
            return
        if attempt.fate == Word.PAID:
            self.record((Tag.PAID.value, attempt.number, self._clock.now_ms()))
        else:
            self.record((Tag.FAILED.value, attempt.number, attempt.fate_reason.value))
        if self._announcer.tells(attempt):
            self._announcer.announce(attempt)

    def payer_looks(self, attempt: Attempt) -> None:
        """Let a person look at a payer's page."""
        if not attempt.seen:
            self.record((Tag.SEEN.value, attempt.number))

    def payer_acts(self, attempt: Attempt, *, pays: bool) -> None:
        """Let a person act in the payer's place, on a payer's page: pay now, or leave it for good."""
        self._state(attempt)  # an expired one closes by being looked at
        if attempt.word is not Word.WAITING_PAYER:
            return
        self.record((Tag.LEFT.value, attempt.number))
        if pays:
            self.record((Tag.PAID.value, attempt.number, self._clock.now_ms()))
            if self._announcer.tells(attempt):
                self._announcer.announce(attempt)

    # Queries and closes

    def _query(self, item: Any, merchant_no: str) -> Said:
        self.book.counts.queries += 1
        number = read_name(item, "attempt_no")
        if number is None:
            return _malformed(item, "attempt_no", merchant_no)
        attempt = self.book.find(number, merchant_no)
        ask = self._ask(Operation.QUERY, number, merchant_no, attempt)
        weather = self._weather(ask)
        said = None
        if weather.heard:
            said = self._state(attempt) if attempt else answer(number, Word.NO_SUCH_TRADE, merchant_no=merchant_no)
            if attempt and attempt.word is Word.PAID and not attempt.flipped:
                said = self._flip(attempt) or said
        return self._reply(ask, weather, said)

    def _flip(self, attempt: Attempt) -> AnswerFields | None:
        if not self.strikes(Kind.SUCCESS_FLIPS, attempt, ""):
            return None
        self.record((Tag.FLIPPED.value, attempt.number))
        return self._state(attempt) | {"word": Word.PAY_FAILED, "reason": Reason.NO_FUNDS, "success_time_ms": 0}

    def _close(self, item: Any, merchant_no: str) -> Said:
        number = read_name(item, "attempt_no")
        if number is None:
            return _malformed(item, "attempt_no", merchant_no)
        attempt = self.book.find(number, merchant_no)
        ask = self._ask(Operation.CLOSE, number, merchant_no, attempt)
        weather = self._weather(ask)
        said = self._do_close(number, merchant_no, attempt) if weather.heard else None
        return self._reply(ask, weather, said)

    def _do_close(self, number: str, merchant_no: str, attempt: Attempt | None) -> AnswerFields:
        if attempt is None:
            if number in self.book.attempts:
                return answer(number, Word.REFUSED, reason=Reason.NUMBER_REUSED, merchant_no=merchant_no)
            if self.book.is_full:
                return answer(number, Word.BUSY, reason=Reason.SANDBOX_FULL, merchant_no=merchant_no)
            self.record((Tag.CLOSED_UNKNOWN.value, number, merchant_no))
            return self._state(self.book.attempts[number])
        if attempt.word in (Word.WAITING_PAYER, Word.PAY_FAILED):
            waits = attempt.word is Word.WAITING_PAYER
            late_at_ms = 0
            if waits and self.strikes(Kind.LATE_SUCCESS_AFTER_CLOSE, attempt, ""):
                late_at_ms = self._clock.now_ms() + LATE_SUCCESS_MS
                self._clock.at(late_at_ms, self._act, attempt, late_at_ms)
            self.record((Tag.CLOSED.value, number, Reason.CLOSED.value, late_at_ms))
        return self._state(attempt)

    def _state(self, attempt: Attempt) -> AnswerFields:
        """Tell the present state of an attempt; one that has expired unpaid is closed by being asked about."""
        if attempt.word is Word.WAITING_PAYER and 0 < attempt.expire_ms <= self._clock.now_ms():
            self.record((Tag.CLOSED.value, attempt.number, Reason.EXPIRED.value, 0))
        waiting = attempt.word is Word.WAITING_PAYER
        return answer(
            attempt.number,
            attempt.word,
            reason=attempt.reason,
            amount_minor=attempt.amount_minor,
            currency=attempt.currency,
            merchant_no=attempt.merchant_no,
            channel_txn_no=attempt.txn_no,
            success_time_ms=attempt.paid_ms,
            qr=f"sandbox://{self.profile.channel_id}/pay/{attempt.txn_no}" if waiting else "",
        )

    # Refunds

    def _refund(self, item: Any, merchant_no: str) -> Said:
        request = read_refund(item)
        if request is None:
            return _malformed(item, "refund_no", merchant_no)
        attempt = self.book.find(request.attempt_no, merchant_no)
        ask = self._ask(Operation.REFUND, request.refund_no, merchant_no, attempt)
        weather = self._weather(ask)
        said = self._do_refund(request, merchant_no, attempt) if weather.heard else None
        return self._reply(ask, weather, said)

    def _do_refund(self, request: RefundRequest, merchant_no: str, attempt: Attempt | None) -> AnswerFields:
        if attempt is None:
            return answer(request.refund_no, Word.NO_SUCH_TRADE, merchant_no=merchant_no)
        known = self.book.refunds.get(request.refund_no)
        if known is not None:
            same = known.attempt is attempt and known.amount_minor == request.amount_minor
            if same and request.currency == attempt.currency:
                return self._refund_state(known)
        problem = self._refund_problem(request, attempt, known)
        if problem:
            return answer(request.refund_no, Word.REFUSED, reason=problem, merchant_no=merchant_no)
        key = SEPARATOR.join((attempt.key, "refund", str(request.amount_minor), str(attempt.refund_count)))
        phantom = self.strikes(Kind.REFUND_PHANTOM, attempt, key, request.refund_no)
        done_at_ms = 0 if phantom else self._clock.now_ms() + max(1, self.profile.refund_delay_ms)
        fails = int(self._trigger(attempt.amount_minor, attempt.payer_ref) is Whim.REFUND_FAILS)
        txn_no = self._draws.name(key, "refund")
        self.record(
            (
                Tag.REFUND_ACCEPTED.value,
                request.refund_no,
                attempt.number,
                request.amount_minor,
                done_at_ms,
                fails,
                txn_no,
                self._clock.now_ms(),
                request.notify_url,
                request.memo,
            )
        )
        refund = self.book.refunds[request.refund_no]
        if done_at_ms:
            self._clock.at(done_at_ms, self._settle, refund)
        return self._refund_state(refund)

    def _refund_problem(self, request: RefundRequest, attempt: Attempt, known: Refund | None) -> Reason:
        if known is not None:
            return Reason.NUMBER_REUSED
        if attempt.word is not Word.PAID:
            return Reason.NOT_PAID
        if request.currency != attempt.currency:
            return Reason.OTHER_CURRENCY
        if request.amount_minor > attempt.amount_minor - attempt.refunded_minor:
            return Reason.OVER_REMAINING
        return Reason.SANDBOX_FULL if self.book.is_full else Reason.NONE

    def _settle(self, refund: Refund) -> None:
        """Let the money of a refund go back now, or the refund fail."""
        self.record((Tag.REFUND_SETTLED.value, refund.number, self._clock.now_ms()))
        if self._announcer.tells(refund):
            self._announcer.announce(refund)

    def _query_refund(self, item: Any, merchant_no: str) -> Said:
        self.book.counts.queries += 1
        number, attempt_no = read_name(item, "refund_no"), read_name(item, "attempt_no")
        if number is None or attempt_no is None:
            return _malformed(item, "refund_no", merchant_no)
        attempt = self.book.find(attempt_no, merchant_no)
        ask = self._ask(Operation.QUERY_REFUND, number, merchant_no, attempt)
        weather = self._weather(ask)
        said = None
        if weather.heard:
            refund = self.book.refunds.get(number)
            if refund is not None and refund.attempt is attempt:
                said = self._refund_state(refund)
            else:
                said = answer(number, Word.NO_SUCH_REFUND, merchant_no=merchant_no)
        return self._reply(ask, weather, said)

    def _refund_state(self, refund: Refund) -> AnswerFields:
        return answer(
            refund.number,
            refund.word,
            reason=Reason.ACCOUNT_CLOSED if refund.word is Word.REFUND_FAILED else Reason.NONE,
            amount_minor=refund.amount_minor,
            currency=refund.attempt.currency,
            merchant_no=refund.attempt.merchant_no,
            channel_txn_no=refund.txn_no,
            success_time_ms=refund.settled_ms if refund.word is Word.REFUND_PAID else 0,
        )

    # Weather and answers

    def _ask(self, operation: Operation, number: str, merchant_no: str, attempt: Attempt | None) -> Ask:
        """Describe a request that is not a charge; the n-th of its kind about one attempt has the same key in every run."""
        if attempt is None or not attempt.tries:
            key, count = self._strangers.get(number, (f"stranger{SEPARATOR}{number}", 0))
            self._remember(number, key, count + 1)
            return Ask(operation, number, merchant_no, f"{key}{SEPARATOR}{operation}{SEPARATOR}{count}", (number,))
        attempt.query_count += 1
        key = SEPARATOR.join((attempt.key, operation, str(attempt.query_count)))
        return Ask(operation, number, merchant_no, key, (*attempt.names, number))

    def describe(self, operation: Operation, number: str, merchant_no: str, side: Side | None) -> Ask:
        """Describe a request about something beside attempts."""
        if side is None:
            return self._ask(operation, number, merchant_no, None)
        key = SEPARATOR.join((side.key, operation, str(side.asked_count)))
        side.asked_count += 1
        return Ask(operation, number, merchant_no, key, (*side.names, number))

    def tell(self, side: Mandate | Payout | Split) -> None:
        """Announce what became of something, if that is announced."""
        if self._announcer.tells(side):
            self._announcer.announce(side)

    def _remember(self, number: str, key: str, count: int = 0) -> None:
        self._strangers[number] = (key, count)
        self._strangers.move_to_end(number)
        if len(self._strangers) > STRANGERS_MAX:
            self._strangers.popitem(last=False)

    def _weather(self, ask: Ask) -> Weather:
        """Tell what happens to a request on its way, the most final first."""
        if not self.faults and not isinstance(ask.trigger, Kind) and not self.profile.rate_limit_per_s:
            return CLEAR
        lost = next((weather for kind, weather in _LOST.items() if self._strikes(kind, ask)), None)
        if lost is not None:
            return lost
        refusal = self._refusal(ask)
        if ask.operation in _TAKING and not refusal.word:
            if self._strikes(Kind.TIMEOUT_NOT_TAKEN, ask):
                return Weather(heard=False, answered=False)
            if self._strikes(Kind.TIMEOUT_TAKEN, ask):
                return Weather(answered=False)
        flaws = (flaw for kind, flaw in _FLAWS.items() if self._strikes(kind, ask))
        return refusal._replace(
            drip_ms=SLOW_DRIP_MS if self._strikes(Kind.SLOW_DRIP, ask) else 0, flaw=next(flaws, Flaw.NONE)
        )

    def _refusal(self, ask: Ask) -> Weather:
        """Tell whether the channel's front door answers in its place."""
        if self._strikes(Kind.MAINTENANCE, ask):
            return Weather(heard=False, word=Word.MAINTENANCE, reason=Reason.MAINTENANCE)
        if self._strikes(Kind.RATE_LIMIT, ask) or not self._take_token():
            return Weather(heard=False, word=Word.LIMITED, reason=Reason.RATE_LIMIT)
        brown = self._strikes(Kind.BROWN_OUT, ask)
        slow_factor = BROWN_OUT_FACTOR if brown else 1
        fails = brown and self._draws.share(ask.key, "brown-out-error") < BROWN_OUT_ERROR_SHARE
        if fails or self._strikes(Kind.SERVER_ERROR, ask):
            heard = self._draws.share(ask.key, "error-heard") < ERROR_HEARD_SHARE
            return Weather(heard=heard, word=Word.BUSY, reason=Reason.SYSTEM_ERROR, slow_factor=slow_factor)
        return Weather(slow_factor=slow_factor)

    def _take_token(self) -> bool:
        """Take one request out of the rate limit: a bucket that holds one second's worth."""
        rate_per_s = self.profile.rate_limit_per_s
        if not rate_per_s:
            return True
        now_ms = self._clock.now_ms()
        refill = (now_ms - self._tokens_ms) * rate_per_s / 1_000
        self._tokens = min(float(rate_per_s), self._tokens + refill)
        self._tokens_ms = now_ms
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _reply(
        self, ask: Ask, weather: Weather, said: AnswerFields | None, *, latency: float | None = None, least_ms: int = 0
    ) -> Said:
        """Say what goes back, and after how long."""
        if weather.transport:
            return Said(Outgoing({"number": ask.number, "transport": weather.transport}, ""))
        if not weather.answered:
            return Said(None)
        if weather.word is not None:
            said = answer(ask.number, weather.word, reason=weather.reason, merchant_no=ask.merchant_no)
        assert said is not None, "a request that was heard has an answer"
        if self.faults and said["word"] is Word.PAID and self._strikes(Kind.ANSWER_OTHER_AMOUNT, ask):
            said["amount_minor"] += 1
        if self.faults and self._strikes(Kind.ANSWER_UNKNOWN_WORD, ask):
            said["word"] = PURPLE
        outgoing = Outgoing(said, ask.merchant_no, weather.flaw)
        return Said(outgoing, max(self._latency_ms(ask, weather, latency), least_ms), weather.drip_ms)

    def _latency_ms(self, ask: Ask, weather: Weather, latency: float | None) -> int:
        profile = self.profile
        after_ms = 0
        if profile.latency_ms_p50:
            draw = self._draws.share(ask.key, "latency") if latency is None else latency
            after_ms = log_normal_ms(p50_ms=profile.latency_ms_p50, p99_ms=profile.latency_ms_p99, draw=draw)
        if weather.slow_factor > 1:
            after_ms = max(after_ms, BROWN_OUT_FLOOR_MS) * weather.slow_factor
        return after_ms

    # Chance and record

    def _trigger(self, amount_minor: int, payer_ref: str) -> Trigger | None:
        return triggers.of(amount_minor=amount_minor, payer_ref=payer_ref, amount_triggers=self.profile.amount_triggers)

    def _strikes(self, kind: Kind, ask: Ask) -> bool:
        """Tell whether a fault hits a request, by its trigger or by the faults that are on."""
        if ask.trigger is kind:
            self.faults.hit_count += 1
            return True
        if not self.faults:
            return False
        return self.faults.hits(kind, key=ask.key, names=ask.names, draws=self._draws, now_ms=self._clock.now_ms())

    def strikes(self, kind: Kind, attempt: Attempt | Side, mark: str = "", *names: str) -> bool:
        """Tell whether a fault hits an attempt itself, rather than one request about it."""
        if self._trigger(attempt.amount_minor, attempt.payer_ref) is kind:
            self.faults.hit_count += 1
            return True
        if not self.faults:
            return False
        key = f"{attempt.key}{SEPARATOR}{mark}"
        return self.faults.hits(
            kind, key=key, names=(*attempt.names, *names), draws=self._draws, now_ms=self._clock.now_ms()
        )

    def record(self, event: Any) -> None:
        """Apply an event and write it down."""
        self.book.apply(event)
        self._ledger.add(self.book.channel_id, event)


def _malformed(item: Any, field: str, merchant_no: str) -> Said:
    number = read_name(item, field) or ""
    return Said(Outgoing(answer(number, Word.REFUSED, reason=Reason.MALFORMED, merchant_no=merchant_no), merchant_no))
