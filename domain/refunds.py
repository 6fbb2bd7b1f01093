"""The life of a refund. A channel's "yes" is only ACCEPTED; a query, callback or statement line proves it."""

from enum import StrEnum
from typing import NamedTuple

from domain.evidence import Evidence, Outcome, Source
from domain.table import step, terminal


class State(StrEnum):
    """Where a refund is."""

    APPROVED = "APPROVED"  # reserved against the payment, nothing sent
    SUBMITTED = "SUBMITTED"  # the channel may have been asked
    ACCEPTED = "ACCEPTED"  # the channel said yes, which proves nothing
    UNKNOWN = "UNKNOWN"  # silence, or the channel does not find what it accepted
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"  # a definite no: a person decides how the money goes back


class Event(StrEnum):
    """What can happen to a refund."""

    SUBMIT = "SUBMIT"
    ACCEPT = "ACCEPT"
    LOSE_ANSWER = "LOSE_ANSWER"
    MISS = "MISS"
    CONFIRM = "CONFIRM"
    DECLINE = "DECLINE"


START = State.APPROVED

EDGES: dict[tuple[State, StrEnum], State] = {
    (State.APPROVED, Event.SUBMIT): State.SUBMITTED,
    (State.SUBMITTED, Event.ACCEPT): State.ACCEPTED,
    (State.SUBMITTED, Event.LOSE_ANSWER): State.UNKNOWN,
    (State.SUBMITTED, Event.MISS): State.UNKNOWN,
    (State.SUBMITTED, Event.CONFIRM): State.SUCCEEDED,
    (State.SUBMITTED, Event.DECLINE): State.FAILED,
    # A phantom: accepted, and then nowhere to be found. It is sent again under the same number.
    (State.ACCEPTED, Event.MISS): State.UNKNOWN,
    (State.ACCEPTED, Event.CONFIRM): State.SUCCEEDED,
    (State.ACCEPTED, Event.DECLINE): State.FAILED,
    (State.UNKNOWN, Event.ACCEPT): State.ACCEPTED,
    (State.UNKNOWN, Event.CONFIRM): State.SUCCEEDED,
    (State.UNKNOWN, Event.DECLINE): State.FAILED,
}
TERMINAL = terminal(State, EDGES)

# Never sooner than 10 s (channels say so), five times a minute, then rarer; hourly at last, and a person after a day.
QUERY_DELAYS_S = (10, 60, 60, 60, 60, 60, 300, 600, 1200, 1800, 3600)


class Refund(NamedTuple):
    """A refund as it is now. `missed` means that the channel's last word was that it knows no such refund."""

    tenant_id: str
    refund_id: str
    payment_id: str
    attempt_no: str
    channel_id: str
    merchant_no: str
    amount_minor: int
    currency_code: str
    state: State
    missed: bool
    revision: int


def event_of(evidence: Evidence) -> Event | None:
    """Read evidence about a refund; None when it tells nothing new."""
    if evidence.outcome is Outcome.DONE:
        return Event.CONFIRM if evidence.source >= Source.CALLBACK else Event.ACCEPT
    return {
        Outcome.ACCEPTED: Event.ACCEPT,
        Outcome.MAYBE: Event.LOSE_ANSWER,
        Outcome.NOT_FOUND: Event.MISS,
        Outcome.REJECTED: Event.DECLINE,
        Outcome.NOT_SENT: Event.MISS,  # nothing left: the same number goes out again
        Outcome.CLOSED: Event.DECLINE,
    }[evidence.outcome]


def apply(refund: Refund, evidence: Evidence) -> tuple[State, bool] | None:
    """Return the new state and the new `missed`, or None when nothing changes, as when it is about other money."""
    if evidence.merchant_no not in ("", refund.merchant_no):
        return None
    if evidence.outcome is Outcome.DONE and (
        evidence.amount_minor not in (0, refund.amount_minor)
        or evidence.currency_code not in ("", refund.currency_code)
    ):
        return None
    event = event_of(evidence)
    stepped = step(EDGES, refund.state, event) if event else None
    state = stepped.state if stepped else refund.state
    missed = event is Event.MISS
    if state in TERMINAL and refund.state in TERMINAL:
        return None
    return (state, missed) if (state, missed) != (refund.state, refund.missed) else None


def is_to_send(refund: Refund) -> bool:
    """Tell whether the refund is sent (again, under its number) rather than asked about."""
    return refund.state is State.APPROVED or refund.missed
