"""The life of a payment: one table, and one function that applies evidence to it.

`apply` is the only way a payment changes once its intent is committed. It is told what a channel said (or that it said
nothing) and answers with a `Verdict`: the new state if any, and what is to be done next. It never decides by time alone
that money did not move.

Invariants: repeated evidence changes nothing; silence never becomes FAILED; a success with another amount, currency or
merchant is never a success; evidence of a lower proof rank never overrides a higher one.
"""

from enum import StrEnum
from typing import NamedTuple

from domain.evidence import Evidence, Fault, Outcome, Source
from domain.table import step, terminal


class State(StrEnum):
    """Where a payment is."""

    SUBMITTING = "SUBMITTING"  # intent committed; the channel may have been asked
    PENDING = "PENDING"  # the channel accepted and waits for the payer
    UNKNOWN = "UNKNOWN"  # the channel is silent; it may have taken the money
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    FUNDS_RETURNED = "FUNDS_RETURNED"


class Event(StrEnum):
    """What can happen to a payment."""

    SUBMIT = "SUBMIT"  # the first row of every history
    REROUTE = "REROUTE"  # provably not accepted: another channel is asked
    RESEND = "RESEND"  # the channel does not know the number: it is sent again, unchanged
    ASK_CLOSE = "ASK_CLOSE"  # the caller gives up; only the channel's word closes
    WAIT = "WAIT"
    LOSE_ANSWER = "LOSE_ANSWER"
    CONFIRM = "CONFIRM"
    DECLINE = "DECLINE"
    CONFIRM_CLOSE = "CONFIRM_CLOSE"
    RETURN_FUNDS = "RETURN_FUNDS"


START = State.SUBMITTING

EDGES: dict[tuple[State, StrEnum], State] = {
    (State.SUBMITTING, Event.REROUTE): State.SUBMITTING,
    (State.SUBMITTING, Event.WAIT): State.PENDING,
    (State.SUBMITTING, Event.LOSE_ANSWER): State.UNKNOWN,
    (State.SUBMITTING, Event.CONFIRM): State.SUCCEEDED,
    (State.SUBMITTING, Event.DECLINE): State.FAILED,
    (State.SUBMITTING, Event.CONFIRM_CLOSE): State.CLOSED,
    (State.SUBMITTING, Event.RESEND): State.SUBMITTING,
    (State.SUBMITTING, Event.ASK_CLOSE): State.SUBMITTING,
    (State.PENDING, Event.ASK_CLOSE): State.PENDING,
    (State.PENDING, Event.CONFIRM): State.SUCCEEDED,
    (State.PENDING, Event.DECLINE): State.FAILED,
    (State.PENDING, Event.CONFIRM_CLOSE): State.CLOSED,
    (State.UNKNOWN, Event.RESEND): State.UNKNOWN,
    (State.UNKNOWN, Event.ASK_CLOSE): State.UNKNOWN,
    (State.UNKNOWN, Event.WAIT): State.PENDING,
    (State.UNKNOWN, Event.CONFIRM): State.SUCCEEDED,
    (State.UNKNOWN, Event.DECLINE): State.FAILED,
    (State.UNKNOWN, Event.CONFIRM_CLOSE): State.CLOSED,
    # The payer's bank finished after we had heard a no: money is there, so it is ours to keep or to give back.
    (State.FAILED, Event.CONFIRM): State.SUCCEEDED,
    # The close and the payer crossed.
    (State.CLOSED, Event.CONFIRM): State.SUCCEEDED,
    # A virtual account was not emptied in time, or the channel reversed.
    (State.SUCCEEDED, Event.RETURN_FUNDS): State.FUNDS_RETURNED,
}
TERMINAL = terminal(State, EDGES)

OPEN = frozenset({State.SUBMITTING, State.PENDING, State.UNKNOWN})
FINAL = frozenset(State) - OPEN

# The first channel and two others: a payer who waits longer gives up.
ATTEMPTS_MAX = 3
# The same number is sent again when the channel does not know it: twice, then the order is closed there.
SENDS_MAX = 3
# Asking a silent or waiting channel: soon at first, since payers wait; at last every half hour.
QUERY_DELAYS_S = (5, 15, 30, 60, 120, 300, 600, 1800)
# An order that nobody has paid is closed so long after its expiry: a payer's last second, and clocks that differ.
CLOSE_AFTER_S = 3
# A payment whose first answer has not been recorded by then is asked about: longer than any channel's own time-out.
SUBMIT_PATIENCE_S = 10
# How long after expiry a channel that knows nothing of a number is believed, where its settings do not say: questions
# are known to lag behind payments by minutes.
NOT_FOUND_PATIENCE_S = 1800


class Follow(StrEnum):
    """What must be done after a verdict, beyond storing it."""

    NONE = "NONE"
    REROUTE = "REROUTE"
    RESEND = "RESEND"
    ASK_NOW = "ASK_NOW"


class Payment(NamedTuple):
    """A payment as it is now, with its current attempt. Times are Unix milliseconds, 0 for never."""

    tenant_id: str
    payment_id: str
    request_id: str
    order_no: str
    product_code: str
    amount_minor: int
    currency_code: str
    method: str
    terminal: str
    source: str
    subject: str
    payer_ref: str
    state: State
    reason: str
    channel_id: str
    account_id: str
    merchant_no: str
    attempt_no: str
    attempt_index: int
    send_count: int
    channel_txn_no: str
    action_kind: str
    action_value: str
    revision: int
    proof_rank: int
    late: bool
    duplicate: bool
    close_reason: str
    refund_reserved_minor: int
    refunded_minor: int
    create_ms: int
    update_ms: int
    expire_ms: int
    success_ms: int
    institution_id: str = ""


class Verdict(NamedTuple):
    """What evidence means for a payment. `event` is None when nothing changes; `case_kind` opens a case for a person."""

    event: Event | None = None
    state: State | None = None
    reason: str = ""
    late: bool = False
    follow: Follow = Follow.NONE
    case_kind: str = ""
    refund_attempt_no: str = ""  # money that an attempt took and must give back


NOTHING = Verdict()


def apply(
    payment: Payment, evidence: Evidence, *, now_ms: int, not_found_patience_s: int = NOT_FOUND_PATIENCE_S
) -> Verdict:
    """Tell what one piece of evidence does to a payment. Pure; repeating it gives no further change."""
    if evidence.attempt_no != payment.attempt_no:
        return _about_an_earlier_attempt(evidence)
    if evidence.merchant_no not in ("", payment.merchant_no):
        # True of somebody else's money, or forged with somebody else's key: either way it proves nothing here.
        return _lose(payment, "MERCHANT_MISMATCH")._replace(case_kind="MERCHANT_MISMATCH")
    if evidence.outcome is Outcome.NOT_FOUND:
        # No setting may make absence a proof while the channel still lets the payer in.
        return _not_found(payment, evidence, now_ms, payment.expire_ms + max(0, not_found_patience_s) * 1000)
    return _READERS[evidence.outcome](payment, evidence, now_ms)


def _about_an_earlier_attempt(evidence: Evidence) -> Verdict:
    """Give back what an attempt took that we had left as provably dead; a person hears of it."""
    if evidence.outcome is not Outcome.DONE:
        return NOTHING
    return Verdict(case_kind="EARLIER_ATTEMPT_PAID", refund_attempt_no=evidence.attempt_no)


def _move(payment: Payment, event: Event, reason: str = "", **more: object) -> Verdict:
    stepped = step(EDGES, payment.state, event)
    if stepped is None or not stepped.changed:
        return NOTHING
    return Verdict(event=event, state=stepped.state, reason=reason, **more)  # type: ignore[arg-type]


def _done(payment: Payment, evidence: Evidence, now_ms: int) -> Verdict:
    if payment.state in (State.SUCCEEDED, State.FUNDS_RETURNED):
        return NOTHING
    wrong = _mismatch(payment, evidence)
    if wrong:
        lost = _lose(payment, wrong)
        return lost._replace(case_kind=wrong)
    if payment.state in (State.FAILED, State.CLOSED):
        if evidence.source < payment.proof_rank:
            # A question settles it; where the question itself contradicts, a person has to.
            follow = Follow.ASK_NOW if evidence.source < Source.QUERY else Follow.NONE
            return Verdict(case_kind="CONTRADICTION", follow=follow)
        return _move(payment, Event.CONFIRM, reason="LATE_SUCCESS", late=True)
    return _move(payment, Event.CONFIRM)


def _mismatch(payment: Payment, evidence: Evidence) -> str:
    if evidence.merchant_no != payment.merchant_no:
        return "MERCHANT_MISMATCH"
    if evidence.amount_minor != payment.amount_minor or evidence.currency_code != payment.currency_code:
        return "AMOUNT_MISMATCH"
    return ""


def _lose(payment: Payment, reason: str) -> Verdict:
    return _move(payment, Event.LOSE_ANSWER, reason) if payment.state is State.SUBMITTING else NOTHING


def _definite(payment: Payment, evidence: Evidence) -> bool:
    """Tell whether a no of this evidence speaks of the attempt as a whole.

    A second send of the same number can be refused by the channel or held back by us although the first had arrived.
    """
    about_this_send_only = evidence.source is Source.SYNC_REPLY and evidence.fault is not Fault.PAYER
    return not about_this_send_only or (payment.send_count <= 1 and payment.state is State.SUBMITTING)


def _refused(payment: Payment, evidence: Evidence, now_ms: int) -> Verdict:
    """Handle REJECTED and NOT_SENT."""
    if payment.state is State.SUCCEEDED:
        return Verdict(case_kind="CONTRADICTION") if evidence.outcome is Outcome.REJECTED else NOTHING
    if payment.state not in OPEN or (evidence.outcome is Outcome.NOT_SENT and evidence.source is not Source.SYNC_REPLY):
        return NOTHING  # a question that could not be sent proves nothing about the charge
    if not _definite(payment, evidence):
        return _lose(payment, evidence.reason)
    may_fail_over = (
        payment.state is State.SUBMITTING
        and evidence.source is Source.SYNC_REPLY
        and evidence.fault is not Fault.PAYER
        and payment.attempt_index < ATTEMPTS_MAX
        and now_ms < payment.expire_ms
        and not payment.close_reason
    )
    if may_fail_over:
        return Verdict(event=Event.REROUTE, state=State.SUBMITTING, reason=evidence.reason, follow=Follow.REROUTE)
    return _move(payment, Event.DECLINE, evidence.reason)


def _maybe(payment: Payment, evidence: Evidence, now_ms: int) -> Verdict:
    return _lose(payment, evidence.reason)


def _accepted(payment: Payment, evidence: Evidence, now_ms: int) -> Verdict:
    return _move(payment, Event.WAIT) if payment.state in OPEN else NOTHING


def _not_found(payment: Payment, evidence: Evidence, now_ms: int, believed_ms: int) -> Verdict:
    if payment.state is State.SUCCEEDED:
        return Verdict(case_kind="CONTRADICTION")
    if payment.state not in OPEN:
        return NOTHING
    # What counts is when the channel was asked: an answer may be long on its way, and the number arrive meanwhile.
    asked_ms = min(now_ms, evidence.time_ms or now_ms)
    is_over = asked_ms >= believed_ms
    if payment.state is State.PENDING:
        # Some channels know of a number only when its payer comes, and let none come after its expiry.
        return _move(payment, Event.CONFIRM_CLOSE, payment.close_reason or "EXPIRED") if is_over else NOTHING
    if is_over:
        return _move(payment, Event.DECLINE, "NOT_FOUND")
    if now_ms < payment.expire_ms and payment.send_count < SENDS_MAX and not payment.close_reason:
        return Verdict(event=Event.RESEND, state=payment.state, reason="NOT_FOUND", follow=Follow.RESEND)
    return NOTHING


def _closed(payment: Payment, evidence: Evidence, now_ms: int) -> Verdict:
    if payment.state is State.SUCCEEDED:
        return Verdict(case_kind="CLOSED_AFTER_SUCCESS")
    if payment.state not in OPEN:
        return NOTHING
    return _move(payment, Event.CONFIRM_CLOSE, payment.close_reason or ("EXPIRED" if now_ms >= payment.expire_ms else ""))


_READERS = {
    Outcome.DONE: _done,
    Outcome.REJECTED: _refused,
    Outcome.NOT_SENT: _refused,
    Outcome.MAYBE: _maybe,
    Outcome.ACCEPTED: _accepted,
    Outcome.CLOSED: _closed,
}
assert _READERS.keys() == set(Outcome) - {Outcome.NOT_FOUND}


def wants_close(payment: Payment, *, now_ms: int) -> bool:
    """Tell whether an open payment is to be closed rather than asked about."""
    return bool(payment.close_reason) or now_ms >= payment.expire_ms


def must_give_back(payment: Payment, *, duplicate: bool) -> bool:
    """Tell whether money that has just come is refunded at once: the order was paid already, or was called off."""
    return duplicate or bool(payment.close_reason)


# What the world is told, by the state that was reached. A duplicate is told as payment.duplicate.
NOTICES = {
    State.SUCCEEDED: "payment.succeeded",
    State.FAILED: "payment.failed",
    State.CLOSED: "payment.closed",
    State.FUNDS_RETURNED: "payment.funds_returned",
}
