"""What a sweeper asks: the right question, under the same number, of the right channel."""

import pytest

from actors.messages import Operation, Task
from actors.sweeper import payment_task, refund_task
from channels.port import Lookup, RefundLookup, RefundRequest
from domain import refunds
from domain.payments import OPEN, State
from storage.refunds import Original
from tests.samples import ATTEMPT_NO, EXPIRE_MS, NOW_MS, payment, refund

ORIGINAL = Original(700_000, "T1")


@pytest.mark.parametrize("state", sorted(OPEN))
def test_an_open_payment_is_asked_about(state: State) -> None:
    task = payment_task(payment(state=state), now_ms=NOW_MS)
    assert task == Task(Operation.QUERY, "pnc", Lookup(ATTEMPT_NO, "m1"))


@pytest.mark.parametrize("state", sorted(OPEN))
def test_what_is_given_up_or_expired_is_closed(state: State) -> None:
    given_up = payment(state=state, close_reason="ORDER_CANCELLED")
    assert payment_task(given_up, now_ms=NOW_MS).operation is Operation.CLOSE
    assert payment_task(payment(state=state), now_ms=EXPIRE_MS).operation is Operation.CLOSE
    assert payment_task(payment(state=state), now_ms=EXPIRE_MS - 1).operation is Operation.QUERY


def test_a_fresh_or_missed_refund_is_sent_under_its_one_number() -> None:
    request = RefundRequest(f"R{ATTEMPT_NO}", ATTEMPT_NO, "m1", 680_000, "CNY", 700_000, "T1")
    assert refund_task(refund(), ORIGINAL) == Task(Operation.REFUND, "pnc", request)
    again = refund(state=refunds.State.UNKNOWN, missed=True)
    assert refund_task(again, ORIGINAL) == Task(Operation.REFUND, "pnc", request)


@pytest.mark.parametrize("state", [refunds.State.SUBMITTED, refunds.State.ACCEPTED, refunds.State.UNKNOWN])
def test_any_other_refund_is_asked_about(state: refunds.State) -> None:
    task = refund_task(refund(state=state), ORIGINAL)
    assert task == Task(Operation.QUERY_REFUND, "pnc", RefundLookup(f"R{ATTEMPT_NO}", ATTEMPT_NO, "m1"))
