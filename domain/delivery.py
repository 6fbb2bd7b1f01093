"""Telling the world: what a notice says, when it is tried again, and what an endpoint's reply means.

Entry points: `payload` writes a notice, `judge` reads a reply. Both are pure.

Invariants: every try of an event carries the same id and the same bytes, since they are made only from what can no longer
change once the event is committed; an event is given up only after the whole schedule (three days) or a 410 Gone.
"""

import datetime
import email.utils
import json
from enum import StrEnum
from typing import NamedTuple

from domain.payments import Payment, State

# Waits before the second, third … try, as Standard Webhooks advises: 75 hours in all, a weekend and a working day.
RETRY_DELAYS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
TRIES_MAX = len(RETRY_DELAYS_S) + 1
# Upwards only, so that the schedule never ends early; it spreads the tries of an endpoint that was down.
JITTER = 0.1
# An endpoint may ask for patience, not for silence: a day at most.
RETRY_AFTER_MAX_S = 86_400

_EVENT_PREFIX, _PAYMENT_PREFIX = "evt_", "pay_"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MONEY_CAME = frozenset({State.SUCCEEDED, State.FUNDS_RETURNED})


class Happening(NamedTuple):
    """A row of the outbox: what happened to a payment. `create_ms` is Unix milliseconds; `refund_id` may be ""."""

    revision: int
    event_type: str
    state: State
    reason: str
    refund_id: str
    create_ms: int


class Fate(StrEnum):
    """What becomes of an event after a try."""

    DELIVERED = "DELIVERED"
    RETRY = "RETRY"
    DEAD = "DEAD"  # the schedule is exhausted
    GONE = "GONE"  # the endpoint wants nothing any more: it is disabled, and what waits for it is dead


class Reply(NamedTuple):
    """What an endpoint answered to one try: an HTTP status, or 0 with an `error` when there was no answer."""

    status: int
    error: str = ""
    retry_after: str = ""  # the header, as it came


class Ruling(NamedTuple):
    """What a reply means. `delay_s` counts only for RETRY; `error` is "" for DELIVERED."""

    fate: Fate
    delay_s: float = 0.0
    error: str = ""


def event_id(payment_id: str, revision: int) -> str:
    """Name an event: constant over every try and resend."""
    return f"{_EVENT_PREFIX}{payment_id.removeprefix(_PAYMENT_PREFIX)}_{revision}"


def parse_event_id(text: str) -> tuple[str, int] | None:
    """Return (payment_id, revision), or None for what is not the id of an event."""
    stem, _, digits = text.removeprefix(_EVENT_PREFIX).rpartition("_")
    if not (text.startswith(_EVENT_PREFIX) and stem and digits.isascii() and digits.isdigit() and len(digits) <= 9):
        return None
    return _PAYMENT_PREFIX + stem, int(digits)


def payment_at(payment: Payment, happening: Happening) -> Payment:
    """Return the payment as it was when something happened, from its row of today.

    After the first event of a payment its channel and attempt no longer change. What only a success brings is left out
    before the success; the sums of refunds change without events of the payment and are always 0 here.
    """
    paid = happening.state in _MONEY_CAME
    return payment._replace(
        state=happening.state,
        reason=happening.reason,
        revision=happening.revision,
        update_ms=happening.create_ms,
        channel_txn_no=payment.channel_txn_no if paid else "",
        success_ms=payment.success_ms if paid else 0,
        late=payment.late and paid,
        duplicate=payment.duplicate and paid,
        action_kind="",
        action_value="",
        proof_rank=0,
        refund_reserved_minor=0,
        refunded_minor=0,
    )


def payload(payment: Payment, happening: Happening) -> str:
    """Write the JSON body of a notice: the same bytes at every try. Times are RFC 3339 in UTC, amounts minor units."""
    then = payment_at(payment, happening)
    data: dict[str, object] = {
        "payment_id": then.payment_id,
        "seq": then.revision,
        "order_no": then.order_no,
        "request_id": then.request_id,
        "product_code": then.product_code,
        "amount_minor": then.amount_minor,
        "currency_code": then.currency_code,
        "method": then.method,
        "terminal": then.terminal,
        "source": then.source,
        "subject": then.subject,
        "state": then.state.value,
        "reason": then.reason,
        "channel_id": then.channel_id,
        "account_id": then.account_id,
        "attempt_no": then.attempt_no,
        "attempt_count": then.attempt_index,
        "channel_txn_no": then.channel_txn_no,
        "late": then.late,
        "duplicate": then.duplicate,
        "close_requested": bool(then.close_reason),
        "create_time": time_text(then.create_ms),
        "expire_time": time_text(then.expire_ms),
        "success_time": time_text(then.success_ms) if then.success_ms else None,
    }
    if happening.refund_id:
        data["refund_id"] = happening.refund_id
    notice = {
        "type": happening.event_type,
        "id": event_id(payment.payment_id, happening.revision),
        "timestamp": time_text(happening.create_ms),
        "data": data,
    }
    return json.dumps(notice, ensure_ascii=False, separators=(",", ":"))


def time_text(time_ms: int) -> str:
    """Write Unix milliseconds as e.g. 2026-03-01T08:00:00.123Z."""
    moment = _EPOCH + datetime.timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def judge(reply: Reply, *, try_count: int, now_ms: int, draw: float, schedule_factor: float = 1.0) -> Ruling:
    """Read the reply to a try. `try_count` tries were made before it; a `schedule_factor` below 1 hurries the retries.

    2xx delivers and nothing else does: a redirect is a failure, since following it would send money facts elsewhere.
    """
    if 200 <= reply.status < 300:
        return Ruling(Fate.DELIVERED)
    if reply.status == 410:
        return Ruling(Fate.GONE, error="HTTP 410")
    error = f"HTTP {reply.status}" if reply.status else reply.error
    if try_count + 1 >= TRIES_MAX:
        return Ruling(Fate.DEAD, error=error)
    delay_s = RETRY_DELAYS_S[try_count] * schedule_factor * (1 + JITTER * draw)
    if reply.status in (429, 503):
        delay_s = max(delay_s, _retry_after_s(reply.retry_after, now_ms=now_ms))
    return Ruling(Fate.RETRY, delay_s, error)


def _retry_after_s(header: str, *, now_ms: int) -> float:
    """Read Retry-After, which is a count of seconds or an HTTP date; nonsense is 0."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_MAX_S)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return min(max((moment - _EPOCH).total_seconds() - now_ms / 1000, 0), RETRY_AFTER_MAX_S)
