"""Evidence: anything that proves what a channel did with one attempt.

The synchronous answer, a callback, a query's answer and a statement line are the same thing and are applied by the same
function (`domain.payments.apply`). They differ in rank: a lower one never overrides a higher one.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Source(IntEnum):
    """Where evidence comes from; the number is its proof rank."""

    SYNC_REPLY = 2
    CALLBACK = 3
    QUERY = 4
    STATEMENT = 5


class Outcome(StrEnum):
    """What a channel's answer means, whatever the channel's own words for it."""

    NOT_SENT = "NOT_SENT"  # provably nothing left: another channel may be asked
    REJECTED = "REJECTED"  # a definite no
    MAYBE = "MAYBE"  # silence or nonsense: it may have happened
    ACCEPTED = "ACCEPTED"  # it has begun; the result comes later
    DONE = "DONE"  # the money moved
    NOT_FOUND = "NOT_FOUND"  # the channel knows no such number
    CLOSED = "CLOSED"  # the channel has closed it: no money can come


class Fault(StrEnum):
    """Whose fault a NOT_SENT, REJECTED or MAYBE is. Only CHANNEL lowers a channel's health."""

    NONE = "NONE"
    CHANNEL = "CHANNEL"
    PAYER = "PAYER"
    CONFIG = "CONFIG"
    LOCAL = "LOCAL"  # we held it back ourselves: rate limit, breaker


class Evidence(NamedTuple):
    """One proof about one attempt (or, with `refund_no`, about one refund).

    `amount_minor` and `currency_code` are what the channel says it moved, 0 and "" where it does not say.
    `time_ms` is when we learned it, in Unix milliseconds, or of an answer when we asked: what happened meanwhile is not in
    it. `success_time_ms` is the channel's word, 0 if none.
    """

    attempt_no: str
    source: Source
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
    refund_no: str = ""
    time_ms: int = 0
