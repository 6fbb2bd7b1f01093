"""The acceptance stories, scaled to a minute: small happy day, lost callbacks, storms, time-outs, double payers."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from protos.paydesk.v1 import channels_pb2, common_pb2, payments_pb2, simulator_pb2
from tests.end_to_end.conftest import Api, House, State, order, until

Kind = simulator_pb2.Fault.Kind
Health = channels_pb2.ChannelHealth.State


def pay_many(api: Api, wishes: list[payments_pb2.CreatePaymentRequest]) -> list[payments_pb2.Payment]:
    """Pay with 64 callers."""
    with ThreadPoolExecutor(64) as callers:
        return list(callers.map(lambda wish: api.payments.CreatePayment(wish, timeout=20), wishes))


def charges_of(api: Api, order_nos: set[str]) -> Counter[str]:
    """Count the charges that the sandbox made, by order."""
    entries = api.truth()
    return Counter(e.order_no for e in entries if e.kind == simulator_pb2.TruthEntry.KIND_CHARGE and e.order_no in order_nos)


def told(house: House, order_nos: set[str]) -> Counter[str]:
    """Count the notices that the order system accepted, by order."""
    return Counter(a.order_no for a in house.orders.arrivals if a.order_no in order_nos and a.status == 200 and not a.repeat)


def test_happy_small(house: House, shop: Api) -> None:
    """Story 1: a thousand orders of 18.00 are paid, and their thousand notices delivered."""
    wishes = [order() for _ in range(1_000)]
    order_nos = {wish.order_no for wish in wishes}
    paid = pay_many(shop, wishes)
    assert Counter(payment.state for payment in paid) == {State.STATE_SUCCEEDED: 1_000}
    assert set(charges_of(shop, order_nos).values()) == {1}
    until(lambda: len(told(house, order_nos)) == 1_000, 30)
    assert set(told(house, order_nos).values()) == {1}
    report = house.orders.report()
    assert (report["bad_signatures"], report["disorders"], report["changed_bodies"]) == (0, 0, 0), report["problems"]


def test_lost_callbacks(house: House, shop: Api) -> None:
    """Story 2: every callback is lost, and asking finds every payment within a minute."""
    wishes = [order(method=common_pb2.METHOD_WECHAT_PAY, payer_ref="payer_callback_lost") for _ in range(100)]
    order_nos = {wish.order_no for wish in wishes}
    waiting = pay_many(shop, wishes)
    assert Counter(payment.state for payment in waiting) == {State.STATE_PENDING: 100}
    for payment in waiting:
        assert shop.final(payment.payment_id, 60).state == State.STATE_SUCCEEDED
    assert {step.source for payment in waiting for step in shop.timeline(payment.payment_id).steps[-1:]} == {"QUERY"}
    until(lambda: len(told(house, order_nos)) == 100, 30)


def test_callback_storm(house: House, shop: Api) -> None:
    """Story 3: callbacks come early, thrice, and out of order; each payment moves once, and is told once."""
    storm = (Kind.KIND_CALLBACK_DUPLICATE, Kind.KIND_CALLBACK_EARLY, Kind.KIND_CALLBACK_REORDERED)
    for kind in storm:
        shop.fault("qr_blue", kind)
    try:
        wishes = [order(method=common_pb2.METHOD_ALIPAY) for _ in range(100)]
        order_nos = {wish.order_no for wish in wishes}
        payments = pay_many(shop, wishes)
        ends = [shop.final(payment.payment_id) for payment in payments]
    finally:
        for kind in storm:
            shop.fault("qr_blue", kind, 0)
    assert Counter(payment.state for payment in ends) == {State.STATE_SUCCEEDED: 100}
    until(lambda: len(told(house, order_nos)) == 100, 30)
    time.sleep(2)  # the third copies
    for payment in ends[::10]:
        assert [step.event for step in shop.timeline(payment.payment_id).steps].count("CONFIRM") == 1
    assert {shop.get(payment.payment_id).revision for payment in ends} <= {2, 3}
    assert set(told(house, order_nos).values()) == {1}
    assert set(charges_of(shop, order_nos).values()) == {1}


def test_money_taken_and_the_answer_lost(house: House, shop: Api) -> None:
    """Story 4: 5 % of answers are lost after the money was taken; nobody is charged twice, nothing stays in doubt."""
    shop.force("slow", Health.STATE_FORCED_CLOSED)
    wishes = [
        order(method=common_pb2.METHOD_UNION_PAY, payer_ref="payer_timeout_taken" if number % 20 == 0 else f"payer-{number}")
        for number in range(200)
    ]
    order_nos = {wish.order_no for wish in wishes}
    try:
        answers = pay_many(shop, wishes)
        doubtful = [answer for answer in answers if answer.state == State.STATE_UNKNOWN]
        assert len(doubtful) == 10 and len(answers) == 200
        for payment in doubtful:
            assert shop.final(payment.payment_id, 60).state == State.STATE_SUCCEEDED
    finally:
        shop.force("slow", Health.STATE_HEALTHY)
    assert Counter(charges_of(shop, order_nos).values()) == {1: 200}
    steps = shop.timeline(doubtful[0].payment_id).steps
    assert [(step.event, step.source) for step in steps] == [
        ("SUBMIT", "CALLER"), ("LOSE_ANSWER", "SYNC_REPLY"), ("CONFIRM", "QUERY")
    ]  # fmt: skip
    shop.settled("slow", common_pb2.METHOD_UNION_PAY)


def test_two_payers_of_one_order(house: House, shop: Api) -> None:
    """Story 5: a hundred orders are paid by two methods in the same second: a hundred are kept, a hundred go back."""
    wishes = [order(method=common_pb2.METHOD_WECHAT_PAY) for _ in range(100)]
    twins = [order(order_no=wish.order_no, method=common_pb2.METHOD_ALIPAY) for wish in wishes]
    order_nos = {wish.order_no for wish in wishes}
    pairs = [wish for pair in zip(wishes, twins, strict=True) for wish in pair]
    made = shop.payments.BatchCreatePayments(payments_pb2.BatchCreatePaymentsRequest(requests=pairs)).results
    ends = [shop.final(result.payment.payment_id) for result in made]
    assert Counter(payment.state for payment in ends) == {State.STATE_SUCCEEDED: 200}
    by_order = Counter((payment.order_no, payment.duplicate) for payment in ends)
    assert set(by_order.values()) == {1} and len(by_order) == 200  # one kept and one duplicate each

    def returned() -> set[str]:
        entries = shop.truth()
        return {e.order_no for e in entries if e.kind == simulator_pb2.TruthEntry.KIND_REFUND} & order_nos

    until(lambda: len(returned()) == 100, 60, 1.0)
    duplicates = [payment for payment in ends if payment.duplicate]
    until(lambda: all(shop.get(payment.payment_id).refunded_minor == 1800 for payment in duplicates[::10]), 60, 1.0)
    assert all(shop.get(payment.payment_id).refunded_minor == 0 for payment in ends if not payment.duplicate)
    assert house.orders.report()["disorders"] == 0, house.orders.report()["problems"]
